# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries to make the report say ok by a journal that does not prove it."""

from __future__ import annotations

from typing import Any

import pytest

from cutover.report import build
from support.report import (
    ROWS,
    Journal,
    assert_not_ok,
    context,
    cutover_journal,
    finding,
    plan,
    released,
    rollback_journal,
    verified,
)


@pytest.mark.parametrize("journal", [None, [], {}, "journal", [None], [{}]], ids=repr)
@pytest.mark.parametrize("outcome", ["released", "migrated", "verified", "rolled_back"])
def test_without_a_journal_nothing_is_proven(journal: object, outcome: str) -> None:
    assert build(journal, plan(), [], context(outcome, Journal()))["ok"] is False


@pytest.mark.parametrize("journal", [None, {}, "journal"], ids=repr)
def test_nothing_to_do_is_not_believed_without_a_journal(journal: object) -> None:
    report = build(journal, plan(), [], context("unchanged", Journal()))
    assert_not_ok(report, "could not be read")


@pytest.mark.parametrize("phase", ["copy", "verify", "switch", "release"])
def test_released_needs_its_phases(phase: str) -> None:
    journal = cutover_journal()
    journal.events = [event for event in journal.events if event["phase"] != phase]
    assert released(journal)["ok"] is False


@pytest.mark.parametrize("phase", ["copy", "verify", "switch", "release", "watch"])
@pytest.mark.parametrize("left", ["started", "failed"])
def test_a_phase_without_a_good_end_is_not_ok(phase: str, left: str) -> None:
    journal = cutover_journal()
    last = next(e for e in journal.events if e["phase"] == phase and e["state"] == "done")
    if left == "started":
        journal.events.remove(last)
    else:
        last["state"] = "failed"
    assert_not_ok(released(journal), phase)


def test_the_last_verification_counts_not_the_best() -> None:
    journal = cutover_journal()
    journal.phase("verify", 1.0, "failed", tables=verified(ROWS), message="connection lost")
    assert_not_ok(released(journal), "connection lost")
    journal = cutover_journal().add("phase", "verify", "started")
    assert_not_ok(released(journal), "verify")


@pytest.mark.parametrize("phase", ["schema", "copy", "indexes", "rollback_put_back", "rollback_release"])
def test_a_verification_before_the_last_write_to_the_target_is_out_of_date(phase: str) -> None:
    assert_not_ok(released(cutover_journal().phase(phase)), "out of date")


def test_a_copy_that_ran_beside_the_verification_makes_it_worthless() -> None:
    journal = Journal().add("begin").add("phase", "copy", "started").add("phase", "verify", "started")
    journal.add("phase", "copy", "done").add("phase", "verify", "done", tables=verified(ROWS))
    assert_not_ok(build(journal.events, plan(), [], context("migrated", journal)), "out of date")


def test_a_failed_cutover_that_was_put_back_is_not_a_rollback_that_went_well() -> None:
    journal = Journal().add("begin").phase("copy", 1.0, "failed", message="disk full")
    for name in ("rollback_put_back", "rollback_restart", "rollback_release"):
        journal.phase(name)
    assert_not_ok(build(journal.events, plan(), [], context("rolled_back", journal)), "disk full")


@pytest.mark.parametrize("state", ["failed", "started"])
def test_an_unfinished_rollback_is_not_ok(state: str) -> None:
    journal = rollback_journal([])
    if state == "failed":
        journal.phase("rollback_restart", 1.0, "failed", message="no health")
    else:
        journal.add("phase", "rollback_restart", "started")
    assert_not_ok(build(journal.events, plan(), [], context("rolled_back", journal)), "rollback_restart")


@pytest.mark.parametrize("outcome", ["released", "rolled_back", "unchanged"])
@pytest.mark.parametrize(
    "findings",
    [
        [finding()],
        [finding(severity="fatal")],
        [finding(severity=None)],
        [finding(severity="INFO")],
        ["x"],
        None,
    ],
    ids=["error", "unknown", "none", "case", "text", "missing"],
)
def test_errors_and_what_may_be_one_are_not_ok(outcome: str, findings: object) -> None:
    journal = cutover_journal()
    if outcome == "rolled_back":
        journal = rollback_journal([])
    assert_not_ok(build(journal.events, plan(), findings, context(outcome, journal)), "Not ok")


def test_a_refusal_is_not_ok_until_the_phase_went_through() -> None:
    refusal = {"table": "orders", "column": "total", "key": "4", "value": "x", "reason": "no number"}
    journal = cutover_journal().phase("watch", 1.0, "failed", refused=[refusal])
    report = released(journal)
    assert_not_ok(report, '"orders.total"')
    assert report["refused"] == [{**refusal, "decide": None}]

    journal = Journal().add("begin").phase("preflight", 1.0, "failed", refused=[refusal])
    for event in cutover_journal().events[1:]:
        journal.add(event["event"], event["phase"], event["state"], **event["detail"])
    report = released(journal)
    assert (report["ok"], report["refused"]) == (True, [])


def test_a_phase_that_is_done_and_refused_something_is_not_ok() -> None:
    journal = cutover_journal(copy={"refused": [{"table": "orders", "column": "total", "reason": "no number"}]})
    assert_not_ok(released(journal), '"orders.total"')
    journal = cutover_journal(copy={"refused": [{}]})
    assert_not_ok(released(journal), "refused")


@pytest.mark.parametrize(
    "garbage",
    [
        "line",
        {"seq": "4", "at": "2026-11-22T15:30:00+00:00", "run": "r", "event": "phase"},
        {"seq": True, "at": "2026-11-22T15:30:00+00:00", "run": "r", "event": "begin"},
        {"seq": 4, "at": "soon", "run": "r", "event": "begin"},
        {"seq": 4, "at": "2026-11-22T15:30:00+00:00", "run": None, "event": "begin"},
        {"seq": 4, "at": "2026-11-22T15:30:00+00:00", "run": "r", "event": "finish"},
        {
            "seq": 4,
            "at": "2026-11-22T15:30:00+00:00",
            "run": "r",
            "event": "phase",
            "phase": "copy",
            "state": "x",
        },
        {"seq": 4, "at": "2026-11-22T15:30:00+00:00", "run": "r", "event": "begin", "detail": "text"},
    ],
    ids=range(8),
)
def test_a_journal_that_cannot_be_read_everywhere_is_not_ok(garbage: Any) -> None:
    journal = cutover_journal()
    journal.events.append(garbage)
    assert_not_ok(released(journal), "1 entries of the journal could not be read")
