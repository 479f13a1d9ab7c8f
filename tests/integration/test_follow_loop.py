# SPDX-License-Identifier: GPL-3.0-or-later
"""Following as a service: killed, without PostgreSQL, throttled, stopped; what its state file says meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.errors import CutoverError, Refused, SourceChanged
from cutover.follow import state as states
from cutover.follow.loop import Follower
from support import engine
from support.following import Followed, following
from support.independent import fetch
from support.postgres import Cluster
from support.processes import holding
from support.workload import seeded, writing

MODULES = Path(__file__).parents[2] / "module_utils"
ROWS = "CREATE TABLE t (id INTEGER PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), (2, 2);"


def config(followed: Followed, folder: Path, **limits: Any) -> dict[str, Any]:
    """What the service is given."""
    return {
        "name": "test",
        "direction": "follow",
        "state_dir": str(folder),
        "source_path": str(followed.path),
        "plan": followed.plan.as_dict(),
        "target_url": followed.url,
        "limits": {"load_per_cpu": 0, "free_bytes": 0, "prune_seconds": 0.2, **limits},
    }


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for something, fail if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


class Running:
    """A follower in a thread."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.path = os.path.join(given["state_dir"], states.NAME)
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(Follower(given),))

    def _run(self, follower: Follower) -> None:
        try:
            follower.run(self._stop.is_set)
        except CutoverError as error:
            self.error = error

    @property
    def state(self) -> states.State:
        """What the file says."""
        found = states.read(self.path)
        return found or states.State("follow", "none")

    @property
    def alive(self) -> bool:
        """Whether it still follows."""
        return self._thread.is_alive()

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def caught_up(followed: Followed) -> bool:
    """Whether the target has everything."""
    with closing(sqlite3.connect(followed.path)) as connection:
        newest = connection.execute("SELECT coalesce(max(seq), 0) FROM pg_cutover_log").fetchone()[0]
    return bool(followed.position() == newest)


def test_follows_tells_and_prunes(make_sqlite: MakeSqlite, database: str, tmp_path: Path) -> None:
    with following(make_sqlite(ROWS), database) as followed, Running(config(followed, tmp_path)) as running:
        until(lambda: running.state.state == "following" and running.state.reason is None)
        followed.write(*(f"INSERT INTO t VALUES ({n}, {n})" for n in range(3, 2000)))
        until(lambda: caught_up(followed))
        until(lambda: running.state.position == followed.position())
        state = running.state
        assert (state.direction, state.lag_changes, state.lag_seconds, state.pid) == ("follow", 0, 0.0, os.getpid())
        assert state.rate is not None
        assert state.rate > 0
        assert state.predicted_hold_ms is not None
        assert 0 < state.predicted_hold_ms < 1000
        assert os.stat(running.path).st_mode & 0o777 == 0o600

        def left() -> int:
            with closing(sqlite3.connect(followed.path)) as connection:
                return int(connection.execute("SELECT count(*) FROM pg_cutover_log").fetchone()[0])

        until(lambda: left() == 1)
        followed.write("UPDATE t SET v = v + 1 WHERE id < 100")
        until(lambda: caught_up(followed))
        assert running.alive
    followed.equal()


def test_a_refused_row_stops_it_with_its_reason(make_sqlite: MakeSqlite, database: str, tmp_path: Path) -> None:
    with following(make_sqlite(ROWS), database) as followed:
        with Running(config(followed, tmp_path)) as running:
            followed.write("UPDATE t SET v = 'word' WHERE id = 2")
            until(lambda: not running.alive)
        assert isinstance(running.error, Refused)
        assert running.state.state == "stopped"
        assert "table t, column v, row id=2" in str(running.state.reason)
        followed.write("UPDATE t SET v = 5 WHERE id = 2")
        with Running(config(followed, tmp_path)) as running:
            until(lambda: caught_up(followed))
    followed.equal()


def test_a_changed_structure_stops_it(make_sqlite: MakeSqlite, database: str, tmp_path: Path) -> None:
    with following(make_sqlite(ROWS), database) as followed:
        with Running(config(followed, tmp_path)) as running:
            until(lambda: running.state.state == "following")
            followed.write("ALTER TABLE t ADD COLUMN more TEXT", "UPDATE t SET v = 9")
            until(lambda: not running.alive)
        assert isinstance(running.error, SourceChanged)
        assert running.state.state == "stopped"
        # The application writes as if nothing had been there.
        with closing(sqlite3.connect(followed.path)) as connection:
            assert connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'pg_cutover%'").fetchall() == []


def test_a_dropped_log_does_not_stop_the_application(make_sqlite: MakeSqlite, database: str, tmp_path: Path) -> None:
    with following(make_sqlite(ROWS), database) as followed:
        with Running(config(followed, tmp_path)) as running:
            until(lambda: running.state.reason is None)
            followed.write("DROP TABLE pg_cutover_log")
            until(lambda: not running.alive)
        assert isinstance(running.error, SourceChanged)
        followed.write("UPDATE t SET v = 3")


def test_another_log_an_older_source_and_a_gap_are_refused(make_sqlite: MakeSqlite, database: str) -> None:
    with following(make_sqlite(ROWS), database) as followed:
        followed.write("UPDATE t SET v = 7")
        followed.follow()
        for change, message in (
            ("capture_id = 'x' || capture_id", "changes between them may be missing"),
            ("capture_id = substr(capture_id, 2), position = position + 100", "older than what was copied"),
            ("position = -1", "what is between them is gone"),
        ):
            with followed.target, followed.target.cursor() as cursor:
                cursor.execute(f"UPDATE pgcutover.follow SET {change}")
            with closing(sqlite3.connect(followed.path)) as connection, connection:
                connection.execute("DELETE FROM pg_cutover_log WHERE seq < (SELECT max(seq) FROM pg_cutover_log)")
            with pytest.raises(Refused, match=message), followed.target.cursor() as cursor:
                followed.steps.check(followed.source, cursor)
            followed.target.rollback()


def test_a_throttle_and_a_source_that_is_away_are_told(make_sqlite: MakeSqlite, database: str, tmp_path: Path) -> None:
    with following(make_sqlite(ROWS), database) as followed:
        with Running(config(followed, tmp_path, free_bytes=1 << 60)) as running:
            until(lambda: running.state.state == "throttled")
            assert str(running.state.reason).startswith("disk: ")
            followed.write(*(f"INSERT INTO t VALUES ({n}, {n})" for n in range(3, 3000)))
            until(lambda: caught_up(followed))
        with Running(config(followed, tmp_path)) as running:
            until(lambda: running.state.state == "following")
            moved = followed.path.with_name("moved")
            followed.path.rename(moved)
            until(lambda: running.state.state == "waiting")
            assert "no such file" in str(running.state.reason).lower()
            moved.rename(followed.path)
            until(lambda: running.state.state == "following")
            followed.write("UPDATE t SET v = 8")
            until(lambda: caught_up(followed))
    followed.equal()


def test_a_source_that_a_writer_does_not_let_go_is_waited_for(
    make_sqlite: MakeSqlite, database: str, tmp_path: Path
) -> None:
    with following(make_sqlite(ROWS), database) as followed:
        followed.source.close()
        with closing(sqlite3.connect(followed.path)) as connection:
            # Without WAL a writer keeps readers out.
            assert connection.execute("PRAGMA journal_mode = delete").fetchone() == ("delete",)
        with Running(config(followed, tmp_path)) as running:
            until(lambda: running.state.reason is None)
            with holding(followed.path, "BEGIN EXCLUSIVE", "UPDATE t SET v = 9", "COMMIT", "BEGIN EXCLUSIVE"):
                until(lambda: running.state.state == "waiting")
                assert "locked" in str(running.state.reason)
            until(lambda: caught_up(followed))
            until(lambda: running.state.state == "following")
    followed.equal()


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server that may be restarted."""
    cluster = Cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def service(given: dict[str, Any], path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The follower as a process."""
    path.write_text(json.dumps(given))
    path.chmod(0o600)
    with subprocess.Popen(
        [sys.executable, "-m", "cutover.service", "--config", str(path)],
        cwd=MODULES,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(MODULES)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_killed_again_and_again_and_postgresql_restarted(
    make_sqlite: MakeSqlite, own_cluster: Cluster, tmp_path: Path
) -> None:
    database = own_cluster.create_database()
    path = make_sqlite(seeded)
    with following(path, database.url) as followed:
        given = config(followed, tmp_path / "state", prune_seconds=0.05)
        (tmp_path / "state").mkdir()
        with writing(path, 11) as writer:
            for seconds in (0.7, 0.5, 0.8, 0.6, 0.9):
                with service(given, tmp_path / "config.json") as process:
                    time.sleep(seconds)
                    process.send_signal(signal.SIGKILL)
                    process.wait()
            with service(given, tmp_path / "config.json") as process:
                # Without a checkpoint: what is not on the disk is lost, and must not be missed.
                own_cluster._run("pg_ctl", "restart", "-D", str(own_cluster.data), "-m", "immediate", "-w")
                time.sleep(0.5)
                own_cluster._run("pg_ctl", "stop", "-D", str(own_cluster.data), "-m", "fast", "-w")
                until(lambda: (s := states.read(given["state_dir"] + "/" + states.NAME)) and s.state == "waiting")
                own_cluster._run(
                    "pg_ctl",
                    "start",
                    "-D",
                    str(own_cluster.data),
                    "-l",
                    str(own_cluster.log),
                    "-w",
                    "-o",
                    f"-p {own_cluster.port}",
                )
                assert writer.stdin is not None
                writer.stdin.close()
                writer.wait(30)
                until(lambda: fetch(database.url, "SELECT position FROM pgcutover.follow") == newest(path))
                assert process.poll() is None
        verified = engine.verify(path, database.url, followed.plan)
        assert verified["differences"] == []
        assert verified["ok"]


def newest(path: Path) -> list[tuple[int]]:
    """The last position of the log."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT max(seq) FROM pg_cutover_log").fetchall()
