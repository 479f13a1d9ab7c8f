# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a switch needs, in real processes: two applications, HAProxy in front, both databases, writers."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from cutover import access
from cutover.capture import install
from cutover.follow import position as follow_position
from cutover.lock import replicating
from cutover.plan.model import Plan
from cutover.reverse import capture as reverse_capture
from cutover.source.fence import fence_id
from cutover.target.connect import connect, quote

from . import engine
from .postgres import Cluster, Database
from .project import ROOT
from .proxies import HaProxy, free_port, haproxy

HERE = Path(__file__).parent
SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, events INTEGER NOT NULL DEFAULT 0);
CREATE TABLE event (id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL REFERENCES owner (id) ON DELETE CASCADE,
  note TEXT, at DATETIME NOT NULL);
CREATE TABLE tag (number INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT NOT NULL);
CREATE TABLE audit (number INTEGER PRIMARY KEY AUTOINCREMENT, event_id INTEGER);
CREATE TABLE wide (code TEXT PRIMARY KEY, a REAL, b BLOB, c TEXT) WITHOUT ROWID;
CREATE TRIGGER removed AFTER DELETE ON event BEGIN INSERT INTO audit (event_id) VALUES (old.id); END;
"""
#: Of the writers' rows; no two are alike in one test run.
_IDS = itertools.count(1000)
ROLE_PASSWORD = "for-tests"


@dataclass
class Load:
    """Writers through the proxy. acknowledged: ids whose write was answered with 200; failed: what else was answered."""

    port: int
    pause: float = 0.004
    acknowledged: set[int] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    longest_ms: float = 0.0
    unread: list[int] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._write, daemon=True) for _ in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def _write(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        with closing(connection):
            while not self._ended.is_set():
                number = next(_IDS)
                began = time.monotonic()
                try:
                    status, said = _ask(connection, "POST", f"/write?id={number}")
                    if status == 200:
                        self.acknowledged.add(number)
                        status, said = _ask(connection, "GET", f"/read?id={number}")
                        if status == 200 and said != "there":
                            self.unread.append(number)
                    if status != 200:
                        self.failed.append(f"{status} {said}")
                except (OSError, http.client.HTTPException) as error:
                    self.failed.append(repr(error))
                    connection.close()
                self.longest_ms = max(self.longest_ms, (time.monotonic() - began) * 1000)
                time.sleep(self.pause)


def _ask(connection: http.client.HTTPConnection, method: str, path: str) -> tuple[int, str]:
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@dataclass
class Stage:
    """One migration that is ready to be switched."""

    folder: Path
    source: Path
    cluster: Cluster
    database: Database
    plan: Plan
    proxy: HaProxy
    role: str
    blue: subprocess.Popen[bytes]
    green: subprocess.Popen[bytes]
    blue_port: int
    runs: int = 0

    def config(self, **more: Any) -> Path:
        """The configuration of a run, in a file."""
        self.runs += 1
        path = self.folder / f"config-{self.runs}.json"
        path.write_text(
            json.dumps(
                {
                    "name": self.plan.name,
                    "state_dir": str(self.folder / "state"),
                    "run": f"run{self.runs}",
                    "source_path": str(self.source),
                    "target_url": self.database.url,
                    "plan": self.plan.as_dict(),
                    "application_role": self.role,
                    "proxies": [asdict(self.proxy.endpoint)],
                    "verified": True,
                    "pause_seconds": 0.3,
                    "settle_seconds": 5,
                    "budget_ms": 400,
                    "lease_ms": 1500,
                    **more,
                }
            )
        )
        return path

    def start(self, action: str, *how: str, configured: Path | None = None, **more: Any) -> subprocess.Popen[str]:
        """The engine, in a process group of its own. configured: what ``config`` made before."""
        path = configured or self.config(**more)
        return subprocess.Popen(
            [sys.executable, str(HERE / "switch_engine.py"), action, str(path), *how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "module_utils")},
        )

    def run(self, action: str, *how: str, **more: Any) -> dict[str, Any]:
        """The engine's result; {"killed": True} when it has ended itself."""
        with self.start(action, *how, **more) as process:
            said, _ = process.communicate(timeout=90)
        if process.returncode == -signal.SIGKILL:
            return {"killed": True}
        assert process.returncode == 0, said
        result: dict[str, Any] = json.loads(said.splitlines()[-1])
        return result

    def writable(self) -> list[str]:
        """The databases that the application's own rights let it write to now."""
        found = []
        with closing(sqlite3.connect(self.source, timeout=10, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with contextlib.suppress(sqlite3.IntegrityError):
                connection.execute("UPDATE owner SET events = events WHERE id = 1")
                found.append("sqlite")
            connection.execute("ROLLBACK")
        with closing(psycopg2.connect(self.application_url)) as target, target.cursor() as cursor:
            with contextlib.suppress(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("UPDATE owner SET events = events WHERE id = 1")
                found.append("postgresql")
            target.rollback()
        return found

    @property
    def application_url(self) -> str:
        """Green's URL."""
        return self.cluster.url(self.role, ROLE_PASSWORD, self.database.name)

    def ids(self) -> set[int]:
        """The events in the database that takes writes."""
        [where] = self.writable()
        if where == "sqlite":
            with closing(sqlite3.connect(self.source)) as connection:
                return {number for (number,) in connection.execute("SELECT id FROM event")}
        with closing(psycopg2.connect(self.application_url)) as target, target.cursor() as cursor:
            cursor.execute("SELECT id FROM event")
            return {number for (number,) in cursor.fetchall()}

    def fence(self) -> str | None:
        """The fence that stands."""
        with closing(sqlite3.connect(self.source)) as connection:
            return fence_id(connection)

    def journal(self) -> list[tuple[str, dict[str, Any]]]:
        """(phase, detail) of what was told."""
        path = self.folder / "state" / "journal.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(event["phase"], event["detail"]) for event in map(json.loads, lines)]

    def guardian_ended(self) -> None:
        """Wait until nobody holds the switch's lock."""
        until = time.monotonic() + 20
        while replicating(str(self.folder / "state")) is not None:
            assert time.monotonic() < until, (self.folder / "state" / "guardian.log").read_text()
            time.sleep(0.02)


def reached(process: subprocess.Popen[str]) -> None:
    """Wait until an engine that was started with ``wait`` stands at its step."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "reached" in line, line


def result(process: subprocess.Popen[str], more: str = "\n") -> dict[str, Any]:
    """Let it go on, to its end."""
    with process:
        said, _ = process.communicate(more * 20, timeout=60)
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    return told


def make_source(path: Path, rows: int = 300) -> None:
    """The database that moves."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO owner (id, name) VALUES (?, ?)", [(n, f"owner {n}") for n in range(1, 21)])
        connection.executemany(
            "INSERT INTO event VALUES (?, ?, ?, '2026-01-01 00:00:00')",
            [(n, n % 20 + 1, f"old {n}") for n in range(1, rows + 1)],
        )
        connection.executemany(
            "INSERT INTO wide VALUES (?, ?, ?, ?)", [(f"c{n}", n / 7, bytes([n % 256]), "x" * n) for n in range(50)]
        )
        connection.execute("COMMIT")


def follow_ready(source: Path, folder: Path, database: Database, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Everything before the critical section: capture, snapshot, copy, keys, position, the way back."""
    plan, findings = engine.planned(source, overrides)
    assert engine.errors(findings) == []
    installed = install.install(str(source), plan)
    copy = folder / "snapshot.sqlite"
    with closing(sqlite3.connect(source)) as connection, closing(sqlite3.connect(copy)) as into:
        connection.backup(into)
    engine.create(database.url, plan)
    engine.copy(copy, database.url, plan)
    engine.finish(copy, database.url, plan)
    assert engine.verify(copy, database.url, plan)["ok"]
    with closing(connect(database.url)) as target:
        with target, target.cursor() as cursor:
            follow_position.begin(cursor, plan.own, installed.id, installed.position)
        reverse_capture.install(target, plan)
    return plan


def admitted(cluster: Cluster, database: Database, plan: Plan) -> tuple[str, str]:
    """The application's role, which may read the tables, and its URL."""
    role = f"{database.name}_app"
    with closing(psycopg2.connect(cluster.superuser_url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE ROLE "{role}" LOGIN PASSWORD %s', (ROLE_PASSWORD,))
            if plan.schema != "public":
                # As the role database does.
                where = f'IN DATABASE "{database.name}"'
                cursor.execute(f'ALTER ROLE "{role}" {where} SET search_path TO {quote(plan.schema)}')
    with closing(connect(database.url)) as target:
        access.admit_readers(target, plan, role)
    return role, cluster.url(role, ROLE_PASSWORD, database.name)


@contextmanager
def stage(
    folder: Path,
    cluster: Cluster,
    database: Database,
    prepare: Callable[[Path, Path, Database], Plan] = follow_ready,
    **variables: Any,
) -> Iterator[Stage]:
    """A migration ready to be switched, its applications and its proxy at work. prepare: does what ``follow_ready`` does."""
    source = folder / "app.sqlite"
    make_source(source)
    plan = prepare(source, folder, database)
    role, url = admitted(cluster, database, plan)
    with _app(str(source)) as (blue, blue_port), _app(url) as (green, green_port):
        with haproxy(folder / "proxy", blue_port, green_port, **variables) as proxy:
            yield Stage(folder, source, cluster, database, plan, proxy, role, blue, green, blue_port)


@contextmanager
def _app(where: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    command = [sys.executable, str(HERE / "switch_app.py"), str(port), where]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process, port
        finally:
            process.kill()
