# SPDX-License-Identifier: GPL-3.0-or-later
"""The module sqlite_seal: others cannot write into the file, root can, and afterwards everything is as it was."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.project import run_module

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user: needs root")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file in WAL mode that belongs to the application's user, in a folder that it may write to."""
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "app.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.commit()
    os.chown(folder, NOBODY, NOBODY)
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o640)
    # The application's user must be able to come here.
    for parent in [folder, *folder.parents]:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    return path


def seal(path: Path, state: str, check: bool = False) -> dict[str, Any]:
    return run_module("sqlite_seal", check, path=str(path), state=state)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write_as_the_application(path: Path) -> str:
    """What the application is told when it writes; empty when it may. Python itself may lie where only root can go."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "no answer"
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("INSERT INTO t DEFAULT VALUES")
                connection.commit()
            said = ""
        except (sqlite3.Error, OSError) as error:
            said = str(error)
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return answer.read()


def test_the_application_cannot_write_and_root_can(source: Path) -> None:
    assert write_as_the_application(source) == ""
    answer = seal(source, "sealed")
    assert (answer["changed"], answer["sealed"], answer["mode"], answer["mode_open"]) == (True, True, "0440", "0640")
    assert "readonly" in write_as_the_application(source)
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("INSERT INTO t DEFAULT VALUES")
        connection.commit()
    assert not seal(source, "sealed")["changed"]


def test_what_sqlite_made_beside_the_sealed_file_does_not_lock_the_application_out(source: Path) -> None:
    seal(source, "sealed")
    with closing(sqlite3.connect(source)) as replay:
        replay.execute("INSERT INTO t DEFAULT VALUES")
        replay.commit()
        assert mode(source.with_name("app.sqlite-wal")) == 0o440, "made while it was sealed"
        answer = seal(source, "open")
        assert (answer["changed"], answer["sealed"], answer["mode"]) == (True, False, "0640")
        assert {mode(path) for path in source.parent.iterdir()} == {0o640}
        assert write_as_the_application(source) == ""
    assert not seal(source, "open")["changed"]
    assert [path.name for path in source.parent.iterdir()] == ["app.sqlite"]


def test_a_run_that_was_killed_between_memory_and_mode_is_finished(source: Path) -> None:
    source.with_name("app.sqlite.pg-cutover-mode").write_text("0640\n")
    assert seal(source, "sealed")["changed"]
    assert mode(source) == 0o440
    # And the other way: the mode is back, the memory not yet gone.
    source.chmod(0o640)
    assert seal(source, "open")["changed"]
    assert not source.with_name("app.sqlite.pg-cutover-mode").exists()


def test_check_mode_and_read_change_nothing(source: Path) -> None:
    assert seal(source, "sealed", check=True)["changed"]
    assert not seal(source, "read")["sealed"]
    assert mode(source) == 0o640
    seal(source, "sealed")
    assert seal(source, "open", check=True)["changed"]
    assert seal(source, "read")["sealed"]
    assert mode(source) == 0o440


def test_a_damaged_memory_is_refused(source: Path) -> None:
    source.with_name("app.sqlite.pg-cutover-mode").write_text("rw-r-----\n")
    answer = run_module("sqlite_seal", False, path=str(source), state="open")
    assert "is damaged" in answer["msg"]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    answer = run_module("sqlite_seal", False, path=str(tmp_path / "none.sqlite"), state="sealed")
    assert "does not exist" in answer["msg"]
