# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's locks on the source: a POSIX lock is gone as soon as its process closes the file anywhere."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from cutover.source.connect import check_file, open_readonly, open_writable
from cutover.source.fence import fence_id, statements

#: An application that opens the database for one request, as many do.
_REQUEST = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('INSERT INTO t VALUES (1)'); c.commit(); c.close()"


def request(path: Path) -> None:
    subprocess.run([sys.executable, "-c", _REQUEST, str(path)], check=True)


def make(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (a)")


def test_looking_at_the_file_does_not_let_others_take_the_log_away(tmp_path: Path) -> None:
    """The last connection that closes removes the log, and what is committed into it afterwards, the fence, is lost."""
    path = tmp_path / "app.sqlite"
    make(path)
    with closing(open_writable(str(path))) as engine:
        engine.execute("SELECT * FROM t").fetchall()
        check_file(str(path))
        open_readonly(str(path)).close()
        request(path)
        assert os.path.exists(f"{path}-wal")
        prepared = statements(engine, str(path), "run-1")
        engine.execute("BEGIN IMMEDIATE")
        assert engine.execute("SELECT count(*) FROM t").fetchone() == (1,)
        for statement in prepared:
            engine.execute(statement)
        engine.execute("COMMIT")
        with closing(sqlite3.connect(path)) as other:
            assert fence_id(other) == "run-1"
