# SPDX-License-Identifier: GPL-3.0-or-later
"""A load into the application's tables that is killed: its schema comes back exactly, by the next run or by undoing it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover import ddl
from cutover.errors import Refused
from cutover.plan.model import Plan
from cutover.target.connect import connect
from support.engine import POSITION, copy, finish, verify
from support.existing import catalog, described, planned, prepare, undo
from support.independent import execute, fetch
from support.steps import answer, started, workers_of

ROWS = 2000
TARGET = """
CREATE TABLE parent (id serial PRIMARY KEY, name varchar(30) UNIQUE);
CREATE TABLE child (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent integer NOT NULL, other integer, also integer,
  CONSTRAINT "to Parent" FOREIGN KEY (parent) REFERENCES parent ON DELETE CASCADE,
  CONSTRAINT later FOREIGN KEY (other) REFERENCES parent (id) MATCH FULL ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE child ADD CONSTRAINT loose FOREIGN KEY (also) REFERENCES parent NOT VALID;
COMMENT ON CONSTRAINT later ON child IS 'checked at the end; it''s \\ kept';
CREATE INDEX child_parent ON child (parent) WHERE parent > 3;
CREATE UNIQUE INDEX child_other ON child (other) INCLUDE (also);
CREATE UNIQUE INDEX child_expression ON child ((other + 1), id DESC NULLS LAST) WITH (fillfactor = 70);
CREATE INDEX child_clustered ON child (other, parent);
ALTER TABLE child CLUSTER ON child_clustered;
CREATE INDEX child_hash ON child USING hash (also);
COMMENT ON INDEX child_hash IS 'also';
CREATE TABLE outside (parent integer REFERENCES parent);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE TRIGGER guard BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION note();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
"""

# The second range of the copy and the rest wait while the test holds the lock.
GATE = """
CREATE FUNCTION pgcutover.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF (SELECT count(*) FROM pgcutover.ranges WHERE rows IS NOT NULL) >= 1 THEN PERFORM pg_advisory_xact_lock_shared(42); END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE UPDATE ON pgcutover.ranges FOR EACH ROW EXECUTE FUNCTION pgcutover.gate();
"""


def fill(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT, other INT, also INT)")
    connection.executemany("INSERT INTO parent VALUES (?, ?)", [(n, f"parent {n}") for n in range(1, ROWS)])
    # Every child comes before its parent, as long as both tables are copied at once.
    connection.executemany(
        "INSERT INTO child VALUES (?, ?, ?, ?)", [(n, ROWS - n, ROWS - n, -1) for n in range(1, ROWS)]
    )


OVERRIDES = {"tables": {"child": {"foreign_keys": {"loose": {"validate": False}}}}}


@pytest.fixture
def made(make_sqlite: MakeSqlite, database: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, Plan]:
    """(source, target, plan), prepared for a load."""
    execute(database, TARGET)
    path = make_sqlite(fill)
    # As if the tables were large: their indexes are set aside too.
    monkeypatch.setattr("cutover.setaside.MANY_ROWS", 1)
    plan, _ = planned(path, database, OVERRIDES)
    prepare(database, plan)
    return path, database, plan


@pytest.fixture
def gate(made: tuple[Path, str, Plan]) -> Iterator[Any]:
    """A session that stops the copy after its first range."""
    with closing(psycopg2.connect(made[1])) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(GATE)
            cursor.execute("SELECT pg_advisory_lock(42)")
            yield cursor


def wait_for(url: str, query: str) -> None:
    end = time.monotonic() + 60
    while not fetch(url, query)[0][0]:
        assert time.monotonic() < end, "it does not come so far"
        time.sleep(0.05)


def killed_copy(made: tuple[Path, str, Plan], gate: Any) -> None:
    """Kill a copy that has committed a range, and wait until the server knows."""
    path, url, plan = made
    copying = started("copy", path, url, plan, position=POSITION, range_bytes=4000, many_rows=1)
    wait_for(url, "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    assert workers_of(copying)
    copying.kill()
    copying.communicate()
    gate.execute("SELECT pg_advisory_unlock_all()")
    gate.execute("DROP TRIGGER gate ON pgcutover.ranges")
    assert fetch(url, "SELECT count(*) FROM pgcutover.ranges WHERE rows IS NOT NULL")[0][0] >= 1


def assert_as_before(url: str, before: list[Any]) -> None:
    assert catalog(url) == before
    assert fetch(url, "SELECT count(*) FROM pgcutover.set_aside") == [(0,)]


def test_killed_copy_leaves_a_record_and_the_next_run_finishes(made: tuple[Path, str, Plan], gate: Any) -> None:
    path, url, plan = made
    before, seen = catalog(url), described(url)
    killed_copy(made, gate)
    assert catalog(url) != before
    left = {
        name
        for (name,) in fetch(url, "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'child'::regclass")
    }
    assert left == {"child_pkey", "child_clustered"}
    # Whoever makes a plan meanwhile sees the tables as the application made them: the same plan, so the copy goes on.
    assert described(url) == seen
    assert planned(path, url, OVERRIDES)[0] == plan
    again = copy(path, url, plan)
    assert again["resumed"]
    assert again["tables"]["child"]["rows"] == ROWS - 1
    finish(path, url, plan)
    assert verify(path, url, plan)["ok"]
    assert_as_before(url, before)


def test_killed_copy_is_undone(made: tuple[Path, str, Plan], gate: Any) -> None:
    path, url, plan = made
    before = catalog(url)
    killed_copy(made, gate)
    wait_for(url, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pg-cutover'")
    assert undo(url)
    assert_as_before(url, before)
    assert fetch(url, "SELECT (SELECT count(*) FROM parent), (SELECT count(*) FROM child)") == [(0, 0)]
    # And the whole can begin anew.
    assert not copy(path, url, plan)["resumed"]
    finish(path, url, plan)
    assert_as_before(url, before)


@pytest.mark.parametrize("table", ["parent", "child", "outside"])
def test_killed_while_constraints_are_put_back(made: tuple[Path, str, Plan], table: str) -> None:
    path, url, plan = made
    before = catalog(url)
    copy(path, url, plan)
    with closing(psycopg2.connect(url)) as holder, holder.cursor() as cursor:
        # Whatever has to alter this table waits.
        cursor.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        finishing = started("finish", path, url, plan)
        wait_for(url, "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'relation' AND NOT granted")
        finishing.kill()
        finishing.communicate()
    assert catalog(url) != before
    finish(path, url, plan)
    assert verify(path, url, plan)["ok"]
    assert_as_before(url, before)


def test_foreign_key_back_but_not_checked_is_checked_by_the_next_run(made: tuple[Path, str, Plan]) -> None:
    path, url, plan = made
    before = catalog(url)
    copy(path, url, plan)
    with closing(connect(url, autocommit=True)) as connection, pytest.raises(Refused, match="are still set aside"):
        ddl.drop_own(connection, "public", "test")
    # Orphans that only PostgreSQL has: the constraint comes back, its check fails.
    execute(url, "INSERT INTO child (id, parent) OVERRIDING SYSTEM VALUE VALUES (-1, 999999)")
    with pytest.raises(Refused, match=r"table child: the rows contradict foreign key to Parent.*999999"):
        finish(path, url, plan)
    assert fetch(url, "SELECT name, state FROM pgcutover.set_aside WHERE state <> 'off'") == [
        ("to Parent", "unchecked")
    ]
    execute(url, "DELETE FROM child WHERE parent = 999999")
    assert (
        answer(started("finish", path, url, plan))["result"][0]
        == 'ALTER TABLE "public"."child" VALIDATE CONSTRAINT "to Parent"'
    )
    assert_as_before(url, before)
    assert finish(path, url, plan) == []


def test_new_load_over_one_whose_constraints_are_half_back(made: tuple[Path, str, Plan]) -> None:
    path, url, plan = made
    before = catalog(url)
    copy(path, url, plan)
    execute(url, "INSERT INTO child (id, parent) OVERRIDING SYSTEM VALUE VALUES (-1, 999999)")
    with pytest.raises(Refused):
        finish(path, url, plan)
    # That row came from nobody we know: it is kept.
    copy(path, url, plan, "two", replace=True)
    finish(path, url, plan)
    assert verify(path, url, plan)["ok"]
    assert_as_before(url, before)
    assert fetch(url, "SELECT count(*) FROM pgcutover_kept_1.child WHERE parent = 999999") == [(1,)]


def test_finished_load_can_write_again(made: tuple[Path, str, Plan]) -> None:
    path, url, plan = made
    copy(path, url, plan)
    finish(path, url, plan)
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        execute(url, "ALTER TABLE child DISABLE TRIGGER guard", "INSERT INTO child (parent) VALUES (999999)")
    with pytest.raises(psycopg2.errors.RaiseException):
        execute(url, "INSERT INTO child (parent) VALUES (1)")
    execute(url, "ALTER TABLE child DISABLE TRIGGER guard", "INSERT INTO child (parent) VALUES (1)")
    # The two that were refused took numbers as well.
    assert fetch(url, "SELECT max(id) FROM child") == [(ROWS + 2,)]
