# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the report says that the application is: never more than the journal proves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from cutover.report import build, page, summary
from support.report import Journal, context, cutover_journal, plan, rollback_journal

SQLITE = "sqlite:////var/lib/shop/app.sqlite"
POSTGRESQL = "postgresql://shop_app@127.0.0.1:16432/shop"
BEFORE_THE_SWITCH = ("preflight", "schema", "backup", "maintenance", "fence", "copy", "indexes", "verify")


def failed_in(phase: str, *done: str, put_back: str = "") -> dict[str, Any]:
    """A cutover that failed in a phase. The caller, as always, states where it was meant to arrive."""
    journal = Journal().add("begin")
    for name in done:
        journal.phase(name)
    journal.phase(phase, 1.0, "failed", message="broken")
    if put_back:
        journal.phase("put_back", 1.0, put_back)
    given = context("failed", journal, database_before=SQLITE, database_after=POSTGRESQL)
    return build(journal.events, plan(), [], given)


def said(report: dict[str, Any]) -> str:
    return " ".join(summary(report).split())


@pytest.mark.parametrize("count", range(len(BEFORE_THE_SWITCH)))
def test_a_failure_before_the_switch_that_was_put_back_is_on_sqlite(count: int) -> None:
    report = failed_in(BEFORE_THE_SWITCH[count], *BEFORE_THE_SWITCH[:count], put_back="done")
    assert (report["application_on"], report["database_after"]) == ("source", SQLITE)
    assert "The application is on SQLite" in said(report)
    assert POSTGRESQL not in str(page(report))
    assert report["way_back"]["possible"] is False


@pytest.mark.parametrize("phase", ["preflight", "provision", "schema", "backup"])
def test_a_failure_before_anything_was_closed_is_on_sqlite(phase: str) -> None:
    report = failed_in(phase)
    assert (report["application_on"], report["database_after"]) == ("source", SQLITE)


@pytest.mark.parametrize(
    ("done", "phase", "put_back"),
    [
        (BEFORE_THE_SWITCH[:5], "copy", ""),
        (BEFORE_THE_SWITCH[:5], "copy", "failed"),
        (BEFORE_THE_SWITCH, "switch", ""),
        ((*BEFORE_THE_SWITCH, "switch"), "restart", ""),
        ((*BEFORE_THE_SWITCH, "switch", "restart", "smoke"), "release", ""),
    ],
)
def test_half_way_nothing_is_claimed(done: tuple[str, ...], phase: str, put_back: str) -> None:
    report = failed_in(phase, *done, put_back=put_back)
    assert (report["application_on"], report["database_after"]) == ("unknown", None)
    assert "status.yml tells which database" in said(report)


def test_a_failure_after_the_release_is_on_postgresql_and_can_go_back() -> None:
    report = failed_in("watch", *BEFORE_THE_SWITCH, "switch", "restart", "smoke", "release")
    assert (report["application_on"], report["database_after"]) == ("target", POSTGRESQL)
    assert report["ok"] is False
    assert report["way_back"]["possible"] is True
    assert "The application is on PostgreSQL" in said(report)
    assert "playbooks/rollback.yml" in said(report)


def rolled_back_until(phase: str, state: str, outcome: str, **detail: Any) -> dict[str, Any]:
    journal = rollback_journal([])
    first = next(i for i, event in enumerate(journal.events) if event["phase"] == phase)
    del journal.events[first:]
    journal.phase(phase, 1.0, state, **detail)
    given = context(outcome, journal, database_before=POSTGRESQL, database_after=SQLITE)
    return build(journal.events, plan(), [], given)


@pytest.mark.parametrize("phase", ["rollback_count", "rollback_maintenance"])
def test_a_refused_rollback_stays_on_postgresql(phase: str) -> None:
    writes = [{"table": "orders", "inserted": 41, "updated": 0, "deleted": 0}]
    report = rolled_back_until(phase, "failed", "refused", message="41 writes", writes=writes)
    assert (report["application_on"], report["database_after"]) == ("target", POSTGRESQL)
    text = said(report)
    assert text.startswith("NOT OK · Refused: the application stays on PostgreSQL")
    assert "cutover_accept_loss=true" in text
    assert "The application is on SQLite" not in text


def test_a_refused_rollback_keeps_the_promise_made_at_the_release() -> None:
    journal = cutover_journal().add("end", outcome="released")
    release = next(e["at"] for e in journal.events if (e["phase"], e["state"]) == ("release", "done"))
    journal.run = "back"
    journal.wait(3 * 86400).add("begin").phase("rollback_check", 1.0, "failed", message="41 writes")
    back = build(journal.events, plan(), [], context("refused", journal))["way_back"]
    until = datetime.fromisoformat(release) + timedelta(days=7)
    assert back == {"possible": True, "until": until.isoformat(timespec="seconds"), "loses_writes": True}
    journal.events = [event for event in journal.events if event["phase"] != "release"]
    assert build(journal.events, plan(), [], context("refused", journal))["way_back"]["until"] is None


def test_a_refused_rollback_shows_the_writes_that_were_counted() -> None:
    writes = [{"table": "orders", "inserted": 41, "updated": 0, "deleted": 0}]
    for phase in ("rollback_check", "rollback_count"):
        journal = Journal().add("begin").phase(phase, 1.0, "failed", message="41 writes", writes=writes)
        report = build(journal.events, plan(), [], context("refused", journal))
        assert report["writes_left_behind"] == writes
        assert "41 inserted" in summary(report)


@pytest.mark.parametrize("phase", ["rollback_put_back", "rollback_restart", "rollback_release"])
@pytest.mark.parametrize("state", ["failed", "started"])
def test_a_rollback_half_way_claims_nothing(phase: str, state: str) -> None:
    report = rolled_back_until(phase, state, "failed", message="broken")
    assert (report["application_on"], report["database_after"]) == ("unknown", None)


@pytest.mark.parametrize("again", ["put_back", "rollback_restart", "rollback_maintenance"])
def test_what_came_after_putting_back_makes_it_unknown(again: str) -> None:
    journal = Journal().add("begin").phase("fence").phase("copy", 1.0, "failed").phase("put_back")
    journal.add("phase", again, "started")
    assert build(journal.events, plan(), [], context("failed", journal))["application_on"] == "unknown"


def test_a_cutover_that_began_to_go_back_is_not_a_rollback_that_was_refused() -> None:
    journal = Journal().add("begin").phase("fence").phase("rollback_maintenance", 1.0, "failed")
    assert build(journal.events, plan(), [], context("failed", journal))["application_on"] == "unknown"


def test_success_is_where_it_was_meant_to_arrive() -> None:
    journal = rollback_journal([])
    given = context("rolled_back", journal, database_before=POSTGRESQL, database_after=SQLITE)
    report = build(journal.events, plan(), [], given)
    assert (report["application_on"], report["database_after"]) == ("source", SQLITE)
    assert report["way_back"]["possible"] is False


@pytest.mark.parametrize("outcome", ["migrated", "verified", "unchanged"])
def test_without_a_switch_nothing_is_said_of_the_application(outcome: str) -> None:
    journal = Journal().add("begin").phase("verify")
    assert build(journal.events, plan(), [], context(outcome, journal))["application_on"] is None
