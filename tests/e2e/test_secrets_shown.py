# SPDX-License-Identifier: GPL-3.0-or-later
"""No part of a run shows a password: output, processes, state, reports, also where the server refuses it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql

from support.leaks import Processes, files_showing, forms
from support.playbooks import ansible
from support.postgres import Cluster
from support.project import ROOT, load

pytestmark = pytest.mark.long

URL = load("filter_plugins/database_url.py")
AWKWARD = "p@ss: word/%'\"\\$ünïcødé long enough to be found"


def migrate(folder: Path, url: str) -> tuple[subprocess.CompletedProcess[str], Processes]:
    """migrate.yml as talkative as it gets, with the URL from a file of variables as it comes from a vault."""
    variables = folder / "variables.json"
    variables.write_text(
        json.dumps(
            {
                "cutover_target_url": url,
                "cutover_source_path": str(folder / "a.sqlite"),
                "cutover_state_dir": str(folder / "out/state"),
                "cutover_report_dir": str(folder / "out/reports"),
                "cutover_workers": 1,
            }
        )
    )
    with Processes() as processes:
        ended = ansible(
            *("-i", "localhost,", "-c", "local", "-vvv", "--diff", str(ROOT / "playbooks/migrate.yml")),
            *("-e", f"@{variables}"),
            timeout=900,
        )
    return ended, processes


@pytest.mark.parametrize("right", [True, False], ids=["accepted", "refused"])
def test_migrate_shows_no_password(tmp_path: Path, postgres: Cluster, right: bool) -> None:
    made = postgres.create_database()
    with contextlib.closing(psycopg2.connect(postgres.superuser_url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("ALTER ROLE {} PASSWORD %s").format(sql.Identifier(made.owner)), [AWKWARD if right else "other"]
            )
    with contextlib.closing(sqlite3.connect(tmp_path / "a.sqlite")) as source:
        source.executescript(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, n TEXT); INSERT INTO a VALUES (1, 'x'), (2, 'y');"
        )
    url = URL.database_url_build(
        {"host": "127.0.0.1", "port": postgres.port, "database": made.name, "user": made.owner, "password": AWKWARD}
    )
    try:
        ended, processes = migrate(tmp_path, url)
        said = ended.stdout
        assert (ended.returncode == 0) == right, said[-5000:]
        assert "***" in said or right, "a refusal names the URL without its password"
        assert [form for form in forms(AWKWARD) if form in said.encode()] == []
        assert processes.showing([AWKWARD]) == []
        assert len(processes.seen) > 20, "processes were seen at all"
        assert list(files_showing(tmp_path / "out", [AWKWARD])) == []
    finally:
        postgres.drop_database(made)
