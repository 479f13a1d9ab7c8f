# SPDX-License-Identifier: GPL-3.0-or-later
"""``cutover_schema: existing`` by the playbooks: asked, decided, loaded, proved, tidied up; the tables stay the application's."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.engine import copy
from support.existing import catalog, planned, prepare
from support.independent import execute, fetch
from support.playbooks import run_local

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SOURCE = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
CREATE TABLE status (id INTEGER PRIMARY KEY, label TEXT NOT NULL);
CREATE TABLE task (id INTEGER PRIMARY KEY AUTOINCREMENT, "statusId" INTEGER REFERENCES status, due DATETIME, title TEXT, old TEXT);
INSERT INTO alembic_version VALUES ('sqlite');
INSERT INTO status VALUES (1, 'open'), (2, 'done');
INSERT INTO task VALUES (3, 1, '2024-02-29 08:00:00', 'write', NULL), (9, 2, NULL, 'read', 'x');
DELETE FROM task WHERE id = 9; INSERT INTO task (id, title) VALUES (4, 'think');
"""
TARGET = """
CREATE TABLE alembic_version (version_num varchar(32) NOT NULL);
INSERT INTO alembic_version VALUES ('postgresql');
CREATE TABLE status (id integer PRIMARY KEY, label varchar(20) NOT NULL);
INSERT INTO status VALUES (1, 'open'), (2, 'closed');
CREATE TABLE task (id serial PRIMARY KEY, status_id integer REFERENCES status, due timestamptz, title text,
  search tsvector GENERATED ALWAYS AS (to_tsvector('english', coalesce(title, ''))) STORED);
CREATE INDEX task_search ON task USING gin (search);
"""
DECIDED = {"zone": "UTC", "tables": {"status": {"seeded": "replace"}, "task": {"columns": {"old": {"carry": False}}}}}


def run(
    folder: Path, url: str, playbook: str, overrides: dict[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a playbook to its end."""
    more = {
        "cutover_source_path": str(folder / "a.sqlite"),
        "cutover_state_dir": str(folder / "state"),
        "cutover_report_dir": str(folder / "reports"),
        "cutover_schema": "existing",
        "cutover_plan_overrides": overrides or {},
        "cutover_workers": 2,
    }
    return run_local(playbook, url, more)


def test_load_that_was_not_finished_is_called_off(tmp_path: Path, database: str) -> None:
    source = tmp_path / "a.sqlite"
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.executescript(SOURCE)
    execute(database, TARGET)
    before = catalog(database)
    plan, _ = planned(source, database, DECIDED, name="app")
    prepare(database, plan)
    copy(source, database, plan)
    assert catalog(database) != before
    ended = run(tmp_path, database, "rollback.yml", DECIDED)
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert catalog(database) == before
    assert fetch(database, "SELECT label FROM status ORDER BY id") == [("open",), ("closed",)]
    assert fetch(database, "SELECT count(*) FROM task") == [(0,)]


def test_application_s_own_tables_from_the_first_question_to_the_end(tmp_path: Path, database: str) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        connection.executescript(SOURCE)
    execute(database, TARGET)
    before = catalog(database)
    asked = run(tmp_path, database, "preflight.yml")
    assert asked.returncode != 0
    assert "NO GO" in asked.stdout
    assert "seeded: replace" in asked.stdout
    assert catalog(database) == before
    assert fetch(database, "SELECT to_regclass('pgcutover.migration')") == [(None,)]
    done = run(tmp_path, database, "migrate.yml", DECIDED)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "every row was verified" in done.stdout
    assert catalog(database) == before
    rows = fetch(database, "SELECT id, status_id, due AT TIME ZONE 'UTC', search::text FROM task ORDER BY id")
    assert [(row[0], row[1], str(row[2]), row[3]) for row in rows] == [
        (3, 1, "2024-02-29 08:00:00", "'write':1"),
        (4, None, "None", "'think':1"),
    ]
    assert fetch(database, "SELECT version_num FROM alembic_version") == [("postgresql",)]
    execute(database, "INSERT INTO task (title) VALUES ('next')")
    assert fetch(database, "SELECT max(id) FROM task") == [(10,)]
    execute(database, "DELETE FROM task WHERE id = 10")
    ended = run(tmp_path, database, "finalize.yml", DECIDED)
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert fetch(database, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgcutover%'") == []
    assert catalog(database) == before
    assert fetch(database, "SELECT label FROM status ORDER BY id") == [("open",), ("done",)]
