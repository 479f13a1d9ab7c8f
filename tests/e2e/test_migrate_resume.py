# SPDX-License-Identifier: GPL-3.0-or-later
"""migrate.yml killed at random moments, then run once more: the same rows as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from support.postgres import Cluster
from support.project import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: Kept beside each failure: the same seed kills at the same moments, as far as a machine allows.
SEED = 20261122
LIMIT = 240


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 60 MB: a wide table, a WITHOUT ROWID table, one without a key."""
    path = tmp_path_factory.mktemp("source") / "app.sqlite"
    chance = random.Random(SEED)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE wide (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(40) NOT NULL, at DATETIME, body TEXT);"
            "CREATE TABLE pairs (a TEXT, b INTEGER, v REAL, PRIMARY KEY (a, b)) WITHOUT ROWID;"
            "CREATE TABLE loose (x INTEGER, y BLOB);"
        )
        words = [chance.randbytes(6).hex() for _ in range(2000)]
        rows = (
            (f"row {n}", 1_700_000_000_000 + n, " ".join(chance.choices(words, k=300)) + " é") for n in range(12_000)
        )
        connection.executemany("INSERT INTO wide (name, at, body) VALUES (?, ?, ?)", rows)
        connection.executemany(
            "INSERT INTO pairs VALUES (?, ?, ?)", ((words[n % 50], n, chance.random()) for n in range(20_000))
        )
        # Rows that are equal in every column: a multiset must count them.
        connection.executemany("INSERT INTO loose VALUES (?, ?)", ((n % 7, b"same") for n in range(5_000)))
        connection.commit()
    return path


@pytest.fixture
def targets(postgres: Cluster) -> Iterator[tuple[str, str]]:
    """Two fresh databases: one for the undisturbed run, one for the one that is killed."""
    made = [postgres.create_database(), postgres.create_database()]
    yield made[0].url, made[1].url
    for database in made:
        postgres.drop_database(database)


class Migration:
    """Runs of migrate.yml with a state of their own."""

    def __init__(self, folder: Path, source: Path, url: str) -> None:
        self.state, self.reports = folder / "state", folder / "reports"
        self._source, self._url = source, url

    def start(self) -> subprocess.Popen[bytes]:
        """ansible-playbook as the leader of a process group of its own."""
        return subprocess.Popen(
            [
                str(ROOT / ".venv/bin/ansible-playbook"),
                *("-i", "localhost,", "-c", "local", str(ROOT / "playbooks/migrate.yml")),
                *("-e", f"cutover_source_path={self._source}", "-e", f"cutover_state_dir={self.state}"),
                *("-e", f"cutover_report_dir={self.reports}", "-e", "cutover_workers=2"),
            ],
            cwd=ROOT,
            env={**os.environ, "CUTOVER_TARGET_URL": self._url, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self) -> dict[str, Any]:
        """One plain run; its report."""
        with self.start() as process:
            output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, output.decode()[-4000:]
        report: dict[str, Any] = json.loads((self.reports / "app/latest/report.json").read_text())
        return report

    def phases(self) -> str:
        """The journal as text; empty before the first run."""
        with contextlib.suppress(FileNotFoundError):
            return (self.state / "journal.jsonl").read_text()
        return ""

    def engine(self) -> int | None:
        """The number of the process that copies or compares now."""
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
            number = int((self.state / "engine.lock").read_text().split()[0])
            if os.path.exists(f"/proc/{number}"):
                return number
        return None


def wait_for_work(migration: Migration, process: subprocess.Popen[bytes], deadline: float) -> None:
    """Until the engine is at work, or the run has ended."""
    while time.monotonic() < deadline and process.poll() is None and migration.engine() is None:
        time.sleep(0.02)


def kill_once(migration: Migration, chance: random.Random, whom: str) -> str:
    """Start a run and kill the playbook or the engine at a random moment of its work; what was killed."""
    process = migration.start()
    assert process.stdout is not None
    try:
        # The engine works in turns: snapshot, copy, comparison. Which of them is hit is left to chance.
        time.sleep(chance.random() * 14)
        wait_for_work(migration, process, time.monotonic() + LIMIT)
        time.sleep(chance.random() * 0.2)
        engine = migration.engine()
        if whom == "engine" and engine is not None:
            # Its workers die with it; the playbook is left to notice, and fails.
            with contextlib.suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)
            process.communicate(timeout=LIMIT)
            return "engine"
        # The playbook alone: the engine goes on as an orphan until the next run ends it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return "playbook"
    finally:
        process.stdout.close()
        process.wait(LIMIT)


def rows_of(url: str) -> dict[str, Any]:
    """What is in the tables, read without the engine."""
    queries = {
        "wide": "SELECT count(*), count(DISTINCT id), sum(length(body)), md5(string_agg(md5(body), '' ORDER BY id)) FROM wide",
        "pairs": "SELECT count(*), count(DISTINCT (a, b)), sum(b), md5(string_agg(v::text, '' ORDER BY a COLLATE \"C\", b)) FROM pairs",
        "loose": "SELECT x, y, count(*) FROM loose GROUP BY 1, 2 ORDER BY 1",
    }
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        found: dict[str, Any] = {}
        for name, query in queries.items():
            cursor.execute(query)
            found[name] = [
                tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor.fetchall()
            ]
    return found


@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.long)])
def test_kills_and_a_run_equal_one_undisturbed_run(
    tmp_path: Path, source: Path, targets: tuple[str, str], kills: int
) -> None:
    undisturbed = Migration(tmp_path / "undisturbed", source, targets[0])
    expected = undisturbed.run()
    assert expected["ok"]

    killed = Migration(tmp_path / "killed", source, targets[1])
    chance = random.Random(SEED)
    victims = [kill_once(killed, chance, whom) for whom in ["engine", "playbook"] * (kills // 2)]
    assert {"engine", "playbook"} <= set(victims)
    report = killed.run()

    assert report["ok"]
    wanted = [(table["name"], table["rows_source"], table["checksum"]) for table in expected["tables"]]
    assert [(table["name"], table["rows_target"], table["checksum"]) for table in report["tables"]] == wanted
    assert rows_of(targets[1]) == rows_of(targets[0])
    assert killed.engine() is None, "a process of a killed run is still at work"
