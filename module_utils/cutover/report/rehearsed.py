# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal predicts of the cutover: its times, its hold, what capture costs, what would be refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .attempts import Attempt, last_done
from .words import duration, is_number, milliseconds, number, plural, size

#: From these phases on nothing of the cutover depends on the size of the database.
_BEFORE = ("backup", "snapshot", "schema", "copy", "indexes")


def predictions(tries: list[Attempt], budget_ms: object) -> dict[str, Any] | None:
    """{copy_seconds, index_seconds, prepare_seconds, verify_seconds, rows, bytes, rows_per_second, bytes_per_second,
    changes_per_second, applied_per_second, highest_rate, lag_changes, lag_seconds, hold_ms, hold_ms_most, hold_budget_ms,
    trigger_seconds, trigger_share, log_bytes_per_hour, measured_seconds, would_refuse}; None when nothing was measured.

    trigger_seconds: by which a single-row write gets slower; trigger_share: of the time it took. None: not known.
    """
    measured = _detail(tries, "measure")
    if not measured:
        return None
    copied = _numbers(_detail(tries, "copy").get("tables"))
    copy_seconds = _seconds(tries, "copy")
    cost = _detail(tries, "capture").get("cost")
    cost = cost if isinstance(cost, Mapping) else {}
    made: dict[str, Any] = {
        "copy_seconds": copy_seconds,
        "index_seconds": _seconds(tries, "indexes"),
        "prepare_seconds": sum(_seconds(tries, phase) or 0.0 for phase in _BEFORE),
        "verify_seconds": _seconds(tries, "verify"),
        **copied,
        "rows_per_second": round(copied["rows"] / copy_seconds) if copy_seconds else None,
        "bytes_per_second": round(copied["bytes"] / copy_seconds) if copy_seconds else None,
        "measured_seconds": measured.get("seconds"),
        "hold_budget_ms": budget_ms if is_number(budget_ms) else None,
        "trigger_seconds": cost.get("cost_seconds"),
        "trigger_share": cost.get("share"),
    }
    for name in (
        *("changes_per_second", "applied_per_second", "highest_rate", "lag_changes", "lag_seconds"),
        *("hold_ms", "hold_ms_most", "throttled_seconds", "log_bytes_per_hour"),
    ):
        made[name] = measured.get(name)
    return {**made, "would_refuse": _refusals(made, measured)}


def told(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, figure) of each prediction, for the page and the terminal."""
    copy_rate = f", {size(made['bytes_per_second'])}/s" if made["bytes_per_second"] else ""
    share = made["trigger_share"]
    each = made["trigger_seconds"]
    budget = f" (budget {number(made['hold_budget_ms'])} ms)" if made["hold_budget_ms"] is not None else ""
    return [
        ("copy", f"{duration(made['copy_seconds'])} ({plural(made['rows'], 'row')}, {size(made['bytes'])}{copy_rate})"),
        ("keys and indexes", duration(made["index_seconds"])),
        ("until PostgreSQL follows", duration(made["prepare_seconds"])),
        (
            "changes a second",
            f"{number(made['changes_per_second'])} made, {number(made['applied_per_second'])} applied",
        ),
        ("largest lag", f"{number(made['lag_changes'])} changes, {duration(made['lag_seconds'])}"),
        (
            "hold",
            f"{milliseconds(made['hold_ms'])} on average, {milliseconds(made['hold_ms_most'])} at most{budget}",
        ),
        (
            "triggers",
            f"{each * 1e6:,.0f} µs for a single-row write ({share:+.0%})"
            if is_number(each) and is_number(share)
            else "not measured",
        ),
        ("change log", f"{size(made['log_bytes_per_hour'])} an hour"),
    ]


def _refusals(made: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    """Why the critical section would not begin."""
    found = []
    hold, budget = made["hold_ms"], made["hold_budget_ms"]
    if not is_number(hold):
        found.append("how long requests would be held could not be predicted")
    elif is_number(budget) and hold > budget / 2:
        found.append(
            f"the hold would take about {hold:,.0f} ms, more than half of its budget of {budget:,.0f} ms"
            " (cutover_hold_budget_ms)"
        )
    made_rate, applied = made["changes_per_second"], made["applied_per_second"]
    # A lag at the end of the measure is no sign: it comes and goes. A rate that is much lower stays behind for ever.
    if is_number(made_rate) and is_number(applied) and applied < 0.8 * made_rate and made["lag_seconds"] > 10:
        why = f" ({measured['reason']})" if measured.get("reason") else ""
        found.append(
            f"PostgreSQL applied {applied:,.0f} changes a second while {made_rate:,.0f} were made: it would not catch up{why}"
        )
    return found


def _detail(tries: list[Attempt], phase: str) -> dict[str, Any]:
    last = last_done(tries, phase)
    return last.detail if last is not None else {}


def _seconds(tries: list[Attempt], phase: str) -> float | None:
    last = last_done(tries, phase)
    return last.seconds if last is not None else None


def _numbers(tables: object) -> dict[str, int]:
    entries = [one for one in tables.values() if isinstance(one, Mapping)] if isinstance(tables, Mapping) else []
    return {name: int(sum(one[name] for one in entries if is_number(one.get(name)))) for name in ("rows", "bytes")}
