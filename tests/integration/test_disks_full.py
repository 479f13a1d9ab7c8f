# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of either side is full while changes are carried or the switch is made: it waits and says why, nothing is lost."""

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

from cutover.follow import state as states
from cutover.follow.loop import Follower
from cutover.plan.model import Plan
from cutover.reverse.loop import Reverser
from support.disks import Disk, small_disk
from support.following import following
from support.postgres import Cluster, Database, become_postgres
from support.reverse import switch
from support.switching import Load, Stage, stage

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system: needs root")

ROWS = "PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB); INSERT INTO t VALUES (1, x'00'), (2, x'01');"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk."""
    with small_disk(tmp_path / "small", "8m") as made:
        yield made


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for something, fail if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


@contextmanager
def running(
    kind: type[Follower | Reverser], path: Path, plan: Plan, url: str, folder: Path, **limits: Any
) -> Iterator[Any]:
    """A loop in a thread; gives what its state file says."""
    given = {
        "name": "test",
        "direction": kind.direction,
        "state_dir": str(folder),
        "source_path": str(path),
        "plan": plan.as_dict(),
        "target_url": url,
        "limits": {"load_per_cpu": 0, "free_bytes": 0, "prune_seconds": 0.2, **limits},
    }
    ended = threading.Event()
    thread = threading.Thread(target=kind(given).run, args=(ended.is_set,))
    thread.start()
    try:
        yield lambda: states.read(str(folder / states.NAME)) or states.State(kind.direction, "none")
        assert thread.is_alive()
    finally:
        ended.set()
        thread.join(20)


def made(path: Path) -> Path:
    """The source."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(ROWS)
    return path


def test_following_goes_slower_while_the_disk_of_sqlite_is_full(disk: Disk, database: str, tmp_path: Path) -> None:
    with following(made(disk.place / "app.sqlite"), database) as followed:
        with running(Follower, followed.path, followed.plan, database, disk.place, free_bytes=1 << 20) as state:
            until(lambda: state().state == "following")
            followed.write("INSERT INTO t VALUES (3, zeroblob(100000))")
            disk.fill()
            until(lambda: _refused(followed.path))
            # Its own state file has no room either.
            until(lambda: followed.position() == _newest(followed.path))
            disk.clear()
            disk.fill(leave=500_000)
            until(lambda: state().state == "throttled")
            assert str(state().reason).startswith("disk: ")
            disk.clear()
            until(lambda: state().state == "following")
            followed.write("INSERT INTO t VALUES (5, zeroblob(100000))")
            until(lambda: followed.position() == _newest(followed.path))
        followed.equal()


def _newest(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT max(seq) FROM pg_cutover_log").fetchone()[0])


def _refused(path: Path) -> bool:
    """Whether the application has no room for its own writes."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            with connection:
                connection.execute("INSERT INTO t VALUES (4, zeroblob(6000000))")
        except sqlite3.OperationalError as error:
            return "full" in str(error)
    return False


def test_carrying_back_waits_while_the_disk_of_sqlite_is_full(
    postgres: Cluster, disk: Disk, database: str, tmp_path: Path
) -> None:
    switched = switch(postgres, made(disk.place / "app.sqlite"), database)
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    with running(Reverser, switched.source, switched.plan, database, state_dir) as state:
        until(lambda: state().state == "following")
        disk.fill()
        switched.run("INSERT INTO t SELECT n, decode(repeat('ab', 50000), 'hex') FROM generate_series(3, 42) AS n")
        until(lambda: state().state == "waiting")
        assert "full" in str(state().reason), state()
        assert switched.waiting() == 40
        disk.clear()
        until(lambda: switched.waiting() == 0)
        until(lambda: state().state == "following")
    switched.assert_equal()


@pytest.fixture
def small_target(tmp_path: Path) -> Iterator[tuple[Cluster, Database, Disk]]:
    """A server whose one database lies on a small disk."""
    cluster = Cluster.start()
    try:
        with small_disk(cluster.base / "small", "24m") as disk:
            tables = disk.place / "tables"
            tables.mkdir()
            os.chown(tables, become_postgres()["user"], become_postgres()["group"])
            made = cluster.create_database()
            with closing(psycopg2.connect(cluster.superuser_url())) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
                    cursor.execute(f"ALTER DATABASE {made.name} SET TABLESPACE small")
            try:
                yield cluster, made, disk
            finally:
                # Before its disk goes.
                disk.clear()
                cluster.stop()
    finally:
        cluster.stop()


def test_following_waits_while_the_disk_of_postgresql_is_full(
    small_target: tuple[Cluster, Database, Disk], tmp_path: Path
) -> None:
    _, database, disk = small_target
    with following(made(tmp_path / "app.sqlite"), database.url) as followed:
        with running(Follower, followed.path, followed.plan, database.url, tmp_path) as state:
            until(lambda: state().state == "following")
            disk.fill()
            followed.write(*(f"INSERT INTO t VALUES ({n}, randomblob(100000))" for n in range(3, 23)))
            until(lambda: state().state == "waiting")
            assert "No space left on device" in str(state().reason), state()
            disk.clear()
            until(lambda: followed.position() == _newest(followed.path))
            until(lambda: state().state == "following")
        followed.equal()


def test_the_switch_is_called_off_while_a_disk_is_full(
    small_target: tuple[Cluster, Database, Disk], tmp_path: Path
) -> None:
    cluster, database, disk = small_target
    tmp_path.chmod(0o755)
    with small_disk(tmp_path / "app", "32m") as near, stage(near.place, cluster, database) as ready:
        disk.fill()
        with closing(sqlite3.connect(ready.source)) as connection, connection:
            connection.executemany(
                "INSERT INTO wide VALUES (?, 1.5, randomblob(20000), 'late')", [(f"late {n}",) for n in range(60)]
            )
        told = ready.run("forward", attempts=2)
        assert "No space left on device" in told["error"], told
        _stays(ready, "sqlite")
        disk.clear()

        elsewhere = {"attempts": 2, "state_dir": str(tmp_path / "state"), "verify": False}
        for more, said in ((elsewhere, "full"), ({"verify": False}, "the switch cannot be noted")):
            # What it is given lies there too.
            configured = ready.config(**more)
            near.fill()
            told = ready.run("forward", configured=configured)
            assert said in told["error"], told
            near.clear()
            _stays(ready, "sqlite")
        assert ready.run("forward")["verified"]["ok"]
        _stays(ready, "postgresql")

        configured = ready.config(**elsewhere)
        near.fill()
        with closing(psycopg2.connect(ready.application_url)) as target, target, target.cursor() as cursor:
            cursor.execute("UPDATE wide SET b = decode(repeat('cd', 100000), 'hex') WHERE c = 'late'")
        told = ready.run("back", configured=configured)
        assert "full" in told["error"], told
        near.clear()
        _stays(ready, "postgresql")
        assert ready.run("back")["direction"] == "back"
        _stays(ready, "sqlite")
        with closing(sqlite3.connect(ready.source)) as connection:
            query = "SELECT count(*) FROM wide WHERE b = ?"
            assert connection.execute(query, (b"\xcd" * 100000,)).fetchone() == (60,)


def _stays(ready: Stage, where: str) -> None:
    assert ready.writable() == [where]
    with Load(ready.proxy.port) as load:
        time.sleep(0.2)
    assert (load.failed, load.unread) == ([], [])
    assert load.acknowledged - ready.ids() == set()
