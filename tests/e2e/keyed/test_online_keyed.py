# SPDX-License-Identifier: GPL-3.0-or-later
"""Online, there and back under writes, where PostgreSQL's rows are not those of SQLite to the letter: keys become UUIDs, the
tables are those that the application made itself, or they have a schema of their own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.independent import execute
from support.keyed_app import SCHEMA
from support.played import Place, Played, played
from support.postgres import Cluster
from support.switching import Load

pytestmark = pytest.mark.long

CUTOVER, ROLLBACK = "playbooks/cutover.yml", "playbooks/rollback.yml"
PLACE = Place(
    "keyed",
    "tests/e2e/keyed/hosts.yml",
    Path("/var/lib/pg-cutover-keyed"),
    34180,
    "UPDATE shelf SET notes = notes WHERE label = 'shelf 1'",
)
#: What both sides must answer alike, whatever their keys are.
SAME = (
    "SELECT n.name, s.label, p.name FROM note n JOIN shelf s ON s.id = n.shelf_id LEFT JOIN note p ON p.id = n.parent_id ORDER BY 1",
    "SELECT n.name, t.word FROM tagged t JOIN note n ON n.id = t.note_id ORDER BY 1, 2",
    "SELECT label, notes FROM shelf ORDER BY 1",
    "SELECT (SELECT count(*) FROM shelf), (SELECT count(*) FROM note), (SELECT count(*) FROM tagged)",
)
#: What the application's own migrations have made, with a row in it and more than SQLite has.
MIGRATED = """
CREATE TABLE alembic_version (version_num varchar(32) NOT NULL);
INSERT INTO alembic_version VALUES ('head');
CREATE TABLE shelf (id serial PRIMARY KEY, label varchar(40) NOT NULL UNIQUE, notes integer NOT NULL DEFAULT 0);
INSERT INTO shelf (label) VALUES ('shelf 1');
CREATE TABLE note (id bigserial PRIMARY KEY, shelf_id integer NOT NULL REFERENCES shelf, parent_id bigint REFERENCES note ON DELETE SET NULL,
  name text NOT NULL UNIQUE, at timestamptz NOT NULL, found tsvector GENERATED ALWAYS AS (to_tsvector('simple', name)) STORED);
CREATE INDEX note_found ON note USING gin (found);
CREATE TABLE tagged (note_id bigint NOT NULL REFERENCES note ON DELETE CASCADE, word varchar(40) NOT NULL, PRIMARY KEY (note_id, word));
"""
DECIDED = {"zone": "UTC", "tables": {"shelf": {"seeded": "replace"}}}


def seed() -> None:
    """The application's database."""
    # The demo's playbooks remove what holds their mark, and seed nothing where there is a database.
    PLACE.folder.mkdir(mode=0o755)
    (PLACE.folder / ".pg-cutover-demo").touch()
    with closing(sqlite3.connect(PLACE.source)) as connection, connection:
        connection.executescript(SCHEMA)


@contextmanager
def stage(postgres: Cluster, tmp_path: Path, **variables: Any) -> Iterator[Played]:
    """The application on SQLite, with these variables of the migration."""
    with played(PLACE, postgres, tmp_path, "-e", json.dumps(variables), prepare=seed) as made:
        yield made


def there_and_back(made: Played, kinds: str) -> None:
    """Under writes. kinds: the type of PostgreSQL's keys."""
    with Load(PLACE.port, pause=0.2) as load:
        made.playbooks.run(CUTOVER)
        assert made.serves() == "postgresql"
        assert made.writable() == ["postgresql"]
        assert made.in_postgresql("SELECT DISTINCT pg_typeof(id)::text FROM note") == [(kinds,)]
        on_postgresql = len(load.acknowledged)
        made.playbooks.run(ROLLBACK)
        assert made.serves() == "sqlite"
        assert made.writable() == ["sqlite"]
        assert len(load.acknowledged) > on_postgresql > 0
    assert (load.failed, load.unread) == ([], [])
    # PostgreSQL follows again.
    assert made.equal(*SAME)
    kept = {name for (name,) in made.in_sqlite("SELECT name FROM note")}
    assert {f"note {number}" for number in load.acknowledged} <= kept
    assert made.in_sqlite("SELECT DISTINCT typeof(id) FROM note") == [("integer",)]
    assert made.in_sqlite("PRAGMA foreign_key_check") == []


def test_uuid_keys(postgres: Cluster, tmp_path: Path) -> None:
    with stage(postgres, tmp_path, cutover_ids="uuid") as made:
        there_and_back(made, "uuid")


def test_tables_of_the_application_s_own(postgres: Cluster, tmp_path: Path) -> None:
    with stage(postgres, tmp_path, cutover_schema="existing", cutover_plan_overrides=DECIDED) as made:
        execute(made.playbooks.environment["CUTOVER_TARGET_URL"], MIGRATED)
        there_and_back(made, "bigint")
        assert made.in_postgresql("SELECT version_num FROM alembic_version") == [("head",)]
        [(found,)] = made.in_postgresql("SELECT count(*) FROM note WHERE found IS NULL")
        assert found == 0


def test_a_schema_of_its_own(postgres: Cluster, tmp_path: Path) -> None:
    with stage(postgres, tmp_path, cutover_plan_overrides={"schema": "Shelves"}) as made:
        url = made.playbooks.environment["CUTOVER_TARGET_URL"]
        # For every role, also those that look into it here.
        execute(url, f'ALTER DATABASE "{urlsplit(url).path[1:]}" SET search_path TO "Shelves"')
        there_and_back(made, "bigint")
        there = "SELECT DISTINCT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname IN"
        assert made.in_postgresql(f"{there} ('shelf', 'note', 'tagged')") == [("Shelves",)]
        assert made.in_postgresql(f"{there} ('migration')") == [("pgcutover_for_Shelves",)]
