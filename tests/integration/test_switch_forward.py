# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch to PostgreSQL under writes: nothing fails, nothing is lost, whatever ends the engine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from cutover.switch import steps
from support.postgres import Cluster
from support.switching import Load, Stage, stage

BEFORE = steps.FORWARD[: steps.FORWARD.index("fenced")]
AFTER = steps.FORWARD[steps.FORWARD.index("fenced") :]


@pytest.fixture
def ready(tmp_path: Path, postgres: Cluster) -> Iterator[Stage]:
    """A migration ready to be switched."""
    database = postgres.create_database()
    tmp_path.chmod(0o755)
    with stage(tmp_path, postgres, database) as made:
        yield made


def check(ready: Stage, load: Load, where: str) -> None:
    """One database takes writes, the right one; every write that was acknowledged is in it; none failed."""
    assert ready.writable() == [where]
    assert load.failed == []
    assert load.unread == []
    assert load.acknowledged - ready.ids() == set()


def test_the_application_moves_and_notices_nothing(ready: Stage) -> None:
    with Load(ready.proxy.port) as load:
        time.sleep(0.5)
        told = ready.run("forward")
        moved_with = len(load.acknowledged)
        time.sleep(0.5)
    assert told["direction"] == "forward", told
    assert not told["settled"]
    assert told["verified"]["ok"], told["verified"]
    assert told["hold_ms"] < 1500
    assert told["notes"] == []
    assert len(load.acknowledged) > moved_with > 0
    check(ready, load, "postgresql")
    [(phase, detail)] = ready.journal()
    assert (phase, detail["attempt"], detail["hold_ms"]) == ("switched_online", ready.fence(), told["hold_ms"])
    with (
        closing(sqlite3.connect(ready.source)) as stray,
        pytest.raises(sqlite3.IntegrityError, match="fence run1-online"),
    ):
        stray.execute("INSERT INTO tag (word) VALUES ('late')")
    assert "closed to writes already" in ready.run("forward")["error"]


def test_new_rows_get_keys_above_all_of_the_source(ready: Stage) -> None:
    with closing(sqlite3.connect(ready.source)) as connection, connection:
        connection.execute("INSERT INTO tag (number, word) VALUES (70000, 'high')")
        connection.execute("DELETE FROM tag WHERE number = 70000")
    assert ready.run("forward")["direction"] == "forward"
    with Load(ready.proxy.port) as load:
        time.sleep(0.1)
    assert load.failed == []
    with closing(psycopg2.connect(ready.database.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT min(number) FROM tag")
        assert cursor.fetchone() == (70001,)


def test_killed_before_the_decision_it_stays_on_sqlite(ready: Stage) -> None:
    with Load(ready.proxy.port) as load:
        for step in BEFORE:
            assert ready.run("forward", "kill", step, verify=False) == {"killed": True}, step
            ready.guardian_ended()
            before = len(load.acknowledged)
            time.sleep(0.2)
            assert len(load.acknowledged) > before, step
            assert ready.fence() is None
            assert ready.writable() == ["sqlite"]
        told = ready.run("forward")
        time.sleep(0.2)
    assert told["direction"] == "forward", told
    assert told["verified"]["ok"]
    check(ready, load, "postgresql")
    assert [phase for phase, _ in ready.journal()] == ["switch_off"] * len(BEFORE) + ["switched_online"]


@pytest.mark.parametrize("step", AFTER)
def test_killed_after_the_decision_it_goes_on_to_postgresql(ready: Stage, step: str) -> None:
    with Load(ready.proxy.port) as load:
        time.sleep(0.2)
        assert ready.run("forward", "kill", step, verify=False) == {"killed": True}
        ready.guardian_ended()
        before = len(load.acknowledged)
        time.sleep(0.3)
        assert len(load.acknowledged) > before
        assert ready.run("settle") == {"direction": "nothing"}
        assert "closed to writes already" in ready.run("forward")["error"]
        time.sleep(0.1)
    check(ready, load, "postgresql")
    [phase] = [phase for phase, detail in ready.journal() if detail["attempt"] == ready.fence()]
    assert phase == "switched_online"
