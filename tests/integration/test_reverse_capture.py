# SPDX-License-Identifier: GPL-3.0-or-later
"""The reverse capture: what it logs, for whom, what is noticed when it is damaged; and what could not go back is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover.access import close_access
from cutover.reverse import capture
from cutover.reverse.loss import judge
from cutover.source.connect import open_readonly
from cutover.source.fence import lift_fence
from cutover.target.connect import connect
from support.existing import catalog
from support.independent import execute
from support.postgres import Cluster
from support.reverse import Switched, session, switch

SCHEMA = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT, at DATETIME);
CREATE TABLE child (parent INTEGER NOT NULL REFERENCES parent ON DELETE CASCADE, at DATETIME NOT NULL, x REAL NOT NULL, PRIMARY KEY (parent, at, x));
CREATE TABLE loose (what TEXT);
INSERT INTO parent VALUES (1, 'a', '2024-01-01 00:00:00Z'), (2, 'b', NULL), (3, 'c', NULL);
INSERT INTO child VALUES (1, '2024-01-02T03:04:05Z', 0.1), (2, '2024-01-02T03:04:05Z', 1e-7);
"""


@pytest.fixture
def switched(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> Switched:
    return switch(postgres, make_sqlite(SCHEMA), database)


@pytest.fixture
def owner(switched: Switched) -> Iterator[Any]:
    with closing(connect(switched.owner, autocommit=True)) as connection, connection.cursor() as cursor:
        yield cursor


def logged(switched: Switched) -> list[tuple[Any, ...]]:
    return sorted(switched.target("SELECT t, k FROM pgcutover.outbox"), key=str)


def judged(switched: Switched) -> dict[str, Any]:
    with closing(open_readonly(str(switched.source), bytearray)) as source, closing(connect(switched.owner)) as target:
        with target.cursor() as cursor:
            return judge(source, cursor, switched.plan)


def test_keys_are_logged_once_a_row_and_old_keys_too(switched: Switched) -> None:
    switched.run(
        "UPDATE parent SET name = name || '!' WHERE id < 3",
        "UPDATE parent SET id = 9 WHERE id = 3",
        "INSERT INTO loose VALUES ('x'), ('y')",
    )
    assert logged(switched) == [
        ("loose", None),
        ("parent", ["1"]),
        ("parent", ["2"]),
        ("parent", ["3"]),
        ("parent", ["9"]),
    ]


def test_settings_of_the_session_do_not_change_what_is_logged(switched: Switched) -> None:
    switched.run(
        "SET DateStyle = 'SQL, DMY'",
        "SET TimeZone = 'Asia/Kathmandu'",
        "SET extra_float_digits = 0",
        "SET search_path = public, pg_temp",
        "CREATE TEMP TABLE outbox (t text, k text[])",
        "DELETE FROM parent WHERE id = 2",
    )
    assert logged(switched) == [("child", ["2", "2024-01-02 03:04:05+00", "1e-07"]), ("parent", ["2"])]
    switched.replay()
    switched.assert_equal()


def test_application_sees_nothing_of_it(switched: Switched) -> None:
    with session(switched.app) as connection, connection.cursor() as cursor:
        for statement in (
            "SELECT * FROM pgcutover.outbox",
            "DELETE FROM pgcutover.outbox",
            "SELECT pgcutover.capture_0()",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
            connection.rollback()


def test_session_that_replicates_is_captured_too(postgres: Cluster, switched: Switched) -> None:
    execute(
        postgres.superuser_url(switched.owner.rpartition("/")[2]),
        "SET session_replication_role = replica",
        "UPDATE parent SET name = 'r' WHERE id = 1",
    )
    assert logged(switched) == [("parent", ["1"])]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (
            "DROP TRIGGER pgcutover_capture_update ON parent",
            "table parent: the trigger pgcutover_capture_update is gone",
        ),
        ("ALTER TABLE child DISABLE TRIGGER USER", "table child: the trigger pgcutover_capture_insert is switched off"),
        ("ALTER FUNCTION pgcutover.capture_0() SECURITY INVOKER", "table child: the function pgcutover.capture_0"),
        ("DROP TABLE pgcutover.outbox", "not installed"),
        (
            "DROP TRIGGER pgcutover_capture_delete ON child; CREATE TRIGGER pgcutover_capture_delete AFTER DELETE ON child REFERENCING"
            " OLD TABLE AS pgcutover_old FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION pgcutover.capture_0()",
            "table child: the trigger pgcutover_capture_delete is another",
        ),
    ],
)
def test_damage_is_named_and_mended(switched: Switched, owner: Any, damage: str, named: str) -> None:
    assert judged(switched)["free_of_loss"]
    execute(switched.owner, damage)
    found = capture.problems(owner, switched.plan)
    assert any(named in problem for problem in found), found
    assert judged(switched)["why"] == found
    assert not judged(switched)["free_of_loss"]
    with closing(connect(switched.owner)) as connection:
        with connection, connection.cursor() as cursor:
            # Nobody logs this.
            cursor.execute("UPDATE public.parent SET name = 'unseen'")
        assert capture.install(connection, switched.plan)
    assert capture.problems(owner, switched.plan) == []
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT DISTINCT name FROM parent") == [("unseen",)]


def test_it_is_taken_out_without_a_trace(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, "CREATE TABLE t (id integer PRIMARY KEY, v text)")
    before = catalog(database)
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a');")
    switched = switch(postgres, path, database, tables="existing")
    with closing(connect(database)) as connection:
        assert capture.remove(connection, "public", "test", check_mode=True) != []
        with connection, connection.cursor() as cursor:
            assert capture.problems(cursor, switched.plan) == []
        assert capture.remove(connection, "public", "test")
        assert capture.remove(connection, "public", "test") == []
    assert catalog(database) == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE parent ADD more text; UPDATE parent SET more = 'x' WHERE id = 1", "column parent.more was added"),
        ("ALTER TABLE parent DROP name", "column parent.name was dropped or renamed"),
        ("ALTER TABLE parent ALTER id TYPE integer", "column parent.id was changed"),
        ("CREATE TABLE fresh (a int); INSERT INTO fresh VALUES (1)", "table fresh was made"),
        ("ALTER TABLE loose RENAME TO other", "table loose was dropped or renamed"),
    ],
)
def test_changes_of_the_schema_since_the_switch_are_told(switched: Switched, change: str, named: str) -> None:
    execute(switched.owner, change)
    found = judged(switched)
    assert not found["free_of_loss"]
    assert any(named in reason for reason in found["why"]), found


def test_what_waits_is_no_loss_but_what_cannot_go_back_is(switched: Switched) -> None:
    switched.run("UPDATE parent SET name = 'x'")
    assert judged(switched) == {"free_of_loss": True, "lag": 3, "why": []}
    switched.run("UPDATE parent SET at = 'infinity' WHERE id = 2")
    time.sleep(2.2)
    found = judged(switched)
    assert not found["free_of_loss"]
    assert found["lag"] == 4
    assert "table parent, column at, row id=2" in found["why"][0]
    # The trial has changed nothing.
    assert switched.waiting() == 4
    assert switched.read("SELECT DISTINCT name FROM parent ORDER BY 1") == [("a",), ("b",), ("c",)]


def test_source_that_takes_writes_is_no_way_back(switched: Switched) -> None:
    with closing(connect(switched.owner)) as connection:
        close_access(connection, switched.plan)
    lift_fence(str(switched.source))
    assert "SQLite takes writes" in judged(switched)["why"][0]
