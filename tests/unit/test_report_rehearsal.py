# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report of a rehearsal has to rest on, and what it predicts."""

from __future__ import annotations

from typing import Any

import pytest

from cutover.report import build, page, summary
from support.report import ROWS, Journal, assert_not_ok, context, details, plan

MEASURED: dict[str, Any] = {
    "seconds": 60.0,
    "changes": 1_200,
    "changes_per_second": 20.0,
    "applied": 1_199,
    "applied_per_second": 20.0,
    "highest_rate": 240.0,
    "lag_changes": 14,
    "lag_seconds": 0.4,
    "hold_ms": 22.5,
    "hold_ms_most": 31.0,
    "throttled_seconds": 0.0,
    "reason": None,
    "log_bytes_per_change": 20,
    "log_bytes_per_hour": 1_440_000,
}
COST = {"table": "events", "cost_seconds": 12e-6, "share": 0.41}
BEFORE = ("preflight", "provision", "database", "capture", "schema", "backup", "snapshot", "copy", "indexes")
BEHIND = (
    "reverse_ready",
    "follow_begin",
    "follow",
    "caught_up",
    "measure",
    "pause",
    "proof_snapshot",
    "proof_position",
)
END = ("call_off", "rehearsal_drop", "rehearsal_tidy")


def rehearsal(measured: dict[str, Any] | None = None, without: str = "", failed: str = "") -> Journal:
    """The journal of a rehearsal that went well, but for what is asked."""
    told = {**details(ROWS), "measure": measured or MEASURED, "capture": {"id": "c", "position": 0, "cost": COST}}
    journal = Journal().add("begin")
    for name in (*BEFORE, *BEHIND, "verify", *END):
        if name == failed:
            journal.phase(name, 1.0, "failed", message="it broke")
        elif name != without:
            journal.phase(name, 10.0 if name in ("copy", "indexes") else 1.0, "done", **told.get(name, {}))
    return journal


def report(journal: Journal, outcome: str = "rehearsed") -> dict[str, Any]:
    """What is made of it."""
    journal.add("end", outcome=outcome)
    given = context(outcome, journal, strategy="online", rehearsal=True, hold_budget_ms=100)
    return build(journal.events, plan(), [], given)


def test_a_rehearsal_that_proved_all_rows_is_ok_and_predicts() -> None:
    made = report(rehearsal())
    assert made["ok"], made["message"]
    assert made["application_on"] == "source"
    assert made["way_back"]["possible"] is False
    predicted = made["rehearsal"]
    assert predicted["copy_seconds"] == 10.0
    assert predicted["rows"] == sum(ROWS.values())
    assert predicted["rows_per_second"] == round(sum(ROWS.values()) / 10)
    assert predicted["prepare_seconds"] == 23.0
    assert (predicted["hold_ms"], predicted["hold_budget_ms"]) == (22.5, 100)
    assert predicted["would_refuse"] == []


def test_terminal_and_page_tell_the_predictions() -> None:
    made = report(rehearsal())
    told = summary(made, "/reports/app-rehearsal/run")
    assert told.startswith("OK · Rehearsed")
    assert len(told.split("\n")) <= 25
    assert "22.5 ms on average, 31.0 ms at most (budget 100 ms)" in told
    assert "12 µs for a single-row write (+41%)" in told
    assert "1.4 MB an hour" in told
    assert {"label": "change log", "value": "1.4 MB an hour"} in page(made)["rehearsal"]


@pytest.mark.parametrize("phase", ["verify", "measure", "copy", "capture", "call_off", "rehearsal_tidy"])
def test_without_one_of_its_parts_it_is_not_ok(phase: str) -> None:
    assert_not_ok(report(rehearsal(without=phase)), "verif" if phase == "verify" else phase)


def test_a_difference_is_not_ok() -> None:
    journal = rehearsal()
    for event in journal.events:
        if (event["phase"], event["state"]) == ("verify", "done"):
            event["detail"]["tables"][0]["rows_different"] = 1
    assert_not_ok(report(journal), "1 rows differ")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"hold_ms": 51.0}, "more than half of its budget"),
        ({"hold_ms": None, "hold_ms_most": None}, "could not be predicted"),
        ({"changes_per_second": 500.0, "applied_per_second": 90.0, "lag_seconds": 40.0}, "would not catch up"),
    ],
)
def test_what_the_cutover_would_be_refused_for_is_not_ok(changed: dict[str, Any], why: str) -> None:
    made = report(rehearsal({**MEASURED, **changed}))
    assert_not_ok(made, why)
    assert summary(made).startswith("NOT OK · Rehearsed: the cutover would not go through")


def test_a_rehearsal_that_failed_leaves_the_application_where_it_was() -> None:
    for end in ("copy", "call_off"):
        made = report(rehearsal(failed=end), "failed")
        assert made["application_on"] == "source"
        assert not made["ok"]


def test_what_was_not_measured_predicts_nothing() -> None:
    assert report(rehearsal(failed="measure"), "failed")["rehearsal"] is None
    assert summary(report(rehearsal(failed="copy"), "failed"))
