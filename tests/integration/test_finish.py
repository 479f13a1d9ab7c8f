# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, indexes and foreign keys over several sessions: the same objects as by one, resumable, no failure unseen."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover.errors import Refused
from cutover.plan.model import Plan
from support.engine import copy, create, finish, planned, verify
from support.postgres import Cluster

#: Tables that refer to each other in a circle, each with indexes of its own.
CIRCLE = "".join(
    f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY, a INT UNIQUE, b TEXT, next INT REFERENCES t{(n + 1) % 5} (a));"
    f"CREATE INDEX t{n}_b ON t{n} (b, a);"
    f"WITH RECURSIVE s (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM s LIMIT 3000)"
    f" INSERT INTO t{n} SELECT n, n, 'text ' || n, n FROM s;"
    for n in range(5)
)


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def execute(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def objects(url: str) -> list[list[tuple[Any, ...]]]:
    """Every constraint and index of the tables, as PostgreSQL writes it."""
    return [
        fetch(
            url,
            "SELECT conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
        ),
        fetch(url, "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
        fetch(url, "SELECT attrelid::regclass::text, attname, attnotnull FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
            " WHERE relnamespace = 'public'::regnamespace AND attnum > 0 ORDER BY 1, 2"),
    ]  # fmt: skip


def loaded(path: Path, url: str) -> Plan:
    plan, _ = planned(path)
    create(url, plan)
    copy(path, url, plan)
    return plan


def test_several_sessions_make_what_one_makes(make_sqlite: MakeSqlite, postgres: Cluster) -> None:
    path = make_sqlite(CIRCLE)
    found = []
    for workers in (1, 4):
        database = postgres.create_database()
        plan = loaded(path, database.url)
        assert finish(path, database.url, plan, workers)
        assert finish(path, database.url, plan, workers) == []
        assert verify(path, database.url, plan)["ok"]
        found.append(objects(database.url))
    assert found[0] == found[1]
    assert [len(kind) >= least for kind, least in zip(found[0], (10, 15, 20))] == [True] * 3


def test_failure_of_one_session_is_told_and_the_next_run_goes_on(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(CIRCLE)
    plan = loaded(path, database)
    execute(database, "INSERT INTO t3 (id, a, b) VALUES (9999, 7, 'twice')")
    with pytest.raises(Refused, match=r"table t3: .*t3_a_key"):
        finish(path, database, plan, 3)
    execute(database, "DELETE FROM t3 WHERE id = 9999")
    finish(path, database, plan, 3)
    assert finish(path, database, plan, 3) == []
    assert verify(path, database, plan)["ok"]


def test_index_of_a_key_whose_run_was_killed_becomes_the_key(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(CIRCLE)
    plan = loaded(path, database)
    execute(database, "CREATE UNIQUE INDEX t1_pkey ON t1 (id)")
    run = finish(path, database, plan, 2)
    assert 'ALTER TABLE "public"."t1" ADD CONSTRAINT "t1_pkey" PRIMARY KEY USING INDEX "t1_pkey"' in run
    assert not [s for s in run if s.startswith('CREATE UNIQUE INDEX "t1_pkey"')]
    assert verify(path, database, plan)["ok"]


def test_sessions_are_gone_afterwards_and_change_no_setting_of_others(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(CIRCLE)
    settings = "SELECT name, setting FROM pg_settings WHERE name LIKE '%maintenance%' ORDER BY 1"
    before = fetch(database, settings)
    finish(path, database, loaded(path, database), 3)
    assert fetch(database, settings) == before
