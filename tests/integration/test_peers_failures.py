# SPDX-License-Identifier: GPL-3.0-or-later
"""What other tools are known to lose, change or stop at, on the inputs that showed it. Each is a name here."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover.errors import CutoverError
from support.engine import checked, copy, create, errors, finish, merged, migrate, planned, verify
from support.independent import execute, fetch

MakeTable = Callable[[sqlite3.Connection], object]


def test_pgloader_stops_at_default_current_timestamp(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, v TEXT);"
        "INSERT INTO t VALUES (1, '2024-02-29 12:00:00', 'a')"
    )
    assert migrate(path, database).verified["ok"]
    execute(database, "SET timezone = 'Asia/Kathmandu'; INSERT INTO t (v) VALUES ('b')")
    # SQLite's CURRENT_TIMESTAMP is UTC, whatever the session's zone.
    query = "SELECT abs(extract(epoch FROM at - (now() AT TIME ZONE 'UTC'))) < 60, at IS NOT NULL FROM t WHERE id = 2"
    assert fetch(database, query) == [(True, True)]


def test_pgloader_stores_a_real_as_float4(make_sqlite: MakeSqlite, database: str) -> None:
    values = [0.1, 16777217.0, 1e300, 1 / 3, 5e-324]
    path = make_sqlite(
        lambda c: c.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, v REAL)").executemany(
            "INSERT INTO t (v) VALUES (?)", [(value,) for value in values]
        )
    )
    migrate(path, database)
    assert fetch(database, "SELECT DISTINCT pg_typeof(v)::text FROM t") == [("double precision",)]
    stored = [bytes(bits) for (bits,) in fetch(database, "SELECT float8send(v) FROM t ORDER BY id")]
    assert stored == [struct.pack(">d", value) for value in values]


def test_pgloader_drops_not_null(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL, w INT NOT NULL DEFAULT 3)")
    migrate(path, database)
    with pytest.raises(psycopg2.errors.NotNullViolation):
        execute(database, "INSERT INTO t (v) VALUES (NULL)")
    with pytest.raises(psycopg2.errors.NotNullViolation):
        execute(database, "INSERT INTO t (v, w) VALUES ('a', NULL)")


def test_duckdb_drops_keys_constraints_and_defaults(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY AUTOINCREMENT, p INT NOT NULL REFERENCES p ON DELETE CASCADE, state TEXT NOT NULL DEFAULT 'new');"
        "CREATE INDEX c_state ON c (state); INSERT INTO p VALUES (1, 'a'); INSERT INTO c (p) VALUES (1)"
    )
    migrate(path, database)
    kinds = fetch(database, "SELECT contype::text, count(*) FROM pg_constraint WHERE conrelid IN ('p'::regclass, 'c'::regclass) AND contype IN ('p', 'f') GROUP BY 1")  # fmt: skip
    assert sorted(kinds) == [("f", 1), ("p", 2)]
    assert fetch(database, "SELECT count(*) FROM pg_indexes WHERE indexname IN ('c_state', 'p_name_key')") == [(2,)]
    execute(database, "INSERT INTO c (p) VALUES (1)")
    assert fetch(database, "SELECT id, state FROM c ORDER BY id") == [(1, "new"), (2, "new")]
    execute(database, "DELETE FROM p")
    assert fetch(database, "SELECT count(*) FROM c") == [(0,)]


def test_duckdb_reads_epoch_milliseconds_as_seconds_in_the_year_52671(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (at DATETIME); INSERT INTO t VALUES (1600000000123)")
    migrate(path, database)
    assert fetch(database, "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') FROM t") == [("2020-09-13 12:26:40.123",)]  # fmt: skip


def test_synapse_port_db_drops_rows_that_hold_nul(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b' || char(0) || 'c'), (3, 'd')"
    )
    plan, findings = planned(path)
    [finding] = errors(findings + checked(path, plan))
    assert (finding.table, finding.column, finding.key) == ("t", "v", "id=2")
    assert finding.decide is not None
    assert migrate(path, database, merged(finding.decide)).verified["ok"]
    assert [(n, bytes(v)) for n, v in fetch(database, "SELECT id, v FROM t ORDER BY id")] == [(1, b"a"), (2, b"b\0c"), (3, b"d")]  # fmt: skip


def test_sequences_below_the_keys_make_the_first_insert_fail(make_sqlite: MakeSqlite, database: str) -> None:
    """Left to the operator by tools that copy rows into identity columns."""
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (41, 'a')")
    migrate(path, database)
    execute(database, "INSERT INTO t (v) VALUES ('b')")
    assert fetch(database, "SELECT max(id) FROM t") == [(42,)]


def test_folded_names_make_every_query_of_the_application_fail(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        'CREATE TABLE "UserAccount" ("createdAt" DATETIME, "order" INT); CREATE INDEX "IX_At" ON "UserAccount" ("createdAt")'
    )
    migrate(path, database)
    assert fetch(database, 'SELECT count("createdAt"), count("order") FROM "UserAccount"') == [(0, 0)]


def test_check_that_compares_nothing_does_not_pass(make_sqlite: MakeSqlite, database: str) -> None:
    """A check that reads an empty answer as agreement proves nothing."""
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    plan, findings = planned(path, {"tables": {"t": {"carry": False}}})
    assert [f.message for f in errors(findings)] == ["the plan carries no table, so there is nothing to move"]
    create(database, plan)
    copy(path, database, plan)
    finish(path, database, plan)
    assert not verify(path, database, plan)["ok"]


def test_table_that_is_gone_is_no_equal_table(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE empty (id INTEGER PRIMARY KEY)")
    plan = migrate(path, database).plan
    execute(database, "DROP TABLE empty")
    with pytest.raises(CutoverError, match=r"empty.* does not exist"):
        verify(path, database, plan)
