# SPDX-License-Identifier: GPL-3.0-or-later
"""Random schemas and workloads: the log names every row that changed, and no statement of the application notices."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import IN_CI
from cutover.capture.install import install
from cutover.capture.standing import text
from support.captured import Replica, schema, writes
from support.engine import planned

_SEEDS = range(200 if IN_CI else 60)
_STATEMENTS = 120


_WITH_ROWID = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%WITHOUT ROWID'"


def outcome(connection: sqlite3.Connection, statement: str) -> tuple[Any, ...]:
    """What an application sees of a statement.

    last_insert_rowid() only where something was inserted: once a table has any trigger, SQLite finds out that a foreign
    key fails when the row is in already, and keeps the rowid of the row that it takes out again.
    """
    try:
        rows = connection.execute(statement).fetchall()
    except sqlite3.Error as error:
        return type(error).__name__, str(error), connection.in_transaction
    changed, last = connection.execute("SELECT changes(), last_insert_rowid()").fetchone()
    inserted = "DO UPDATE" not in statement and changed
    inserted = inserted and any(f"INTO {text(name)} " in statement for (name,) in connection.execute(_WITH_ROWID))
    return rows, changed, last if inserted else None, connection.in_transaction


def contents(connection: sqlite3.Connection) -> list[list[tuple[Any, ...]]]:
    columns = [f"SELECT *, typeof(id), typeof(a) FROM {name}" for name in ("one", "two")]
    return [sorted(connection.execute(query).fetchall(), key=repr) for query in columns]


def made(rng: random.Random, path: Path) -> list[str]:
    """Make a database with some rows; return the settings that its application uses."""
    recursive = rng.random() < 0.3
    settings = [f"PRAGMA foreign_keys = {rng.choice(['ON', 'OFF'])}", f"PRAGMA recursive_triggers = {recursive}"]
    while True:
        with closing(opened(path, settings)) as connection:
            try:
                connection.executescript("PRAGMA journal_mode = wal;" + schema(rng, recursive))
            except sqlite3.OperationalError:
                # Not every combination is possible.
                connection.close()
                path.unlink()
                continue
            for statement in writes(rng, 30, recursive):
                outcome(connection, statement)
            return settings


def opened(path: Path, settings: list[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.text_factory = bytes
    for setting in settings:
        connection.execute(setting)
    return connection


@pytest.mark.parametrize("seed", _SEEDS)
def test_every_change_is_followed_and_none_is_noticed(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path, twin = tmp_path / "source.sqlite", tmp_path / "twin.sqlite"
    settings = made(rng, path)
    shutil.copy(path, twin)
    plan, _ = planned(path)
    install(str(path), plan)
    replica = Replica(path, plan)
    odd = False
    with closing(opened(path, settings)) as application, closing(opened(twin, settings)) as control:
        for statement in writes(rng, _STATEMENTS, settings[1].endswith("True")):
            seen, wanted = outcome(application, statement), outcome(control, statement)
            if seen != wanted and control.execute("PRAGMA foreign_key_check").fetchall():
                # SQLite lets a REPLACE get away with a deferred key that it refuses once the table has a trigger.
                assert seen[0] == "IntegrityError"
                odd = True
                break
            assert (seen, statement) == (wanted, statement)
            if not application.in_transaction and rng.random() < 0.2:
                replica.follow(rng.choice([1, 3, 1000]))
                assert replica.differences() == [], statement
        if application.in_transaction and not odd:
            assert outcome(application, "COMMIT") == outcome(control, "COMMIT")
        if application.in_transaction:
            application.execute("ROLLBACK")
            outcome(control, "ROLLBACK")
        replica.follow()
        assert replica.differences() == []
        assert odd or contents(application) == contents(control)
