# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL in its container: who is let in, from where, what Docker shows of it, and what came over."""

from __future__ import annotations

import json
import os
import stat
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
import testinfra

# The Docker host is this one.
HERE = testinfra.get_host("local://")
FOLDER = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
CONTAINER, PORT = "pg-cutover-docker-shop", 30543
# A part of each password that no notation escapes.
ODD = "@:/% '"
ROLES = {"superuser": "postgres", "owner": "shop_owner", "app": "shop_app"}


def password(of: str) -> str:
    """A password as it is kept on the controller."""
    return (FOLDER / "secrets" / f"{of}_password").read_text().rstrip("\n")


def rows(statement: str, of: str = "superuser", database: str = "shop", **more: Any) -> list[tuple[Any, ...]]:
    """What PostgreSQL answers at its published address."""
    given = {"host": "127.0.0.1", "port": PORT, "user": ROLES[of], "password": password(of), "dbname": database, **more}
    with closing(psycopg2.connect(**given)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def inspected(kind: str, name: str) -> Any:
    """What Docker says of a container or a volume."""
    return json.loads(HERE.check_output("docker %s inspect %s", kind, name))[0]


@pytest.fixture(scope="module")
def container() -> Any:
    """The container."""
    return inspected("container", CONTAINER)


@pytest.mark.parametrize("of", ROLES)
def test_a_password_that_is_hard_to_quote_opens(of: str) -> None:
    assert "密" in password(of)
    assert ODD in password(of)
    database = "postgres" if of == "superuser" else "shop"
    assert rows("SELECT current_user", of, database) == [(ROLES[of],)]
    url = f"postgresql://{ROLES[of]}:{quote(password(of), safe='')}@127.0.0.1:{PORT}/{database}"
    with closing(psycopg2.connect(url)) as connection:
        assert connection.info.user == ROLES[of]


@pytest.mark.parametrize("of", ROLES)
def test_nobody_comes_in_without_it(of: str) -> None:
    for wrong in ("", "wrong"):
        with pytest.raises(psycopg2.OperationalError, match="password"):
            rows("SELECT 1", of, password=wrong)


def test_passwords_are_stored_and_proved_as_scram() -> None:
    stored = "SELECT rolname FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%' ORDER BY 1"
    assert rows(stored) == [("postgres",), ("shop_app",), ("shop_owner",)]
    methods = "SELECT DISTINCT type, auth_method FROM pg_hba_file_rules ORDER BY 1"
    assert rows(methods) == [("hostssl", "scram-sha-256"), ("local", "peer")]


def test_connections_are_encrypted_and_others_refused() -> None:
    authority = str(FOLDER / "tls/server.crt")
    mine = "SELECT ssl, version LIKE 'TLSv1._' FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert rows(mine, "app", host="localhost", sslmode="verify-full", sslrootcert=authority) == [(True, True)]
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        rows("SELECT 1", "app", sslmode="disable")


def test_it_is_published_where_it_was_asked_for(container: Any) -> None:
    bound = container["NetworkSettings"]["Ports"]["5432/tcp"]
    addresses = {entry["HostIp"] for entry in bound}
    interfaces = Path("/proc/net/if_inet6")
    expected = {"127.0.0.1", "::1"} if interfaces.exists() and interfaces.read_text() else {"127.0.0.1"}
    assert addresses == expected
    listening = HERE.check_output("ss -Hltn sport = :%s", str(PORT))
    assert {line.split()[3].rpartition(":")[0].strip("[]") for line in listening.splitlines()} == expected
    for address in expected:
        assert rows("SELECT 1", host=address) == [(1,)]


def test_no_secret_is_in_what_docker_shows(container: Any) -> None:
    shown = json.dumps(container, ensure_ascii=False) + json.dumps(inspected("volume", f"{CONTAINER}-data"))
    log = HERE.run("docker logs %s", CONTAINER)
    assert "ready to accept connections" in log.stdout + log.stderr
    assert ODD not in shown + log.stdout + log.stderr
    names = {pair.split("=", 1)[0] for pair in container["Config"]["Env"]}
    assert "POSTGRES_PASSWORD_FILE" in names
    assert "POSTGRES_PASSWORD" not in names


def test_no_secret_is_in_the_servers_environment() -> None:
    environment = HERE.check_output("docker exec --user=postgres %s cat /proc/1/environ", CONTAINER)
    assert "PGDATA=" in environment
    assert ODD not in environment
    # Only the first start needed it.
    assert (FOLDER / "host" / CONTAINER / "shown/superuser_password").read_bytes() == b""


@pytest.mark.parametrize(
    ("path", "mode", "owner"),
    [
        ("", 0o700, "root"),
        ("shown", 0o500, "postgres"),
        ("shown/superuser_password", 0o400, "postgres"),
        ("shown/pg_hba.conf", 0o400, "postgres"),
        ("shown/server.key", 0o400, "postgres"),
    ],
)
def test_what_it_is_given_is_closed(path: str, mode: int, owner: str) -> None:
    found = (FOLDER / "host" / CONTAINER / path).stat()
    uid = HERE.check_output("docker exec %s id -u %s", CONTAINER, owner)
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (mode, int(uid))


def test_what_it_is_given_cannot_be_changed_from_inside() -> None:
    for path in ("/run/pg-cutover/pg_hba.conf", "/run/pg-cutover/new"):
        assert "Read-only file system" in HERE.run("docker exec %s touch %s", CONTAINER, path).stderr


def test_settings_are_in_force(container: Any) -> None:
    wanted = {
        # A quarter of postgresql_docker_memory_mb.
        "shared_buffers": "128MB",
        "max_connections": "40",
        "log_connections": "on",
        "password_encryption": "scram-sha-256",
        "shared_preload_libraries": "pg_stat_statements",
        "data_checksums": "on",
        # Those of the load are taken back.
        "max_wal_size": "1GB",
    }
    for name, value in wanted.items():
        assert rows(f"SHOW {name}") == [(value,)], name
    assert rows("SELECT name FROM pg_settings WHERE pending_restart") == []
    assert rows("SELECT datcollate, datctype FROM pg_database WHERE datname = 'shop'") == [("C.UTF-8", "C.UTF-8")]
    host = container["HostConfig"]
    assert (host["ShmSize"], host["Memory"], host["NanoCpus"]) == (256 << 20, 1024 << 20, 1_500_000_000)
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "5", "max-size": "10m"}}
    assert container["Config"]["StopTimeout"] == 120
    assert container["State"]["Health"]["Status"] == "healthy"


def test_the_rows_are_there() -> None:
    assert rows("SELECT count(*), sum(amount), count(DISTINCT customer_id) FROM orders", "owner")[0][::2] == (1000, 100)
    assert rows("SELECT count(*) FROM customer WHERE name LIKE '%– ü'", "owner") == [(100,)]


@pytest.mark.parametrize("statement", ["CREATE TABLE mine (id int)", "CREATE ROLE mine", "SELECT * FROM pg_authid"])
def test_the_application_may_not(statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows(statement, "app")
