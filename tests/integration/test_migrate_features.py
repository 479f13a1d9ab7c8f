# SPDX-License-Identifier: GPL-3.0-or-later
"""What a migrated database can do afterwards: number new rows, hold constraints, be migrated again or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover import ddl
from cutover.access import close_access, open_access
from cutover.errors import Refused, TargetError
from cutover.target.connect import connect
from support.engine import POSITION, copy, create, finish, migrate, planned, verify
from support.independent import execute, fetch
from support.postgres import Cluster

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT); INSERT INTO t (x) VALUES ('a'), ('b');"


@contextmanager
def application(postgres: Cluster, database: str) -> Iterator[str]:
    """A role as the application has it, without any right of its own."""
    other = postgres.create_database()
    try:
        yield other.owner
    finally:
        execute(postgres.superuser_url(database.rsplit("/", 1)[1]), f"DROP OWNED BY {other.owner}")
        postgres.drop_database(other)


# ---------------------------------------------------------------- numbers of new rows


@pytest.mark.parametrize(
    ("sql", "following"),
    [
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (7, 1)", 8),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, x)", 1),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (-7, 1), (0, 1)", 1),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x); INSERT INTO t VALUES (90, 1); DELETE FROM t", 91),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x); INSERT INTO t VALUES (90, 1), (5, 1); DELETE FROM t WHERE id = 90", 91),
        ("CREATE TABLE \"o'dd \"\" %s\" (\"i d%s\" INTEGER PRIMARY KEY, x); INSERT INTO \"o'dd \"\" %s\" VALUES (41, 1)", 42),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (9223372036854775806, 1)", 2**63 - 1),
    ],
)  # fmt: skip
def test_new_row_gets_a_number_above_every_number_ever_used(
    make_sqlite: MakeSqlite, database: str, sql: str, following: int
) -> None:
    result = migrate(make_sqlite(sql), database)
    [table] = result.plan.tables
    name, key = table.target.replace('"', '""'), table.primary_key[0]
    execute(database, f'INSERT INTO public."{name}" (x) VALUES (NULL)')
    assert fetch(database, f'SELECT max("{key}") FROM public."{name}"') == [(following,)]
    # A number of one's own stays possible, as in SQLite.
    execute(database, f'INSERT INTO public."{name}" ("{key}") VALUES (-99)')


def test_numbers_given_out_after_the_plan_was_made_count_too(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SCHEMA)
    plan, _ = planned(path)
    with closing(sqlite3.connect(path)) as late, late:
        late.execute("INSERT INTO t (x) VALUES ('late')")
        late.execute("DELETE FROM t WHERE x = 'late'")
    create(database, plan)
    copy(path, database, plan)
    finish(path, database, plan)
    assert verify(path, database, plan)["ok"]
    execute(database, "INSERT INTO t (x) VALUES ('next')")
    assert fetch(database, "SELECT max(id) FROM t") == [(4,)]


# ---------------------------------------------------------------- constraints


def test_constraints_hold_for_new_rows(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE NOT NULL UNIQUE, code VARCHAR(3) UNIQUE, price DECIMAL UNIQUE);"
        "CREATE TABLE c (p INT REFERENCES p ON DELETE CASCADE, code TEXT REFERENCES p (code), n INT REFERENCES p (price), r INT REFERENCES p ON DELETE SET NULL);"
        "INSERT INTO p VALUES (1, 'Bob', 'abc', 5); INSERT INTO c VALUES (1, 'abc', 5, NULL)"
    )
    migrate(path, database)
    for statement, code in (
        ("INSERT INTO p (name) VALUES ('BOB')", "23505"),
        ("INSERT INTO p (name) VALUES (NULL)", "23502"),
        ("INSERT INTO p (name, code) VALUES ('x', 'long')", "22001"),
        ("INSERT INTO p (id, name) VALUES (1, 'y')", "23505"),
        ("INSERT INTO c (p) VALUES (9)", "23503"),
        ("INSERT INTO c (n) VALUES (9)", "23503"),
        ("INSERT INTO c (code) VALUES ('xyz')", "23503"),
    ):
        with pytest.raises(psycopg2.Error) as caught:
            execute(database, statement)
        assert caught.value.pgcode == code, statement
    execute(database, "UPDATE c SET code = NULL, n = NULL", "DELETE FROM p")
    assert fetch(database, "SELECT count(*) FROM c") == [(0,)]


def test_rows_without_key_are_kept_by_a_unique_index(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (k TEXT PRIMARY KEY); INSERT INTO t VALUES (NULL), (NULL), ('a')")
    migrate(path, database, {"tables": {"t": {"primary_key": "unique"}}})
    assert fetch(database, "SELECT k FROM t ORDER BY k") == [("a",), (None,), (None,)]
    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(database, "INSERT INTO t VALUES ('a')")


def test_old_orphans_stay_and_new_ones_are_refused(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p INT REFERENCES p); INSERT INTO c VALUES (5)"
    )
    migrate(path, database, {"tables": {"c": {"foreign_keys": {"c_p_fkey": {"validate": False}}}}})
    assert fetch(database, "SELECT p FROM c") == [(5,)]
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        execute(database, "INSERT INTO c VALUES (6)")


def test_texts_sort_and_compare_as_in_sqlite(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (x TEXT); INSERT INTO t VALUES ('b'), ('B'), ('a'), ('é'), ('z'), ('_'), ('10'), ('9')"
    )
    migrate(path, database)
    wanted = sorted(["b", "B", "a", "é", "z", "_", "10", "9"], key=str.encode)
    assert [x for (x,) in fetch(database, "SELECT x FROM t ORDER BY x")] == wanted


def test_rows_that_contradict_a_constraint_are_named(make_sqlite: MakeSqlite, database: str) -> None:
    # Different text, but one number: SQLite tells the keys apart, numeric does not.
    path = make_sqlite("CREATE TABLE t (k TEXT PRIMARY KEY); INSERT INTO t VALUES ('1.0'), ('1.00')")
    plan, _ = planned(path, {"tables": {"t": {"columns": {"k": {"codec": "decimal"}}}}})
    create(database, plan)
    copy(path, database, plan)
    with pytest.raises(
        Refused, match=r"table t: its rows contradict a constraint.*t_pkey.*\(k\)=\(1.00?\) is duplicated"
    ):
        finish(path, database, plan)


# ---------------------------------------------------------------- again


def test_each_step_done_again_does_nothing(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SCHEMA)
    result = migrate(path, database)
    assert result.copied["sent"]
    assert create(database, result.plan) == []
    again = copy(path, database, result.plan)
    assert (again["sent"], again["resumed"]) == (False, True)
    assert finish(path, database, result.plan) == []
    assert verify(path, database, result.plan)["ok"]


def test_finished_copy_is_replaced_only_when_told_to(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SCHEMA)
    plan = migrate(path, database).plan
    with pytest.raises(Refused, match="holds a finished copy of an earlier state"):
        copy(path, database, plan, position="another")
    other, _ = planned(make_sqlite(SCHEMA + "CREATE TABLE more (x)"))
    with pytest.raises(Refused, match="cutover_start_over=true"):
        create(database, other)
    assert fetch(database, "SELECT count(*) FROM t") == [(2,)]
    create(database, other, replace=True)
    assert fetch(database, "SELECT count(*) FROM more") == [(0,)]


def test_unfinished_copy_is_replaced_without_asking(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SCHEMA)
    plan, _ = planned(path)
    create(database, plan)
    copy(path, database, plan)
    # As a run leaves it that was killed before its last range.
    execute(database, "UPDATE pgcutover.ranges SET rows = NULL", "DELETE FROM t")
    again = copy(path, database, plan, position="another")
    assert (again["resumed"], again["tables"]["t"]["rows"]) == (False, 2)
    finish(path, database, plan)
    assert verify(path, database, plan)["ok"]


def test_database_in_use_is_never_replaced(make_sqlite: MakeSqlite, postgres: Cluster, database: str) -> None:
    path = make_sqlite(SCHEMA)
    plan = migrate(path, database).plan
    with application(postgres, database) as role:
        with closing(connect(database)) as connection:
            assert open_access(connection, plan, role)
            assert open_access(connection, plan, role) == []
        for act in (
            lambda: copy(path, database, plan, position="another"),
            lambda: create(database, planned(make_sqlite(SCHEMA + "CREATE TABLE more (x)"))[0], replace=True),
        ):
            with pytest.raises(Refused, match="the application uses this database since"):
                act()
        assert fetch(database, "SELECT count(*) FROM t") == [(2,)]
        with closing(connect(database)) as connection:
            assert close_access(connection, plan)
            assert close_access(connection, plan) == []


def test_tables_that_the_application_wrote_to_are_kept_aside(
    make_sqlite: MakeSqlite, postgres: Cluster, database: str
) -> None:
    path = make_sqlite(SCHEMA)
    plan = migrate(path, database).plan
    with application(postgres, database) as role:
        with closing(connect(database)) as connection:
            open_access(connection, plan, role)
            execute(database, "INSERT INTO t (x) VALUES ('written since')")
            close_access(connection, plan)
        copy(path, database, plan, position="another", replace=True)
        finish(path, database, plan)
        assert verify(path, database, plan)["ok"]
        assert fetch(database, "SELECT count(*) FROM pgcutover_kept_1.t") == [(3,)]
        with closing(connect(database, autocommit=True)) as connection:
            assert len(ddl.drop_own(connection, "public", "test")) == 2
        assert fetch(database, "SELECT count(*) FROM t") == [(2,)]


def test_database_of_another_migration_is_refused(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SCHEMA)
    migrate(path, database)
    other, _ = planned(path, name="other")
    with pytest.raises(TargetError, match="holds the migration test into schema public, not 'other'"):
        create(database, other, replace=True)


def test_tables_of_the_application_are_never_touched(make_sqlite: MakeSqlite, database: str) -> None:
    execute(database, "CREATE TABLE t (precious int)", "INSERT INTO t VALUES (1)")
    plan, _ = planned(make_sqlite(SCHEMA))
    with pytest.raises(TargetError, match='relation "t" already exists'):
        create(database, plan, replace=True)
    assert fetch(database, "SELECT * FROM t") == [(1,)]


def test_copy_without_its_tables_is_refused(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SCHEMA)
    plan, _ = planned(path)
    with pytest.raises(TargetError, match="The copy cannot begin"):
        copy(path, database, plan, position=POSITION)


def test_what_the_migration_left_behind_goes_and_the_rows_stay(make_sqlite: MakeSqlite, database: str) -> None:
    migrate(make_sqlite(SCHEMA), database)
    with closing(connect(database, autocommit=True)) as connection:
        assert (
            ddl.drop_own(connection, "public", "test", check_mode=True)
            == ddl.drop_own(connection, "public", "test")
            == ['DROP SCHEMA "pgcutover" CASCADE']
        )
        assert ddl.drop_own(connection, "public", "test") == []
    assert fetch(database, "SELECT x FROM t ORDER BY id") == [("a",), ("b",)]


def test_schema_of_ones_own_is_made_and_filled(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SCHEMA)
    result = migrate(path, database, {"schema": 'the "shop"'})
    assert fetch(database, 'SELECT count(*) FROM "the ""shop""".t') == [(2,)]
    assert result.verified["ok"]
    execute(database, 'INSERT INTO "the ""shop""".t (x) VALUES (\'c\')')
