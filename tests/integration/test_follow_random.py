# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an application does to whatever tables while they are copied and followed: in the end both sides are equal."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import MakeSqlite
from support import engine
from support.following import arranged, began, following, opened
from support.independent import emptied
from support.random_schemas import RandomTable, fill, tables
from support.workload import Workload, seeded, writing


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
        began(path, snapshot, database, plan)
        with opened(path, database, plan) as followed:
            for _ in range(40):
                followed.steps.once(followed.source, followed.target, 200, prove=True)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=30)
            followed.follow(200)
            followed.equal()
