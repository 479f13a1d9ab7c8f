# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody with the owner's rights writes to PostgreSQL before the application does: no switch without another proof, and
what was written is never taken for a write of the application that has to go back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support import engine
from support.independent import execute, fetch
from support.postgres import Cluster
from support.project import run_module
from support.switching import Load, Stage, reached, result, stage

SPOIL = "UPDATE owner SET name = 'spoilt' WHERE id = 7"
NAME = "SELECT name FROM owner WHERE id = 7"


@pytest.fixture
def ready(tmp_path: Path, postgres: Cluster) -> Iterator[Stage]:
    """A migration ready to be switched."""
    tmp_path.chmod(0o755)
    with stage(tmp_path, postgres, postgres.create_database()) as made:
        yield made


def in_sqlite(ready: Stage) -> list[Any]:
    """The row in question."""
    with closing(sqlite3.connect(ready.source)) as connection:
        return connection.execute(NAME).fetchall()


def caught_up(ready: Stage) -> None:
    """What comes before the comparison of all rows."""
    told = run_module(
        "cutover_follow",
        state="caught_up",
        source_path=str(ready.source),
        plan=ready.plan.as_dict(),
        target_url=ready.database.url,
    )
    assert not told.get("failed"), told


def test_a_write_before_the_switch_is_refused_until_the_rows_are_proved_anew(ready: Stage) -> None:
    execute(ready.database.url, SPOIL)
    [told] = ready.run("gate")["refused"]
    assert "others than the engine have written to PostgreSQL since its rows were proved (owner)" in told
    assert told in ready.run("forward")["error"]
    caught_up(ready)
    # The proof says what is wrong, and does so until it is mended.
    found = engine.verify(ready.source, ready.database.url, ready.plan)
    assert not found["ok"]
    assert "owner" in str(found["differences"])
    execute(ready.database.url, "UPDATE owner SET name = 'owner 7' WHERE id = 7")
    caught_up(ready)
    assert engine.verify(ready.source, ready.database.url, ready.plan)["ok"]
    with Load(ready.proxy.port) as load:
        assert ready.run("forward")["verified"]["ok"]
    assert load.failed == []


def test_a_write_in_the_hold_calls_it_off(ready: Stage) -> None:
    with Load(ready.proxy.port) as load:
        process = ready.start("forward", "wait", "locked", budget_ms=4000, lease_ms=6000)
        reached(process)
        execute(ready.database.url, SPOIL)
        told = result(process)
        assert "others than the engine have written" in told["error"], told
        assert "was not moved" in told["error"]
        assert ready.fence() is None
    assert load.failed == []
    assert ready.writable() == ["sqlite"]
    assert in_sqlite(ready) == [("owner 7",)]


def test_what_the_application_writes_is_not_forgotten(ready: Stage) -> None:
    assert ready.run("forward", verify=False)["direction"] == "forward"
    execute(ready.application_url, SPOIL)
    caught_up(ready)
    assert ready.run("back")["direction"] == "back"
    assert fetch(ready.database.url, NAME) == in_sqlite(ready) == [("spoilt",)]
