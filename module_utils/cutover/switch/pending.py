# SPDX-License-Identifier: GPL-3.0-or-later
"""The attempt that is under way, in a file, and the journal's event when it is over.

The file says which attempt the journal still has to hear of; which side won is never read from it, but from SQLite's
fence and PostgreSQL's record.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import Any

from ..errors import CutoverError
from ..journal import Journal
from ..stage import stage

_FILE = "switch.json"
#: The journal's phase for each outcome.
PHASES = {"forward": "switched_online", "back": "switched_back", "nothing": "switch_off"}


@dataclass(frozen=True)
class Pending:
    """direction: ``forward`` or ``back``."""

    attempt: str
    direction: str


def begin(folder: str, pending: Pending) -> None:
    """Note durably that an attempt begins. Raises CutoverError when that is not possible."""
    path = os.path.join(folder, _FILE)
    temporary = f"{path}.{os.getpid()}"
    try:
        _write(temporary, pending)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise CutoverError(
            f"{folder}: the switch cannot be noted ({error.strerror}), so it is not begun; nothing was held or changed. Make "
            "room, or see that the folder can be written to, and run again."
        ) from None


def _write(path: str, pending: Pending) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump({"attempt": pending.attempt, "direction": pending.direction}, file)
        file.flush()
        os.fsync(file.fileno())


def read(folder: str, opened_by: str = "") -> Pending | None:
    """The attempt of which the journal has not heard yet: by the file, else by the journal's own opening of one.

    opened_by: a run whose opening in the journal is that of the attempt which is about to begin, so nothing to settle.
    """
    with (
        contextlib.suppress(OSError, ValueError, TypeError),
        open(os.path.join(folder, _FILE), encoding="utf-8") as file,
    ):
        return Pending(**json.load(file))
    events = Journal(folder).events()
    current = stage(events)[0]
    if current in ("deciding", "deciding_back") and _opener(events) != opened_by:
        return Pending("", "forward" if current == "deciding" else "back")
    return None


def _opener(events: list[dict[str, Any]]) -> str:
    """The run that opened a critical section last."""
    opened = [
        e for e in events if (e["phase"], e["state"]) in (("switch_online", "started"), ("rollback_switch", "started"))
    ]
    return str(opened[-1]["run"]) if opened else ""


def end(folder: str, run: str, outcome: str, detail: dict[str, Any]) -> None:
    """Tell the journal how the attempt ended, once, and forget it."""
    journal = Journal(folder)
    told = [
        event
        for event in journal.events()
        if event["event"] == "phase" and event["phase"] in PHASES.values() and event["state"] == "done"
    ]
    attempt = detail.get("attempt")
    if not attempt or all(event["detail"].get("attempt") != attempt for event in told):
        journal.append("phase", run, phase=PHASES[outcome], state="done", detail=detail)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, _FILE))
