# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects beside rows mean in PostgreSQL what they mean in SQLite: checks, computed columns, indexes, views."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg2

from conftest import MakeSqlite
from support.engine import checked, errors, migrate, planned, verify
from support.independent import execute, fetch


def refused(url: str, statement: str) -> str | None:
    """The SQLSTATE with which PostgreSQL refuses a statement; None when it takes it."""
    try:
        execute(url, statement)
    except psycopg2.Error as error:
        return error.pgcode
    return None


def refused_by_sqlite(path: Path, statement: str) -> bool:
    """Whether SQLite refuses it; nothing stays."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            connection.execute(statement)
        except sqlite3.IntegrityError:
            return True
    return False


# ---------------------------------------------------------------- CHECK


def test_checks_hold_for_new_rows_as_in_sqlite(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, status TEXT DEFAULT 'new' CHECK (status IN (\"new\", 'done')), n INT CONSTRAINT positive CHECK (n > 0 OR n IS NULL),"
        "active BOOLEAN CHECK (active IN (0, 1)), data JSON CHECK (json_valid(data) OR data IS NULL), code TEXT, "
        "CHECK (length(code) = 3 AND code NOT GLOB '*[^A-Z]*'), CONSTRAINT \"both\" CHECK (NOT (active = 1 AND n % 2 = 1)));"
        "INSERT INTO t (n, active) VALUES (2, 1), (NULL, 0)"
    )
    result = migrate(path, database)
    assert [n for n in result.plan.not_carried if n.kind == "check"] == []
    found = fetch(
        database,
        "SELECT conname, convalidated FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace ORDER BY 1",
    )
    assert found == [
        (name, True)
        for name in ("both", "positive", "t_active_check", "t_code_check", "t_data_check", "t_status_check")
    ]
    for values in (
        "status) VALUES ('New'", "status) VALUES ('done'", "status) VALUES (NULL", "n) VALUES (0", "n) VALUES (NULL", "n) VALUES (-1",
        "code) VALUES ('ABC'", "code) VALUES ('ABc'", "code) VALUES ('ABCD'", "code) VALUES (NULL", "n, active) VALUES (3, TRUE", "n, active) VALUES (4, TRUE",
        "n, active) VALUES (3, FALSE", "n, active) VALUES (3, NULL",
    ):  # fmt: skip
        statement = f"INSERT INTO t ({values})"
        assert refused(database, statement) == ("23514" if refused_by_sqlite(path, statement) else None), statement


def test_old_rows_that_contradict_a_check_are_found_and_may_stay(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT CHECK (n > 0)); PRAGMA ignore_check_constraints = 1; INSERT INTO t VALUES (7, -1), (8, 1), (9, -2)"
    )
    plan, _ = planned(path)
    [finding] = errors(checked(path, plan))
    assert (finding.table, finding.key, finding.message[:37]) == ("t", "id=7", "2 rows contradict CHECK (n > 0); mend")
    migrate(path, database, finding.decide)
    assert refused(database, "INSERT INTO t (n) VALUES (-1)") == "23514"
    assert fetch(database, "SELECT count(*) FROM t") == [(3,)]


def test_check_that_is_left_out_is_listed(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (n INT CHECK (n > 0), h TEXT CHECK (hex(h) <> ''))")
    result = migrate(path, database, {"tables": {"t": {"checks": {"t_n_check": {"carry": False}}}}})
    assert {n.reason for n in result.plan.not_carried} == {
        "CHECK (n > 0): the plan says so",
        "CHECK (hex(h) <> ''): it uses the function hex()",
    }
    execute(database, "INSERT INTO t (n) VALUES (-1)")


# ---------------------------------------------------------------- generated columns


def test_computed_columns_are_computed_by_postgresql(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, first TEXT, last TEXT, n INT, v TEXT AS (first || ' ' || last) VIRTUAL, s INT AS (n * 2) STORED NOT NULL,"
        "b BOOLEAN AS (n > 3), c AS (s + 1), low TEXT GENERATED ALWAYS AS (lower(last)) STORED UNIQUE, h TEXT AS (hex(first)));"
        "INSERT INTO t (first, last, n) VALUES ('A', 'B', 1), ('É', 'CÀ', 5), (NULL, NULL, 0)"
    )
    result = migrate(path, database)
    assert result.verified["ok"]
    assert [n.object for n in result.plan.not_carried] == ["t.h"]
    with closing(sqlite3.connect(path)) as source:
        mine = source.execute("SELECT v, s, b, c, low, h FROM t ORDER BY id").fetchall()
    assert fetch(database, "SELECT v, s, b::int, c, low, h FROM t ORDER BY id") == mine
    execute(database, "INSERT INTO t (first, last, n) VALUES ('x', 'Y', 4)")
    assert fetch(database, "SELECT v, s, b, c, low FROM t WHERE n = 4") == [("x Y", 8, True, 9, "y")]
    assert refused(database, "INSERT INTO t (last, n) VALUES ('y', 1)") == "23505"
    assert refused(database, "UPDATE t SET s = 1") == "428C9"


def test_computed_column_that_lies_is_found_by_verify(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, d INT AS (n + 1)); INSERT INTO t (n) VALUES (1)")
    plan = migrate(path, database).plan
    execute(
        database, "ALTER TABLE t DROP COLUMN d", "ALTER TABLE t ADD COLUMN d bigint GENERATED ALWAYS AS (n + 2) STORED"
    )
    result = verify(path, database, plan)
    assert not result["ok"]
    assert [(d["column"], d["source"], d["target"]) for d in result["differences"]] == [("d", "2", "3")]


def test_computed_column_may_stay_plain(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (n INT, d INT AS (n + 1)); INSERT INTO t (n) VALUES (1)")
    result = migrate(path, database, {"tables": {"t": {"columns": {"d": {"generated": False}}}}})
    assert [n.kind for n in result.plan.not_carried] == ["generated column"]
    execute(database, "UPDATE t SET d = 7")


# ---------------------------------------------------------------- indexes


def test_partial_and_expression_indexes_keep_their_meaning(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, slug TEXT, gone DATETIME, email TEXT, n INT, live BOOLEAN NOT NULL DEFAULT 1);"
        "CREATE UNIQUE INDEX slug_live ON t (slug) WHERE gone IS NULL; CREATE UNIQUE INDEX mail ON t (lower(email));"
        "CREATE INDEX live ON t (n DESC, slug) WHERE live = 1; CREATE UNIQUE INDEX nocase ON t (trim(slug) COLLATE NOCASE, n) WHERE n IS NOT NULL;"
        "CREATE INDEX h ON t (hex(slug)); CREATE INDEX rt ON t (slug COLLATE RTRIM);"
        "INSERT INTO t (slug, gone, email) VALUES ('a', NULL, 'X@y'), ('a', '2024-01-01 00:00:00', NULL)"
    )
    result = migrate(path, database)
    assert {n.object: n.reason for n in result.plan.not_carried} == {
        "h": "uses the function hex()",
        "rt": "uses the collation RTRIM, which PostgreSQL does not have",
    }
    for statement in (
        "INSERT INTO t (slug) VALUES ('a')",
        "INSERT INTO t (slug, gone) VALUES ('a', '2024-01-01 00:00:00')",
        "INSERT INTO t (email) VALUES ('x@Y')",
        "INSERT INTO t (email) VALUES ('é')",
        "INSERT INTO t (slug, n, gone) VALUES (' b', 1, '2024-01-01 00:00:00'), ('B ', 1, '2024-01-01 00:00:00')",
        "INSERT INTO t (slug, n, gone) VALUES (' b', 1, '2024-01-01 00:00:00'), ('B ', 2, '2024-01-01 00:00:00')",
    ):
        assert (refused(database, statement) == "23505") == refused_by_sqlite(path, statement), statement
    # What the application asks is served by them.
    execute(database, "INSERT INTO t (email) SELECT 'm' || n FROM generate_series(1, 2000) n", "ANALYZE t")
    shown = fetch(database, "EXPLAIN SELECT * FROM t WHERE lower(email) = 'm7'")
    assert "mail" in shown[0][0] or "mail" in shown[1][0]


def test_foreign_keys_get_the_index_that_they_lack(make_sqlite: MakeSqlite, database: str) -> None:
    sql = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, a INT, b INT, UNIQUE (a, b)); CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p, q INT REFERENCES p,"
        "r INT REFERENCES p, a INT, b INT, FOREIGN KEY (a, b) REFERENCES p (a, b)); CREATE INDEX has ON c (q, id); CREATE INDEX part ON c (r) WHERE r > 1;"
        "CREATE TABLE k (p INT REFERENCES p, q INT REFERENCES p, PRIMARY KEY (p, q))"
    )

    def made(overrides: dict[str, object]) -> list[str]:
        plan, _ = planned(make_sqlite(sql), overrides)
        return [index.target for table in plan.tables for index in table.indexes if index.target.endswith("_idx")]

    assert made({}) == ["c_p_idx", "c_r_idx", "c_a_b_idx", "k_q_idx"]
    assert made({"foreign_key_indexes": False}) == []
    assert made({"tables": {"c": {"foreign_key_indexes": False}}}) == ["k_q_idx"]
    assert made({"tables": {"c": {"indexes": {"c_r_idx": {"carry": False}}}}}) == ["c_p_idx", "c_a_b_idx", "k_q_idx"]
    migrate(make_sqlite(sql), database)
    found = fetch(
        database, "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname LIKE '%idx' ORDER BY 1"
    )
    assert [name for (name,) in found] == ["c_a_b_idx", "c_p_idx", "c_r_idx", "k_q_idx"]
