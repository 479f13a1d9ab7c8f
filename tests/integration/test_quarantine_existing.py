# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows are set aside in the same way where the application's own migrations made the tables."""

from __future__ import annotations

from conftest import MakeSqlite
from support.engine import errors, merged
from support.existing import checked, migrate, planned
from support.independent import execute, fetch

TARGET = "CREATE TABLE item (id integer PRIMARY KEY, name varchar(3) NOT NULL, n smallint)"
SOURCE = (
    "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INT);"
    "INSERT INTO item VALUES (1, 'abc', 1), (2, 'abcd', 2), (3, 'a', 70000)"
)


def test_rows_that_do_not_fit_the_applications_table_are_set_aside(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, TARGET)
    aside = {"refused": "quarantine"}
    overrides = {"tables": {"item": {"columns": {"name": aside, "n": aside}}}}
    done = migrate(make_sqlite(SOURCE), database, overrides)
    [line] = done.verified["tables"]
    assert (done.verified["ok"], line["rows_target"], line["rows_quarantined"]) == (True, 1, 2)
    assert fetch(database, "SELECT key FROM pgcutover.quarantine ORDER BY rowid") == [("id=2",), ("id=3",)]


def test_what_is_offered_takes_nothing_away(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, TARGET)
    path = make_sqlite(SOURCE)
    plan, findings = planned(path, database)
    found = errors(findings + checked(path, database, plan))
    assert [finding.decide["tables"]["item"]["columns"] for finding in found if finding.decide] == [
        {"name": {"refused": "quarantine"}},
        {"n": {"refused": "quarantine"}},
    ]
    done = migrate(path, database, merged(*(finding.decide for finding in found if finding.decide)))
    assert done.verified["ok"]


def test_null_by_a_rule_where_the_applications_table_takes_none(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, TARGET)
    path = make_sqlite(SOURCE.replace("name TEXT NOT NULL", "name TEXT"))
    rule = {
        "tables": {"item": {"columns": {"name": {"codec": "text", "rule": "to_null"}, "n": {"refused": "quarantine"}}}}
    }
    plan, findings = planned(path, database, rule)
    [wrong] = errors(findings + checked(path, database, plan))
    assert (wrong.column, wrong.message[:23]) == ("name", "to_null would put NULL ")
    assert wrong.decide is not None
    done = migrate(path, database, merged(rule, wrong.decide))
    assert (done.verified["ok"], done.verified["tables"][0]["rows_quarantined"]) == (True, 2)
