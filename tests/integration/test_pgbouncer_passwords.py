# SPDX-License-Identifier: GPL-3.0-or-later
"""Any password passes through PgBouncer, looked up in the server as well as from the file that the role writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import jinja2
import psycopg2
import pytest
import yaml
from psycopg2 import sql

from support.pgbouncer import pgbouncer
from support.postgres import Cluster, Database, become_postgres
from support.project import ROOT, load

SCRAM, URL = load("filter_plugins/scram.py"), load("filter_plugins/database_url.py")
ROLE = ROOT / "roles" / "pgbouncer"

PASSWORDS = [
    "plain",
    "p@s:s/w%r'd ünï 漢",
    'quo"te ""twice"" \\ back',
    " spaces at both ends ",
    "'; DROP ROLE me; --",
    "#;= comment? [section]",
    # What SASLprep changes or refuses: a ligature, a soft hyphen, a wide space, an unassigned code point, mixed directions.
    "ﬁle",
    "so\u00adft",
    "a\u3000b",
    "\u0378",
    "\u05d0a",
]


def userlist(method: str, **known: Any) -> str:
    """The file as the role's template makes it."""
    # Not HTML: a password must arrive as it is.
    templates = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    variables = {
        "pgbouncer_auth_user": "looks_up",
        "_pgbouncer_auth_password": PASSWORDS[2],
        "pgbouncer_admin_user": "pgbouncer_admin",
        "_pgbouncer_admin_password": PASSWORDS[3],
        "pgbouncer_stats_user": "pgbouncer_stats",
        "_pgbouncer_stats_password": PASSWORDS[1],
    }
    text = (ROLE / "templates" / "userlist.txt.j2").read_text()
    return templates.from_string(text).render({**variables, **known, "__pgbouncer_method": method})


@pytest.fixture(scope="module")
def made(postgres: Cluster) -> Iterator[tuple[Cluster, Database]]:
    """A database with the application's role, and the function that looks verifiers up, with the role's own body."""
    database = postgres.create_database("pooled")
    body = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["_pgbouncer_function_body"]
    with closing(psycopg2.connect(postgres.superuser_url("pooled"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE me LOGIN")
            looks_up = sql.Literal(SCRAM.scram_verifier(PASSWORDS[2]))
            cursor.execute(sql.SQL("CREATE ROLE looks_up LOGIN PASSWORD {}").format(looks_up))
            cursor.execute(
                "CREATE FUNCTION get_auth(requested text) RETURNS TABLE (username text, password text) LANGUAGE sql STABLE"
                f" SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body${body}$body$"
            )
    yield postgres, database
    postgres.drop_database(database)
    with closing(psycopg2.connect(postgres.superuser_url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DROP ROLE me, looks_up")


def through(url: str, user: str, password: str, database: str) -> psycopg2.extensions.connection:
    """A connection to the pooler that a URL names."""
    parts = {**URL.database_url_parse(url), "user": user, "password": password, "database": database}
    return psycopg2.connect(URL.database_url_build(parts), connect_timeout=10)


@pytest.mark.parametrize("method", ["query", "file"])
def test_any_password_passes(
    made: tuple[Cluster, Database], tmp_path_factory: pytest.TempPathFactory, method: str
) -> None:
    cluster, database = made
    for password in PASSWORDS:
        with (
            closing(psycopg2.connect(cluster.superuser_url())) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("ALTER ROLE me PASSWORD %s", [SCRAM.scram_verifier(password)])
        settings: dict[str, Any] = {"stats_users": "pgbouncer_stats", "max_client_conn": 20}
        if method == "query":
            settings |= {"auth_user": "looks_up", "auth_query": "SELECT username, password FROM public.get_auth($1)"}
        file = cluster.base / f"users-{method}"
        file.write_text(userlist(method, pgbouncer_endpoint={"app_user": "me", "app_password": password}))
        runs_as = become_postgres()
        if runs_as:
            os.chown(file, runs_as["user"], runs_as["group"])
        file.chmod(0o600)
        with pgbouncer(database.url, "transaction", auth_file=file, **settings) as url:
            with closing(through(url, "me", password, "pooled")) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT current_user, current_database()")
                assert cursor.fetchone() == ("me", "pooled"), (method, password)
            with pytest.raises(psycopg2.OperationalError):
                through(url, "me", password + "x", "pooled")
            # Its own users as well.
            with closing(through(url, "pgbouncer_stats", PASSWORDS[1], "pgbouncer")) as console:
                console.autocommit = True
                with console.cursor() as cursor:
                    cursor.execute("SHOW POOLS")
                    assert ("pooled", "me") in [row[:2] for row in cursor.fetchall()]


def test_the_file_has_the_application_only_where_nothing_is_looked_up() -> None:
    known = {"pgbouncer_endpoint": {"app_user": "me", "app_password": "x"}}
    users = {
        method: [line.split('"')[1] for line in userlist(method, **known).splitlines()] for method in ("query", "file")
    }
    assert users["query"] == ["looks_up", "pgbouncer_admin", "pgbouncer_stats"]
    assert users["file"] == ["me", "pgbouncer_admin", "pgbouncer_stats"]
