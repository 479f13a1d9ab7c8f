# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a migration stands, read from its journal: the stage, since when, what comes next, whether back is free of loss."""

from __future__ import annotations

import datetime as dt
from typing import Any

from .errors import CutoverError

#: (phase, state) → stage that it leads to.
_STAGES: dict[tuple[str, str], str] = {
    ("schema", "done"): "prepared",
    ("fence", "started"): "fencing",
    ("fence", "done"): "fenced",
    ("copy", "done"): "copied",
    ("verify", "done"): "verified",
    ("switch", "started"): "switching",
    ("switch", "done"): "switched",
    ("release", "done"): "released",
    ("put_back", "done"): "reopened",
    ("put_back_release", "done"): "source",
    ("rollback_maintenance", "started"): "leaving",
    ("rollback_stay", "done"): "released",
    ("rollback_put_back", "started"): "rolling_back",
    ("rollback_put_back", "done"): "returned",
    ("rollback_release", "done"): "rolled_back",
    ("capture", "started"): "capturing",
    ("follow", "started"): "following",
    ("switch_online", "started"): "deciding",
    ("switched_online", "done"): "switched_online",
    ("blue_seal", "done"): "released",
    ("rollback_switch", "started"): "deciding_back",
    ("switched_back", "done"): "standby",
    ("switch_off", "done"): "following",
    ("call_off", "done"): "source",
    ("finalize_application", "started"): "finalizing",
    ("finalize_target", "started"): "finalizing",
    ("finalize", "done"): "finalized",
}
#: From here on nothing re-opens the source by itself.
COMMITTED = frozenset({"switching", "switched", "switched_online", "released", "leaving", "finalizing", "finalized"})
#: A rollback that has opened the source and is not through: only rollback.yml can finish it.
_RETURNING = frozenset({"rolling_back", "returned"})
#: What is under way is an online cutover: capture stands on the source, and its change log must not be lost.
ONLINE = frozenset({"capturing", "following", "deciding", "deciding_back", "standby"})
#: Nothing is under way: the next cutover chooses its strategy.
_FRESH = frozenset({"new", "prepared", "source", "rolled_back", "migrated"})
#: A critical section has begun and nothing says how it ended: the next run settles it by what is durable.
UNDECIDED = frozenset({"deciding", "deciding_back"})
_KEEP = COMMITTED | _RETURNING | ONLINE | {"rolled_back"}

_TEXTS: dict[str, tuple[str, str, str]] = {
    "new": (
        "nothing has been done yet; the application runs on SQLite",
        "playbooks/preflight.yml",
        "nothing to go back from",
    ),
    "prepared": (
        "the target is prepared; the application runs on SQLite",
        "playbooks/cutover.yml",
        "nothing to go back from",
    ),
    "fencing": (
        "the source is being fenced",
        "run playbooks/cutover.yml again, or rollback.yml to give up",
        "free of loss",
    ),
    "fenced": (
        "the source refuses writes, rows are being copied",
        "run playbooks/cutover.yml again, or rollback.yml to give up",
        "free of loss",
    ),
    "copied": (
        "all rows are copied, not yet proved; the source refuses writes",
        "run playbooks/cutover.yml again, or rollback.yml to give up",
        "free of loss",
    ),
    "verified": (
        "all rows are proved; the source refuses writes",
        "run playbooks/cutover.yml again, or rollback.yml to give up",
        "free of loss",
    ),
    "switching": (
        "the application is being switched to PostgreSQL",
        "run playbooks/cutover.yml again: it finishes the switch",
        "free of loss until the application writes to PostgreSQL",
    ),
    "switched": (
        "the application is on PostgreSQL, still in maintenance",
        "run playbooks/cutover.yml again: it ends the maintenance",
        "free of loss until the application writes to PostgreSQL",
    ),
    "switched_online": (
        "the application runs on PostgreSQL; the proof after the switch or what comes behind it is not finished",
        "run playbooks/cutover.yml again: it finishes",
        "free of loss",
    ),
    "released": (
        "the application runs on PostgreSQL",
        "playbooks/finalize.yml once the retention is over",
        "writes made on PostgreSQL since the switch would be left behind; rollback.yml counts them and asks",
    ),
    "leaving": (
        "a rollback stopped before it opened SQLite; PostgreSQL holds the data, the application is in maintenance",
        "run playbooks/rollback.yml again, or cutover.yml to stay on PostgreSQL",
        "writes made on PostgreSQL since the switch would be left behind; rollback.yml counts them and asks",
    ),
    "reopened": (
        "a cutover was called off; the application is on SQLite, still in maintenance",
        "run playbooks/rollback.yml again: it ends the maintenance",
        "nothing to go back from",
    ),
    "source": (
        "a cutover was called off; the application runs on SQLite",
        "mend what the report names, then playbooks/cutover.yml",
        "nothing to go back from",
    ),
    "rolling_back": (
        "the application is being taken back to SQLite",
        "run playbooks/rollback.yml again: it finishes",
        "under way",
    ),
    "returned": (
        "the application is on SQLite, still in maintenance",
        "run playbooks/rollback.yml again: it ends the maintenance",
        "done",
    ),
    "rolled_back": (
        "the application was taken back and runs on SQLite",
        "playbooks/cutover.yml for another attempt",
        "nothing to go back from",
    ),
    "capturing": (
        "the application runs on SQLite, its changes are logged while the rows are copied",
        "run playbooks/cutover.yml again: it goes on, or rollback.yml to give up",
        "nothing to go back from",
    ),
    "following": (
        "the application runs on SQLite, PostgreSQL follows its changes",
        "playbooks/cutover.yml switches, rollback.yml gives up",
        "nothing to go back from",
    ),
    "deciding": (
        "a critical section was entered and nothing says how it ended; the application is on the one or the other database",
        "run playbooks/cutover.yml again: it settles this first",
        "free of loss",
    ),
    "deciding_back": (
        "a rollback's critical section was entered and nothing says how it ended",
        "run playbooks/rollback.yml again: it settles this first",
        "under way",
    ),
    "standby": (
        "the application was taken back and runs on SQLite; PostgreSQL follows its changes, ready for another cutover",
        "playbooks/cutover.yml for another attempt, or rollback.yml -e cutover_call_off=true to give up",
        "nothing to go back from",
    ),
    "migrated": (
        "the rows of a snapshot are in PostgreSQL, proved; no application was switched",
        "playbooks/finalize.yml removes the snapshot and the migration's own tables once they are of no more use",
        "nothing to go back from",
    ),
    "finalizing": (
        "the migration is being tidied up; the data is in PostgreSQL",
        "run playbooks/finalize.yml again: it finishes",
        "no longer possible: what it needs is being removed",
    ),
    "finalized": (
        "the migration is finished and tidied up",
        "nothing",
        "no longer possible: the backup was removed",
    ),
}


def stage(events: list[dict[str, Any]]) -> tuple[str, str | None]:
    """(stage, since) by the journal."""
    current, since = "new", None
    for at, event in enumerate(events):
        if event["event"] == "end" and event["detail"].get("outcome") == "migrated" and current not in _KEEP:
            current, since = "migrated", event["at"]
        if event["event"] != "phase":
            continue
        reached = _STAGES.get((event["phase"], event["state"]))
        if event["phase"] == "switch_off" and current == "deciding_back":
            # The attempt that ended without a switch was one to go back.
            reached = "released"
        if reached is None or reached == current or not _counts(event["phase"], current, events[:at]):
            continue
        current, since = reached, event["at"]
    return current, since


def _counts(phase: str, current: str, before: list[dict[str, Any]]) -> bool:
    """Whether a phase moves the migration: a schema, copy or proof beside its course (a rehearsal) does not."""
    if phase == "schema":
        return current in ("new", "source", "rolled_back", "migrated")
    if phase == "capture":
        return current in _FRESH
    if phase == "follow":
        return current in ("capturing", "standby")
    if phase == "switch_off":
        return current in UNDECIDED
    if phase == "blue_seal":
        return current == "switched_online"
    if phase in ("copy", "verify"):
        return current not in _KEEP and position(before) is not None
    if phase == "rollback_maintenance":
        return current in ("switching", "switched", "released")
    return True


def status(events: list[dict[str, Any]], retention_days: int) -> dict[str, Any]:
    """What status.yml tells: {stage, since, text, next, back, committed, strategy, undecided, …}.

    strategy: of what is under way or has been done, None when the next cutover may choose.
    """
    current, since = stage(events)
    text, following, back = _TEXTS[current]
    online = is_online(events)
    if online and current in ("released", "switched_online"):
        back = "free of loss as long as what is written to PostgreSQL is carried back to SQLite"
    keep_until = None
    released = _released(events)
    if released and current in ("switched_online", "released", "leaving"):
        keep_until = (_moment(released) + dt.timedelta(days=retention_days)).isoformat(timespec="seconds")
    return {
        "stage": current,
        "since": since,
        "text": text,
        "next": following,
        "back": back,
        "committed": current in COMMITTED,
        "strategy": None if current in _FRESH else "online" if online else "maintenance",
        "undecided": current in UNDECIDED,
        "touched": touched(events),
        "position": position(events),
        "copied": copied(events),
        "keep_until": keep_until,
    }


#: Phases that are only allowed in some stages, and what it would mean elsewhere.
_ALLOWED: dict[str, tuple[frozenset[str], str]] = {
    "fence": (
        frozenset(_TEXTS) - COMMITTED - _RETURNING - ONLINE,
        "the application is on PostgreSQL or an online cutover is under way, so the source stays as it is",
    ),
    "capture": (
        _FRESH | {"capturing", "following", "standby"},
        "the source is fenced, or what happened to it is not settled",
    ),
    "switch_online": (
        frozenset({"following", "standby"}),
        "PostgreSQL does not follow the source, or an earlier attempt is not settled",
    ),
    "rollback_switch": (
        frozenset({"switched_online", "released"}),
        "the application does not run on PostgreSQL, or an earlier attempt is not settled",
    ),
    "call_off": (
        frozenset({"capturing", "following", "standby"}),
        "there is no online cutover to call off, or what happened to it is not settled",
    ),
    "switch": (
        frozenset({"verified", "switching", "switched", "leaving"}),
        "the rows were not proved under the fence that stands",
    ),
    "put_back": (
        frozenset(_TEXTS) - COMMITTED - _RETURNING - UNDECIDED,
        "past the point of no return the source is never opened by itself; rollback.yml goes back",
    ),
    "rollback_put_back": (
        frozenset({"switching", "switched", "released", "leaving"}) | _RETURNING,
        "the application was not switched, so there is nothing to go back from",
    ),
}


#: What ends the duty to put the application back: it is on SQLite in full, on PostgreSQL, or in rollback.yml's hands.
_GIVEN_BACK = frozenset(
    {
        ("put_back_release", "done"),
        ("release", "done"),
        ("rollback_put_back", "started"),
        ("rollback_release", "done"),
    }
)


#: Phases that make the target anew. Beside an online cutover only the cutover itself may: it knows what is followed.
_MAKES_ANEW = frozenset({"schema", "snapshot", "copy", "indexes"})


def check_allowed(events: list[dict[str, Any]], phase: str, playbook: str = "cutover.yml") -> None:
    """Raise CutoverError when a phase must not begin at this stage: never two writable databases, whoever asks."""
    current = stage(events)[0]
    if phase in _MAKES_ANEW and playbook != "cutover.yml" and current in ONLINE | {"switched_online"}:
        raise CutoverError(
            f"phase {phase} of {playbook} is refused at stage {current}: PostgreSQL follows the source or is in use. "
            "playbooks/cutover.yml goes on, playbooks/rollback.yml gives up. Nothing was changed."
        )
    allowed, meaning = _ALLOWED.get(phase, (frozenset({current}), ""))
    if current not in allowed:
        raise CutoverError(f"phase {phase} is refused at stage {current}: {meaning}. Nothing was changed.")


def touched(events: list[dict[str, Any]]) -> bool:
    """True while something was taken from the application (maintenance, fence) that put_back.yml has to give back."""
    taken = False
    for event in events:
        if event["event"] != "phase":
            continue
        if event["phase"] in ("maintenance", "fence") and event["state"] == "started":
            taken = True
        elif (event["phase"], event["state"]) in _GIVEN_BACK:
            taken = False
    return taken


def is_online(events: list[dict[str, Any]]) -> bool:
    """Whether the migration that is under way, or that put the application where it is, follows without stopping it."""
    online = False
    for event in events:
        if event["event"] != "phase":
            continue
        if event["phase"] in ("capture", "switched_online"):
            online = True
        elif (event["phase"], event["state"]) == ("call_off", "done") or event["phase"] in ("maintenance", "fence"):
            online = False
    return online


def copied(events: list[dict[str, Any]]) -> dict[str, Any]:
    """{path, position} of what was copied last, by the journal; empty before the first copy."""
    told = [e["detail"] for e in events if (e.get("phase"), e.get("state")) == ("snapshot", "done")]
    return dict(told[-1]) if told else {}


def position(events: list[dict[str, Any]]) -> str | None:
    """The fence that stands by the journal, or None: its identifier names the contents that are copied."""
    fence: str | None = None
    for event in events:
        if event["event"] != "phase":
            continue
        if event["phase"] == "fence":
            fence = event["detail"].get("id", fence)
        elif (event["phase"], event["state"]) == ("switched_online", "done"):
            fence = event["detail"].get("attempt", fence)
        elif event["phase"] in ("put_back", "rollback_put_back", "switched_back") and event["state"] == "done":
            fence = None
    return fence


def _released(events: list[dict[str, Any]]) -> str | None:
    """When the application was let onto PostgreSQL, unless a rollback has ended that."""
    found: str | None = None
    for event in events:
        if (event["phase"], event["state"]) in (("release", "done"), ("switched_online", "done")):
            found = event["at"]
        elif (event["phase"], event["state"]) in (("rollback_put_back", "started"), ("switched_back", "done")):
            found = None
    return found


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
