# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet.yml with cutover.yml and rollback.yml: tenants that each have an application, switched side by side."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from support.fleet import Fleet
from support.postgres import Cluster, free_port
from support.project import ROOT

pytestmark = pytest.mark.long

NAMES = ("acme", "globex")
APP = str(ROOT / "tests/e2e/roles/app.py")


class Shops:
    """A fleet whose tenants each have an application."""

    def __init__(self, fleet: Fleet, postgres: Cluster, shared: bool) -> None:
        """shared: all in one database, each in a schema of its name."""
        self.fleet, self._shared = fleet, shared
        self.ports = {name: free_port() for name in NAMES}
        self.databases = {name: fleet.databases[NAMES[0] if shared else name] for name in NAMES}
        self.roles: dict[str, str] = {}
        with closing(psycopg2.connect(postgres.superuser_url())) as connection:
            connection.autocommit = True
            for name in NAMES:
                database = self.databases[name].name
                role, password = f"{fleet.databases[name].name}_app", secrets.token_hex(12)
                with connection.cursor() as cursor:
                    cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(role)), [password])
                    cursor.execute(
                        sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path TO {}").format(
                            sql.Identifier(role), sql.Identifier(database), sql.Identifier(self.schema(name))
                        )
                    )
                self.roles[name] = postgres.url(role, password, database)
        for name in NAMES:
            self.environment(name).write_text(f'DATABASE_URL="sqlite:///{self.folder(name)}/app.sqlite"\n')
            self.environment(name).chmod(0o600)

    def schema(self, name: str) -> str:
        """Where the tenant's tables are."""
        return name if self._shared else "public"

    def folder(self, name: str) -> Path:
        """Where the tenant's file and its application are."""
        return self.fleet.folder / "tenants" / name

    def environment(self, name: str) -> Path:
        """The file that the application reads when it starts."""
        return self.folder(name) / "app.env"

    def command(self, name: str, action: str) -> list[str]:
        """What starts, stops or restarts the tenant's application."""
        return [sys.executable, APP, action, str(self.folder(name)), str(self.ports[name])]

    def tenants(self, **others: dict[str, Any]) -> dict[str, Any]:
        """What the inventory says of each."""
        return {
            name: {
                "cutover_source_path": str(self.folder(name) / "app.sqlite"),
                "cutover_target_url": self.databases[name].url,
                "cutover_plan_overrides": {"schema": self.schema(name)},
                "cutover_application_url": self.roles[name],
                "application_env_file": str(self.environment(name)),
                "application_restart_method": "command",
                **{
                    f"application_{action}_command": self.command(name, action)
                    for action in ("restart", "stop", "start")
                },
                "application_health_url": f"http://127.0.0.1:{self.ports[name]}/health",
                "application_health_timeout": 20,
                **others.get(name, {}),
            }
            for name in NAMES
        }

    def rows(self, name: str) -> list[str]:
        """What the tenant's application finds, with its own role."""
        with closing(psycopg2.connect(self.roles[name])) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT name FROM items ORDER BY id")
            return [value for (value,) in cursor.fetchall()]

    def serves(self, name: str) -> str:
        """From which database the tenant's application serves."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/health", timeout=10) as answer:
            found: str = json.load(answer)["database"]
            return found


@pytest.fixture(params=[False, True], ids=["databases", "schemas of one"])
def shops(request: pytest.FixtureRequest, tmp_path: Path, postgres: Cluster) -> Iterator[Shops]:
    fleet = Fleet(tmp_path, postgres, NAMES)
    made = Shops(fleet, postgres, request.param)
    try:
        for name in NAMES:
            subprocess.run(made.command(name, "start"), check=True)
        yield made
    finally:
        for name in NAMES:
            subprocess.run(made.command(name, "stop"), check=False)
        for database in fleet.databases.values():
            postgres.drop_database(database)


def test_one_that_does_not_get_healthy_stays_and_the_other_moves(shops: Shops) -> None:
    def write(**others: dict[str, Any]) -> None:
        shops.fleet.write(
            cutover_provider="external",
            cutover_watch_seconds=1,
            cutover_tenants=shops.tenants(**others),
            groups=("app",),
        )

    cutover = ("-e", "fleet_playbook=cutover.yml")
    # Its health is asked where nobody answers: it is not switched.
    write(globex={"application_health_url": f"http://127.0.0.1:{free_port()}/health", "application_health_timeout": 3})
    shops.fleet.run(*cutover, fails=True)
    outcomes = shops.fleet.outcomes()
    assert outcomes.pop("globex") in ("refused", "failed")
    assert outcomes == {"acme": "released"}
    assert (shops.serves("acme"), shops.serves("globex")) == ("postgresql", "sqlite")
    assert shops.rows("acme") == ["acme", "b"]

    write()
    shops.fleet.run(*cutover)
    assert shops.fleet.outcomes() == {"acme": "done before", "globex": "released"}
    assert shops.serves("globex") == "postgresql"
    # Each with the role that is its own.
    for name in NAMES:
        assert shops.roles[name].split("@")[0] in shops.environment(name).read_text()

    # One goes back, the other stays.
    shops.fleet.run("-e", "fleet_playbook=rollback.yml", "-e", "fleet_only=acme")
    assert (shops.serves("acme"), shops.serves("globex")) == ("sqlite", "postgresql")
    # The neighbour's database takes writes, that of the one that left takes none.
    for name, may in (("acme", False), ("globex", True)):
        with closing(psycopg2.connect(shops.roles[name])) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT has_table_privilege('items', 'INSERT')")
            assert cursor.fetchone() == (may,)
    assert shops.rows("globex") == ["globex", "b"]
