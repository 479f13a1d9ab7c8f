# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is the source at one instant, whole and checked, and is made again only when the source has changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.errors import SourceError
from cutover.progress import Progress
from cutover.source import backup as room
from cutover.source.backup import backup, read_note, remove
from cutover.source.connect import open_readonly
from cutover.source.fence import fence_id, raise_fence
from support.processes import holding, written_elsewhere
from support.project import ROOT


def accounts(connection: sqlite3.Connection, journal: str = "delete") -> None:
    """Money that is moved about but never lost: a torn copy shows in its sum."""
    connection.executescript(
        f"PRAGMA journal_mode = {journal}; CREATE TABLE account (id INTEGER PRIMARY KEY, money INT, pad TEXT)"
    )
    connection.executemany("INSERT INTO account (money, pad) VALUES (100, ?)", [("x" * 500,)] * 500)


def money(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        total: int = connection.execute("SELECT sum(money) FROM account").fetchone()[0]
        return total


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_copy_has_everything_and_tells_its_size_and_checksum(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(accounts), tmp_path / "backup.sqlite"
    made = backup(str(source), str(path))
    assert made["changed"]
    assert contents(path) == contents(source)
    assert (made["path"], made["bytes"]) == (str(path), path.stat().st_size)
    assert made["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backup.sqlite", "backup.sqlite.json", source.name]


def test_copy_is_reused_until_the_source_changes(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(accounts), str(tmp_path / "backup.sqlite")
    first = backup(str(source), path)
    assert backup(str(source), path) == {**first, "changed": False}
    written_elsewhere(source, "UPDATE account SET money = money + 1 WHERE id = 1")
    second = backup(str(source), path)
    assert second["changed"]
    assert second["sha256"] != first["sha256"]
    assert money(Path(path)) == 50_001


def test_change_that_is_still_in_the_log_is_seen_and_copied(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(lambda c: accounts(c, "wal")), str(tmp_path / "backup.sqlite")
    backup(str(source), path)
    # An open connection elsewhere keeps the log from being folded into the file.
    with holding(source, "UPDATE account SET money = money + 5 WHERE id = 1"):
        assert backup(str(source), path)["changed"]
        assert not backup(str(source), path)["changed"]
    assert money(Path(path)) == 50_005
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize("torn", ["copy", "note"])
def test_incomplete_copy_is_made_anew(make_sqlite: MakeSqlite, tmp_path: Path, torn: str) -> None:
    source, path = make_sqlite(accounts), tmp_path / "backup.sqlite"
    backup(str(source), str(path))
    os.truncate(path if torn == "copy" else f"{path}.json", 100)
    assert backup(str(source), str(path))["changed"]
    assert money(path) == 50_000


def test_what_a_killed_run_left_does_not_matter(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(accounts), tmp_path / "backup.sqlite"
    Path(f"{path}.part").write_bytes(b"half a copy")
    Path(f"{path}.json.part").write_bytes(b"half a note")
    backup(str(source), str(path))
    assert money(path) == 50_000
    assert not Path(f"{path}.part").exists()


class WritingMeanwhile(Progress):
    """Progress that is reported after each step of the copy: another process writes then."""

    source: Path
    writes = 0

    def advance(self, table: str, rows: int, size: int) -> None:
        type(self).writes += 1
        if self.writes <= 5:
            pair = (self.writes, 500 - self.writes)
            # From a page that may be copied already to one that is not, and back.
            written_elsewhere(
                self.source,
                f"UPDATE account SET money = money - 70 WHERE id = {pair[0]}",
                f"UPDATE account SET money = money + 70 WHERE id = {pair[1]}",
                f"INSERT INTO account (money, pad) VALUES (0, '{'y' * 3000}')",
            )


def test_copy_is_of_one_instant_while_another_process_writes(
    make_sqlite: MakeSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, path = make_sqlite(lambda c: accounts(c, "wal")), tmp_path / "backup.sqlite"
    monkeypatch.setattr(WritingMeanwhile, "source", source, raising=False)
    monkeypatch.setattr(room, "Progress", WritingMeanwhile)
    monkeypatch.setattr(room, "_PAGES", 5)
    before = contents(source)
    backup(str(source), str(path))
    assert WritingMeanwhile.writes > 5
    assert contents(path) == before
    assert money(source) == 50_000
    # The writes came after the instant of the copy, so the next run copies again.
    assert backup(str(source), str(path))["changed"]
    assert contents(path) == contents(source)


def test_damaged_source_is_refused_and_leaves_no_copy(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(accounts), tmp_path / "backup.sqlite"
    with source.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\x5a" * 4096)
    with pytest.raises(SourceError, match=r"damage|corrupt") as caught:
        backup(str(source), str(path))
    assert str(caught.value).startswith(f"{source}: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name]


def test_rows_that_break_a_declaration_are_no_damage(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(lambda c: accounts(c)), tmp_path / "backup.sqlite"
    with closing(sqlite3.connect(source)) as connection:
        connection.executescript(
            "UPDATE account SET pad = NULL; PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = "
            "'CREATE TABLE account (id INTEGER PRIMARY KEY, money INT CHECK (money > 100), pad TEXT NOT NULL)'"
        )
    backup(str(source), str(path))
    assert contents(path) == contents(source)
    # They do not hide damage either.
    with source.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\x5a" * 4096)
    with pytest.raises(SourceError, match=r"damage|corrupt"):
        backup(str(source), str(path))


def test_damage_keeps_the_good_copy_that_is_there(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(accounts), tmp_path / "backup.sqlite"
    backup(str(source), str(path))
    with source.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\x5a" * 4096)
    with pytest.raises(SourceError):
        backup(str(source), str(path))
    assert money(path) == 50_000


def test_locked_source_is_refused_with_a_message(
    make_sqlite: MakeSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_sqlite(accounts)
    monkeypatch.setattr(room, "open_readonly", lambda path: open_readonly(path, timeout=0.05))
    with holding(source, "BEGIN EXCLUSIVE"), pytest.raises(SourceError, match="locked by another process"):
        backup(str(source), str(tmp_path / "backup.sqlite"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name]


def test_full_disk_is_told_before_and_during_the_copy(
    make_sqlite: MakeSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, path = make_sqlite(accounts), tmp_path / "backup.sqlite"
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); from cutover.source.backup import backup\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from cutover.errors import SourceError\n"
        "try: backup(sys.argv[2], sys.argv[3])\n"
        "except SourceError as error: print(error)\n"
    )
    # A limit on the size of files stands in for the full disk.
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "module_utils"), str(source), str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(f"{path}: the copy of the source cannot be written (")
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name]
    usage: Any = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SourceError, match=r"has 1 MiB free"):
        backup(str(source), str(path))


def test_check_mode_says_what_would_be_done_and_does_nothing(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(accounts), str(tmp_path / "backup.sqlite")
    assert backup(str(source), path, check_mode=True)["changed"]
    assert not os.path.exists(path)
    backup(str(source), path)
    assert not backup(str(source), path, check_mode=True)["changed"]
    assert remove(path, check_mode=True)
    assert read_note(path) is not None
    assert remove(path)
    assert not remove(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name]


def test_copy_of_a_fenced_source_is_open_for_writes(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(accounts), tmp_path / "backup.sqlite"
    before = contents(source)
    raise_fence(str(source), "f-1")
    backup(str(source), str(path))
    assert contents(path) == before
    with closing(sqlite3.connect(path)) as connection:
        assert fence_id(connection) is None


def test_note_survives_as_plain_json(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    source, path = make_sqlite(accounts), str(tmp_path / "backup.sqlite")
    made = backup(str(source), path)
    note = read_note(path)
    assert note is not None
    assert {name: note[name] for name in made if name != "changed"} == {k: v for k, v in made.items() if k != "changed"}
    assert json.loads(Path(path + ".json").read_text()) == note
    assert read_note(str(tmp_path / "none")) is None
