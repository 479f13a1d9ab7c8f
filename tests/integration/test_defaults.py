# SPDX-License-Identifier: GPL-3.0-or-later
"""A default that is carried gives in PostgreSQL what it gives in SQLite."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from decimal import Decimal

import psycopg2

from conftest import MakeSqlite
from support.engine import create, planned

#: Declared type, default, and how SQLite's value reads in PostgreSQL.
DEFAULTS = [
    ("INT", "5", int),
    ("INT", "-7", int),
    ("INT", "(+3)", int),
    ("INT", "'12'", int),
    ("INT", "TRUE", int),
    ("BOOLEAN", "1", bool),
    ("BOOLEAN", "false", bool),
    ("REAL", "0.1", float),
    ("REAL", "5", float),
    ("REAL", "-1.5e-3", float),
    ("DECIMAL(10,2)", "1.50", lambda v: Decimal(str(v))),
    ("NUMERIC", "'12.75'", lambda v: Decimal(str(v))),
    ("NUMERIC", "1e3", lambda v: Decimal(str(v))),
    ("TEXT", "''", str),
    ("TEXT", "'it''s 100 % \\ \"x\"'", str),
    ("TEXT", '"double ""quoted"""', str),
    ("TEXT", "007", str),
    ("TEXT", "'ünï 🐘'", str),
    ("VARCHAR(20)", "'new'", str),
    ("JSON", "'{\"a\": [1, 2]}'", lambda v: {"a": [1, 2]}),
    ("DATE", "'2024-01-31'", dt.date.fromisoformat),
    ("TIME", "'10:20'", dt.time.fromisoformat),
    ("DATETIME", "'2024-01-31 10:20:30'", dt.datetime.fromisoformat),
    ("INT", "(1 + 2 * 3)", int),
    ("TEXT", "('x' || 'y' || char(10))", str),
    ("REAL", "(1 / 4.0)", float),
    ("BOOLEAN", "(1 > 2)", bool),
    ("TEXT", "(CAST(7 AS TEXT))", str),
    ("INT", "(abs(-5) + length('abc'))", int),
    ("TEXT", "(NULLIF('a', 'a'))", str),
    ("UUID", "'6f9619ff-8b86-d011-b42d-00cf4fc964ff'", str),
]


def test_carried_defaults_give_the_same_values(make_sqlite: MakeSqlite, database: str) -> None:
    columns = ", ".join(f"c{n} {declared} DEFAULT {default}" for n, (declared, default, _) in enumerate(DEFAULTS))
    path = make_sqlite(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})")
    plan, _ = planned(path)
    assert [n.object for n in plan.not_carried] == []
    create(database, plan)
    with closing(sqlite3.connect(path)) as source, closing(psycopg2.connect(database)) as target:
        source.execute("INSERT INTO t DEFAULT VALUES")
        [mine] = source.execute("SELECT * FROM t").fetchall()
        with target.cursor() as cursor:
            cursor.execute("INSERT INTO t DEFAULT VALUES")
            cursor.execute("SELECT * FROM t")
            [theirs] = cursor.fetchall()
    assert [None if value is None else meant(value) for (_, _, meant), value in zip(DEFAULTS, mine[1:])] == list(
        theirs[1:]
    )


def test_current_time_is_utc_whatever_the_session_says(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a DATETIME DEFAULT CURRENT_TIMESTAMP, b TEXT DEFAULT CURRENT_TIMESTAMP, "
        "c DATE DEFAULT CURRENT_DATE, d TEXT DEFAULT CURRENT_DATE, e TIME DEFAULT CURRENT_TIME, f VARCHAR(8) DEFAULT CURRENT_TIME, "
        "g DATETIME DEFAULT CURRENT_TIMESTAMP); INSERT INTO t (g) VALUES (1700000000000)"
    )
    plan, _ = planned(path)
    assert plan.not_carried == ()
    create(database, plan)
    with closing(psycopg2.connect(database)) as target, target.cursor() as cursor:
        # Far enough from UTC that the date may differ as well.
        cursor.execute("SET timezone = 'Pacific/Kiritimati'")
        cursor.execute("INSERT INTO t DEFAULT VALUES")
        cursor.execute("SELECT a, b, c, d, e, f, g, now() FROM t")
        [(a, b, c, d, e, f, g, now)] = cursor.fetchall()
    utc = now.astimezone(dt.timezone.utc).replace(tzinfo=None)
    # By the rule of the majority a column of milliseconds makes the empty ones points in time as well.
    assert a.astimezone(dt.timezone.utc).replace(tzinfo=None) == utc
    assert (b, c, d) == (f"{utc:%Y-%m-%d %H:%M:%S}", utc.date(), f"{utc:%Y-%m-%d}")
    assert (e, f) == (utc.time(), f"{utc:%H:%M:%S}")
    assert g == now


#: Declared type, default, and about what it is in PostgreSQL, as a condition on the column c.
NOWS = [
    ("TEXT", "(datetime('now'))", "c = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"),
    ("TEXT", "(strftime('%Y-%m-%dT%H:%M:%SZ'))", "c::timestamptz = date_trunc('second', now())"),
    (
        "TEXT",
        "(strftime('%d.%m.%Y week of %j','now'))",
        "c = to_char(now() AT TIME ZONE 'UTC', 'DD.MM.YYYY \"week of\" DDD')",
    ),
    ("DATETIME", "(strftime('%Y-%m-%d %H:%M:%f', 'now'))", "c = date_trunc('milliseconds', now() AT TIME ZONE 'UTC')"),
    ("DATE", "(date('now'))", "c = (now() AT TIME ZONE 'UTC')::date"),
    ("INTEGER", "(strftime('%s', 'now'))", "c = floor(extract(epoch FROM now()))"),
    ("INTEGER", "(CAST(strftime('%s','now') AS INT))", "c = floor(extract(epoch FROM now()))"),
    ("INTEGER", "(unixepoch())", "c = floor(extract(epoch FROM now()))"),
    ("INTEGER", "(unixepoch() * 1000)", "c = floor(extract(epoch FROM now())) * 1000"),
    (
        "INTEGER",
        "(CAST((julianday('now') - 2440587.5)*86400000 AS INTEGER))",
        "c = floor(extract(epoch FROM now()) * 1000)",
    ),
    ("TEXT", "(strftime('%s', 'now'))", "c = floor(extract(epoch FROM now()))::text"),
]


def test_current_time_in_all_its_ways(make_sqlite: MakeSqlite, database: str) -> None:
    columns = ", ".join(f"c{n} {declared} DEFAULT {default}" for n, (declared, default, _) in enumerate(NOWS))
    path = make_sqlite(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})")
    plan, _ = planned(path)
    assert plan.not_carried == ()
    create(database, plan)
    with (
        closing(sqlite3.connect(path)) as source,
        closing(psycopg2.connect(database)) as target,
        target.cursor() as cursor,
    ):
        source.execute("INSERT INTO t DEFAULT VALUES")
        [mine] = source.execute("SELECT * FROM t").fetchall()
        cursor.execute("SET timezone = 'Pacific/Kiritimati'")
        cursor.execute("INSERT INTO t DEFAULT VALUES")
        for number, (_, default, condition) in enumerate(NOWS):
            cursor.execute(f"SELECT {condition.replace('c', f'c{number}', 1)}, c{number}::text FROM t")
            [(holds, theirs)] = cursor.fetchall()
            assert holds, default
            # Both databases were asked within the same minute or two.
            if isinstance(mine[number + 1], int):
                assert abs(mine[number + 1] - int(theirs)) < (120 if mine[number + 1] < 10**11 else 120_000), default
            else:
                assert mine[number + 1][:7] == theirs[:7], default
