# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back to SQLite under writes, and a second switch after it, whatever ends the engine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from cutover.switch import steps
from support import engine
from support.postgres import Cluster
from support.switching import Load, Stage, stage

BEFORE = steps.BACK[: steps.BACK.index("closed")]
AFTER = steps.BACK[steps.BACK.index("closed") :]


@pytest.fixture
def ready(tmp_path: Path, postgres: Cluster) -> Iterator[Stage]:
    """A migration whose application was switched to PostgreSQL."""
    tmp_path.chmod(0o755)
    with stage(tmp_path, postgres, postgres.create_database()) as made:
        told = made.run("forward", verify=False)
        assert told["direction"] == "forward", told
        yield made


def dump(ready: Stage) -> list[tuple[str, list[tuple[object, ...]]]]:
    """All rows of SQLite and the application's triggers there."""
    with closing(sqlite3.connect(ready.source)) as connection:
        found = [
            (table.name, connection.execute(f'SELECT * FROM "{table.name}" ORDER BY 1').fetchall())
            for table in ready.plan.tables
        ]
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name NOT LIKE 'pg\\_cutover\\_%' ESCAPE '\\'"
        ).fetchall()
        return [*found, ("triggers", triggers)]


def test_there_and_back_and_there_again(ready: Stage) -> None:
    with Load(ready.proxy.port) as load:
        time.sleep(0.5)
        told = ready.run("back")
        assert told["direction"] == "back", told
        assert told["hold_ms"] < 1500
        assert ready.writable() == ["sqlite"]
        assert ready.fence() is None
        time.sleep(0.3)
        again = ready.run("forward")
        assert again["direction"] == "forward", again
        assert again["verified"]["ok"], again["verified"]
        time.sleep(0.3)
        assert ready.run("back")["direction"] == "back"
        time.sleep(0.1)
    assert (load.failed, load.unread) == ([], [])
    assert ready.writable() == ["sqlite"]
    assert load.acknowledged - ready.ids() == set()
    assert [phase for phase, _ in ready.journal()] == ["switched_online", "switched_back"] * 2
    assert dump(ready)[-1] == ("triggers", [("removed", engine_trigger(ready))])


def engine_trigger(ready: Stage) -> str:
    """The application's own trigger, as it was made."""
    [sql] = [other.sql for other in engine.described(ready.source).others if other.name == "removed"]
    return sql


def test_rows_are_the_same_after_it_and_triggers_do_not_fire_twice(ready: Stage) -> None:
    """A deletion on PostgreSQL comes back as it is; the trigger of SQLite, which PostgreSQL does not have, adds nothing."""
    with closing(psycopg2.connect(ready.application_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM event WHERE id <= 10")
        cursor.execute("UPDATE wide SET code = 'moved' WHERE code = 'c7'")
        cursor.execute("INSERT INTO wide VALUES ('neu', 0.1, '\\x00ff', 'text')")
    assert ready.run("back")["direction"] == "back"
    tables = dict(dump(ready))
    assert tables["audit"] == []
    assert len(tables["event"]) == 290
    assert ("neu", 0.1, b"\x00\xff", "text") in tables["wide"]
    assert ("moved", 1.0, b"\x07", "x" * 7) in tables["wide"]
    assert len(tables["wide"]) == 51
    with closing(sqlite3.connect(ready.source)) as connection, connection:
        connection.execute("DELETE FROM event WHERE id = 11")
    assert dict(dump(ready))["audit"] == [(1, 11)]
    assert ready.run("forward")["verified"]["ok"]


def test_killed_before_the_decision_it_stays_on_postgresql(ready: Stage) -> None:
    with Load(ready.proxy.port) as load:
        for step in BEFORE:
            assert ready.run("back", "kill", step) == {"killed": True}, step
            ready.guardian_ended()
            before = len(load.acknowledged)
            time.sleep(0.2)
            assert len(load.acknowledged) > before, step
            assert ready.writable() == ["postgresql"]
        assert ready.run("back")["direction"] == "back"
        time.sleep(0.2)
    assert (load.failed, load.unread) == ([], [])
    assert ready.writable() == ["sqlite"]
    assert load.acknowledged - ready.ids() == set()
    phases = [phase for phase, _ in ready.journal()]
    assert phases == ["switched_online", *["switch_off"] * len(BEFORE), "switched_back"]


def test_killed_after_the_decision_it_goes_on_to_sqlite(ready: Stage) -> None:
    with Load(ready.proxy.port) as load:
        for number, step in enumerate(AFTER):
            if number:
                assert ready.run("forward", verify=False)["direction"] == "forward"
            assert ready.run("back", "kill", step) == {"killed": True}, step
            ready.guardian_ended()
            before = len(load.acknowledged)
            time.sleep(0.2)
            assert len(load.acknowledged) > before, step
            assert ready.writable() == ["sqlite"]
            assert ready.fence() is None
            assert ready.run("settle") == {"direction": "nothing"}
        assert ready.run("forward")["verified"]["ok"]
        time.sleep(0.1)
    assert (load.failed, load.unread) == ([], [])
    assert ready.writable() == ["postgresql"]
    assert load.acknowledged - ready.ids() == set()
    assert [phase for phase, _ in ready.journal()].count("switched_back") == len(AFTER)


def test_the_comparison_is_made_up_for_while_green_serves(ready: Stage) -> None:
    with Load(ready.proxy.port) as load:
        time.sleep(0.3)
        told = ready.run("verify")
        assert told["verified"]["ok"], told
        # A difference is found: one that no log knows of.
        with closing(psycopg2.connect(ready.database.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SET pgcutover.applying TO 'on'")
            cursor.execute("UPDATE event SET note = 'wrong' WHERE id = 7")
        told = ready.run("verify")["verified"]
    assert not told["ok"]
    assert [(d["table"], d["key"], d["column"]) for d in told["differences"]] == [("event", "id=7", "note")]
    assert load.failed == []


def test_what_sqlite_cannot_take_refuses_the_way_back(ready: Stage) -> None:
    with closing(psycopg2.connect(ready.database.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE event ADD COLUMN later text")
        cursor.execute("UPDATE event SET later = 'x' WHERE id = 3")
    told = ready.run("back")
    assert "is not begun, nothing was held or changed: column event.later was added" in told["error"], told
    assert ready.writable() == ["postgresql"]


def test_a_role_that_could_go_on_writing_refuses_the_way_back(ready: Stage) -> None:
    with closing(psycopg2.connect(ready.database.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("GRANT INSERT ON public.event TO PUBLIC")
    assert "could go on writing" in ready.run("back")["error"]
    with closing(psycopg2.connect(ready.database.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("REVOKE INSERT ON public.event FROM PUBLIC")
    assert ready.run("back")["direction"] == "back"


def test_a_transaction_that_does_not_end_on_postgresql_calls_it_off(ready: Stage) -> None:
    with closing(psycopg2.connect(ready.application_url)) as stray:
        with stray.cursor() as cursor:
            cursor.execute("UPDATE owner SET events = 5 WHERE id = 1")
        told = ready.run("back", attempts=2, budget_ms=150)
        assert "lock timeout" in told["error"], told
        stray.commit()
    with Load(ready.proxy.port) as load:
        assert ready.run("back")["direction"] == "back"
    assert load.failed == []
    assert dict(dump(ready))["owner"][0][2] >= 5
