# SPDX-License-Identifier: GPL-3.0-or-later
"""Which events of the journal a report is about: its run, and those that this one went on from."""

from __future__ import annotations

from collections.abc import Iterable

from .attempts import Event

#: A run that ended so may have left a fenced source and proven copies, for a later one to go on with.
_UNSUCCESSFUL = ("failed", "refused")
#: Reports of these outcomes stand for themselves, whatever earlier runs left open.
_ALONE = ("verified", "unchanged", "rehearsed")
#: Phases that change something. A run that came to a good end with one of them is where the next one starts.
_CHANGES = frozenset(
    ["schema", "fence", "copy", "indexes", "switch", "restart", "release", "capture", "switched_online", "finalize"]
)


def gives_the_source_back(phase: str) -> bool:
    """True for phases that put the application back on the source: nothing verified before holds."""
    return phase in ("put_back", "call_off", "switched_back") or phase.startswith("rollback_")


def events_of_run(events: list[Event], run: str, outcome: object) -> list[Event]:
    """The events of a run, with those of earlier runs that it went on from.

    It goes on from a run that was killed, and from one that failed while the source stayed fenced: copy and
    verification still hold then, and nobody repeats them. It does not go on from a run that came to a good
    end or put the application back; nor does a rollback go on from a cutover, or a cutover from a rollback.
    """
    own = [event for event in events if event.run == run]
    if not own or outcome in _ALONE:
        return own
    back = _is_rollback(own)
    taken: list[str] = []
    kept = back
    for theirs in _since_the_last_end(events, own[0].seq, back):
        kept = kept or bool(_phases(theirs) & {"fence", "switched_online"})
        ended = _end(theirs)
        if ended is None or (kept and ended in _UNSUCCESSFUL):
            taken.append(theirs[0].run)
        elif not kept:
            taken.clear()  # nothing of what was done until here is still relied on
    return [event for event in events if event.run in (run, *taken) and event.seq <= own[-1].seq]


def _since_the_last_end(events: list[Event], before: int, back: bool) -> list[list[Event]]:
    """Earlier runs that did something, oldest first, back to the one after which everything starts anew."""
    earlier = [event for event in events if event.seq < before]
    runs: list[list[Event]] = []
    for name in dict.fromkeys(event.run for event in reversed(earlier)):
        theirs = [event for event in earlier if event.run == name]
        changes = bool(_phases(theirs) & _CHANGES)
        goes_back = any(gives_the_source_back(phase) for phase in _phases(theirs))
        if not changes and not goes_back and "verify" not in _phases(theirs):
            continue  # it only looked
        ended_well = _end(theirs) not in (None, *_UNSUCCESSFUL)
        if goes_back != back or (ended_well and (changes or goes_back)):
            break
        runs.insert(0, theirs)
    return runs


def _phases(events: Iterable[Event]) -> set[str]:
    return {event.phase for event in events if event.event == "phase"}


def _end(events: Iterable[Event]) -> str | None:
    """The outcome that a run ended with; None for one that was killed."""
    return next((str(event.detail.get("outcome")) for event in events if event.event == "end"), None)


def _is_rollback(events: Iterable[Event]) -> bool:
    """True for a rollback: its first phase says so. (A failed cutover puts back as well, but in the end.)"""
    named = [event.phase for event in events if event.event == "phase" and event.phase not in ("preflight", "settle")]
    return bool(named) and gives_the_source_back(named[0])
