# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants with databases in one cluster, which the fleet makes for them: found by their files, moved side by side."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from support.playbooks import ansible
from support.project import ROOT

pytestmark = pytest.mark.long

HERE = Path(__file__).parent
STACK = Path("/var/lib/pg-cutover-fleet-test")
CLUSTER, PORT = "pgcutover_fleet_test", 25434
PORTS = {"acme": 28091, "globex": 28092, "initech": 28093}


def playbook(path: Path, *arguments: str, fails: bool = False) -> str:
    """A run to its end; what it printed."""
    done = ansible("-i", str(HERE / "inventory.yml"), str(path), *arguments, timeout=900)
    assert (done.returncode != 0) == fails, done.stdout[-6000:]
    return done.stdout


def fleet(name: str, *arguments: str, fails: bool = False) -> dict[str, dict[str, Any]]:
    """What became of each tenant."""
    playbook(ROOT / "playbooks/fleet.yml", "-e", f"fleet_playbook={name}", *arguments, fails=fails)
    report = json.loads((STACK / "reports/_fleet/latest/fleet.json").read_text())
    return {each["tenant"]: each for each in report["tenants"]}


def outcomes(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The outcomes alone."""
    return {name: each["outcome"] for name, each in found.items()}


def application(action: str, name: str) -> None:
    """Start or stop a tenant's application."""
    program = str(ROOT / "tests/e2e/roles/app.py")
    subprocess.run(
        [sys.executable, program, action, str(STACK / "tenants" / name), str(PORTS[name])], check=True, timeout=30
    )


def serves(name: str) -> str:
    """From which kind of database a tenant's application serves."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[name]}/health", timeout=10) as answer:
        found: str = json.load(answer)["database"]
        return found


def tenant(name: str, script: str) -> None:
    """A file and a running application."""
    folder = STACK / "tenants" / name
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "app.sqlite")) as connection:
        connection.executescript(f"CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL); {script}")
    (folder / "app.env").write_text(f'DATABASE_URL="sqlite:///{folder}/app.sqlite"\n')
    (folder / "app.env").chmod(0o600)
    application("start", name)


def connect(name: str, to: str) -> psycopg2.extensions.connection:
    """To a tenant's database with the application's password of one of them."""
    password = (STACK / "secrets" / name / "app_password").read_text().strip()
    return psycopg2.connect(
        host="127.0.0.1", port=PORT, user=f"{name}_app", password=password, dbname=to, connect_timeout=10
    )


def rows(name: str) -> list[str]:
    """What a tenant's application finds."""
    with closing(connect(name, name)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM items ORDER BY id")
        return [value for (value,) in cursor.fetchall()]


def take_away() -> None:
    """Applications first: their folder tells who they are."""
    for name in PORTS:
        application("stop", name)
    playbook(HERE / "down.yml")


@pytest.fixture
def tenants() -> Iterator[None]:
    """Two of them, and no cluster."""
    if os.geteuid() != 0:
        pytest.skip("creates a cluster: needs root")
    if STACK.exists():
        # Left from a test run that was killed.
        take_away()
    try:
        for name in ("acme", "globex"):
            tenant(name, f"INSERT INTO items (name) VALUES ('{name}'), ('b')")
        yield
    finally:
        take_away()
        listed = subprocess.run(["pg_lsclusters"], capture_output=True, text=True, check=True).stdout
        assert not STACK.exists()
        assert CLUSTER not in listed


@pytest.mark.usefixtures("tenants")
def test_each_has_a_database_of_one_cluster_and_roles_of_its_own() -> None:
    assert outcomes(fleet("cutover.yml")) == {"acme": "released", "globex": "released"}
    for name in ("acme", "globex"):
        assert serves(name) == "postgresql"
        assert rows(name) == [name, "b"]
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        connect("acme", "globex")

    # A third comes, whose file cannot be carried as it is: the others are not begun again, and stay.
    tenant("initech", "INSERT INTO items (name) VALUES ('a' || char(0) || 'b')")
    found = fleet("cutover.yml", fails=True)
    assert outcomes(found) == {"acme": "done before", "globex": "done before", "initech": "refused"}
    assert "NUL" in found["initech"]["reason"]
    assert [serves(name) for name in PORTS] == ["postgresql", "postgresql", "sqlite"]

    # Nothing of the server changes for those that have what they need.
    assert {name: each["changed"] for name, each in fleet("provision.yml").items()} == dict.fromkeys(PORTS, 0)

    with closing(sqlite3.connect(STACK / "tenants/initech/app.sqlite")) as connection:
        connection.execute("UPDATE items SET name = 'mended'")
        connection.commit()
    assert outcomes(fleet("cutover.yml"))["initech"] == "released"
    assert rows("initech") == ["mended"]

    # One goes back, the others stay.
    assert outcomes(fleet("rollback.yml", "-e", "fleet_only=acme")) == {"acme": "rolled_back"}
    assert [serves(name) for name in PORTS] == ["sqlite", "postgresql", "postgresql"]
    with closing(connect("globex", "globex")) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO items (name) VALUES ('written after its neighbour left')")
        connection.commit()
    assert rows("globex")[-1] == "written after its neighbour left"
