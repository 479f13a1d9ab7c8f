# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's application on its way between both databases while load is on it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from support.playbooks import Playbooks
from support.postgres import Cluster
from support.project import ROOT
from support.watching import get

PLACE = Path("/var/lib/pg-cutover-online")
PORT = 34080
ROLE = "online_app"
#: What two cores carry beside a playbook, and still many requests in every hold.
RATE = 100
#: The load needs no longer for the writes that it asks for in the end.
LOAD_ENDS_SECONDS = 120


@dataclass
class Load:
    """What a load came to, once its block was left."""

    figures: dict[str, Any]
    check: dict[str, Any]
    acknowledged: list[str]

    def spotless(self) -> None:
        """Fail when a request failed, an acknowledged write is not there, or a read was stale."""
        assert self.figures["failed"] == 0, self.figures["failures"]
        assert self.figures["unavailable"] == 0
        assert self.figures["stale"] == 0
        assert (self.check["lost"], self.check["unknown"]) == ([], [])
        assert self.figures["acknowledged"] > 0


class Stage:
    """The application, its playbooks, and what is in both databases."""

    def __init__(self, playbooks: Playbooks, application_url: str, superuser_url: str) -> None:
        self.playbooks = playbooks
        self.application_url, self.superuser_url = application_url, superuser_url

    @contextlib.contextmanager
    def load(self, folder: Path, rate: float = RATE) -> Iterator[Load]:
        """Load from demo/load.py for as long as the block lasts; its figures afterwards."""
        done, begun, out = folder / "done", folder / "begun", folder / "load.json"
        command = [
            *(sys.executable, str(ROOT / "demo/load.py"), "--port", str(PORT), "--rate", str(rate), "--check"),
            *("--write-share", "0.3", "--until-file", str(done), "--begun-file", str(begun), "--out", str(out)),
        ]
        seen = Load({}, {}, [])
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                deadline = time.monotonic() + 30
                while not begun.exists():
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                yield seen
                done.touch()
                said, _ = process.communicate(timeout=LOAD_ENDS_SECONDS)
            finally:
                process.kill()
        assert out.exists(), said
        report = json.loads(out.read_text())
        seen.figures, seen.check, seen.acknowledged = report["summary"], report["check"], report["acknowledged"]

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
        str(ROOT / "tests/e2e/online"),
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
