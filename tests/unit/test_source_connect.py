# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which a SQLite file cannot be used ends in one message that names the file and what to do."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import MakeSqlite
from cutover.errors import SourceError
from cutover.plan.choose import is_temporal
from cutover.source.connect import open_readonly, open_writable
from cutover.source.survey import survey
from support.processes import holding

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, d DATETIME); CREATE INDEX i ON t (x);"


def message(path: Path | str, timeout: float = 0.05) -> str:
    """What opening says; it must name the file."""
    with pytest.raises(SourceError) as caught:
        open_readonly(str(path), timeout=timeout)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def filled(connection: sqlite3.Connection) -> None:
    connection.executescript(SCHEMA)
    connection.executemany("INSERT INTO t (x, d) VALUES (?, ?)", [(f"{n:x}" * 30, n) for n in range(2000)])


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file. Check cutover_source_path" in message(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()
    with pytest.raises(SourceError, match="no such file"):
        open_writable(str(tmp_path / "none.sqlite"))
    assert not (tmp_path / "none.sqlite").exists()


def test_folder_and_other_things_that_are_no_file(tmp_path: Path) -> None:
    assert "not a regular file" in message(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in message(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be reached" in message(tmp_path / "loop")
    (tmp_path / "file").write_text("x")
    assert "cannot be reached" in message(tmp_path / "file" / "below")


def test_files_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"")
    assert "is empty" in message(path)
    path.write_text("id,name\n1,x\n")
    assert "is no SQLite database" in message(path)
    path.write_bytes(random.Random(7).randbytes(8192))
    assert "encrypted" in message(path)
    path.write_bytes(b"SQLite format 3\0")
    assert "is no SQLite database" in message(path)
    path.write_bytes(b"SQLite format 3\0" + random.Random(7).randbytes(8192))
    assert "is no SQLite database, or it is encrypted" in message(path)


def test_unreadable_file(make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_sqlite(SCHEMA)

    # Root may read everything, so the refusal is played.
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    assert "cannot be read (Permission denied). Run as the file's owner" in message(path)


def test_file_that_another_process_holds(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(SCHEMA)
    with holding(path, "BEGIN EXCLUSIVE"):
        assert "is locked by another process (database is locked)" in message(path)
    with closing(open_readonly(str(path))):
        pass
    with holding(path, "PRAGMA journal_mode = WAL", "PRAGMA locking_mode = EXCLUSIVE", "INSERT INTO t (x) VALUES (1)"):
        assert "is locked by another process" in message(path)


def test_readers_and_writers_elsewhere_do_not_matter(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(SCHEMA)
    late = ("PRAGMA journal_mode = WAL", "BEGIN IMMEDIATE", "INSERT INTO t (x) VALUES ('late')")
    with holding(path, *late), closing(open_readonly(str(path), timeout=0.05)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_file_that_was_cut_short(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(filled)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(SourceError, match=r"corrupt|damage") as caught:
        survey(str(path), is_temporal, 1)
    assert str(path) in str(caught.value)
    assert "Restore" in str(caught.value)


def test_damage_is_found_before_anything_is_profiled(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(filled)
    with closing(sqlite3.connect(path)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'i'").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x5a" * 300)
    with pytest.raises(SourceError, match=r"integrity_check finds damage|is corrupt"):
        survey(str(path), is_temporal, 1)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(16, 40_000), st.binary(min_size=1, max_size=64)), min_size=1, max_size=4))
def test_whatever_is_damaged_the_error_is_one_message(tmp_path: Path, damage: list[tuple[int, bytes]]) -> None:
    path = tmp_path / "damaged.sqlite"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA + "CREATE VIEW v AS SELECT x FROM t; CREATE VIRTUAL TABLE f USING fts5(x);")
        connection.executemany("INSERT INTO t (x, d) VALUES (?, ?)", [(f"{n:x}" * 9, n) for n in range(300)])
    with path.open("r+b") as file:
        for at, raw in damage:
            file.seek(at)
            file.write(raw)
    try:
        survey(str(path), is_temporal, 1)
    except SourceError as error:
        assert "Traceback" not in str(error)


def test_a_file_is_never_written_by_reading(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(filled)
    before = (path.read_bytes(), path.stat().st_mtime_ns, sorted(p.name for p in path.parent.iterdir()))
    survey(str(path), is_temporal, 1)
    with closing(open_readonly(str(path))) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM t")
    assert before == (path.read_bytes(), path.stat().st_mtime_ns, sorted(p.name for p in path.parent.iterdir()))


def test_path_may_hold_anything_a_file_name_may(tmp_path: Path) -> None:
    for name in ("a b?.sqlite", "50%.sqlite", "a#b&mode=rwc.sqlite", "ünï.sqlite"):
        path = tmp_path / name
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE t (x)")
        with closing(open_readonly(str(path))) as connection:
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    assert len(list(tmp_path.iterdir())) == 4
