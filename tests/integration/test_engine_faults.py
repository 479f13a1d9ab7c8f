# SPDX-License-Identifier: GPL-3.0-or-later
"""What a killed run or a lively source leaves in the way of the engine."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from cutover import access
from cutover.errors import Refused, TargetError
from cutover.target.connect import check_url, connect
from support import engine
from support.postgres import Cluster

TABLES = """
CREATE TABLE one (id INTEGER PRIMARY KEY, v TEXT);
CREATE INDEX one_v ON one (v);
INSERT INTO one (v) VALUES ('a'), ('b');
"""


def _alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("statement", ["CREATE TABLE two (id INTEGER)", "ALTER TABLE one ADD COLUMN w TEXT"])
def test_a_table_that_the_plan_does_not_know_stops_the_copy(
    database: str, make_sqlite: Callable[[str], Path], statement: str
) -> None:
    path = make_sqlite(TABLES)
    plan, _ = engine.planned(path)
    engine.create(database, plan)
    _alter(path, statement)
    with pytest.raises(Refused, match=r"structure changed after the plan was made: table (one|two) was"):
        engine.copy(path, database, plan)


def test_a_table_made_while_the_rows_were_copied_stops_the_comparison(
    database: str, make_sqlite: Callable[[str], Path]
) -> None:
    path = make_sqlite(TABLES)
    plan, _ = engine.planned(path)
    engine.create(database, plan)
    engine.copy(path, database, plan)
    engine.finish(path, database, plan)
    assert engine.verify(path, database, plan)["ok"]
    _alter(path, "CREATE TABLE two (id INTEGER)")
    with pytest.raises(Refused, match="table two was created"):
        engine.verify(path, database, plan)


def test_indexes_wait_for_those_that_a_killed_run_still_builds(
    database: str, make_sqlite: Callable[[str], Path]
) -> None:
    """The server goes on with a statement whose client is dead; a second one for the same index would fail."""
    path = make_sqlite(TABLES)
    plan, _ = engine.planned(path)
    engine.create(database, plan)
    engine.copy(path, database, plan)
    ended: list[float] = []
    with closing(psycopg2.connect(database)) as dead:
        dead.autocommit = True
        with dead.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", ("pgcutover",))

            def work() -> None:
                engine.finish(path, database, plan)
                ended.append(time.monotonic())

            waiting = threading.Thread(target=work)
            waiting.start()
            time.sleep(0.5)
            assert not ended
            cursor.execute("CREATE INDEX one_v ON one (v)")
            released = time.monotonic()
    waiting.join(30)
    assert ended
    assert ended[0] > released
    assert engine.verify(path, database, plan)["ok"]


def test_writes_are_counted_from_the_first_opening(postgres: Cluster, make_sqlite: Callable[[str], Path]) -> None:
    """A rollback that was called off closes PostgreSQL and opens it again; what was written before is no less there."""
    made = postgres.create_database()
    path = make_sqlite(TABLES)
    plan, _ = engine.planned(path)
    engine.create(made.url, plan)
    engine.copy(path, made.url, plan)
    engine.finish(path, made.url, plan)
    with closing(psycopg2.connect(postgres.superuser_url())) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE ROLE application LOGIN PASSWORD 'app'")
        cursor.execute(f'GRANT CONNECT ON DATABASE "{made.name}" TO application')
    with closing(connect(made.url)) as owner:
        assert access.open_access(owner, plan, "application")
        with closing(psycopg2.connect(postgres.url("application", "app", made.name))) as application:
            with application, application.cursor() as cursor:
                cursor.execute("INSERT INTO one (v) VALUES ('c')")
        assert access.close_access(owner, plan)
        assert access.read_access(owner, plan.schema, plan.name)["writes"] == []
        assert access.open_access(owner, plan, "application")
        deadline = time.monotonic() + 20
        while (told := access.read_access(owner, plan.schema, plan.name)["writes"]) != [{"table": "one", "writes": 1}]:
            assert time.monotonic() < deadline, told
            time.sleep(0.2)


@pytest.mark.parametrize(
    "url", ["postgresql://u:12/hidden@h/db", "postgresql://u:12?hidden@h/db", "postgresql://u:12#hidden@h/db"]
)
def test_a_password_that_looks_like_a_port_and_a_path_is_not_tried(url: str) -> None:
    with pytest.raises(TargetError, match="percent-encoded") as refused:
        check_url(url)
    assert "hidden" not in refused.value.message
