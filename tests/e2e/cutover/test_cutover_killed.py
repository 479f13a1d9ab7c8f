# SPDX-License-Identifier: GPL-3.0-or-later
"""cutover.yml and rollback.yml killed in the middle of their phases, under writes, then run again: nothing is lost,
never are two databases writable, and the application serves in the end."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from support.independent import fetch
from support.playbooks import Playbooks, phase
from support.postgres import Cluster
from support.project import ROOT
from support.watching import Watch, Writer, get

pytestmark = pytest.mark.slow

PLACE = Path("/var/lib/pg-cutover-kill")
PORT = 19080
CUTOVER, ROLLBACK = "playbooks/cutover.yml", "playbooks/rollback.yml"


class Stage:
    """The application on its way: what runs, and what is in both databases."""

    def __init__(self, playbooks: Playbooks, application_url: str, superuser_url: str) -> None:
        self.playbooks = playbooks
        self.application_url, self._superuser_url = application_url, superuser_url
        self.writer = Writer(PORT, pause=0.2)
        self.watch = Watch(PLACE / "app.sqlite", application_url, pause=0.2)
        #: What was acknowledged while SQLite took the writes.
        self.before: list[str] = []

    def in_sqlite(self) -> set[str]:
        """The writes that SQLite holds."""
        with closing(sqlite3.connect(PLACE / "app.sqlite")) as connection:
            return {name for (name,) in connection.execute('SELECT "writeId" FROM messages')}

    def in_postgresql(self) -> set[str]:
        """The writes that PostgreSQL holds."""
        return {name for (name,) in fetch(self._superuser_url, 'SELECT "writeId" FROM messages')}

    def serves(self) -> str | None:
        """Which database answers reads through the proxy."""
        return (get(PORT, "/health")[1] or {}).get("database")

    def report(self) -> dict[str, Any]:
        """The newest report."""
        report: dict[str, Any] = json.loads((PLACE / "reports/kill/latest/report.json").read_text())
        return report

    def wait_for_write(self) -> None:
        """Until one more write was acknowledged."""
        before, deadline = len(self.writer.acknowledged), time.monotonic() + 30
        while len(self.writer.acknowledged) == before:
            assert time.monotonic() < deadline, self.writer.statuses
            time.sleep(0.05)


@pytest.fixture(scope="module")
def stage(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo's application on SQLite behind HAProxy, beside an empty database, with a client that writes."""
    if os.geteuid() != 0:
        pytest.skip("starts servers: needs root")
    database = postgres.create_database()
    with closing(psycopg2.connect(postgres.superuser_url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE kill_app LOGIN PASSWORD 'application'")
            cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO kill_app").format(sql.Identifier(database.name)))
    application_url = postgres.url("kill_app", "application", database.name)
    run = Playbooks(
        str(ROOT / "tests/e2e/cutover"),
        PLACE / "state",
        tmp_path_factory.mktemp("output"),
        environment={
            "CUTOVER_TARGET_URL": database.url,
            "CUTOVER_APPLICATION_URL": application_url,
            "LC_ALL": "C.UTF-8",
        },
    )
    if PLACE.exists():
        # Left from a test run that was killed.
        run.run("demo/down.yml")
    try:
        run.run("demo/up.yml")
        made = Stage(run, application_url, postgres.superuser_url(database.name))
        with made.watch, made.writer:
            made.wait_for_write()
            yield made
        assert made.watch.both() == 0
    finally:
        run.run("demo/down.yml")
        assert not PLACE.exists()


def test_killed_before_the_point_of_no_return_it_goes_on_or_is_called_off(stage: Stage) -> None:
    run = stage.playbooks
    # Maintenance is on by then, the fence stands or does not.
    run.killed(CUTOVER, phase("fence"), later=0.3)
    assert stage.serves() == "sqlite", "reads go on"
    assert set(stage.writer.acknowledged) <= stage.in_sqlite()
    run.killed(CUTOVER, phase("copy"), later=0.5)
    assert stage.serves() == "sqlite"
    # Called off: everything as it was, and the writes go on.
    run.run(ROLLBACK)
    stage.watch.until("sqlite", True)
    stage.wait_for_write()
    assert stage.serves() == "sqlite"
    assert set(stage.writer.acknowledged) <= stage.in_sqlite()
    assert stage.watch.both() == 0


def test_killed_at_and_behind_the_point_of_no_return_it_ends_on_postgresql(stage: Stage) -> None:
    run = stage.playbooks
    # The fence stands, every row is proved, and PostgreSQL is being opened.
    run.killed(CUTOVER, phase("switch"), later=0.3)
    stage.watch.until("sqlite", False)
    stage.before = list(stage.writer.acknowledged)
    assert set(stage.before) <= stage.in_sqlite()
    run.killed(CUTOVER, phase("release"), later=0.1)
    run.run(CUTOVER)
    stage.watch.until("postgresql", True)
    stage.wait_for_write()
    assert stage.serves() == "postgresql"
    assert stage.report()["ok"]
    assert set(stage.writer.acknowledged) <= stage.in_postgresql()
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
    kept = stage.in_sqlite()
    assert set(stage.writer.acknowledged[written:]) <= kept
    assert stage.watch.both() == 0
    # What was acknowledged on SQLite is there; what was written to PostgreSQL since is left behind, and was counted.
    assert set(stage.before) <= kept
    left = stage.in_postgresql() - kept
    [counted] = [e["detail"] for e in run.events() if e["phase"] == "rollback_count" and e["state"] == "done"][-1:]
    assert str(len(left)) in json.dumps(counted), (len(left), counted)


def test_the_client_never_met_an_error(stage: Stage) -> None:
    """Only what the maintenance page answers, and only then."""
    assert set(stage.writer.statuses) <= {200, 201, 503}, stage.writer.statuses
    assert stage.writer.statuses[503] > 0
    assert stage.writer.statuses[201] > 20
    seen = set(stage.watch.seen)
    assert seen == {(name, answer) for name in ("sqlite", "postgresql") for answer in (True, False)}
