# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a replication is, in a small file that everybody who asks may read without disturbing it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: What a replication does: applies changes, slows down for the application's sake, cannot work now, has ended.
STATES = ("following", "throttled", "waiting", "stopped")
FOLLOWING, THROTTLED, WAITING, STOPPED = STATES
#: In the folder of the migration's state.
NAME = "replication.json"


@dataclass(frozen=True)
class State:
    """One moment of a replication.

    direction: ``follow`` or ``reverse``. reason: why it is throttled, waiting or stopped. lag_changes: entries that wait;
    lag_seconds: the age of the oldest of them. rate: entries applied a second, lately. predicted_hold_ms: how long the
    critical section would take to apply what waits, and to prove it. position: applied through here. at: epoch seconds.
    None: not known.
    """

    direction: str
    state: str
    reason: str | None = None
    lag_changes: int | None = None
    lag_seconds: float | None = None
    rate: float | None = None
    predicted_hold_ms: float | None = None
    position: int | None = None
    at: float = field(default_factory=time.time)
    pid: int = field(default_factory=os.getpid)


def write(path: str, state: State) -> None:
    """Replace the file (mode 0600), so that a reader finds the old or the new state, never a half."""
    temporary = f"{path}.{os.getpid()}"
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(state), file)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read(path: str) -> State | None:
    """The last state written; None when there is none, or it is of another version."""
    try:
        with open(path, encoding="utf-8") as file:
            data: dict[str, Any] = json.load(file)
        known = {one.name for one in fields(State)}
        return State(**{name: value for name, value in data.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
