# SPDX-License-Identifier: GPL-3.0-or-later
"""What report.json is made of: phases and their times, tables, refusals, the way back, and no password."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from cutover.report import build, preflight
from cutover.report.carried import carried
from support.report import (
    ROWS,
    START,
    Journal,
    context,
    cutover_journal,
    details,
    finding,
    plan,
    released,
    rollback_journal,
    verified,
)

KEYS = {
    *("ok", "name", "run", "strategy", "outcome", "message", "started", "finished", "source", "target"),
    *("database_before", "database_after", "tables", "differences", "not_carried", "refused", "findings"),
    *("carried", "rules", "phases", "backup", "watch", "writes_left_behind"),
}
SECRET = "c0rrect-h0rse"


def phase(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in report["phases"] if one["name"] == name)


def test_it_has_every_key_and_survives_json() -> None:
    report = released(cutover_journal())
    assert KEYS - set(report) == set()
    assert json.loads(json.dumps(report)) == report


def test_what_the_plan_makes_is_counted() -> None:
    key = {"primary_key": ["id"], "foreign_keys": [{}], "indexes": [{}, {}], "checks": [{}]}
    columns = [{"identity": True, "default": None}, {"default": "0", "generated": None}, {"generated": "1"}]
    made = {"tables": [{**key, "columns": columns}, {"columns": []}, None], "views": [{}]}
    assert carried(made) == {
        "primary_keys": 1,
        "foreign_keys": 1,
        "indexes": 2,
        "checks": 1,
        "defaults": 1,
        "identities": 1,
        "generated_columns": 1,
        "views": 1,
    }
    assert carried({**made, "mode": "existing"}) == carried({"tables": None}) == {}


def test_it_does_not_change_its_input() -> None:
    journal, made, findings = cutover_journal(), plan(), [finding()]
    given = context("refused", journal)
    before = json.dumps([journal.events, made, findings, given])
    build(journal.events, made, findings, given)
    assert json.dumps([journal.events, made, findings, given]) == before


def test_tables_hold_what_copy_and_verification_told() -> None:
    report = released(cutover_journal())
    assert [table["name"] for table in report["tables"]] == list(ROWS)
    told = details(ROWS)
    orders = next(table for table in report["tables"] if table["name"] == "orders")
    checked = next(table for table in told["verify"]["tables"] if table["name"] == "orders")
    assert orders == {
        "name": "orders",
        "target": "orders",
        "rows_source": 20_150,
        "rows_target": 20_150,
        "rows_different": 0,
        "rows_only_source": 0,
        "rows_only_target": 0,
        "rows_quarantined": 0,
        "checksum": checked["checksum"],
        "bytes": told["copy"]["tables"]["orders"]["bytes"],
        "copy_seconds": told["copy"]["tables"]["orders"]["seconds"],
        "verify_seconds": checked["seconds"],
    }


def test_a_table_that_was_not_verified_is_listed_without_figures() -> None:
    report = released(cutover_journal(verify={"tables": verified(ROWS)[1:]}))
    assert report["tables"][0]["name"] == "users"
    assert report["tables"][0]["rows_source"] is None


def test_a_resumed_copy_adds_to_what_the_first_one_told() -> None:
    journal = Journal().add("begin")
    journal.phase("copy", 5.0, tables={"users": {"rows": 1, "bytes": 10, "seconds": 1}, "orders": {"bytes": 20}})
    journal.phase("copy", 5.0, tables={"orders": {"rows": 2, "bytes": 30, "seconds": 2}})
    report = build(journal.events, plan(), [], context("failed", journal))
    copied = {table["name"]: table["bytes"] for table in report["tables"]}
    assert (copied["users"], copied["orders"], copied["events"]) == (10, 30, None)


def test_seconds_of_a_phase_are_those_of_all_tries_with_an_end() -> None:
    journal = Journal().add("begin")
    journal.phase("copy", 3.5, "failed", message="disk full")
    journal.add("phase", "copy", "started").wait(5000)
    journal.phase("copy", 2.25)
    report = build(journal.events, plan(), [], context("failed", journal))
    copy = phase(report, "copy")
    assert (copy["seconds"], copy["state"], copy["started"]) == (
        5.75,
        "done",
        START.isoformat(timespec="microseconds"),
    )
    assert [one["state"] for one in copy["attempts"]] == ["failed", "interrupted", "done"]
    assert [one["seconds"] for one in copy["attempts"]] == [3.5, None, 2.25]


def test_a_start_without_an_end_is_interrupted_but_the_report_itself_is_running() -> None:
    journal = Journal().add("begin").add("phase", "copy", "started").wait(10)
    journal.add("phase", "report", "started").wait(2)
    report = build(journal.events, plan(), [], context("failed", journal))
    assert phase(report, "copy")["state"] == "interrupted"
    assert (phase(report, "report")["state"], phase(report, "report")["seconds"]) == ("running", 2.0)


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    journal = Journal().add("begin").add("phase", "copy", "started").wait(-3600).add("phase", "copy", "done")
    assert phase(released(journal), "copy")["seconds"] == 0


def test_events_are_read_in_their_order_whatever_the_order_they_come_in() -> None:
    journal = cutover_journal()
    straight = released(journal)
    journal.events.reverse()
    assert released(journal) == straight


def test_only_the_own_run_is_told() -> None:
    journal = cutover_journal().add("end", outcome="released")
    journal.run = "second"
    journal.wait(60).add("begin").phase("preflight", 2.0, "failed", message="locked")
    report = build(journal.events, plan(), [], context("failed", journal))
    assert [one["name"] for one in report["phases"]] == ["preflight"]
    assert report["message"] == "locked"
    assert report["backup"] is None
    assert report["watch"] is None
    first = build(journal.events, plan(), [], {**context("released", journal), "run": cutover_journal().run})
    assert first["ok"] is True
    assert len(first["phases"]) == 14


def test_started_and_finished_are_those_of_the_run() -> None:
    journal = cutover_journal()
    report = released(journal)
    assert (report["started"], report["finished"]) == (journal.events[0]["at"], journal.now)
    end = journal.now
    journal.add("end").wait(3600)
    assert released(journal)["finished"] == end


def test_a_refusal_names_every_error_of_the_preflight() -> None:
    journal = Journal().add("begin").phase("preflight", 1.0, "failed", message="2 values are refused")
    findings = [finding("warning", key="1"), finding(key="2"), finding(key="3")]
    report = build(journal.events, plan(), findings, context("refused", journal))
    assert [(one["table"], one["column"], one["key"]) for one in report["refused"]] == [
        ("documents", "body", "2"),
        ("documents", "body", "3"),
    ]
    assert report["refused"][0]["reason"] == finding()["message"]
    assert report["refused"][0]["decide"] == finding()["decide"]
    assert report["message"] == "2 values are refused"
    assert [one["severity"] for one in report["findings"]] == ["error", "error", "warning"]


def test_a_refusal_is_named_once() -> None:
    refused = [{"table": "documents", "column": "body", "key": "2", "value": "x", "reason": "NUL", "decide": None}]
    journal = Journal().add("begin").phase("preflight", 1.0, "failed", refused=refused)
    report = build(journal.events, plan(), [finding(key="2")], context("refused", journal))
    assert report["refused"] == refused


def test_writes_left_behind_are_only_tables_with_writes() -> None:
    writes = [
        {"table": "a", "inserted": 0, "updated": 0, "deleted": 0},
        {"table": "b", "inserted": 0, "updated": 0, "deleted": 2},
    ]
    journal = rollback_journal(writes)
    report = build(journal.events, plan(), [], context("rolled_back", journal))
    assert report["writes_left_behind"] == writes[1:]


def test_the_way_back_is_promised_from_the_release_on() -> None:
    journal = cutover_journal()
    release = next(e["at"] for e in journal.events if (e["phase"], e["state"]) == ("release", "done"))
    back = released(journal)["way_back"]
    assert back["possible"] is True
    assert back["loses_writes"] is True
    until = datetime.fromisoformat(release) + timedelta(days=7)
    assert back["until"] == until.isoformat(timespec="seconds")
    assert released(journal, retention_days=None)["way_back"]["until"] is None
    assert released(journal, strategy="online")["way_back"]["loses_writes"] is False
    assert build([], {}, [], context("failed", journal))["way_back"]["possible"] is False


def test_every_outcome_has_a_message() -> None:
    journal = Journal().add("begin")
    for outcome in ("released", "migrated", "verified", "rolled_back", "unchanged", "refused", "failed", "?"):
        assert build(journal.events, plan(), [], context(outcome, journal))["message"]


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://owner:{SECRET}@db:5432/shop",
        f"postgres://owner:{SECRET}@db/shop",
        f"postgresql+psycopg2://owner:{SECRET}@/shop?host=/run",
        f"postgresql://:{SECRET}@db/shop",
        f"postgresql://owner:p@{SECRET}@db/shop",
        f"postgresql://owner:{SECRET}/x@db/shop",
        f"postgresql://owner:x#{SECRET}?y@db/shop",
        f"postgresql://db/shop?user=owner&password={SECRET}&sslmode=require",
        f"postgresql://db/shop?PASSWORD={SECRET}",
        f"host=db password={SECRET} user=owner",
        f"host=db password='a {SECRET}' user=owner",
        f"host=db password = '{SECRET}",
        f'password="{SECRET}"',
        f"PGPASSWORD={SECRET} psql",
        f"http://user:{SECRET}@proxy:3128/",
        f"two: postgresql://a:{SECRET}@b/c and postgresql://d:{SECRET}@e/f",
    ],
)
def test_no_password_passes_wherever_it_stands(text: str) -> None:
    journal = cutover_journal(backup={"path": text, "bytes": 1, "sha256": "0"})
    journal.phase("watch", 1.0, "failed", message=text, refused=[{"table": "t", "reason": text}])
    made = plan()
    made["source"]["path"] = text
    made["not_carried"][0]["hint"] = text
    given = context(
        "released",
        journal,
        message=text,
        database_before=text,
        database_after={"url": text, "password": SECRET},
        target={"host": text, "port": 1, "database": "d", "password": SECRET},
        password=SECRET,
    )
    report = build(journal.events, made, [finding(message=text)], given)
    assert SECRET not in json.dumps(report)
    assert SECRET not in json.dumps(build([], {}, [], {**given, "outcome": text}))
    assert SECRET not in json.dumps(preflight([finding(message=text)], given, made))
    assert "***" in report["message"]


def test_texts_without_a_password_stay_as_they_are() -> None:
    journal = cutover_journal()
    for text in (
        "http://127.0.0.1:18080/health?x=a@b",
        "postgresql://app@db:5432/shop",
        "mail me@x.org: done",
    ):
        assert released(journal, message=text)["message"] == text


def test_values_from_the_data_are_told_exactly() -> None:
    stored = "https://user:hunter2@example.org"
    difference = {"table": "links", "key": "1", "column": "url", "source": stored, "target": "x"}
    journal = Journal().add("begin").phase("verify", 1.0, "failed", tables=[], differences=[difference])
    report = build(journal.events, plan(), [finding(value=stored)], context("failed", journal))
    assert report["differences"] == [difference]
    assert report["findings"][0]["value"] == stored
