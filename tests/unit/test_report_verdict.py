# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries to make the report say ok when it must not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.report import build, page, preflight, summary
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

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def migrated() -> Journal:
    journal = Journal().add("begin")
    for name in ("preflight", "schema", "copy", "indexes"):
        journal.phase(name)
    return journal.phase("verify", 2.0, tables=verified(ROWS), differences=[])


def with_verified(**changes: dict[str, Any]) -> Journal:
    return cutover_journal(verify={"tables": verified(ROWS, **changes), "differences": []})


# ---------------------------------------------------------------- what is ok


def test_a_released_cutover_with_every_row_verified_is_ok() -> None:
    report = released(cutover_journal())
    assert (report["ok"], report["problems"]) == (True, [])
    assert report["outcome"] == "released"


def test_the_report_phase_that_writes_it_does_not_count_against_it() -> None:
    assert released(cutover_journal().add("phase", "report", "started"))["ok"] is True


@pytest.mark.parametrize("outcome", ["migrated", "verified"])
def test_migration_and_verification_are_ok(outcome: str) -> None:
    journal = migrated()
    report = build(journal.events, plan(), [], context(outcome, journal))
    assert report["ok"] is True, report["message"]


def test_verification_alone_is_ok() -> None:
    journal = Journal().add("begin").phase("verify", 2.0, tables=verified(ROWS))
    assert build(journal.events, plan(), [], context("verified", journal))["ok"] is True


def test_an_empty_database_is_ok() -> None:
    journal = cutover_journal({})
    report = build(journal.events, plan({}), [], context("released", journal))
    assert report["ok"] is True, report["message"]


def test_a_rollback_is_ok_without_any_verification() -> None:
    journal = rollback_journal([{"table": "orders", "inserted": 3, "updated": 0, "deleted": 0}])
    report = build(journal.events, plan(), [], context("rolled_back", journal))
    assert report["ok"] is True, report["message"]
    assert report["writes_left_behind"] == [{"table": "orders", "inserted": 3, "updated": 0, "deleted": 0}]


def test_nothing_to_do_is_ok() -> None:
    journal = Journal(run="second").add("begin")
    assert build(journal.events, plan(), [], context("unchanged", journal))["ok"] is True


def test_warnings_and_remarks_are_ok() -> None:
    journal = cutover_journal()
    findings = [finding("warning"), finding("info")]
    assert build(journal.events, plan(), findings, context("released", journal))["ok"] is True


# ---------------------------------------------------------------- what is not


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_refused_and_failed_are_never_ok(outcome: str) -> None:
    journal = cutover_journal()
    report = build(journal.events, plan(), [], context(outcome, journal))
    assert report["ok"] is False
    assert report["message"]


@pytest.mark.parametrize("outcome", [None, "", "Released", "released ", "ok", "success", True, 1, ["released"], {}])
def test_an_unknown_outcome_is_not_ok(outcome: object) -> None:
    journal = cutover_journal()
    report = build(journal.events, plan(), [], {**context("", journal), "outcome": outcome})
    assert_not_ok(report, "nknown outcome")
    assert report["outcome"] == "failed"


def test_ok_in_the_context_is_ignored() -> None:
    journal = Journal().add("begin")
    report = build(journal.events, plan(), [], context("released", journal, ok=True, problems=[]))
    assert report["ok"] is False


@pytest.mark.parametrize(
    "change",
    [
        {"rows_target": 20_149},
        {"rows_target": 20_151},
        {"rows_source": None},
        {"rows_target": None},
        {"rows_source": None, "rows_target": None},
        {"rows_source": "20150", "rows_target": "20150"},
        {"rows_source": True, "rows_target": True},
        {"rows_source": -1, "rows_target": -1},
        {"rows_source": 1.5, "rows_target": 1.5},
        {"rows_different": 1},
        {"rows_different": None},
        {"rows_different": False},
        {"rows_different": "0"},
        {"rows_only_source": 1},
        {"rows_only_source": None},
        {"rows_only_target": 1},
        {"rows_only_target": -1},
        {"rows_only_source": 1, "rows_only_target": 1},
        {"checksum": ""},
        {"checksum": None},
        {"checksum": True},
    ],
    ids=str,
)
def test_a_table_that_is_not_proven_equal_is_not_ok(change: dict[str, Any]) -> None:
    assert_not_ok(released(with_verified(orders=change)), 'table "orders"')


def test_many_unequal_tables_are_counted_not_all_named() -> None:
    rows = {f"t{i}": 5 for i in range(30)}
    journal = cutover_journal(rows, verify={"tables": verified(rows, **{name: {"rows_different": 1} for name in rows})})
    report = build(journal.events, plan(rows), [], context("released", journal))
    assert_not_ok(report, "25 more tables are not equal")
    assert len(report["problems"]) == 6


@pytest.mark.parametrize("name", list(ROWS))
def test_every_table_of_the_plan_has_to_be_verified(name: str) -> None:
    tables = [table for table in verified(ROWS) if table["name"] != name]
    assert_not_ok(released(cutover_journal(verify={"tables": tables})), f'not verified: "{name}"')


@pytest.mark.parametrize("name", [None, 7, ["orders"], {"x": 1}, "Orders", "orders "])
def test_a_table_of_another_name_does_not_stand_for_it(name: object) -> None:
    assert_not_ok(released(with_verified(orders={"name": name})), 'not verified: "orders"')


def test_a_table_named_none_is_not_the_one_without_a_name() -> None:
    rows = {"None": 5}
    journal = cutover_journal(rows, verify={"tables": verified(rows, **{"None": {"name": None}})})
    report = build(journal.events, plan(rows), [], context("released", journal))
    assert_not_ok(report, 'not verified: "None"')


@pytest.mark.parametrize("tables", [[], None, {}, "all", [None], [[]], 0], ids=repr)
def test_a_verification_of_nothing_is_not_ok(tables: object) -> None:
    assert released(cutover_journal(verify={"tables": tables}))["ok"] is False


def test_a_table_verified_twice_is_not_ok() -> None:
    tables = verified(ROWS, orders={"rows_different": 3}) + verified({"orders": ROWS["orders"]})
    assert_not_ok(released(cutover_journal(verify={"tables": tables})), "verified twice")
    tables = verified(ROWS) + verified({"orders": ROWS["orders"]})
    assert_not_ok(released(cutover_journal(verify={"tables": tables})), "verified twice")


def test_a_table_that_the_plan_does_not_know_is_not_ok() -> None:
    tables = verified({**ROWS, "ghost": 1})
    assert_not_ok(released(cutover_journal(verify={"tables": tables})), '"ghost"')


def test_a_table_compared_with_another_one_is_not_ok() -> None:
    assert_not_ok(released(with_verified(orders={"target": "orders_old"})), "compared with another table")


def test_listed_differences_are_not_ok_whatever_the_counts_say() -> None:
    difference = {"table": "orders", "key": "1", "column": "total", "source": "1", "target": "2"}
    journal = cutover_journal(verify={"tables": verified(ROWS), "differences": [difference]})
    assert_not_ok(released(journal), "1 differing value")
    journal = cutover_journal(verify={"tables": verified(ROWS), "differences": "many"})
    assert released(journal)["ok"] is False


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        [],
        "plan",
        {"tables": None},
        {"tables": []},
        {"tables": [None]},
        {"tables": [{"target": "x"}]},
        {"tables": [{"name": ""}]},
        {"tables": [], "source": {"tables": 12}},
        {"tables": [], "source": {"tables": None}},
        {"tables": [{"name": "orders"}, {"name": "orders"}]},
    ],
    ids=repr,
)
def test_without_a_usable_plan_nothing_is_proven(broken: object) -> None:
    journal = cutover_journal({})
    assert build(journal.events, broken, [], context("released", journal))["ok"] is False
    journal = cutover_journal()
    assert build(journal.events, broken, [], context("released", journal))["ok"] is False


def test_a_plan_that_names_a_table_twice_proves_nothing() -> None:
    journal, made = cutover_journal(), plan()
    made["tables"].insert(0, {"name": "orders", "target": "elsewhere"})
    assert_not_ok(build(journal.events, made, [], context("released", journal)), "names a table twice")


@given(ANYTHING, ANYTHING, ANYTHING, st.sampled_from(["released", "migrated", "verified", "rolled_back"]))
def test_no_input_at_all_is_taken_for_a_proof(journal: Any, made: Any, findings: Any, outcome: str) -> None:
    report = build(journal, made, findings, context(outcome, Journal()))
    assert report["ok"] is False
    assert page(report)["headline"]
    assert summary(report)


@given(st.data())
def test_damage_to_what_was_verified_never_helps(data: st.DataObject) -> None:
    """Replace one value of the verification by anything: ok only if it still says that all is equal."""
    tables = verified(ROWS)
    table = data.draw(st.sampled_from(tables))
    key = data.draw(
        st.sampled_from(["name", "rows_source", "rows_target", "rows_different", "rows_only_source", "checksum"])
    )
    before = table[key]
    table[key] = data.draw(ANYTHING)
    report = released(cutover_journal(verify={"tables": tables}))
    same = type(table[key]) is type(before) and table[key] == before
    harmless = same or (key == "checksum" and isinstance(table[key], str) and table[key])
    assert report["ok"] is bool(harmless)


# ---------------------------------------------------------------- preflight


def test_preflight_says_go_without_errors() -> None:
    journal = Journal()
    made = preflight([finding("warning")], context("", journal), plan())
    assert made["ok"] is True
    assert list(made) == ["ok", "generated", "name", "source", "target", "findings"]
    assert made["source"]["tables"] == len(ROWS)


@pytest.mark.parametrize(
    ("findings", "described"),
    [
        ([finding()], plan()),
        ([finding("blocker")], plan()),
        (None, plan()),
        ({}, plan()),
        ([], None),
        ([], {}),
        ([], {"source": {"path": "/x"}}),
        ([], {"source": {"tables": 3}}),
    ],
)
def test_preflight_says_no_when_anything_is_wrong_or_unseen(findings: object, described: object) -> None:
    made = preflight(findings, context("", Journal()), described)
    assert made["ok"] is False
    assert any(one["severity"] == "error" for one in made["findings"])


@pytest.mark.parametrize("outcome", ["failed", "refused"])
def test_preflight_that_did_not_come_to_its_end_says_no(outcome: str) -> None:
    assert preflight([], context(outcome, Journal()), plan())["ok"] is False
