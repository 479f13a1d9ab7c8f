# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal measures while a follower is at work."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from conftest import MakeSqlite
from cutover.errors import CutoverError
from cutover.follow import state as states
from cutover.follow.loop import Follower
from cutover.lock import ReplicationLock
from cutover.rehearsal import entry_bytes, measure
from cutover.switch.gate import predict
from support.following import Followed, following

ROWS = "CREATE TABLE t (id INTEGER PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), (2, 2);"


@contextmanager
def replicating(followed: Followed, folder: Path) -> Iterator[None]:
    """A follower as the service runs it, in a thread."""
    ended = threading.Event()
    given = {
        "name": "test",
        "direction": "follow",
        "state_dir": str(folder),
        "source_path": str(followed.path),
        "plan": followed.plan.as_dict(),
        "target_url": followed.url,
        "limits": {"load_per_cpu": 0, "free_bytes": 0, "prune_seconds": 0.2},
    }
    thread = threading.Thread(target=Follower(given).run, args=(ended.is_set,))
    with ReplicationLock(str(folder)):
        thread.start()
        try:
            while states.read(str(folder / states.NAME)) is None:
                assert thread.is_alive()
            yield
        finally:
            ended.set()
            thread.join(20)


@contextmanager
def written(path: Path) -> Iterator[None]:
    """A write every few milliseconds meanwhile."""
    ended = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
            while not ended.wait(0.01):
                connection.execute("UPDATE t SET v = v + 1 WHERE id = 1")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(20)


def test_measures_what_is_written_and_what_arrives(make_sqlite: MakeSqlite, database: str, tmp_path: Path) -> None:
    with following(make_sqlite(ROWS), database) as followed, replicating(followed, tmp_path), written(followed.path):
        measured = measure(str(tmp_path), str(followed.path), followed.plan, 3)
        size = entry_bytes(str(followed.path))
        assert measured["seconds"] == pytest.approx(3, abs=1)
        assert measured["changes"] > 20
        assert measured["changes_per_second"] == pytest.approx(measured["changes"] / measured["seconds"], rel=0.1)
        # Told once a second: what arrives is known to within that.
        assert measured["applied"] > 0
        assert measured["highest_rate"] > 0
        assert measured["hold_ms_most"] >= measured["hold_ms"] >= predict(followed.plan, 0)
        assert 10 < size < 40
        per_hour = measured["changes_per_second"] * 3600 * measured["log_bytes_per_change"]
        assert measured["log_bytes_per_hour"] == pytest.approx(per_hour, rel=0.05)


def test_nothing_is_measured_where_nothing_follows(make_sqlite: MakeSqlite, database: str, tmp_path: Path) -> None:
    with following(make_sqlite(ROWS), database) as followed:
        with pytest.raises(CutoverError, match="does not run, so there is nothing to measure"):
            measure(str(tmp_path), str(followed.path), followed.plan, 1)
        with replicating(followed, tmp_path):
            pass
        # It has ended and its last state lies there still.
        with pytest.raises(CutoverError, match="does not run"):
            measure(str(tmp_path), str(followed.path), followed.plan, 1)


def test_long_keys_make_a_longer_log(make_sqlite: MakeSqlite, database: str, tmp_path: Path) -> None:
    rows = "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v INT); INSERT INTO t VALUES ('a', 1);"
    with following(make_sqlite(rows), database) as followed:
        assert entry_bytes(str(followed.path)) == 0
        followed.write(f"INSERT INTO t VALUES ('{'é' * 100}', 1)")
        assert entry_bytes(str(followed.path)) > 200
