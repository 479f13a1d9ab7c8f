# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a migration one by one, with nothing but a source file and a target URL, as an operator would try them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from support.playbooks import run_local

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Parts:
    """Playbooks on this host, with a state and reports of their own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.source, self.state, self.reports, self.url = folder / "a.sqlite", folder / "state", folder / "reports", url
        with contextlib.closing(sqlite3.connect(self.source)) as connection:
            connection.executescript(
                "CREATE TABLE a (id INTEGER PRIMARY KEY, n TEXT); INSERT INTO a VALUES (1, 'x'), (2, 'y');"
            )

    def run(self, playbook: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook to its end."""
        variables = {
            "cutover_source_path": str(self.source),
            "cutover_state_dir": str(self.state),
            "cutover_report_dir": str(self.reports),
            "cutover_workers": 1,
        }
        return run_local(playbook, self.url, variables)

    def ok(self, playbook: str) -> str:
        """Run a playbook that has to end well; what it printed."""
        ended = self.run(playbook)
        assert ended.returncode == 0, ended.stdout[-6000:]
        return ended.stdout

    def report(self) -> dict[str, Any]:
        """The report of the latest run that wrote one."""
        found: dict[str, Any] = json.loads((self.reports / "app/latest/report.json").read_text())
        return found

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run SQL in the target."""
        with contextlib.closing(psycopg2.connect(self.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def test_parts_alone(tmp_path: Path, database: str) -> None:
    parts = Parts(tmp_path, database)
    assert "GO" in parts.ok("preflight.yml")
    parts.ok("schema.yml")
    parts.ok("sync.yml")
    assert "source and target are equal" in parts.ok("verify.yml")
    assert (parts.report()["ok"], parts.report()["outcome"]) == (True, "verified")


def test_verify_and_finalize_after_migrate(tmp_path: Path, database: str) -> None:
    parts = Parts(tmp_path, database)
    parts.ok("migrate.yml")
    parts.execute("UPDATE a SET n = 'z' WHERE id = 2")
    told = parts.run("verify.yml")
    assert told.returncode != 0
    assert "a id=2 column n" in told.stdout
    assert parts.report()["ok"] is False
    parts.execute("UPDATE a SET n = 'y' WHERE id = 2")
    parts.ok("verify.yml")
    parts.ok("finalize.yml")
    assert parts.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgcutover%'") == []
    assert not list(parts.state.glob("**/*.sqlite"))
    assert parts.execute("SELECT n FROM a ORDER BY id") == [("x",), ("y",)]
    parts.ok("finalize.yml")
