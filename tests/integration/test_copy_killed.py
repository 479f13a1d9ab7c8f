# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy that is killed in the middle goes on where it stopped, and what it left running does no harm."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover.plan.model import Plan
from support.engine import POSITION, create, finish, planned, verify
from support.independent import execute, fetch, in_postgresql, in_sqlite
from support.steps import answer, started, workers_of

ROWS, RANGES = 3000, 30
#: So many ranges are committed before the copy comes to a halt; one more may be by the other worker.
BEFORE = 3

# Every range tells when it is committed; from the fourth on a range cannot be, while the test holds the lock.
GATE = """
CREATE FUNCTION pgcutover.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_notify('copied', NEW.number::text);
  IF (SELECT count(*) FROM pgcutover.ranges WHERE rows IS NOT NULL) >= 3 THEN
    PERFORM pg_advisory_xact_lock_shared(42);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE UPDATE ON pgcutover.ranges FOR EACH ROW EXECUTE FUNCTION pgcutover.gate();
"""


def fill(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, at DATETIME)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [(n, f"row {n} " * 10, 1_700_000_000_000 + n) for n in range(ROWS)]
    )


class Gate:
    """The test's hold on the copy."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(GATE)
            cursor.execute("LISTEN copied")
            cursor.execute("SELECT pg_advisory_lock(42)")

    def wait(self) -> None:
        """Return once the first ranges are committed."""
        while len(self._connection.notifies) < BEFORE:
            assert select.select([self._connection], [], [], 60)[0], "the copy does not come to the gate"
            self._connection.poll()

    def open(self) -> None:
        """Let everything pass."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")

    def close(self) -> None:
        self._connection.close()


Halted = tuple[Path, Plan, str, Gate]


@pytest.fixture
def halted(make_sqlite: MakeSqlite, database: str) -> Iterator[Halted]:
    """(source, plan, target, gate) of a migration whose copy will stop in the middle."""
    path = make_sqlite(fill)
    plan, _ = planned(path)
    create(database, plan)
    with closing(Gate(database)) as gate:
        yield path, plan, database, gate


def begin(halted: Halted) -> Any:
    path, plan, url, _ = halted
    return started("copy", path, url, plan, position=POSITION, range_bytes=plan.tables[0].bytes // RANGES)


def committed(url: str) -> int:
    return int(fetch(url, "SELECT count(*) FROM pgcutover.ranges WHERE rows IS NOT NULL")[0][0])


def gone(pids: list[int]) -> None:
    """Wait until processes that are not our children have ended."""
    for pid in pids:
        try:
            watch = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([watch], [], [], 60)[0], f"process {pid} lives on"
        os.close(watch)


def assert_complete(halted: Halted) -> None:
    path, plan, url, _ = halted
    finish(path, url, plan)
    found = verify(path, url, plan)
    assert found["ok"]
    kinds = {"id": "integer", "x": "text", "at": "milliseconds"}
    assert in_postgresql(url, "t", kinds) == in_sqlite(path, "t", kinds)


def test_killed_worker_ends_the_copy_and_the_next_run_goes_on(halted: Halted) -> None:
    _, _, url, gate = halted
    copying = begin(halted)
    gate.wait()
    workers = workers_of(copying)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert "a worker process ended by signal 9" in answer(copying)["error"]
    gone(workers)
    done = committed(url)
    assert BEFORE <= done <= BEFORE + 1
    gate.open()
    again = answer(begin(halted))["result"]
    assert (again["resumed"], again["tables"]["t"]["rows"]) == (True, ROWS)
    assert_complete(halted)


def test_killed_parent_takes_its_workers_along_and_the_next_run_goes_on(halted: Halted) -> None:
    _, _, url, gate = halted
    copying = begin(halted)
    gate.wait()
    workers = workers_of(copying)
    copying.kill()
    copying.communicate()
    gone(workers)
    assert BEFORE <= committed(url) <= BEFORE + 1
    # The server still works at the ranges of the dead: the next run begins while their rows are locked.
    following = begin(halted)
    gate.open()
    again = answer(following)["result"]
    assert (again["resumed"], again["sent"], again["tables"]["t"]["rows"]) == (True, True, ROWS)
    assert_complete(halted)


def test_interrupted_copy_of_another_state_starts_over(halted: Halted) -> None:
    path, plan, url, gate = halted
    copying = begin(halted)
    gate.wait()
    workers = workers_of(copying)
    copying.kill()
    copying.communicate()
    gone(workers)
    gate.open()
    with closing(sqlite3.connect(path)) as source, source:
        source.execute("UPDATE t SET x = 'changed since' WHERE id % 2")
    again = answer(started("copy", path, url, plan, position="another"))["result"]
    assert (again["resumed"], again["tables"]["t"]["rows"]) == (False, ROWS)
    assert_complete(halted)


def test_refused_value_in_the_middle_leaves_only_whole_ranges(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(fill)
    plan, _ = planned(path)
    with closing(sqlite3.connect(path)) as source, source:
        source.execute("UPDATE t SET at = 'soon' WHERE id = 1500")
    create(database, plan)
    failed = answer(
        started("copy", path, database, plan, position=POSITION, range_bytes=plan.tables[0].bytes // RANGES)
    )
    assert failed["error"].startswith("table t, column at, row id=1500: holds text where the codec takes integers.")
    [(rows, counted)] = fetch(
        database, "SELECT (SELECT count(*) FROM t), (SELECT coalesce(sum(rows), 0) FROM pgcutover.ranges)"
    )
    assert rows == counted < ROWS
    with closing(sqlite3.connect(path)) as source, source:
        source.execute("UPDATE t SET at = 1700000000000 WHERE id = 1500")
    assert answer(started("copy", path, database, plan, position=POSITION))["result"]["resumed"]
    assert_complete((path, plan, database, None))  # type: ignore[arg-type]


def test_connection_that_breaks_in_the_middle_is_named_and_the_next_run_goes_on(halted: Halted, postgres: Any) -> None:
    gate = halted[3]
    copying = begin(halted)
    gate.wait()
    execute(
        postgres.superuser_url(),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg-cutover'",
    )
    assert "broke" in answer(copying)["error"]
    gate.open()
    assert answer(begin(halted))["result"]["resumed"]
    assert_complete(halted)
