# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's application on its way between both databases while load is on it."""

from __future__ import annotations

import contextlib
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

from support.load import Load, load
from support.playbooks import Playbooks
from support.postgres import Cluster
from support.project import ROOT
from support.watching import get

PLACE = Path("/var/lib/pg-cutover-online")
PORT = 34080
ROLE = "online_app"
#: What two cores carry beside a playbook, and still many requests in every hold.
RATE = 100


class Stage:
    """The application, its playbooks, and what is in both databases."""

    def __init__(self, playbooks: Playbooks, application_url: str, superuser_url: str) -> None:
        self.playbooks = playbooks
        self.application_url, self.superuser_url = application_url, superuser_url

    @contextlib.contextmanager
    def load(self, folder: Path, rate: float = RATE) -> Iterator[Load]:
        """Load for as long as the block lasts; its figures afterwards. ``folder`` takes its files."""
        with load(PORT, folder, rate) as found:
            yield found

    def serves(self) -> str | None:
        """Which database answers reads through the proxy."""
        return (get(PORT, "/health")[1] or {}).get("database")

    def writable(self) -> list[str]:
        """The databases that let the application write now. Each is asked directly, and the write taken back."""
        write, found = "UPDATE tags SET color = color WHERE id = (SELECT min(id) FROM tags)", []
        with closing(sqlite3.connect(self._file("rw"), uri=True, timeout=10, isolation_level=None)) as source:
            source.execute("BEGIN IMMEDIATE")
            with contextlib.suppress(sqlite3.IntegrityError):
                source.execute(write)
                found.append("sqlite")
            source.execute("ROLLBACK")
        with closing(psycopg2.connect(self.application_url)) as target, target.cursor() as cursor:
            with contextlib.suppress(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(write)
                found.append("postgresql")
            target.rollback()
        return found

    def in_sqlite(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with closing(sqlite3.connect(self._file("ro"), uri=True, timeout=10)) as connection:
            return connection.execute(statement).fetchall()

    def in_postgresql(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of the same query there."""
        with closing(psycopg2.connect(self.superuser_url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    @staticmethod
    def _file(mode: str) -> str:
        return f"file:{PLACE}/app.sqlite?mode={mode}"

    def equal(self, *statements: str, seconds: float = 20) -> bool:
        """Whether both databases come to answer queries alike; what is on its way gets some seconds."""
        deadline = time.monotonic() + seconds
        while any(self.in_sqlite(each) != self.in_postgresql(each) for each in statements):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True

    def report(self) -> dict[str, Any]:
        """The newest report."""
        report: dict[str, Any] = json.loads((PLACE / "reports/online/latest/report.json").read_text())
        return report


@pytest.fixture(scope="module")
def stage(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo's application on SQLite behind HAProxy, beside an empty database."""
    if os.geteuid() != 0:
        pytest.skip("starts servers: needs root")
    database = postgres.create_database()
    with closing(psycopg2.connect(postgres.superuser_url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"DROP ROLE IF EXISTS {ROLE}")
            cursor.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'application'")
            cursor.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(*map(sql.Identifier, (database.name, ROLE)))
            )
    application_url = postgres.url(ROLE, "application", database.name)
    run = Playbooks(
        # Not the folder: Ansible would read the tests in it as lists of hosts.
        str(ROOT / "tests/e2e/online/hosts.yml"),
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
        yield Stage(run, application_url, postgres.superuser_url(database.name))
    finally:
        run.run("demo/down.yml")
        postgres.drop_database(database)
        assert not PLACE.exists()
