# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that are there before the load, or were written since the last one: none of them is lost unseen."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover import ddl
from cutover.access import close_access, open_access
from cutover.errors import Refused
from cutover.plan.model import Plan
from cutover.target.connect import connect
from support.engine import copy, errors, finish, verify
from support.existing import catalog, checked, migrate, planned, prepare, undo
from support.independent import execute, fetch

TARGET = """
CREATE TABLE kind (id integer PRIMARY KEY, name text NOT NULL UNIQUE, colour text DEFAULT 'grey');
CREATE TABLE item (id serial PRIMARY KEY, kind integer REFERENCES kind ON DELETE CASCADE, note text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note = 'touched'; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER off BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER always BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE item DISABLE TRIGGER off;
ALTER TABLE item ENABLE ALWAYS TRIGGER always;
"""
SOURCE = """
CREATE TABLE kind (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE item (id INTEGER PRIMARY KEY, kind INT, note TEXT);
INSERT INTO kind VALUES (1, 'one'), (2, 'two'); INSERT INTO item VALUES (5, 1, 'a'), (6, 2, NULL);
"""


def policy(name: str) -> dict[str, Any]:
    return {"tables": {"kind": {"seeded": name}}}


def loaded(
    path: Path, url: str, overrides: dict[str, Any] | None = None, position: str = "one", replace: bool = False
) -> Plan:
    """Plan and load, up to the end of the copy."""
    plan, findings = planned(path, url, overrides)
    assert errors(findings) == []
    prepare(url, plan, replace)
    copy(path, url, plan, position, replace=replace)
    return plan


@pytest.mark.parametrize(("name", "settled"), [("empty", {"tables": {"kind": {"seeded": "replace"}}}), ("fail", None)])
def test_rows_that_are_there_stop_the_run_unless_decided(
    make_sqlite: MakeSqlite, database: str, name: str, settled: dict[str, Any] | None
) -> None:
    execute(database, TARGET, "INSERT INTO kind VALUES (1, 'seed')")
    path = make_sqlite(SOURCE)
    _, findings = planned(path, database, policy(name))
    [wrong] = errors(findings)
    assert (wrong.table, wrong.decide) == ("kind", settled)
    assert wrong.message.startswith("1 rows are in PostgreSQL already")


def test_rows_that_come_after_the_plan_stop_the_load(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, TARGET)
    path = make_sqlite(SOURCE)
    plan, _ = planned(path, database)
    prepare(database, plan)
    execute(database, "INSERT INTO kind VALUES (9, 'late')")
    before = catalog(database)
    with pytest.raises(Refused, match="table kind: 1 rows are in PostgreSQL already"):
        copy(path, database, plan)
    assert catalog(database) == before
    assert fetch(database, "SELECT id FROM kind") == [(9,)]


def test_replaced_rows_are_kept_until_finalize(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, TARGET, "INSERT INTO kind VALUES (1, 'seed', 'red'), (3, 'other', 'blue')")
    before = catalog(database)
    result = migrate(make_sqlite(SOURCE), database, policy("replace"))
    assert result.verified["ok"]
    assert catalog(database) == before
    assert fetch(database, "SELECT * FROM kind ORDER BY id") == [(1, "one", "grey"), (2, "two", "grey")]
    assert fetch(database, "SELECT * FROM pgcutover_kept_1.kind ORDER BY id") == [
        (1, "seed", "red"),
        (3, "other", "blue"),
    ]
    assert fetch(database, "SELECT note FROM item ORDER BY id") == [("a",), (None,)]
    with closing(connect(database, autocommit=True)) as connection:
        ddl.drop_own(connection, "public", "test")
    assert fetch(database, "SELECT count(*) FROM kind") == [(2,)]
    assert fetch(database, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pgcutover%'") == [(0,)]


def test_rows_elsewhere_that_refer_to_replaced_ones(make_sqlite: MakeSqlite, database: str) -> None:
    execute(
        database,
        TARGET,
        "INSERT INTO kind VALUES (3, 'other')",
        "CREATE TABLE more (kind int CONSTRAINT up REFERENCES kind)",
    )
    execute(database, "INSERT INTO more VALUES (3)")
    before = catalog(database)
    path = make_sqlite(SOURCE)
    plan, findings = planned(path, database, policy("replace"))
    [warning] = [finding for finding in findings if finding.severity == "warning"]
    assert warning.message.startswith(
        "the 1 rows of more, which stay, refer to its rows, which are replaced (foreign key up)"
    )
    prepare(database, plan)
    copy(path, database, plan)
    with pytest.raises(Refused, match=r"table more: the rows contradict foreign key up.*\(kind\)=\(3\)"):
        finish(path, database, plan)
    undo(database)
    assert catalog(database) == before
    assert fetch(database, "SELECT k.name FROM more JOIN kind k ON k.id = kind") == [("other",)]


def test_kept_rows_stay_and_the_others_join_them(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, TARGET, "INSERT INTO kind VALUES (1, 'one', 'red'), (3, 'other', 'blue')")
    result = migrate(make_sqlite(SOURCE), database, policy("keep"))
    assert result.verified["ok"]
    assert result.table("kind")["rows_target"] == 2
    wanted = [(1, "one", "red"), (2, "two", "grey"), (3, "other", "blue")]
    assert fetch(database, "SELECT * FROM kind ORDER BY id") == wanted
    # A later state of the source over the same rows.
    path = make_sqlite(
        SOURCE + "DELETE FROM kind WHERE id = 2; DELETE FROM item WHERE kind = 2; INSERT INTO kind VALUES (4, 'four')"
    )
    plan = loaded(path, database, policy("keep"), "two", replace=True)
    finish(path, database, plan)
    assert verify(path, database, plan)["ok"]
    assert fetch(database, "SELECT id, colour FROM kind ORDER BY id") == [(1, "red"), (3, "blue"), (4, "grey")]


def test_kept_rows_that_differ_are_named(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, TARGET, "INSERT INTO kind VALUES (1, 'uno'), (2, 'two')")
    path = make_sqlite(SOURCE)
    plan, _ = planned(path, database, policy("keep"))
    [wrong] = errors(checked(path, database, plan))
    assert (wrong.table, wrong.column, wrong.key, wrong.value) == ("kind", "name", "id=1", "'one'")
    assert wrong.message.startswith("1 rows are in PostgreSQL already and differ")
    assert wrong.decide == policy("replace")
    # And if it is loaded all the same, the comparison says so.
    prepare(database, plan)
    copy(path, database, plan)
    finish(path, database, plan)
    found = verify(path, database, plan)
    assert not found["ok"]
    assert [(d["table"], d["column"]) for d in found["differences"]] == [("kind", "name")]


def test_load_that_was_not_finished_is_undone(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, TARGET, "INSERT INTO kind VALUES (1, 'one', 'red')")
    before = catalog(database)
    path = make_sqlite(SOURCE)
    for name in ("replace", "keep"):
        loaded(path, database, policy(name))
        assert catalog(database) != before
        assert undo(database)
        assert catalog(database) == before
        assert fetch(database, "SELECT * FROM kind") == [(1, "one", "red")]
        assert fetch(database, "SELECT count(*) FROM item") == [(0,)]
        assert undo(database) == []
    plan = loaded(path, database, policy("replace"))
    finish(path, database, plan)
    assert undo(database) == []
    assert verify(path, database, plan)["ok"]


def test_another_state_of_the_source_starts_over(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, TARGET)
    before = catalog(database)
    path = make_sqlite(SOURCE)
    migrate(path, database)
    with closing(sqlite3.connect(path)) as source, source:
        source.execute("DELETE FROM item WHERE id = 5")
    plan, findings = planned(path, database)
    assert errors(findings) == []
    with pytest.raises(Refused, match="holds a finished copy"):
        copy(path, database, plan, "two")
    copy(path, database, plan, "two", replace=True)
    finish(path, database, plan)
    assert verify(path, database, plan)["ok"]
    assert catalog(database) == before
    assert fetch(database, "SELECT id FROM item") == [(6,)]
    # Nobody else had written: nothing had to be kept.
    assert fetch(database, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pgcutover_kept%'") == [(0,)]


@pytest.mark.parametrize(
    "write", ["INSERT INTO kind VALUES (7, 'seven')", "UPDATE kind SET colour = 'pink' WHERE id = 2"]
)
def test_what_others_wrote_since_is_kept(make_sqlite: MakeSqlite, database: str, write: str) -> None:
    execute(database, TARGET)
    path = make_sqlite(SOURCE)
    plan = migrate(path, database).plan
    execute(database, write)
    wanted = fetch(database, "SELECT * FROM kind ORDER BY id")
    copy(path, database, plan, "two", replace=True)
    finish(path, database, plan)
    assert verify(path, database, plan)["ok"]
    assert fetch(database, "SELECT * FROM pgcutover_kept_1.kind ORDER BY id") == wanted
    assert fetch(database, "SELECT to_regclass('pgcutover_kept_1.item')") == [(None,)]


def test_tables_in_use_are_not_loaded_and_what_was_written_is_kept(
    make_sqlite: MakeSqlite, database: str, postgres: Any
) -> None:
    execute(database, TARGET, "CREATE TABLE alembic_version (v text)", "CREATE VIEW names AS SELECT name FROM kind")
    path = make_sqlite(SOURCE)
    plan = migrate(path, database).plan
    other = postgres.create_database()
    role, name = other.owner, database.rsplit("/", 1)[1]
    as_role = postgres.url(role, other.url.split(":")[2].split("@")[0], name)
    try:
        with closing(connect(database)) as connection:
            open_access(connection, plan, role)
            with pytest.raises(Refused, match="the application uses this database"):
                copy(path, database, plan, "two", replace=True)
            with pytest.raises(Refused, match="the application uses this database"):
                prepare(database, planned(path, database, {"tables": {"item": {"carry": False}}})[0], replace=True)
            execute(
                as_role, "INSERT INTO item (kind, note) VALUES (1, 'new')", "INSERT INTO alembic_version VALUES ('x')"
            )
            assert fetch(as_role, "SELECT name FROM names ORDER BY 1") == [("one",), ("two",)]
            close_access(connection, plan)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                execute(as_role, "DELETE FROM item")
        copy(path, database, plan, "two", replace=True)
        finish(path, database, plan)
        assert verify(path, database, plan)["ok"]
        assert fetch(database, "SELECT id, note FROM pgcutover_kept_1.item ORDER BY id") == [
            (5, "a"),
            (6, None),
            (7, "touched"),
        ]
    finally:
        execute(postgres.superuser_url(name), f"DROP OWNED BY {role}")
        postgres.drop_database(other)
