# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an application does to whatever tables while they are copied and followed: in the end both sides are equal."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import MakeSqlite
from support import engine
from support.following import arranged, began, following, opened
from support.independent import emptied
from support.random_schemas import RandomTable, fill, tables
from support.workload import Workload

#: Every reference that PostgreSQL acts on, unique values that clash, keys of two columns, a table without a key.
SCHEMA = """
CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT UNIQUE, up INTEGER REFERENCES a ON DELETE SET NULL, value REAL);
CREATE TABLE b (x INTEGER, y TEXT, a INTEGER NOT NULL REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (x, y)) WITHOUT ROWID;
CREATE TABLE c (id INTEGER PRIMARY KEY, bx INTEGER, "by" TEXT, place INTEGER NOT NULL UNIQUE, a INTEGER REFERENCES a ON DELETE RESTRICT,
  FOREIGN KEY (bx, "by") REFERENCES b ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE d (id TEXT PRIMARY KEY NOT NULL, c INTEGER DEFAULT 1 REFERENCES c ON DELETE SET DEFAULT, body BLOB);
CREATE TABLE e (a INTEGER REFERENCES a ON DELETE CASCADE, word TEXT);
CREATE TABLE f (u INTEGER NOT NULL, v INTEGER NOT NULL, w TEXT COLLATE NOCASE UNIQUE, UNIQUE (u, v));
"""  # fmt: skip


def seeded(connection: sqlite3.Connection) -> None:
    """The schema with some rows."""
    connection.execute("PRAGMA journal_mode = wal")
    connection.executescript(SCHEMA)
    chance = random.Random(7)
    for n in range(1, 41):
        connection.execute(
            "INSERT INTO a VALUES (?, ?, ?, ?)", (n, f"code {n}", chance.choice([None, n // 2 or None]), n / 3)
        )
        connection.execute("INSERT INTO b VALUES (?, ?, ?)", (n % 7, f"y{n}", chance.randint(1, n)))
        connection.execute(
            "INSERT INTO c VALUES (?, ?, ?, ?, ?)", (n, n % 7, f"y{n}", 100 - n, chance.choice([None, n]))
        )
        connection.execute("INSERT INTO d VALUES (?, ?, ?)", (f"d{n}", chance.randint(1, n), bytes([n, 0, 255])))
        connection.execute("INSERT INTO e VALUES (?, ?)", (chance.randint(1, n), chance.choice(["p", "q", None])))
        connection.execute("INSERT INTO f VALUES (?, ?, ?)", (n % 5, n, f"Word {n}"))


@settings(max_examples=12)
@given(made=tables(), seed=st.integers(0, 2**32), limit=st.sampled_from([1, 2, 7, 1000]))
def test_random_statements_on_random_tables(
    make_sqlite: MakeSqlite, database: str, made: list[RandomTable], seed: int, limit: int
) -> None:
    emptied(database)
    path = make_sqlite(lambda connection: fill(connection, made))
    with following(path, database) as followed, closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = on")
        work = Workload(connection, seed)
        for _ in range(6):
            for _ in range(10):
                work.transaction()
            followed.follow(limit)
        followed.equal()


@pytest.mark.parametrize("ids", ["keep", "uuid"])
@pytest.mark.parametrize(("seed", "limit"), [(1, 1), (2, 5), (3, 50), (4, 1 << 40)])
def test_random_statements_with_references_of_all_kinds(
    make_sqlite: MakeSqlite, database: str, ids: str, seed: int, limit: int
) -> None:
    path = make_sqlite(seeded)
    with following(path, database, ids=ids) as followed:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = on")
            work = Workload(connection, seed)
            for _ in range(10):
                for _ in range(40):
                    work.transaction()
                followed.follow(limit)
        followed.equal()


def test_another_process_writes_while_rows_are_copied_and_followed(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(seeded)
    plan, _ = engine.planned(path)
    with writing(path, 5) as process:
        snapshot = arranged(path, database, plan)
        engine.create(database, plan)
        engine.copy(snapshot, database, plan)
        engine.finish(snapshot, database, plan)
        began(path, snapshot, database)
        with opened(path, database, plan) as followed:
            for _ in range(40):
                followed.steps.once(followed.source, followed.target, 200, prove=True)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=30)
            followed.follow(200)
            followed.equal()


def writing(path: Path, seed: int) -> subprocess.Popen[str]:
    """A process that writes at random."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.workload", str(path), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process
