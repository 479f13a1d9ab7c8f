# SPDX-License-Identifier: GPL-3.0-or-later
"""PgBouncer: where it finds passwords, who may look into it, and what it refuses before it changes anything."""

from __future__ import annotations

import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from support.project import load
from support.roles_stack import changed, changes
from support.tls_stack import (
    APP,
    DATABASE,
    HERE,
    POOLER,
    SERVER,
    STACK,
    TRUST,
    admin,
    connect,
    console,
    playbook,
    role,
    said,
)

UGLY = "p@s:s/w%r'd \"q\\ ünï 漢"

pytestmark = pytest.mark.long


def userlist() -> list[str]:
    """The users that PgBouncer knows itself."""
    file = STACK / "pgbouncer" / "userlist.txt"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return [line.split('"')[1] for line in file.read_text().splitlines() if line]


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Another program has the port."""
    with socket.create_server(("127.0.0.1", port)):
        yield


# ---------------------------------------------------------------- passwords


def test_verifiers_are_looked_up_where_that_is_possible(stack: str) -> None:
    assert userlist() == ["pgbouncer_auth", "pgbouncer_admin", "pgbouncer_stats"]
    assert admin("SELECT DISTINCT left(rolpassword, 14) FROM pg_authid WHERE rolpassword IS NOT NULL") == [
        ("SCRAM-SHA-256$",)
    ]
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        connect(password="wrong")


@pytest.mark.parametrize("method", ["file", "query"])
def test_a_password_of_any_characters_passes(stack: str, method: str) -> None:
    file = STACK / "secrets" / "app_password"
    before = file.read_text()
    try:
        file.write_text(UGLY + "\n")
        playbook(HERE / "up.yml", pgbouncer_auth_method=method)
        expected = APP if method == "file" else "pgbouncer_auth"
        assert userlist() == [expected, "pgbouncer_admin", "pgbouncer_stats"]
        for port in (SERVER, POOLER):
            with closing(connect(port, password=UGLY)) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                assert cursor.fetchone() == (APP, True)
            with pytest.raises(psycopg2.OperationalError):
                connect(port, password=UGLY[:-1])
    finally:
        file.write_text(before)


def test_without_a_superuser_the_file_has_the_application_alone(stack: str) -> None:
    """A managed server: the given owner may create roles, and can read no verifier."""
    url = load("filter_plugins/database_url.py").database_url_build(
        {"host": "127.0.0.1", "port": SERVER, "user": "boss", "password": UGLY, "database": "managed"},
        {"sslmode": "verify-full", "sslrootcert": str(TRUST)},
    )
    admin("CREATE ROLE boss LOGIN CREATEROLE PASSWORD %s", UGLY)
    admin("CREATE DATABASE managed OWNER boss")
    given = {"cutover_provider": "external", "cutover_target_url": url, "cutover_name": "tls-test"}
    try:
        role("database", **given)
        output = role("pgbouncer", **given)
        assert UGLY not in output
        assert userlist() == [APP, "pgbouncer_admin", "pgbouncer_stats"]
        assert changed(again := role("pgbouncer", **given)) == 0, changes(again)
        with closing(connect(dbname="managed")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_user, current_database(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert cursor.fetchone() == (APP, "managed", True)
        assert "is no superuser" in said(role("pgbouncer", fails=True, pgbouncer_auth_method="query", **given))
    finally:
        playbook(HERE / "up.yml")
        admin("DROP DATABASE managed")
        admin("DROP ROLE boss")
    assert userlist() == ["pgbouncer_auth", "pgbouncer_admin", "pgbouncer_stats"]


# ---------------------------------------------------------------- metrics


def test_a_collector_may_look_and_nothing_else(stack: str) -> None:
    errors: list[str] = []

    def work() -> None:
        try:
            with closing(connect()) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(3)")
        except psycopg2.Error as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(25)]
    for thread in threads:
        thread.start()
    busiest = (0, 0)
    with console() as cursor:
        while any(thread.is_alive() for thread in threads):
            cursor.execute("SHOW POOLS")
            columns = [column.name for column in cursor.description or ()]
            rows = [dict(zip(columns, row)) for row in cursor.fetchall()]
            ours = next((row for row in rows if (row["database"], row["user"]) == (DATABASE, APP)), None)
            if ours:
                busiest = max(busiest, (int(ours["sv_active"]), int(ours["cl_waiting"])))
            time.sleep(0.2)
        cursor.execute("SHOW STATS")
        assert DATABASE in [row[0] for row in cursor.fetchall()]
        for statement in ("RELOAD", "PAUSE", "SHUTDOWN"):
            with pytest.raises(psycopg2.Error, match="admin access needed"):
                cursor.execute(statement)
    assert not errors
    # The others waited for their turn.
    assert busiest[0] == 10
    assert busiest[1] >= 10
    # Over the socket nothing has to be encrypted.
    with closing(connect(host=str(STACK / "run"), sslmode="disable")) as connection:
        assert not connection.info.ssl_in_use


# ---------------------------------------------------------------- refusals


def test_pools_that_do_not_fit_are_refused_with_the_arithmetic(stack: str) -> None:
    config = (STACK / "pgbouncer" / "pgbouncer.ini").read_bytes()
    output = said(role("pgbouncer", fails=True, pgbouncer_application_instances=4))
    assert (
        "40 (stack) for the application, 1 for PgBouncer's look-ups and 6 for the migration and administration make 47; "
        f"127.0.0.1:{SERVER} gives 37 (max_connections 40, 3 kept for superusers)"
    ) in output
    assert "Nothing was changed here" in output
    assert (STACK / "pgbouncer" / "pgbouncer.ini").read_bytes() == config
    admin(f"ALTER ROLE {APP} CONNECTION LIMIT 9")
    try:
        output = said(role("pgbouncer", fails=True))
        assert "the application's role is limited to 9, and 10 are its own" in output
    finally:
        admin(f"ALTER ROLE {APP} CONNECTION LIMIT -1")


@pytest.mark.parametrize("name", ["postgresql", "pgbouncer"])
def test_a_port_that_is_taken_is_refused_before_anything(stack: str, name: str) -> None:
    clusters = subprocess.run(["pg_lsclusters"], capture_output=True, text=True, check=True).stdout
    before = sorted(str(path) for path in STACK.rglob("*"))
    variables = {"postgresql": {"postgresql_port": 24733, "postgresql_cluster_name": "pgcutover_taken"}}
    variables["pgbouncer"] = {"pgbouncer_listen_port": 24733}
    with listening(24733):
        output = said(role(name, fails=True, **variables[name]))
    assert "Port 24733 on stack is taken by " in output
    assert "on 127.0.0.1. Stop that" in output
    assert subprocess.run(["pg_lsclusters"], capture_output=True, text=True, check=True).stdout == clusters
    assert sorted(str(path) for path in STACK.rglob("*")) == before


@pytest.mark.parametrize("version", ["14", "19", "9.6"])
def test_versions_outside_the_range_are_refused(stack: str, version: str) -> None:
    output = said(role("postgresql", fails=True, postgresql_version=version))
    assert (
        f"postgresql_version is {version} on stack; it must be a major version from 15 to 18. Nothing was changed."
        in output
    )


def test_a_version_that_apt_does_not_have_is_refused_with_the_source_that_does(stack: str) -> None:
    found = subprocess.run(
        ["apt-cache", "search", "--names-only", "^postgresql-1[5-8]$"], capture_output=True, text=True, check=True
    ).stdout
    missing = next(version for version in ("15", "16", "17", "18") if f"postgresql-{version} " not in found)
    output = said(role("postgresql", fails=True, postgresql_version=missing, postgresql_cluster_name="pgcutover_none"))
    assert f"PostgreSQL {missing} (postgresql_version) is wanted on stack, and apt offers" in output
    assert "Set postgresql_source: pgdg" in output
