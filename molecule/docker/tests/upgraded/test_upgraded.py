# SPDX-License-Identifier: GPL-3.0-or-later
"""The next minor version on the same data."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import testinfra

HERE = testinfra.get_host("local://")
SECRETS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "secrets"
CONTAINER = "pg-cutover-docker-shop"


def value(statement: str, user: str, of: str, database: str) -> Any:
    """One value from PostgreSQL."""
    password = (SECRETS / f"{of}_password").read_text().rstrip("\n")
    given = {"host": "127.0.0.1", "port": 30543, "user": user, "password": password, "dbname": database}
    with closing(psycopg2.connect(**given)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()[0][0]


def test_it_is_another_image_on_the_same_volume() -> None:
    container = json.loads(HERE.check_output("docker container inspect %s", CONTAINER))[0]
    assert container["Config"]["Image"] == "pg-cutover/postgres:15.1"
    assert "PG_VERSION=15.1-1" in container["Config"]["Env"]
    assert f"{CONTAINER}-data" in [mount.get("Name") for mount in container["Mounts"]]
    assert container["State"]["Health"]["Status"] == "healthy"


def test_the_rows_are_there() -> None:
    assert value("SELECT count(*) FROM orders", "shop_owner", "owner", "shop") == 1000


def test_the_server_before_was_stopped_cleanly() -> None:
    done = HERE.run("docker logs %s", CONTAINER)
    log = done.stdout + done.stderr
    assert "database system was shut down at" in log
    assert "was interrupted" not in log
    assert "automatic recovery" not in log


def test_the_settings_are_still_in_force() -> None:
    assert value("SHOW max_connections", "shop_owner", "owner", "shop") == "40"


def test_a_lost_password_of_the_superuser_is_made_anew() -> None:
    assert len((SECRETS / "superuser_password").read_text().strip()) == 32
    assert value("SELECT current_user", "postgres", "superuser", "postgres") == "postgres"
