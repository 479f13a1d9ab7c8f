# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's application moved by the playbooks, on one machine, beside a temporary PostgreSQL given as an external one."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from .independent import fetch
from .load import Load, load
from .playbooks import Playbooks
from .postgres import Cluster
from .project import ROOT
from .watching import get

#: What two cores carry beside a playbook, and still many requests in every hold.
RATE = 100
PASSWORD = "application"


@dataclass(frozen=True)
class Place:
    """Where an inventory has its application. name: of the migration. inventory: a file. write: changes nothing, and
    needs every right and fires every trigger."""

    name: str
    inventory: str
    folder: Path
    port: int
    write: str = "UPDATE tags SET color = color WHERE id = (SELECT min(id) FROM tags)"

    @property
    def source(self) -> Path:
        """The SQLite file."""
        return self.folder / "app.sqlite"


class Played:
    """The application, its playbooks, and what is in both databases."""

    def __init__(self, place: Place, playbooks: Playbooks, application_url: str, superuser_url: str) -> None:
        self.place, self.playbooks = place, playbooks
        self.application_url, self.superuser_url = application_url, superuser_url

    @contextmanager
    def load(self, folder: Path, rate: float = RATE) -> Iterator[Load]:
        """Load for as long as the block lasts; its figures afterwards. ``folder`` takes its files."""
        with load(self.place.port, folder, rate) as found:
            yield found

    def serves(self) -> str | None:
        """Which database answers reads through the proxy."""
        return (get(self.place.port, "/health")[1] or {}).get("database")

    def writable(self) -> list[str]:
        """The databases that let the application write now. Each is asked directly, and the write taken back."""
        write: str = self.place.write
        found: list[str] = []
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
        return fetch(self.superuser_url, statement)

    def _file(self, mode: str) -> str:
        return f"file:{self.place.source}?mode={mode}"

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
        path = self.place.folder / "reports" / self.place.name / "latest/report.json"
        report: dict[str, Any] = json.loads(path.read_text())
        return report

    def phases(self, run: str) -> dict[str, dict[str, Any]]:
        """The phases that a run finished, with what they told."""
        done = [event for event in self.playbooks.events() if event["run"] == run and event["state"] == "done"]
        return {event["phase"]: event["detail"] for event in done}


@contextmanager
def played(
    place: Place, postgres: Cluster, output: Path, *options: str, prepare: Callable[[], object] = lambda: None
) -> Iterator[Played]:
    """The application on SQLite behind HAProxy, beside an empty database. ``output`` takes what the playbooks print.

    prepare: is called before the application is started, with nothing left of an earlier run.
    """
    if os.geteuid() != 0:
        pytest.skip("starts servers: needs root")
    database, role = postgres.create_database(), f"{place.name}_app"
    with closing(psycopg2.connect(postgres.superuser_url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            names = {"role": sql.Identifier(role), "database": sql.Identifier(database.name)}
            cursor.execute(sql.SQL("DROP ROLE IF EXISTS {role}").format(**names))
            cursor.execute(sql.SQL("CREATE ROLE {role} LOGIN PASSWORD {}").format(sql.Literal(PASSWORD), **names))
            cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {database} TO {role}").format(**names))
    application_url = postgres.url(role, PASSWORD, database.name)
    run = Playbooks(
        # Not its folder: Ansible would read the tests in it as lists of hosts.
        str(ROOT / place.inventory),
        place.folder / "state",
        output,
        options,
        {"CUTOVER_TARGET_URL": database.url, "CUTOVER_APPLICATION_URL": application_url, "LC_ALL": "C.UTF-8"},
    )
    if place.folder.exists():
        # Left from a test run that was killed.
        run.run("demo/down.yml")
    try:
        prepare()
        run.run("demo/up.yml")
        yield Played(place, run, application_url, postgres.superuser_url(database.name))
    finally:
        run.run("demo/down.yml")
        postgres.drop_database(database)
        assert not place.folder.exists()
