# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL and PgBouncer as they stand on their hosts: who is let in, by which proof, and what for."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def app(secret: Any) -> dict[str, Any]:
    """How the application connects: through PgBouncer."""
    return {"host": "pool1", "port": 6432, "dbname": "shop", "user": "shop_app", "password": secret("app_password")}


@pytest.fixture(scope="session")
def owner(secret: Any) -> dict[str, Any]:
    """How the engine connects: straight."""
    return {"host": "db1", "port": 5432, "dbname": "shop", "user": "shop_owner", "password": secret("owner_password")}


def test_postgresql_listens_where_it_should(listening: Any, address: Any) -> None:
    assert listening("db1", 5432) == {"127.0.0.1", address("db1")}


def test_pgbouncer_listens_where_it_should(listening: Any, address: Any) -> None:
    assert listening("pool1", 6432) == {address("pool1")}


def test_services_run_and_start_with_the_host(on: Any) -> None:
    for host, unit in (("db1", "postgresql@15-main"), ("pool1", "pgbouncer")):
        assert on(host).service(unit).is_running, unit
    assert on("pool1").service("pgbouncer").is_enabled
    assert on("db1").service("postgresql").is_enabled
    assert on("db1").file("/etc/postgresql/15/main/start.conf").content_string.split()[-1] == "auto"


@pytest.mark.parametrize(
    ("host", "path", "user", "mode"),
    [
        ("db1", "/etc/postgresql/15/main/pg_hba.conf", "postgres", 0o640),
        ("db1", "/etc/postgresql/15/main/pg_ident.conf", "postgres", 0o640),
        ("db1", "/var/lib/postgresql/15/main", "postgres", 0o700),
        ("pool1", "/etc/pgbouncer/pgbouncer.ini", "postgres", 0o640),
        ("db1", "/etc/postgresql/15/main/tls/server.key", "postgres", 0o600),
        ("pool1", "/etc/pgbouncer/userlist.txt", "postgres", 0o600),
        ("pool1", "/etc/pgbouncer/tls/server.key", "postgres", 0o600),
    ],
)
def test_modes(on: Any, host: str, path: str, user: str, mode: int) -> None:
    file = on(host).file(path)
    assert (file.user, oct(file.mode)) == (user, oct(mode))


def test_what_was_left_behind_is_gone(on: Any, psql: Any) -> None:
    assert on("db1").file("/var/lib/pg-cutover/postgresql/15-main.owned").content_string == "created\n"
    assert "trust" not in on("db1").file("/etc/postgresql/15/main/pg_hba.conf").content_string
    assert psql("SELECT count(*) FROM pg_hba_file_rules WHERE auth_method NOT IN ('peer', 'scram-sha-256')") == "0"
    ini = on("pool1").file("/etc/pgbouncer/pgbouncer.ini").content_string
    assert "auth_type = scram-sha-256" in ini
    assert "auth_type = any" not in ini
    assert "somebody" not in on("pool1").file("/etc/pgbouncer/userlist.txt").content_string


def test_settings_are_in_force(psql: Any) -> None:
    assert psql("SHOW password_encryption") == "scram-sha-256"
    assert psql("SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"
    assert psql("SHOW data_checksums") == "on"
    # A quarter of postgresql_memory_mb.
    assert psql("SHOW shared_buffers") == "128MB"


def test_passwords_are_stored_as_scram(psql: Any) -> None:
    stored = psql("SELECT rolname, left(rolpassword, 14) FROM pg_authid WHERE rolpassword IS NOT NULL ORDER BY 1")
    assert stored.split("\n") == [f"{role}|SCRAM-SHA-256$" for role in ("pgbouncer_auth", "shop_app", "shop_owner")]


def test_nobody_comes_in_without_a_password(ask: Any, app: dict[str, Any], owner: dict[str, Any]) -> None:
    for way in (app, owner):
        assert "rows" in ask("app1", "SELECT 1", **way)
        assert ask("app1", "SELECT 1", **{**way, "password": "wrong"})["error"] == "connection"
    # Not the administrator over the network, with whatever password.
    assert ask("app1", "SELECT 1", **{**owner, "user": "postgres"})["error"] == "connection"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE DATABASE mine",
        "CREATE ROLE mine",
        "DROP SCHEMA public",
        "DROP TABLE public.theirs",
        "ALTER TABLE public.theirs ADD COLUMN mine int",
        "TRUNCATE public.theirs",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pgbouncer.get_auth('shop_owner')",
        "COPY public.theirs TO PROGRAM 'cat'",
    ],
)
def test_the_application_may_not(ask: Any, app: dict[str, Any], owner: dict[str, Any], statement: str) -> None:
    assert "rows" in ask("app1", "CREATE TABLE IF NOT EXISTS public.theirs (id int)", **owner)
    assert "rows" in ask("app1", "GRANT SELECT, INSERT, UPDATE, DELETE ON public.theirs TO shop_app", **owner)
    assert "rows" in ask("app1", "SELECT * FROM public.theirs", **app)
    # 42501: insufficient privilege.
    answer = ask("app1", statement, **app)
    assert answer.get("error") == "42501", answer


def test_pools(ask: Any, app: dict[str, Any], secret: Any) -> None:
    assert ask("app1", "SELECT current_user", **app)["rows"] == [["shop_app"]]
    console = {**app, "dbname": "pgbouncer", "user": "pgbouncer_admin", "password": secret("pgbouncer_admin_password")}
    pools = ask("app1", "SHOW POOLS", **console)
    rows = [dict(zip(pools["columns"], row)) for row in pools["rows"]]
    assert [row["pool_mode"] for row in rows if row["database"] == "shop" and row["user"] == "shop_app"] == [
        "transaction"
    ]
    # The application is no administrator of PgBouncer.
    assert ask("app1", "SHOW POOLS", **{**app, "dbname": "pgbouncer"}).get("error")


def test_connections_are_encrypted_as_the_inventory_says(
    ask: Any, psql: Any, variables: Any, app: dict[str, Any], secret: Any
) -> None:
    assert "rows" in ask("app1", "SELECT 1", **app)
    # PgBouncer's sessions stay for a while after those of its clients.
    used = psql("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL")
    assert used == ("t" if variables["shop_tls"] else "f")
    console = {**app, "dbname": "pgbouncer", "user": "pgbouncer_admin", "password": secret("pgbouncer_admin_password")}
    answer = ask("app1", "SHOW CLIENTS", **console)
    clients = [dict(zip(answer["columns"], row)) for row in answer["rows"]]
    assert {bool(client["tls"]) for client in clients if client["addr"] != "unix"} == {variables["shop_tls"]}
