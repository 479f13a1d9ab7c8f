# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of other kinds: UTF-16, a write-ahead log that nobody checkpointed, a journal that a crash left behind."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from conftest import MakeSqlite
from corpus.values import AWKWARD
from cutover.errors import SourceError
from support.engine import checked, errors, migrate, planned
from support.independent import fetch, in_postgresql, in_sqlite
from support.processes import holding

KINDS = {"k": "text", "v": "text", "j": "json", "at": "iso", "n": "decimal"}


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_utf16_arrives_as_the_same_characters(make_sqlite: MakeSqlite, database: str, encoding: str) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute(
            'CREATE TABLE "Ünï 🐘" (k TEXT PRIMARY KEY, v VARCHAR(10000), j JSON, at DATETIME, n DECIMAL(9,2), UNIQUE (v, at)) WITHOUT ROWID'
        )
        row = '{"é": "🐘"}', "2024-02-29 12:00:00", 1.25
        rows = [(value, value[:100], *row) for value in dict.fromkeys(AWKWARD)]
        connection.executemany('INSERT OR IGNORE INTO "Ünï 🐘" VALUES (?, ?, ?, ?, ?)', rows)

    path = make_sqlite(fill)
    # Lengths are those of the characters, keys are the same bytes in another order.
    result = migrate(path, database, {"tables": {"Ünï 🐘": {"indexes": {"Ünï 🐘_v_at_key": {"carry": True}}}}})
    assert result.verified["ok"]
    assert result.plan.source["encoding"] == encoding
    assert in_postgresql(database, "Ünï 🐘", KINDS) == in_sqlite(path, "Ünï 🐘", KINDS)
    assert len(in_sqlite(path, "Ünï 🐘", KINDS)) > 40


def test_text_of_utf16_that_is_too_long_or_holds_nul_is_named(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (id INTEGER PRIMARY KEY, v VARCHAR(3), w TEXT);"
        "INSERT INTO t VALUES (1, '🐘🐘🐘', 'ok'), (2, 'éééé', 'a' || char(0) || 'b')"
    )
    plan, findings = planned(path)
    found = errors(findings + checked(path, plan))
    assert [(f.column, f.key, f.message.split(",")[0]) for f in found] == [
        ("v", "id=2", "has 4 characters"),
        ("w", "id=2", "text holds a NUL character"),
    ]


_NUMBERS = "WITH RECURSIVE s (n) AS (SELECT {0} UNION ALL SELECT n + 1 FROM s WHERE n < {1})"


def wal(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    connection.execute(f"{_NUMBERS.format(1, 100)} INSERT INTO t SELECT n, 'early ' || n FROM s")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def test_rows_that_only_the_write_ahead_log_holds_are_carried(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(wal)
    late = f"{_NUMBERS.format(101, 300)} INSERT INTO t SELECT n, 'late ' || n FROM s"
    before = path.stat().st_size
    with holding(path, "PRAGMA wal_autocheckpoint = 0", late, "UPDATE t SET v = 'changed' WHERE id = 7"):
        assert Path(f"{path}-wal").stat().st_size > 0
        assert path.stat().st_size == before, "nothing is in the file itself yet"
        result = migrate(path, database)
    assert result.verified["ok"]
    assert fetch(database, "SELECT count(*), max(id), min(v) FILTER (WHERE id = 7) FROM t") == [(300, 300, "changed")]


def test_write_ahead_log_that_a_crash_left_is_carried(make_sqlite: MakeSqlite, database: str, tmp_path: Path) -> None:
    path = make_sqlite(wal)
    left = tmp_path / "left"
    left.mkdir()
    late = f"{_NUMBERS.format(101, 300)} INSERT INTO t SELECT n, 'late ' || n FROM s"
    with holding(path, "PRAGMA wal_autocheckpoint = 0", late, "BEGIN", "DELETE FROM t"):
        # As the disk is when the machine dies: the log's index is memory, and the DELETE was never committed.
        for name in (path.name, f"{path.name}-wal"):
            shutil.copy(path.parent / name, left / name)
    assert migrate(left / path.name, database).verified["ok"]
    assert fetch(database, "SELECT count(*), max(v) FROM t") == [(300, "late 300")]


_HALF_WRITTEN = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN")
connection.execute("UPDATE t SET v = 'half written' || v")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_half_written_transaction_of_a_crash_is_never_carried(make_sqlite: MakeSqlite, database: str) -> None:
    """The pages of a killed writer are in the file already; only its journal tells that they do not count."""
    path = make_sqlite(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); {_NUMBERS.format(1, 5000)} INSERT INTO t SELECT n, hex(zeroblob(50)) FROM s"
    )
    done = subprocess.run([sys.executable, "-c", _HALF_WRITTEN, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert Path(f"{path}-journal").stat().st_size > 512
    assert b"half written" in path.read_bytes()
    with pytest.raises(SourceError, match=r"a writer that was killed left its journal \(.*-journal\).*`sqlite3 "):
        migrate(path, database)
    assert b"half written" in path.read_bytes(), "nothing was changed"
    # Whoever opens it for writing once, as the application does, rolls back what was not committed.
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    assert migrate(path, database).verified["ok"]
    assert fetch(database, "SELECT count(*), count(*) FILTER (WHERE v LIKE 'half%') FROM t") == [(5000, 0)]
