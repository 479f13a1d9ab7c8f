# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases as bars. The axis is time in which something ran, so not the time from a kill to the re-run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .attempts import instant
from .words import clock, duration, plural, visible, when

#: Idle time shorter than this is not worth a remark.
_UNREMARKABLE = 60.0


def timeline(report: Mapping[str, Any]) -> dict[str, Any]:
    """Rows with bars in percent of the axis, and what to say about the axis."""
    spans = [
        (start, start + (one["seconds"] or 0.0))
        for phase in report["phases"]
        for one in phase["attempts"]
        for start in [_seconds(one["started"])]
    ]
    running = _merge(spans)
    total = sum(end - start for start, end in running)
    wall = running[-1][1] - running[0][0] if running else 0.0
    idle = wall - total
    return {
        "rows": [_row(phase, running, total) for phase in report["phases"]],
        "ticks": [{"left": f"{quarter * 25}%", "text": duration(total * quarter / 4)} for quarter in range(5) if total],
        "note": f"Left out: {duration(idle)} in which no phase is known to have run." if idle >= _UNREMARKABLE else "",
        "total": duration(total),
    }


def _row(phase: Mapping[str, Any], running: list[tuple[float, float]], total: float) -> dict[str, Any]:
    bars = []
    for one in phase["attempts"]:
        start = _seconds(one["started"])
        left = _active(running, start) / total * 100 if total else 0.0
        right = _active(running, start + (one["seconds"] or 0.0)) / total * 100 if total else 0.0
        bars.append(
            {
                "left": f"{min(left, 99.6):.2f}%",
                "width": f"{max(right - left, 0.4):.2f}%",
                "state": visible(one["state"]),
                "title": f"{when(one['started'])}, {duration(one['seconds'])}, {visible(one['state'])}",
            }
        )
    tries = len(phase["attempts"])
    remarks = [phase["state"]] if phase["state"] != "done" else []
    if tries > 1:
        remarks.append(plural(tries, "attempt"))
    return {
        "name": visible(phase["name"]).replace("_", " "),
        "clock": clock(phase["started"]),
        "bars": bars,
        "seconds": duration(phase["seconds"]),
        "state": phase["state"],
        "remark": ", ".join(remarks),
    }


def _seconds(text: str) -> float:
    moment: datetime | None = instant(text)
    return moment.timestamp() if moment is not None else 0.0


def _merge(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The union of the spans, in order."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _active(running: list[tuple[float, float]], moment: float) -> float:
    """How long something had run until a moment."""
    return sum(min(end, moment) - start for start, end in running if start < moment)
