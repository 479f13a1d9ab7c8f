# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal, read back: its events, the attempts at each phase, and how each of them ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

#: The phase that writes the report: still open whenever a report is built.
OWN_PHASE = "report"
STATES = ("started", "done", "failed")


@dataclass(frozen=True)
class Event:
    """One line of the journal, checked."""

    seq: int
    at: str
    run: str
    event: str
    phase: str
    state: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One try at a phase.

    state: done, failed, interrupted (killed: its end is not known) or running (the report itself).
    began, order: the positions in the journal of its start and of the event that settled it.
    seconds is None when the end is not known.
    """

    phase: str
    started: str
    seconds: float | None
    state: str
    detail: dict[str, Any]
    began: int
    order: int


def instant(text: object) -> datetime | None:
    """An ISO-8601 time as a moment in UTC, None when it is none. Without a zone it is UTC."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))  # before 3.11 'Z' was not understood
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc)


def read_events(journal: object) -> tuple[list[Event], int]:
    """The events in their order, and how many entries of the journal could not be understood."""
    events: list[Event] = []
    if not isinstance(journal, (list, tuple)):
        return [], 1
    unreadable = 0
    for entry in journal:
        event = _event(entry)
        if event is None:
            unreadable += 1
        else:
            events.append(event)
    return sorted(events, key=lambda event: event.seq), unreadable


def _event(entry: object) -> Event | None:
    if not isinstance(entry, dict):
        return None
    seq, kind, phase, state = entry.get("seq"), entry.get("event"), entry.get("phase"), entry.get("state")
    if not isinstance(seq, int) or isinstance(seq, bool) or instant(entry.get("at")) is None:
        return None
    if kind not in ("begin", "phase", "end") or not isinstance(entry.get("run"), str):
        return None
    if kind == "phase" and (not isinstance(phase, str) or not phase or state not in STATES):
        return None
    detail = entry.get("detail")
    if detail is not None and not isinstance(detail, dict):
        return None
    return Event(seq, entry["at"], entry["run"], kind, phase or "", state or "", detail or {})


def attempts(events: Iterable[Event], now: str) -> list[Attempt]:
    """Every try at every phase, in the order they began."""
    result: list[Attempt] = []
    open_at: dict[str, int] = {}
    for event in events:
        if event.event != "phase":
            continue
        if event.state == "started":
            open_at[event.phase] = len(result)  # one that was open was killed: it stays interrupted
            result.append(Attempt(event.phase, event.at, None, "interrupted", {}, event.seq, event.seq))
            continue
        position = open_at.pop(event.phase, None)
        if position is None:
            result.append(Attempt(event.phase, event.at, 0.0, event.state, event.detail, event.seq, event.seq))
        else:
            began = result[position]
            result[position] = replace(
                began,
                seconds=seconds_between(began.started, event.at),
                state=event.state,
                detail=event.detail,
                order=event.seq,
            )
    position = open_at.get(OWN_PHASE)
    if position is not None:
        own = result[position]
        result[position] = replace(own, seconds=seconds_between(own.started, now), state="running")
    return result


def seconds_between(start: str, end: str) -> float:
    """Seconds from one time to another; 0 when the clock was set back or a time is not known."""
    first, second = instant(start), instant(end)
    if first is None or second is None:
        return 0.0
    return max(0.0, round((second - first).total_seconds(), 6))


def last_of(tries: Iterable[Attempt], *phases: str) -> Attempt | None:
    """The latest try at one of the phases (at any, when none is named), whatever became of it."""
    return max((one for one in tries if not phases or one.phase in phases), key=lambda one: one.order, default=None)


def last_done(tries: Iterable[Attempt], *phases: str) -> Attempt | None:
    """The latest try at one of the phases that came to its end."""
    return last_of((one for one in tries if one.state == "done"), *phases)


def phases(tries: list[Attempt]) -> list[dict[str, Any]]:
    """One entry a phase, in the order they began: seconds of all tries with an end, state of the last."""
    result = []
    for name in dict.fromkeys(one.phase for one in tries):
        own = [one for one in tries if one.phase == name]
        result.append(
            {
                "name": name,
                "started": own[0].started,
                "seconds": round(sum(one.seconds or 0.0 for one in own), 3),
                "state": own[-1].state,
                "attempts": [{"started": one.started, "seconds": one.seconds, "state": one.state} for one in own],
            }
        )
    return result
