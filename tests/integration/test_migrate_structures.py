# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, foreign keys and names of every form arrive, and the application can go on writing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg2
import pytest

from conftest import MakeSqlite
from support.engine import checked, errors, migrate, planned
from support.independent import execute, fetch, in_postgresql, in_sqlite, quoted

# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (id INTEGER NOT NULL, x TEXT, PRIMARY KEY (id)); INSERT INTO t VALUES (4, 'a')",
        "CREATE TABLE t (id INTEGER, x TEXT, CONSTRAINT pk PRIMARY KEY (id)); INSERT INTO t VALUES (4, 'a')",
        "CREATE TABLE t (x TEXT, \"id\" integer primary key asc); INSERT INTO t VALUES ('a', 4)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT); INSERT INTO t VALUES (4, 'a'); DELETE FROM t; INSERT INTO t VALUES (1, 'b')",
    ],
)
def test_every_rowid_alias_numbers_new_rows(make_sqlite: MakeSqlite, database: str, sql: str) -> None:
    migrate(make_sqlite(sql), database)
    assert fetch(
        database, "SELECT is_identity FROM information_schema.columns WHERE table_name = 't' AND column_name = 'id'"
    ) == [("YES",)]
    execute(database, "INSERT INTO t (x) VALUES ('new')")
    assert fetch(database, "SELECT id FROM t WHERE x = 'new'") == [(5,)]


@pytest.mark.parametrize(
    ("sql", "key"),
    [
        ("CREATE TABLE t (a TEXT, b INT, c, PRIMARY KEY (b, a)); INSERT INTO t VALUES ('x', 1, 'c'), ('y', 1, 'c')", ["b", "a"]),
        ("CREATE TABLE t (a TEXT PRIMARY KEY, c TEXT) WITHOUT ROWID; INSERT INTO t VALUES ('b', 'B'), ('a', 'A')", ["a"]),
        ("CREATE TABLE t (a BLOB, b REAL, c TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID; INSERT INTO t VALUES (x'00', 0.5, 'c'), (x'', -1.5, 'd')", ["a", "b"]),
        ("CREATE TABLE t (a TEXT, c TEXT); INSERT INTO t VALUES ('x', 'y'), ('x', 'y'), (NULL, NULL)", []),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY, c TEXT) WITHOUT ROWID; INSERT INTO t VALUES (9, 'c')", ["a"]),
    ],
)  # fmt: skip
def test_other_keys_arrive_with_their_rows(make_sqlite: MakeSqlite, database: str, sql: str, key: list[str]) -> None:
    path = make_sqlite(sql)
    assert migrate(path, database).verified["ok"]
    found = fetch(
        database,
        "SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY k (num, n) JOIN pg_attribute a ON"
        " a.attrelid = i.indrelid AND a.attnum = k.num WHERE i.indisprimary AND i.indrelid = 'public.t'::regclass ORDER BY k.n",
    )
    assert [name for (name,) in found] == key
    with closing(sqlite3.connect(path)) as source:
        [count] = source.execute("SELECT count(*) FROM t").fetchone()
    assert fetch(database, "SELECT count(*) FROM t") == [(count,)]


# ---------------------------------------------------------------- foreign keys

FAMILY = """
CREATE TABLE a (id INTEGER PRIMARY KEY, b INT REFERENCES b DEFERRABLE INITIALLY DEFERRED, up INT REFERENCES a ON DELETE CASCADE);
CREATE TABLE b (id INTEGER PRIMARY KEY, a INT NOT NULL REFERENCES a DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE pair (x INT, y TEXT, PRIMARY KEY (x, y));
CREATE TABLE c (id INTEGER PRIMARY KEY, x INT DEFAULT 1, y TEXT DEFAULT 'one', p INT REFERENCES a ON DELETE SET NULL ON UPDATE CASCADE,
                q INT REFERENCES a ON DELETE RESTRICT, FOREIGN KEY (x, y) REFERENCES pair ON DELETE SET DEFAULT ON UPDATE SET NULL);
INSERT INTO pair VALUES (1, 'one'), (2, 'two'), (3, 'three');
INSERT INTO a VALUES (1, 7, NULL), (2, NULL, 1), (3, NULL, 2), (4, NULL, NULL), (5, NULL, NULL); INSERT INTO b VALUES (7, 1);
INSERT INTO c VALUES (1, 2, 'two', 4, NULL), (2, 3, 'three', NULL, 5), (3, NULL, 'none', NULL, NULL);
"""


def test_foreign_keys_do_the_same(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(FAMILY)
    result = migrate(path, database)
    assert [n for n in result.plan.not_carried if n.kind == "foreign key"] == []
    changes = [
        "DELETE FROM pair WHERE x = 2",
        "UPDATE pair SET y = 'drei' WHERE x = 3",
        "UPDATE a SET id = 40 WHERE id = 4",
        "DELETE FROM a WHERE id = 2",
    ]
    with closing(sqlite3.connect(path)) as source:
        source.execute("PRAGMA foreign_keys = ON")
        for change in changes:
            source.execute(change)
            execute(database, change)
            for table in "abc":
                rows = f"SELECT * FROM {table} ORDER BY id"
                assert fetch(database, rows) == source.execute(rows).fetchall(), change
        for wrong in (
            "DELETE FROM a WHERE id = 5",
            "INSERT INTO c (q) VALUES (99)",
            "INSERT INTO c (x, y) VALUES (1, 'two')",
            "INSERT INTO b (a) VALUES (98)",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                source.execute(wrong)
                source.commit()
            source.rollback()
            with pytest.raises(psycopg2.errors.IntegrityError):
                execute(database, wrong)
    # Rows that refer to each other, in one transaction.
    execute(database, "INSERT INTO b (id, a) VALUES (50, 51)", "INSERT INTO a (id, b) VALUES (51, 50)")


def test_orphans_are_reported_with_their_key(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(FAMILY + "INSERT INTO c VALUES (9, 8, 'eight', 77, NULL)")
    plan, _ = planned(path)
    found = errors(checked(path, plan))
    assert sorted((f.column, f.key, f.value) for f in found) == [("p", "id=9", "77"), ("x, y", "id=9", "8, 'eight'")]
    assert all(f.decide for f in found)


# ---------------------------------------------------------------- names

ODD = ["order", "user", "select", "Group", "oid", "tableoid ", "a b", "ünï", "per%cent", "%s", "quo\"te", "semi;colon", "UPPER", "table", "new.dot"]  # fmt: skip


def test_odd_names_are_kept(make_sqlite: MakeSqlite, database: str) -> None:
    columns = ", ".join(f"{quoted(name)} TEXT" for name in ODD)
    script = "".join(
        f"CREATE TABLE {quoted(name)} (id INTEGER PRIMARY KEY, {columns}, CHECK ({quoted(name)} <> 'no'));"
        f"INSERT INTO {quoted(name)} ({quoted(name)}) VALUES ('x');"
        f"CREATE INDEX {quoted('i ' + name)} ON {quoted(name)} ({quoted(name)}) WHERE {quoted(name)} IS NOT NULL;"
        f"CREATE VIEW {quoted('v ' + name)} AS SELECT {quoted(name)}, id FROM {quoted(name)};"
        for name in ODD
    )
    path = make_sqlite(script)
    result = migrate(path, database)
    assert [(f.severity, f.message) for f in result.findings if f.severity != "info"] == []
    assert result.plan.not_carried == ()
    kinds = dict.fromkeys(ODD, "text")
    for name in ODD:
        assert in_postgresql(database, name, kinds) == in_sqlite(path, name, kinds)
        execute(database, f"INSERT INTO {quoted(name)} ({quoted(name)}) VALUES ('y')")
        assert fetch(database, f"SELECT count(*) FROM {quoted('v ' + name)}") == [(2,)]


def test_names_that_cannot_be_are_changed_and_rows_arrive(make_sqlite: MakeSqlite, database: str) -> None:
    long = "n" * 70
    path = make_sqlite(
        f"CREATE TABLE {long}1 (ctid INT, xmin TEXT, {long} INT, {long}b INT); CREATE TABLE {long}2 (a INT REFERENCES {long}1 (ctid));"
        f"CREATE UNIQUE INDEX u ON {long}1 (ctid); INSERT INTO {long}1 VALUES (1, 'x', 2, 3); INSERT INTO {long}2 VALUES (1)"
    )
    result = migrate(path, database)
    assert result.verified["ok"]
    warned = [f for f in result.findings if f.severity == "warning"]
    assert len(warned) == 6
    assert all(f.decide and "it is called" in f.message for f in warned)
    first, second = result.plan.tables
    assert (first.target, second.target) == ("n" * 63, "n" * 61 + "_1")
    assert [c.target for c in first.columns] == ["ctid_", "xmin_", "n" * 63, "n" * 61 + "_1"]
    # PostgreSQL cuts what the application writes to the same name.
    assert fetch(database, f"SELECT ctid_, xmin_, {long} FROM {long}1") == [(1, "x", 2)]


def test_a_thousand_columns(make_sqlite: MakeSqlite, database: str) -> None:
    columns = ", ".join(f"c{n} {('INT', 'TEXT', 'REAL', 'BOOLEAN')[n % 4]}" for n in range(999))
    values = ", ".join(("7", "'text'", "0.5", "1", "NULL")[n % 4 if n % 7 else 4] for n in range(999))
    path = make_sqlite(
        f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {columns}); INSERT INTO wide VALUES (1, {values}), (2, {values})"
    )
    result = migrate(path, database)
    assert result.verified["ok"]
    kinds = {f"c{n}": ("integer", "text", "real", "boolean")[n % 4] for n in range(999)}
    assert in_postgresql(database, "wide", kinds) == in_sqlite(path, "wide", kinds)
