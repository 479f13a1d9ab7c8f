# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role may do at the target, TLS, address families, read-only sessions and limits of connections, by a real server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2 import sql

from cutover.errors import Finding
from cutover.target import capabilities, catalog
from cutover.target.connect import connect
from cutover.target.limits import Use
from support.certificates import Authority
from support.independent import execute
from support.postgres import Cluster, Database, become_postgres

Look = tuple[dict[str, object], list[Finding]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with TLS that listens on IPv4 and IPv6."""
    cluster = Cluster.start()
    try:
        authority = Authority(tmp_path_factory.mktemp("authority"))
        certificate, key = authority.sign("server", server=True)
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            copy = cluster.base / name
            shutil.copy(source, copy)
            copy.chmod(0o600)
            runs_as = become_postgres()
            if runs_as:
                os.chown(copy, runs_as["user"], runs_as["group"])
        shutil.copy(authority.path, cluster.base / "ca.pem")
        with (cluster.data / "postgresql.conf").open("a") as conf:
            conf.write("listen_addresses = '127.0.0.1,::1'\nssl = on\n")
            conf.write(f"ssl_cert_file = '{cluster.base}/server.crt'\nssl_key_file = '{cluster.base}/server.key'\n")
        cluster.restart()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def made(server: Cluster) -> Iterator[Database]:
    database = server.create_database()
    try:
        yield database
    finally:
        server.drop_database(database)


def superuser(server: Cluster, *statements: str, database: str = "postgres") -> None:
    with closing(psycopg2.connect(server.superuser_url(database))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def errors(look: Look) -> list[str]:
    return [finding.message for finding in look[1] if finding.severity == "error"]


def told(look: Look) -> str:
    """The sentence about the role."""
    return look[1][-1].message


# ---------------------------------------------------------------- what the role may do


def test_owner_without_any_other_right(made: Database) -> None:
    able, found = look = capabilities.look(made.url, Use())
    assert errors(look) == []
    assert (able["superuser"], able["create_role"], able["create_database"]) == (False, False, False)
    assert (able["owns_database"], able["replication_role"], able["between"]) == (True, False, "direct")
    # A trusted extension may be created by whoever owns the database, another one only by a superuser.
    assert "citext" in able["installable"]
    assert "pg_stat_statements" not in able["installable"]
    assert "is no superuser, may not create roles, may not create databases, owns the database" in told(look)
    assert {finding.severity for finding in found} == {"info"}


def test_superuser(server: Cluster, made: Database) -> None:
    able, _ = look = capabilities.look(server.superuser_url(made.name), Use(application_user="app", make_user=True))
    assert errors(look) == []
    assert able["superuser"]
    assert able["replication_role"]
    assert "pg_stat_statements" in able["installable"]
    assert "is a superuser, may create roles, may create databases, owns the database" in told(look)


def test_setting_that_was_granted_is_found_by_trying(server: Cluster, made: Database) -> None:
    superuser(server, f"GRANT SET ON PARAMETER session_replication_role TO {made.owner}")
    try:
        assert capabilities.look(made.url, Use())[0]["replication_role"] is True
    finally:
        superuser(server, f"REVOKE SET ON PARAMETER session_replication_role FROM {made.owner}")


def test_role_of_the_application_that_cannot_be_made(server: Cluster, made: Database) -> None:
    use = Use(application_user="shop_app", make_user=True)
    [said] = errors(capabilities.look(made.url, use))
    assert said.startswith(
        f"the database has no role shop_app for the application, and {made.owner} may not create one."
    )
    assert "cutover_application_url" in said
    assert "CREATEROLE" in said
    superuser(server, f"ALTER ROLE {made.owner} CREATEROLE")
    assert errors(capabilities.look(made.url, use)) == []
    superuser(server, f"ALTER ROLE {made.owner} NOCREATEROLE", "CREATE ROLE shop_app")
    try:
        assert errors(capabilities.look(made.url, use)) == []
    finally:
        superuser(server, "DROP ROLE shop_app")


def test_extension_that_cannot_be_made(server: Cluster, made: Database) -> None:
    use = Use(extensions=("citext", "pg_stat_statements", "postgis"))
    [said] = errors(capabilities.look(made.url, use))
    assert f"role {made.owner} may not create the extension pg_stat_statements, postgis" in said
    superuser(server, "CREATE EXTENSION pg_stat_statements", database=made.name)
    [said] = errors(capabilities.look(made.url, use))
    assert "may not create the extension postgis," in said


def test_neon_is_told_apart_by_its_name(made: Database) -> None:
    able, _ = capabilities.look(made.url, Use())
    of = capabilities.Capabilities(**{**able, "limits": capabilities.Limits(**able["limits"])})
    url = "postgresql://me:secret@ep-cool-darkness-a1b2c3d4.us-east-2.aws.neon.tech/shop"
    [finding] = list(capabilities.findings(of, Use(application_user="shop_app", make_user=True), url))
    assert "Neon takes no verifier in place of a password" in finding.message


# ---------------------------------------------------------------- read-only


@pytest.mark.parametrize(
    ("statement", "by"),
    [
        ("ALTER ROLE {owner} SET default_transaction_read_only = on", "by ALTER ROLE {owner} SET"),
        ("ALTER DATABASE {name} SET default_transaction_read_only = on", "by ALTER DATABASE {name} SET"),
        ("ALTER ROLE {owner} IN DATABASE {name} SET default_transaction_read_only = on", "by ALTER ROLE {owner} IN DATABASE {name}"),
        ("ALTER SYSTEM SET default_transaction_read_only = on", "by the server's settings"),
    ],
)  # fmt: skip
def test_role_whose_sessions_are_read_only(server: Cluster, made: Database, statement: str, by: str) -> None:
    names = {"owner": made.owner, "name": made.name}
    superuser(server, statement.format(**names))
    superuser(server, "SET default_transaction_read_only = off; SELECT pg_reload_conf()")
    try:
        [said] = errors(_after_reload(made.url))
        assert said.startswith(f"sessions of role {made.owner} are read-only, {by.format(**names)}")
    finally:
        superuser(server, "ALTER SYSTEM RESET default_transaction_read_only")
        superuser(server, "SELECT pg_reload_conf()")


def _after_reload(url: str) -> Look:
    """A look once a changed configuration has reached new sessions."""
    for _ in range(100):
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW default_transaction_read_only")
            if cursor.fetchone() == ("on",):
                break
    return capabilities.look(url, Use())


def test_standby(server: Cluster, made: Database) -> None:
    """A real one: made from a base backup, in recovery."""
    standby = Cluster(base=Path(f"{server.base}-standby"), bindir=server.bindir, password=server.password)
    standby.base.mkdir(mode=0o700)
    runs_as = become_postgres()
    if runs_as:
        os.chown(standby.base, runs_as["user"], runs_as["group"])
    try:
        password = standby.base / "pgpass"
        password.write_text(f"*:*:*:*:{server.password}\n")
        password.chmod(0o600)
        if runs_as:
            os.chown(password, runs_as["user"], runs_as["group"])
        address = f"host=127.0.0.1 port={server.port} user=postgres passfile={password}"
        standby._run(
            "pg_basebackup",
            f"--dbname={address}",
            f"--pgdata={standby.data}",
            "--checkpoint=fast",
            "--write-recovery-conf",
        )
        standby._start()
        url = made.url.replace(f":{server.port}/", f":{standby.port}/")
        assert errors(capabilities.look(url, Use())) == []
        with closing(connect(url, autocommit=True)) as connection:
            found = catalog.findings(catalog.inspect(connection), (), 0)
        assert [f.message for f in found if "replica" in f.message] == [
            "PostgreSQL is a replica (in recovery) and cannot be written. Name the primary."
        ]
    finally:
        standby.stop()


# ---------------------------------------------------------------- limits


def test_limit_of_the_role_with_the_arithmetic(server: Cluster, made: Database) -> None:
    superuser(server, f"ALTER ROLE {made.owner} CONNECTION LIMIT 6")
    use = Use(workers=4, online=True, application=10, application_user="shop_app")
    [said] = errors(capabilities.look(made.url, use))
    assert said == (
        f"role {made.owner} may have 6 connections (CONNECTION LIMIT), 0 are taken by others, so 6 are free; the run needs 8: "
        f"4 workers and 4 others of the engine. ALTER ROLE {made.owner} CONNECTION LIMIT, or set cutover_workers to 2."
    )
    assert (
        errors(capabilities.look(made.url, Use(workers=2, online=True, application=10, application_user="shop_app")))
        == []
    )
    # What others hold counts.
    with closing(psycopg2.connect(made.url)):
        [said] = errors(capabilities.look(made.url, Use(workers=2, online=True)))
        assert "1 are taken by others, so 5 are free; the run needs 6" in said
    # The application's connections count where it uses the same role.
    [said] = errors(capabilities.look(made.url, Use(workers=2, application=10, application_user=made.owner)))
    assert "so 6 are free; the run needs 14: 2 workers and 2 others of the engine, 10 of the application." in said
    assert said.endswith("or make the application's pool smaller.")


def test_connections_that_the_application_has_already_are_not_counted_twice(server: Cluster, made: Database) -> None:
    other = server.create_database()
    superuser(server, f"ALTER DATABASE {made.name} CONNECTION LIMIT 14")
    use = Use(workers=2, application=10, application_user=other.owner)
    try:
        with closing(psycopg2.connect(other.url.rsplit("/", 1)[0] + f"/{made.name}")):
            assert errors(capabilities.look(made.url, use)) == []
        with closing(psycopg2.connect(made.url)):
            assert "1 are taken by others" in errors(capabilities.look(made.url, use))[0]
    finally:
        server.drop_database(other)


def test_limit_of_one_connection(server: Cluster, made: Database) -> None:
    superuser(server, f"ALTER ROLE {made.owner} CONNECTION LIMIT 1")
    [said] = errors(capabilities.look(made.url, Use(workers=1)))
    assert "may have 1 connections (CONNECTION LIMIT), 0 are taken by others, so 1 are free; the run needs 3" in said


def test_limit_of_the_database(server: Cluster, made: Database) -> None:
    superuser(server, f"ALTER DATABASE {made.name} CONNECTION LIMIT 12")
    [said] = errors(capabilities.look(made.url, Use(workers=2, application=11, application_user="shop_app")))
    assert said.startswith(
        "the database may have 12 connections (CONNECTION LIMIT), 0 are taken by others, so 12 are free"
    )
    assert "the run needs 15: 2 workers and 2 others of the engine, 11 of the application. ALTER DATABASE" in said
    assert errors(capabilities.look(made.url, Use(workers=2, application=8, application_user="shop_app"))) == []


def test_limit_of_the_server(made: Database) -> None:
    # The cluster takes 60, of which PostgreSQL keeps 3 for superusers.
    [said] = errors(
        capabilities.look(made.url, Use(workers=4, online=True, application=60, application_user="shop_app"))
    )
    assert said.startswith(
        "the server takes 60 connections (max_connections), 3 of them kept for superusers, 0 are taken by others, "
    )
    assert "so 57 are free; the run needs 68: 4 workers and 4 others of the engine, 60 of the application." in said


def test_superuser_is_not_held_by_limits_of_role_and_database(server: Cluster, made: Database) -> None:
    superuser(server, f"ALTER DATABASE {made.name} CONNECTION LIMIT 1")
    assert errors(capabilities.look(server.superuser_url(made.name), Use(workers=4))) == []


# ---------------------------------------------------------------- TLS, IPv6, passwords


def test_tls_that_is_used_and_proved(server: Cluster, made: Database) -> None:
    ca = server.base / "ca.pem"
    able, found = look = capabilities.look(f"{made.url}?sslmode=verify-full&sslrootcert={quote(str(ca))}", Use())
    assert errors(look) == []
    assert str(able["tls"]).startswith("TLSv1.")
    assert len(found) == 1
    assert "The connection is encrypted with TLSv1." in told(look)


def test_tls_without_a_proof_of_who_answers(made: Database) -> None:
    _, found = capabilities.look(f"{made.url}?sslmode=require", Use())
    assert [f.severity for f in found] == ["info", "info"]
    assert "who answers at 127.0.0.1 is not proved (sslmode=require)" in found[0].message


def test_connection_in_the_clear_over_a_network(server: Cluster, made: Database) -> None:
    _, found = capabilities.look(f"{made.url}?sslmode=disable", Use())
    assert [f.severity for f in found] == ["info"], "the own host is no network"
    address = "172.17.0.1"
    able, _ = capabilities.look(made.url, Use())
    of = capabilities.Capabilities(
        **{**able, "tls": "", "sslmode": "prefer", "limits": capabilities.Limits(**able["limits"])}
    )
    [warning, _] = capabilities.told(of, made.url.replace("127.0.0.1", address))
    assert warning.severity == "warning"
    assert f"the connection to {address} is not encrypted (sslmode=prefer)" in warning.message


def test_certificate_of_another_authority(server: Cluster, made: Database, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").path
    look = capabilities.look(f"{made.url}?sslmode=verify-full&sslrootcert={quote(str(other))}", Use())
    [said] = errors(look)
    assert "the connection cannot be encrypted as the URL asks (sslmode, sslrootcert)." in said
    assert "certificate verify failed" in said


def test_file_of_certificates_that_is_missing(made: Database) -> None:
    [said] = errors(capabilities.look(f"{made.url}?sslmode=verify-full&sslrootcert=/no/such/file", Use()))
    assert "cannot be encrypted as the URL asks" in said
    assert "/no/such/file" in said


def test_ipv6(server: Cluster, made: Database) -> None:
    able, _ = look = capabilities.look(made.url.replace("127.0.0.1", "[::1]"), Use())
    assert errors(look) == []
    assert able["between"] == "direct"


def test_name_with_an_ipv6_address_only() -> None:
    [said] = errors(capabilities.look("postgresql://user:Zx9sesame@[::1]:1/db", Use()))
    assert "::1 has only an IPv6 address: " in said
    assert "Zx9sesame" not in said


@pytest.mark.parametrize("password", ["p@ss:w/o%rd's", "with  spaces and ünïcode €", "a'b\"c\\d", "%40%", "/", ":@"])
def test_any_password(server: Cluster, made: Database, password: str) -> None:
    with closing(psycopg2.connect(server.superuser_url())) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD %s").format(sql.Identifier(made.owner)), [password])
    url = made.url.replace(made.url.split(":")[2].split("@")[0], quote(password, safe=""))
    look = capabilities.look(url, Use())
    assert errors(look) == []
    [said] = errors(capabilities.look(url.replace("@127", "x@127"), Use()))
    assert "refuses the user or the password" in said
    assert quote(password, safe="") not in said


def test_version_that_is_too_old() -> None:
    assert catalog.too_old("14.20") == "PostgreSQL is version 14.20; 15 or newer is needed. Upgrade the target."


def test_nothing_is_changed(server: Cluster, made: Database) -> None:
    query = (
        "SELECT (SELECT count(*) FROM pg_roles), (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_namespace)"
    )
    with closing(psycopg2.connect(made.url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        before = cursor.fetchone()
        capabilities.look(made.url, Use(application_user="shop_app", make_user=True))
        cursor.execute(query)
        assert cursor.fetchone() == before
    assert execute(made.url, "SELECT 1") == [1]
