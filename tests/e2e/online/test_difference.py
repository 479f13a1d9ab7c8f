# SPDX-License-Identifier: GPL-3.0-or-later
"""A row is spoilt in PostgreSQL between the proof before the switch and the switch: the proof behind it names the row.
The application stays on PostgreSQL, or goes back at once, as the inventory wants; under load all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.independent import execute
from support.playbooks import phase
from support.played import Played

pytestmark = pytest.mark.long

CUTOVER = "playbooks/cutover.yml"
ROW = "SELECT color FROM tags WHERE id = (SELECT max(id) FROM tags)"
WRITES = 'SELECT "writeId", "body" FROM messages WHERE "writeId" IS NOT NULL ORDER BY "writeId"'


def put(stage: Played, color: str) -> None:
    """Change the row as a mistake of the engine itself would: no log of PostgreSQL tells of it."""
    execute(
        stage.superuser_url,
        f"SET pgcutover.applying = on; UPDATE tags SET color = '{color}' WHERE id = (SELECT max(id) FROM tags)",
    )


def spoilt(stage: Played, *arguments: str) -> str:
    """A run of cutover.yml whose rows are proved, and one is another then; what it printed in one line."""
    said = stage.playbooks.disturbed(
        CUTOVER, phase("verify", "done"), lambda: put(stage, "spoilt"), *arguments, fails=True
    )
    assert stage.report()["ok"] is False
    return " ".join(said.split())


def test_going_back_at_once_or_an_alarm(stage: Played, tmp_path: Path) -> None:
    [(good,)] = stage.in_sqlite(ROW)
    with stage.load(tmp_path, rate=40) as load:
        said = spoilt(stage, "-e", "cutover_on_difference=rollback")
        assert "tags" in said
        assert "The application was taken back to SQLite" in said
        assert stage.serves() == "sqlite"
        assert stage.writable() == ["sqlite"]
        assert stage.report()["application_on"] == "source"
        # The source was right, and stays so.
        assert stage.in_sqlite(ROW) == [(good,)]
        # The next attempt would be refused by the proof before the switch.
        put(stage, good)

        said = spoilt(stage)
        assert "tags" in said
        assert "spoilt" in said
        assert stage.serves() == "postgresql"
        assert stage.writable() == ["postgresql"]
        assert stage.report()["application_on"] == "target"
        assert stage.in_sqlite(ROW) == [(good,)]

        put(stage, good)
        stage.playbooks.run(CUTOVER)
    load.spotless()
    assert load.figures["databases"] == ["sqlite", "postgresql", "sqlite", "postgresql"]
    assert stage.equal(ROW, WRITES)
    kept = {name for name, _ in stage.in_sqlite(WRITES)}
    assert set(load.acknowledged) <= kept
    assert stage.writable() == ["postgresql"]
