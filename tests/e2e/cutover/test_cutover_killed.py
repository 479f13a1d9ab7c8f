# SPDX-License-Identifier: GPL-3.0-or-later
"""cutover.yml and rollback.yml killed in the middle of their phases, under writes, then run again: nothing is lost,
never are two databases writable, and the application serves in the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.playbooks import phase
from support.played import Place, Played, played
from support.postgres import Cluster
from support.watching import Watch, Writer

pytestmark = pytest.mark.slow

PLACE = Place("kill", "tests/e2e/cutover/hosts.yml", Path("/var/lib/pg-cutover-kill"), 19080)
WRITES = 'SELECT "writeId" FROM messages'
CUTOVER, ROLLBACK = "playbooks/cutover.yml", "playbooks/rollback.yml"


class Stage(Played):
    """With a client that writes all the time, and an eye on both databases."""

    def __init__(self, made: Played) -> None:
        super().__init__(made.place, made.playbooks, made.application_url, made.superuser_url)
        self.writer = Writer(self.place.port, pause=0.2)
        self.watch = Watch(self.place.source, self.application_url, pause=0.2)
        #: What was acknowledged while SQLite took the writes.
        self.before: list[str] = []

    def in_sqlite_now(self) -> set[str]:
        """The writes that SQLite holds."""
        return {name for (name,) in self.in_sqlite(WRITES)}

    def in_postgresql_now(self) -> set[str]:
        """The writes that PostgreSQL holds."""
        return {name for (name,) in self.in_postgresql(WRITES)}

    def wait_for_write(self) -> None:
        """Until one more write was acknowledged."""
        before, deadline = len(self.writer.acknowledged), time.monotonic() + 30
        while len(self.writer.acknowledged) == before:
            assert time.monotonic() < deadline, self.writer.statuses
            time.sleep(0.05)


@pytest.fixture(scope="module")
def stage(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo's application on SQLite behind HAProxy, beside an empty database, with a client that writes."""
    with played(PLACE, postgres, tmp_path_factory.mktemp("output")) as without:
        made = Stage(without)
        with made.watch, made.writer:
            made.wait_for_write()
            yield made
        assert made.watch.both() == 0


def test_killed_before_the_point_of_no_return_it_goes_on_or_is_called_off(stage: Stage) -> None:
    run = stage.playbooks
    # Maintenance is on by then, the fence stands or does not.
    run.killed(CUTOVER, phase("fence"), later=0.3)
    assert stage.serves() == "sqlite", "reads go on"
    assert set(stage.writer.acknowledged) <= stage.in_sqlite_now()
    run.killed(CUTOVER, phase("copy"), later=0.5)
    assert stage.serves() == "sqlite"
    # Called off: everything as it was, and the writes go on.
    run.run(ROLLBACK)
    stage.watch.until("sqlite", True)
    stage.wait_for_write()
    assert stage.serves() == "sqlite"
    assert set(stage.writer.acknowledged) <= stage.in_sqlite_now()
    assert stage.watch.both() == 0


def test_killed_at_and_behind_the_point_of_no_return_it_ends_on_postgresql(stage: Stage) -> None:
    run = stage.playbooks
    # The fence stands, every row is proved, and PostgreSQL is being opened.
    run.killed(CUTOVER, phase("switch"), later=0.3)
    stage.watch.until("sqlite", False)
    stage.before = list(stage.writer.acknowledged)
    assert set(stage.before) <= stage.in_sqlite_now()
    run.killed(CUTOVER, phase("release"), later=0.1)
    run.run(CUTOVER)
    stage.watch.until("postgresql", True)
    stage.wait_for_write()
    assert stage.serves() == "postgresql"
    assert stage.report()["ok"]
    assert set(stage.writer.acknowledged) <= stage.in_postgresql_now()
    assert stage.watch.both() == 0


def test_rollback_that_is_killed_ends_on_sqlite(stage: Stage) -> None:
    run, accept = stage.playbooks, ("-e", "cutover_accept_loss=true")
    run.killed(ROLLBACK, phase("rollback_close"), *accept, later=0.2)
    run.killed(ROLLBACK, phase("rollback_put_back"), *accept, later=0.2)
    run.run(ROLLBACK, *accept)
    stage.watch.until("sqlite", True)
    stage.watch.until("postgresql", False)
    written = len(stage.writer.acknowledged)
    stage.wait_for_write()
    assert stage.serves() == "sqlite"
    kept = stage.in_sqlite_now()
    assert set(stage.writer.acknowledged[written:]) <= kept
    assert stage.watch.both() == 0
    # What was acknowledged on SQLite is there; what was written to PostgreSQL since is left behind, and was counted.
    assert set(stage.before) <= kept
    left = stage.in_postgresql_now() - kept
    [counted] = [e["detail"] for e in run.events() if e["phase"] == "rollback_count" and e["state"] == "done"][-1:]
    assert str(len(left)) in json.dumps(counted), (len(left), counted)


def test_the_client_never_met_an_error(stage: Stage) -> None:
    """Only what the maintenance page answers, and only then."""
    assert set(stage.writer.statuses) <= {200, 201, 503}, stage.writer.statuses
    assert stage.writer.statuses[503] > 0
    assert stage.writer.statuses[201] > 20
    seen = set(stage.watch.seen)
    assert seen == {(name, answer) for name in ("sqlite", "postgresql") for answer in (True, False)}
