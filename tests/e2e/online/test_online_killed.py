# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller dies in the middle of cutover.yml and of rollback.yml, or only the module in its critical section does;
another controller takes over. The application, under load all the time, notices nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from cutover.lock import replicating
from support.playbooks import LIMIT, kill, phase
from support.played import Played
from support.watching import Watch

pytestmark = [pytest.mark.slow, pytest.mark.long]

CUTOVER, ROLLBACK = "playbooks/cutover.yml", "playbooks/rollback.yml"


def module_killed(stage: Played, playbook: str) -> str:
    """A run whose module is killed right when it has begun an attempt; what the run, which fails, printed."""
    begun = stage.playbooks.state / "switch.json"
    process = stage.playbooks.start(playbook)
    try:
        deadline = time.monotonic() + LIMIT
        while not begun.exists():
            assert process.poll() is None, "it ended before an attempt was seen"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        # Who is in the critical section has said so in its lock.
        os.kill((replicating(str(stage.playbooks.state)) or {})["pid"], signal.SIGKILL)
        process.wait(LIMIT)
        assert process.returncode != 0
    finally:
        kill(process)
    return (stage.playbooks.output / f"{Path(playbook).stem}.out").read_text()


def test_whoever_dies_another_one_ends_it(stage: Played, tmp_path: Path) -> None:
    run = stage.playbooks
    source = stage.place.source
    #: A controller that has nothing of what the first one kept.
    other = ("-e", f"cutover_secrets_dir={tmp_path / 'secrets'}", "-e", f"cutover_report_dir={tmp_path / 'reports'}")
    watch = Watch(source, stage.application_url, pause=0.2)
    with watch, stage.load(tmp_path) as load:
        # While it follows; the service goes on without the controller.
        run.killed(CUTOVER, phase("caught_up"))
        assert stage.writable() == ["sqlite"]
        # A deploy changes a table: the copy is void, and is made anew where the first one left its tables and triggers.
        with closing(sqlite3.connect(source, timeout=30)) as connection:
            connection.execute("ALTER TABLE tags ADD COLUMN remark TEXT DEFAULT 'none'")
        said = module_killed(stage, CUTOVER)
        assert "The rows are copied, because" in said
        assert stage.serves() in ("sqlite", "postgresql")
        # Behind the switch, by another controller; and one more ends it.
        run.killed(CUTOVER, phase("verify_switched"), *other)
        assert stage.serves() == "postgresql"
        run.run(CUTOVER)
        assert stage.writable() == ["postgresql"]
        assert stage.in_postgresql("SELECT DISTINCT remark FROM tags") == [("none",)]
        module_killed(stage, ROLLBACK)
        run.run(ROLLBACK, *other)
        assert stage.writable() == ["sqlite"]
    load.spotless()
    assert watch.both() == 0
    assert stage.serves() == "sqlite"
