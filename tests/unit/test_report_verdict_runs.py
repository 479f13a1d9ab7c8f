# SPDX-License-Identifier: GPL-3.0-or-later
"""Which earlier runs a report builds on: those it went on from, and no proof that is history."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cutover.report import build
from support.report import (
    ROWS,
    Journal,
    assert_not_ok,
    context,
    cutover_journal,
    plan,
    released,
    rollback_journal,
    verified,
)


def until(phase: str, journal: Journal) -> Journal:
    """The journal cut off after a phase."""
    last = next(i for i, e in enumerate(journal.events) if (e["phase"], e["state"]) == (phase, "done"))
    del journal.events[last + 1 :]
    return journal


def finished_by_another_run(journal: Journal) -> dict[str, Any]:
    """What a later run reports that only does what comes after the verification."""
    journal.run = "later"
    journal.add("begin").phase("preflight")
    for name in ("switch", "restart", "smoke", "release", "watch"):
        journal.phase(name)
    journal.add("end", outcome="released")
    return released(journal)


def test_the_switch_of_a_run_that_failed_while_fenced_may_be_finished_by_the_next() -> None:
    journal = until("verify", cutover_journal()).phase("switch", 1.0, "failed", message="no health")
    journal.add("end", outcome="failed")
    report = finished_by_another_run(journal)
    assert report["ok"] is True, report["message"]
    assert report["started"] == journal.events[0]["at"]
    assert report["backup"] is not None


def test_a_run_that_was_killed_may_be_finished_by_the_next() -> None:
    journal = until("verify", cutover_journal()).add("phase", "switch", "started")
    report = finished_by_another_run(journal)
    assert report["ok"] is True, report["message"]


@pytest.mark.parametrize("outcome", ["go", "done", "unchanged", "refused", "failed"])
def test_runs_in_between_that_only_looked_do_not_matter(outcome: str) -> None:
    journal = until("verify", cutover_journal()).add("end", outcome="failed")
    journal.run = "look"
    journal.add("begin").phase("preflight", 1.0, "failed").add("end", outcome=outcome)
    assert finished_by_another_run(journal)["ok"] is True


@pytest.mark.parametrize("outcome", ["released", "migrated", "rolled_back", "finalized", "", None])
def test_the_verification_of_a_run_that_is_over_does_not_count(outcome: object) -> None:
    journal = until("verify", cutover_journal()).add("end", outcome=outcome)
    assert_not_ok(finished_by_another_run(journal), '"copy"')


@pytest.mark.parametrize("outcome", ["released", "migrated", "rolled_back", "finalized", "", None])
def test_nor_does_what_was_open_before_a_run_that_is_over(outcome: object) -> None:
    journal = until("verify", cutover_journal()).add("end", outcome="failed")
    journal.run = "over"
    journal.add("begin").phase("release").add("end", outcome=outcome)
    assert_not_ok(finished_by_another_run(journal), '"copy"')


@pytest.mark.parametrize("phase", ["put_back", "rollback_put_back"])
@pytest.mark.parametrize("state", ["done", "failed", "started"])
@pytest.mark.parametrize("end", ["failed", None])
def test_the_verification_of_a_run_that_was_put_back_does_not_count(phase: str, state: str, end: object) -> None:
    journal = until("verify", cutover_journal()).add("phase", phase, "started")
    if state != "started":
        journal.add("phase", phase, state)
    if end:
        journal.add("end", outcome=end)
    assert_not_ok(finished_by_another_run(journal), '"copy"')


def test_a_rollback_in_between_ends_it_all() -> None:
    journal = until("verify", cutover_journal()).add("end", outcome="failed")
    journal.run = "back"
    journal.add("begin").phase("rollback_count").phase("rollback_put_back").phase("rollback_release")
    assert_not_ok(finished_by_another_run(journal), '"copy"')


def test_the_verification_of_a_failed_run_without_a_fence_does_not_count() -> None:
    journal = Journal().add("begin").phase("copy").phase("verify", 1.0, tables=verified(ROWS))
    journal.add("end", outcome="failed")
    journal.run = "later"
    journal.add("begin").phase("copy")
    report = build(journal.events, plan(), [], context("migrated", journal))
    assert_not_ok(report, "not verified")
    assert report["started"] == next(e["at"] for e in journal.events if e["run"] == "later")


def test_what_a_killed_run_did_before_a_failed_one_without_a_fence_does_not_count() -> None:
    journal = Journal(run="killed").add("begin").phase("copy").phase("verify", 1.0, tables=verified(ROWS))
    journal.run = "failed"
    journal.add("begin").phase("copy", 1.0, "failed").add("end", outcome="failed")
    journal.run = "later"
    journal.add("begin").phase("preflight")
    assert_not_ok(build(journal.events, plan(), [], context("migrated", journal)), '"copy"')


@pytest.mark.parametrize("outcome", ["done", "failed"])
@pytest.mark.parametrize("phase", ["schema", "copy", "indexes"])
def test_the_target_was_written_in_between(phase: str, outcome: str) -> None:
    journal = until("verify", cutover_journal()).add("end", outcome="failed")
    journal.run = "other"
    journal.add("begin").phase(phase).add("end", outcome=outcome)
    report = finished_by_another_run(journal)
    assert_not_ok(report, "out of date" if outcome == "failed" else '"copy"')


def test_a_failed_verification_in_between_is_not_passed_over() -> None:
    journal = until("verify", cutover_journal()).add("end", outcome="failed")
    journal.run = "check"
    journal.add("begin").phase("verify", 1.0, "failed", message="1 row differs").add("end", outcome="failed")
    assert_not_ok(finished_by_another_run(journal), "1 row differs")


def test_a_watch_that_was_killed_does_not_spoil_every_later_run() -> None:
    journal = cutover_journal().add("phase", "watch", "started")
    journal.run = "later"
    journal.add("begin").phase("preflight")
    assert build(journal.events, plan(), [], context("unchanged", journal))["ok"] is True


def test_what_was_left_unfinished_by_the_killed_run_is_repeated_by_the_next() -> None:
    done = cutover_journal().events
    first = next(i for i, event in enumerate(done) if event["phase"] == "verify")
    killed = copy.deepcopy(done[: first + 1])
    for event in killed:
        event["run"] = "killed-before"
    events = killed + copy.deepcopy(done[first:])
    for seq, event in enumerate(events, 1):
        event["seq"] = seq
    report = build(events, plan(), [], context("released", cutover_journal()))
    assert report["ok"] is True, report["message"]
    states = {phase["name"]: phase for phase in report["phases"]}
    assert [one["state"] for one in states["verify"]["attempts"]] == ["interrupted", "done"]
    assert states["copy"]["state"] == "done"


def test_a_cutover_that_was_not_finished_is_called_off() -> None:
    journal = until("fence", cutover_journal())
    journal.run = "off"
    journal.add("begin").phase("put_back")
    report = build(journal.events, plan(), [], context("rolled_back", journal))
    assert report["ok"] is True, report["message"]
    assert [one["name"] for one in report["phases"]] == ["put_back"]
    journal.phase("put_back", 1.0, "failed")
    assert_not_ok(build(journal.events, plan(), [], context("rolled_back", journal)), "put_back")


def test_a_rollback_goes_on_from_one_that_failed() -> None:
    journal = rollback_journal([{"table": "orders", "inserted": 1, "updated": 0, "deleted": 0}])
    until("rollback_put_back", journal).phase("rollback_restart", 1.0, "failed").add("end", outcome="failed")
    journal.run = "later"
    journal.add("begin").phase("rollback_restart").phase("rollback_release")
    report = build(journal.events, plan(), [], context("rolled_back", journal))
    assert report["ok"] is True, report["message"]
    assert report["writes_left_behind"]


def test_a_rollback_does_not_borrow_from_a_killed_cutover_nor_the_other_way_round() -> None:
    journal = cutover_journal()
    journal.run = "back"
    journal.add("begin").phase("rollback_count", 1.0, writes=[])
    report = build(journal.events, plan(), [], context("rolled_back", journal))
    assert [phase["name"] for phase in report["phases"]] == ["rollback_count"]
    assert_not_ok(report, "rollback_put_back")

    journal = rollback_journal([])
    journal.run = "forward"
    journal.add("begin").phase("copy")
    report = build(journal.events, plan(), [], context("migrated", journal))
    assert [phase["name"] for phase in report["phases"]] == ["copy"]
