# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long step is doing, in a small file that the controller reads while the step runs."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from .lock import started

_INTERVAL = 0.5


def leave_number(path: str) -> None:
    """Write beside the progress which process it is of, so that the controller notices when that is gone."""
    with open(path + ".pid", "w", encoding="ascii") as file:
        file.write(f"{os.getpid()} {started(os.getpid())}\n")


class Progress:
    """Counts rows and bytes of one step. With a path, writes them there at most twice a second, atomically."""

    def __init__(self, path: str | None, step: str, total_rows: int, total_bytes: int) -> None:
        self._path = path
        self._began = time.monotonic()
        self._written = 0.0
        self._first: int | None = None
        self.state: dict[str, Any] = {
            "step": step,
            "table": None,
            "rows": 0,
            "total_rows": total_rows,
            "bytes": 0,
            "total_bytes": total_bytes,
            "seconds": 0.0,
            "rate": None,
            "eta": None,
        }
        self._write()

    def skip(self, rows: int, size: int) -> None:
        """Count what an earlier run did already; it does not enter the rate."""
        self.state["rows"] += rows
        self.state["bytes"] += size
        self._first = self.state["bytes"]

    def advance(self, table: str, rows: int, size: int) -> None:
        """Count rows and bytes of ``table`` as done."""
        state = self.state
        state["table"] = table
        state["rows"] += rows
        state["bytes"] += size
        seconds = time.monotonic() - self._began
        state["seconds"] = round(seconds, 1)
        done = state["bytes"] - (self._first or 0)
        if seconds > 0 and done > 0:
            state["rate"] = done / seconds
            left = max(0, state["total_bytes"] - state["bytes"])
            state["eta"] = round(left / state["rate"])
        if time.monotonic() - self._written >= _INTERVAL:
            self._write()

    def close(self) -> None:
        """Write the last state."""
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._path is not None:
            _store(self._path, self.state)


def say(path: str | None, text: str) -> None:
    """Write a line as the progress, for a step that has no rows to count."""
    if path is not None:
        _store(path, {"text": text})


def _store(path: str, state: dict[str, Any]) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(state, file)
    os.replace(temporary, path)


def line(state: dict[str, Any]) -> str:
    """One line for a person: step, share, table, rows, MB/s, time left; or what ``say`` said."""
    if "text" in state:
        return str(state["text"])
    total = state["total_bytes"] or state["total_rows"]
    done = state["bytes"] if state["total_bytes"] else state["rows"]
    share = min(100, round(100 * done / total)) if total else 100
    parts = [f"{state['step']} {share:3d} %"]
    if state["table"]:
        parts.append(str(state["table"]))
    parts.append(f"{state['rows']:,} of {state['total_rows']:,} rows")
    if state["rate"]:
        parts.append(f"{state['rate'] / 1e6:,.1f} MB/s")
    if state["eta"] is not None:
        parts.append(f"{_duration(state['eta'])} left")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
