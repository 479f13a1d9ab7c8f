# SPDX-License-Identifier: GPL-3.0-or-later
"""While the rows are copied no service follows yet. A change log that somebody drops meanwhile is noticed all the same:
the application's writes go on within seconds, and the copy ends with the reason."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover.capture.install import install
from cutover.capture.watch import watched
from cutover.errors import SourceChanged
from support import engine
from support.independent import execute
from support.project import run_module

SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INT);
CREATE INDEX by_n ON t (n);
INSERT INTO t WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000) SELECT x, 'name ' || x, x FROM c;
"""
WRITE = "INSERT INTO t (name) VALUES ('more')"
#: What a tool does that drops the tables it does not know.
PUSH = "DROP TABLE pg_cutover_log; DROP TABLE pg_cutover_capture"
#: Seconds on a busy machine; it looks twice a second.
SOON = 20


def run(path: Path, script: str) -> None:
    """Another connection runs statements."""
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        connection.executescript(script)


def writes_go_on(path: Path) -> bool:
    """Whether the application can write, within some seconds."""
    until = time.monotonic() + SOON
    while time.monotonic() < until:
        try:
            run(path, WRITE)
            return True
        except sqlite3.OperationalError as error:
            assert "pg_cutover_log" in str(error)
            time.sleep(0.05)
    return False


def own_triggers(path: Path) -> list[Any]:
    """The capture's triggers."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'pg_cutover*'"
        ).fetchall()


@contextmanager
def locked(url: str, mode: str) -> Iterator[Any]:
    """A transaction that keeps others from the table; its cursor."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE t IN {mode} MODE")
        yield cursor
        connection.rollback()


def blocked(cursor: Any) -> None:
    """Wait until another session of the database waits for a lock."""
    until = time.monotonic() + 60
    while True:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        if cursor.fetchone()[0]:
            return
        assert time.monotonic() < until
        time.sleep(0.1)


class Running:
    """A module at work beside the test."""

    def __init__(self, work: Callable[[], dict[str, Any]]) -> None:
        self.answer: dict[str, Any] = {}
        self._thread = threading.Thread(target=lambda: self.answer.update(work()))
        self._thread.start()

    def ended(self) -> dict[str, Any]:
        """Its answer."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.answer


@pytest.fixture
def captured(make_sqlite: MakeSqlite, tmp_path: Path, database: str) -> dict[str, Any]:
    """A source that logs its changes, a snapshot of it, and empty tables; the arguments of the modules."""
    source, copy = make_sqlite(SCHEMA), tmp_path / "snapshot.sqlite"
    run(source, "PRAGMA journal_mode = WAL")
    plan, _ = engine.planned(source)
    install(str(source), plan)
    with closing(sqlite3.connect(source)) as connection, closing(sqlite3.connect(copy)) as into:
        connection.backup(into)
    engine.create(database, plan)
    return {
        "source_path": str(copy),
        "captured_path": str(source),
        "plan": plan.as_dict(),
        "target_url": database,
    }


def test_the_copy_ends_at_once(captured: dict[str, Any], tmp_path: Path) -> None:
    source = Path(captured["captured_path"])
    arguments = {**captured, "name": "app", "state_dir": str(tmp_path / "state"), "position": "one", "workers": 2}
    assert not run_module("cutover_copy", **arguments).get("failed")
    # As if it had been killed before its only range was committed.
    execute(captured["target_url"], "TRUNCATE t", "UPDATE pgcutover.ranges SET rows = NULL")
    with locked(captured["target_url"], "SHARE") as cursor:
        running = Running(lambda: run_module("cutover_copy", **arguments))
        blocked(cursor)
        run(source, PUSH)
        assert writes_go_on(source)
        # Though PostgreSQL still does not let it write.
        told = running.ended()
    assert "the change log was dropped" in told["msg"]
    assert "run cutover.yml again" in told["msg"]
    assert own_triggers(source) == []


def test_an_index_that_takes_long_is_no_excuse(captured: dict[str, Any], tmp_path: Path) -> None:
    source = Path(captured["captured_path"])
    more = {"name": "app", "state_dir": str(tmp_path / "state"), "position": "one", "workers": 1}
    assert not run_module("cutover_copy", **captured, **more).get("failed")
    with locked(captured["target_url"], "ROW EXCLUSIVE") as cursor:
        running = Running(lambda: run_module("cutover_schema", phase="finish", workers=1, **captured))
        blocked(cursor)
        run(source, "DROP TRIGGER pg_cutover_capture_0_insert")
        until = time.monotonic() + SOON
        while own_triggers(source):
            assert time.monotonic() < until
            time.sleep(0.1)
    told = running.ended()
    assert "lost the triggers of its capture" in told["msg"]


def test_what_is_fine_is_left_alone(captured: dict[str, Any], tmp_path: Path) -> None:
    source = Path(captured["captured_path"])
    before = own_triggers(source)
    run(source, WRITE)
    told = run_module(
        "cutover_backup",
        name="app",
        state_dir=str(tmp_path / "state"),
        source_path=str(source),
        captured_path=str(source),
        kind="snapshot",
    )
    assert told["changed"]
    assert own_triggers(source) == before
    # Nobody watches any more.
    run(source, "VACUUM")
    with watched(None):
        run(source, PUSH)
    assert own_triggers(source) == before


def test_whoever_watches_ends_with_it(captured: dict[str, Any]) -> None:
    source = captured["captured_path"]
    with watched(source):
        time.sleep(1)
        run(Path(source), WRITE)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    run(Path(source), PUSH)
    # Also what happened before it looked: the tables are dropped between two modules.
    with pytest.raises(SourceChanged, match="the change log was dropped"), watched(source):
        time.sleep(SOON)
    assert own_triggers(Path(source)) == []
