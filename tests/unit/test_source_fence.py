# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence: from its commit on every write gets an error, reads go on, and lifting it leaves no trace."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conftest import MakeSqlite
from cutover.errors import SourceError
from cutover.source import fence
from cutover.source.connect import open_readonly
from cutover.source.fence import fence_id, lift_fence, raise_fence
from cutover.source.sqltokens import quote
from support.engine import described
from support.processes import holding, written_elsewhere
from support.project import ROOT

SCHEMA = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, parent INT REFERENCES parent ON DELETE CASCADE, note TEXT);
CREATE TABLE bare ("a b%c" TEXT PRIMARY KEY, n INT) WITHOUT ROWID;
CREATE TABLE "we""ird 'name'" (x, y AS (x || 'y') STORED);
CREATE VIEW shown AS SELECT id, name FROM parent;
CREATE TRIGGER through INSTEAD OF INSERT ON shown BEGIN INSERT INTO parent VALUES (NEW.id, NEW.name); END;
CREATE TRIGGER mine AFTER UPDATE ON parent BEGIN UPDATE child SET note = 'seen'; END;
INSERT INTO parent VALUES (1, 'one'), (2, 'two');
INSERT INTO child (parent, note) VALUES (1, 'x');
INSERT INTO bare VALUES ('k', 1);
INSERT INTO "we""ird 'name'" VALUES (1);
"""

WRITES = [
    "INSERT INTO parent VALUES (3, 'three')",
    "INSERT INTO parent (name) VALUES ('four')",
    "INSERT INTO parent DEFAULT VALUES",
    "INSERT INTO parent SELECT id + 10, name || '2' FROM parent",
    "INSERT OR IGNORE INTO parent VALUES (3, 'three')",
    "INSERT OR IGNORE INTO parent VALUES (1, 'conflict')",
    "INSERT OR REPLACE INTO parent VALUES (1, 'uno')",
    "INSERT OR FAIL INTO parent VALUES (3, 'three')",
    "INSERT OR ROLLBACK INTO parent VALUES (3, 'three')",
    "REPLACE INTO parent VALUES (1, 'uno')",
    "INSERT INTO parent VALUES (1, 'uno') ON CONFLICT DO NOTHING",
    "INSERT INTO parent VALUES (1, 'uno') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    "INSERT INTO shown VALUES (9, 'through a view')",
    "UPDATE parent SET name = name",
    "UPDATE OR IGNORE parent SET name = 'x' WHERE id = 1",
    "UPDATE OR REPLACE parent SET name = 'two' WHERE id = 1",
    "UPDATE child SET note = 'y' FROM parent WHERE parent.id = child.parent",
    "DELETE FROM parent",
    "DELETE FROM parent WHERE id = 2",
    "DELETE FROM child",
    "UPDATE bare SET n = n + 1",
    "REPLACE INTO bare VALUES ('k', 2)",
    "DELETE FROM bare",
    'INSERT INTO "we""ird \'name\'" (x) VALUES (2)',
    "WITH more AS (SELECT 7 AS id) INSERT INTO parent (id) SELECT id FROM more",
]


def schema(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master ORDER BY rowid"
        ).fetchall()


def contents(path: Path) -> list[list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").fetchall()
        names = [name for (name,) in tables if not name.startswith("pg_cutover_")]
        return [connection.execute(f"SELECT * FROM {quote(name)} ORDER BY 1").fetchall() for name in names]


@pytest.fixture(params=["delete", "wal"])
def source(request: pytest.FixtureRequest, make_sqlite: MakeSqlite) -> Path:
    return make_sqlite(f"PRAGMA journal_mode = {request.param};{SCHEMA}")


@pytest.fixture
def application(source: Path) -> Iterator[sqlite3.Connection]:
    """A connection from before the fence, with statements that it has run already."""
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for statement in WRITES:
            connection.execute("BEGIN")
            try:
                connection.execute(statement)
            except sqlite3.IntegrityError:
                pass
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        yield connection


def test_every_write_of_an_open_connection_is_refused(source: Path, application: sqlite3.Connection) -> None:
    before = contents(source)
    raise_fence(str(source), "f-1")
    for statement in WRITES:
        with pytest.raises(
            sqlite3.IntegrityError, match="pg-cutover fence f-1: this SQLite database is closed to writes"
        ):
            application.execute(statement)
    assert contents(source) == before
    lift_fence(str(source))
    assert contents(source) == before


def test_foreign_key_actions_are_refused_too(source: Path, application: sqlite3.Connection) -> None:
    raise_fence(str(source), "f-1")
    with closing(sqlite3.connect(source)) as connection:
        # As if the fence of the parent alone had been taken away: the cascade still meets that of the child.
        names = [
            n
            for (n,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE tbl_name = 'parent' AND name LIKE 'pg_cutover%'"
            )
        ]
        for name in names:
            connection.execute(f"DROP TRIGGER {name}")
    with pytest.raises(sqlite3.IntegrityError, match="fence"):
        application.execute("DELETE FROM parent WHERE id = 1")


def test_transaction_that_began_before_cannot_write_afterwards(make_sqlite: MakeSqlite) -> None:
    source = make_sqlite(f"PRAGMA journal_mode = wal;{SCHEMA}")
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM parent").fetchone()
        raise_fence(str(source), "f-1")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("INSERT INTO parent VALUES (3, 'late')")
        connection.execute("ROLLBACK")
        with pytest.raises(sqlite3.IntegrityError, match="fence"):
            connection.execute("INSERT INTO parent VALUES (3, 'late')")


def test_reads_go_on(source: Path, application: sqlite3.Connection) -> None:
    raise_fence(str(source), "f-1")
    assert application.execute("SELECT count(*) FROM parent JOIN child ON child.parent = parent.id").fetchone() == (1,)
    assert application.execute("SELECT name FROM shown ORDER BY id").fetchall() == [("one",), ("two",)]
    application.execute("CREATE TEMP TABLE scratch AS SELECT * FROM parent")
    application.execute("DELETE FROM temp.scratch")


def test_lifting_restores_exactly_the_former_schema(source: Path, application: sqlite3.Connection) -> None:
    before = schema(source)
    assert [s for s in raise_fence(str(source), "f-1") if s.startswith("DROP")] == ['DROP TRIGGER "mine"']
    assert schema(source) != before
    assert len(lift_fence(str(source))) == 15
    assert schema(source) == before
    application.execute("INSERT INTO parent VALUES (3, 'three')")
    written_elsewhere(source, "UPDATE child SET note = 'free'")
    assert lift_fence(str(source)) == []


def test_fence_is_known_by_its_identifier_and_stands_once(source: Path) -> None:
    def standing() -> str | None:
        with closing(open_readonly(str(source))) as connection:
            return fence_id(connection)

    assert standing() is None
    raise_fence(str(source), "f-1")
    fenced = schema(source)
    assert raise_fence(str(source), "f-2") == []
    assert (standing(), schema(source)) == ("f-1", fenced)
    lift_fence(str(source))
    assert standing() is None
    with pytest.raises(ValueError, match="'"):
        raise_fence(str(source), "x'; DROP TABLE parent; --")


def test_fence_is_never_described_nor_carried(source: Path) -> None:
    before = described(source)
    raise_fence(str(source), "f-1")
    fenced = described(source)
    assert (fenced.tables, fenced.others) == (before.tables, before.others)


def test_check_mode_changes_nothing(source: Path) -> None:
    before = source.read_bytes()
    assert len(raise_fence(str(source), "f-1", check_mode=True)) == 16
    assert source.read_bytes() == before
    raise_fence(str(source), "f-1")
    fenced = schema(source)
    assert len(lift_fence(str(source), check_mode=True)) == 15
    assert schema(source) == fenced


_KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from cutover.source import fence
statements = fence.statements if sys.argv[3] == "raise" else fence.lift_statements
def killed(*arguments):
    for number, statement in enumerate(statements(*arguments)):
        if number == 7:
            os.kill(os.getpid(), 9)
        yield statement
if sys.argv[3] == "raise":
    fence.statements = killed
    fence.raise_fence(sys.argv[2], "f-1")
else:
    fence.lift_statements = killed
    fence.lift_fence(sys.argv[2])
"""


@pytest.mark.parametrize("way", ["raise", "lift"])
def test_killed_between_means_nothing_happened(source: Path, way: str) -> None:
    if way == "lift":
        raise_fence(str(source), "f-0")
    before, rows = schema(source), contents(source)
    done = subprocess.run([sys.executable, "-c", _KILLED, str(ROOT / "module_utils"), str(source), way], check=False)
    assert done.returncode == -9
    # The engine itself reads first, without the right to write what a killed process left undone.
    with closing(open_readonly(str(source))) as connection:
        assert fence_id(connection) == ("f-0" if way == "lift" else None)
    assert (schema(source), contents(source)) == (before, rows)


def test_writer_that_does_not_let_go_is_named_as_the_reason(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "WAIT_SECONDS", 0.05)
    before = schema(source)
    with holding(source, "BEGIN IMMEDIATE"):
        with pytest.raises(SourceError, match=r"another process held it .* nothing was changed"):
            raise_fence(str(source), "f-1")
        with pytest.raises(SourceError, match=r"another process held it .* nothing was changed"):
            lift_fence(str(source))
    assert schema(source) == before
