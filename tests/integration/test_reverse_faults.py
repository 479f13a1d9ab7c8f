# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of the way back: killed at any moment, PostgreSQL restarted, stopped by what cannot go back and started again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.errors import NoWayBack
from cutover.follow import state as states
from cutover.reverse.loop import Reverser
from support.postgres import Cluster
from support.reverse import Switched, switch

SCHEMA = """
CREATE TABLE account (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, cents INTEGER CHECK (cents > -1000), at DATETIME);
CREATE TABLE entry (account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE, n INTEGER NOT NULL, what TEXT, PRIMARY KEY (account, n));
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300)
INSERT INTO account SELECT n, 'a' || n, n, '2024-01-01T00:00:00' FROM n;
"""
_RUN = """
import json, sys
sys.path[:0] = sys.argv[2:]
from cutover.reverse.loop import Reverser
config = json.load(open(sys.argv[1]))
Reverser(config).run(lambda: False)
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def switched(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> Switched:
    return switch(postgres, make_sqlite(SCHEMA), database)


def config(switched: Switched, folder: Path) -> dict[str, Any]:
    return {
        "name": "test",
        "state_dir": str(folder),
        "source_path": str(switched.source),
        "plan": switched.plan.as_dict(),
        "target_url": switched.owner,
        "direction": "reverse",
        "limits": {"load_per_cpu": 0},
    }


def started(switched: Switched, folder: Path) -> subprocess.Popen[bytes]:
    path = folder / "reverse.json"
    path.write_text(json.dumps(config(switched, folder)))
    return subprocess.Popen([sys.executable, "-c", _RUN, str(path), str(ROOT / "module_utils")])


def until(condition: Callable[[], object], seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.05)


def transactions(chance: random.Random) -> Iterator[list[str]]:
    while True:
        one, two = chance.randint(1, 400), chance.randint(1, 400)
        yield chance.choice(
            [
                [f"UPDATE account SET cents = cents + {one}, at = now() WHERE id BETWEEN {one} AND {one + 50}"],
                [
                    f"INSERT INTO entry SELECT id, {two}, 'x' FROM account WHERE id % 7 = 0 ON CONFLICT (account, n) DO UPDATE SET what = 'y'"
                ],
                [
                    f"INSERT INTO account (name, cents) VALUES ('n{one}', {two}) ON CONFLICT (name) DO UPDATE SET cents = 0"
                ],
                [
                    f"UPDATE account SET name = NULL WHERE id = {one}",
                    f"UPDATE account SET name = 'a{one}' WHERE id = (SELECT max(id) FROM account)",
                ],
                [f"DELETE FROM account WHERE id BETWEEN {one} AND {one + 2}"],
            ]
        )


def work(switched: Switched, seed: int, count: int) -> None:
    import psycopg2

    for _, statements in zip(range(count), transactions(random.Random(seed))):
        try:
            switched.run(*statements)
        except psycopg2.IntegrityError:
            continue


def test_killed_again_and_again_in_the_middle_of_batches(switched: Switched, tmp_path: Path) -> None:
    chance = random.Random(5)
    kills = 0
    for seed in range(8):
        process = started(switched, tmp_path)
        work(switched, seed, 12)
        time.sleep(chance.random() * 0.7)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills == 8
    switched.replay()
    switched.assert_equal()


def test_restart_of_postgresql_is_waited_out(postgres: Cluster, switched: Switched, tmp_path: Path) -> None:
    process = started(switched, tmp_path)
    try:
        work(switched, 1, 10)
        until(lambda: switched.waiting() == 0)
        postgres.restart()
        until(lambda: _answers(switched))
        work(switched, 2, 10)
        until(lambda: switched.waiting() == 0)
        assert process.poll() is None
        until(lambda: _state(tmp_path).state == states.FOLLOWING)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    switched.assert_equal()


def _answers(switched: Switched) -> bool:
    try:
        return bool(switched.target("SELECT 1"))
    except Exception:  # noqa: BLE001 - whatever it says while it starts
        return False


def _state(folder: Path) -> states.State:
    found = states.read(str(folder / states.NAME))
    assert found is not None
    return found


def test_writer_that_does_not_let_go_of_sqlite_is_waited_out(switched: Switched, tmp_path: Path) -> None:
    from support.processes import holding

    done = threading.Event()
    loop = threading.Thread(target=Reverser(config(switched, tmp_path)).run, args=(done.is_set,))
    with holding(switched.source, "BEGIN IMMEDIATE"):
        work(switched, 3, 5)
        loop.start()
        until(lambda: os.path.exists(tmp_path / states.NAME))
        time.sleep(0.5)
        assert switched.waiting()
    try:
        until(lambda: switched.waiting() == 0)
    finally:
        done.set()
        loop.join()
    assert _state(tmp_path).direction == "reverse"
    switched.assert_equal()


def test_what_cannot_go_back_stops_it_until_it_is_mended(switched: Switched, tmp_path: Path) -> None:
    from support.independent import execute

    [(name,)] = switched.target(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'account'::regclass AND contype = 'c'"
    )
    execute(switched.owner, f'ALTER TABLE account DROP CONSTRAINT "{name}"')
    switched.run("UPDATE account SET cents = -5000 WHERE id = 7")
    with pytest.raises(NoWayBack, match="table account, row id=7"):
        Reverser(config(switched, tmp_path)).run(lambda: False)
    assert _state(tmp_path).state == states.STOPPED
    assert "id=7" in str(_state(tmp_path).reason)
    switched.run("UPDATE account SET cents = 0 WHERE id = 7")
    Reverser(config(switched, tmp_path)).run(lambda: switched.waiting() == 0)
    switched.assert_equal()
