# SPDX-License-Identifier: GPL-3.0-or-later
"""There, back, and there again while load is on the application: no request fails, no write is lost, no read is stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.played import Played

pytestmark = pytest.mark.slow

CUTOVER, ROLLBACK = "playbooks/cutover.yml", "playbooks/rollback.yml"
#: What makes a copy of every row; a cutover after a rollback goes on from the one that is there.
COPYING = {"schema", "backup", "snapshot", "copy", "indexes"}
TABLES = (
    *("users", "sessions", "workspaces", "memberships", "documents", "document_chunks"),
    *("messages", "attachments", "tags", "_DocumentToTag", "orders", "events"),
)
SAME = (
    'SELECT "writeId", "body", "workspaceId" FROM messages WHERE "writeId" IS NOT NULL ORDER BY id',
    "SELECT id, title, body FROM documents ORDER BY id",
    *(f'SELECT count(*) FROM "{table}"' for table in TABLES),
)


def step(stage: Played, playbook: str, database: str) -> dict[str, dict[str, Any]]:
    """One run of a playbook; the application is on that database then, and on no other."""
    stage.playbooks.run(playbook)
    assert stage.serves() == database
    assert stage.writable() == [database]
    report = stage.report()
    assert report["ok"], report["problems"]
    found = stage.phases(report["run"])
    told = found["switched_online" if database == "postgresql" else "switched_back"]
    assert 0 < told["hold_ms"] < 1000, told
    return found


def test_there_and_back_and_there_again(stage: Played, tmp_path: Path) -> None:
    with stage.load(tmp_path) as load:
        first = step(stage, CUTOVER, "postgresql")
        back = step(stage, ROLLBACK, "sqlite")
        again = step(stage, CUTOVER, "postgresql")
    load.spotless()
    assert load.figures["databases"] == ["sqlite", "postgresql", "sqlite", "postgresql"]
    assert set(first) >= COPYING
    assert not COPYING & set(again), "the copy was made a second time"
    assert not COPYING & set(back)
    # What was written on either side is on both: the way back is kept up.
    assert stage.equal(*SAME)
    kept = {name for (name,) in stage.in_sqlite('SELECT "writeId" FROM messages')}
    assert set(load.acknowledged) <= kept
    assert stage.writable() == ["postgresql"]
