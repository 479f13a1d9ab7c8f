# SPDX-License-Identifier: GPL-3.0-or-later
"""Any password that is accepted logs in everywhere: PostgreSQL, PgBouncer and its own users, env file, secret file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import psycopg2
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from psycopg2 import sql

from cutover.passwords import Directory, problem
from support.postgres import Cluster, become_postgres, free_port
from support.project import ROOT, load, run_module

URL = load("filter_plugins/database_url.py")
SCRAM = load("filter_plugins/scram.py")
USERS = jinja2.Environment(keep_trailing_newline=True, autoescape=False).from_string(  # noqa: S701
    (ROOT / "roles/pgbouncer/templates/userlist.txt.j2").read_text()
)
AWKWARD = st.text(st.sampled_from("@:/%'\"\\ $#`&?=+{}[]~!*();<>|,^äß漢ﬁ\u00ad\u3000אabc019"), min_size=1, max_size=40)
ANY = st.text(min_size=1, max_size=40)


@dataclass
class Pooled:
    """PgBouncer before a cluster, set up as the role does it."""

    cluster: Cluster
    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def run(self, statement: sql.Composable | str, *parameters: Any) -> None:
        """A statement of the superuser's in the database postgres."""
        with closing(psycopg2.connect(self.cluster.superuser_url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)

    def give(self, password: str) -> None:
        """Give it to the application's role and to PgBouncer's two own users."""
        for role in ("pool_app", "pool_auth"):
            self.run(sql.SQL("ALTER ROLE {} PASSWORD %s").format(sql.Identifier(role)), SCRAM.scram_verifier(password))
        text = USERS.render(
            __pgbouncer_method="query",
            pgbouncer_auth_user="pool_auth",
            _pgbouncer_auth_password=password,
            pgbouncer_admin_user="pool_admin",
            _pgbouncer_admin_password=password,
            pgbouncer_stats_user="pool_stats",
            _pgbouncer_stats_password=password,
        )
        # A new file in its place, as the role puts it: a file of the same size, second and inode is not read again.
        fresh = self.folder / "userlist.fresh"
        fresh.write_text(text)
        fresh.replace(self.folder / "userlist.txt")
        self.process.send_signal(signal.SIGHUP)

    def url(self, password: str, user: str = "pool_app", database: str = "postgres") -> str:
        """The URL through PgBouncer."""
        return str(
            URL.database_url_build(
                {"host": "127.0.0.1", "port": self.port, "database": database, "user": user, "password": password}
            )
        )

    def console(self, password: str) -> None:
        """PgBouncer's console, once it has read its file; then it logs in anew for its next look-up."""
        deadline = time.monotonic() + 10
        while True:
            try:
                with closing(psycopg2.connect(self.url(password, "pool_admin", "pgbouncer"))) as connection:
                    connection.autocommit = True
                    with connection.cursor() as cursor:
                        cursor.execute("RECONNECT")
                return
            except psycopg2.OperationalError:
                assert time.monotonic() < deadline, f"the console refuses {password!r}"
                time.sleep(0.02)


@pytest.fixture(scope="module")
def pooled(postgres: Cluster) -> Iterator[Pooled]:
    folder = Path(tempfile.mkdtemp(prefix="pg-cutover-pool-"))
    runs_as = become_postgres()
    port = free_port()
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={postgres.port} dbname=postgres auth_user=pool_auth\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = transaction\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/userlist.txt\nauth_user = pool_auth\nserver_login_retry = 0\n"
        "auth_query = SELECT username, password FROM pool.get_auth($1)\nadmin_users = pool_admin\n"
    )
    (folder / "userlist.txt").write_text("")
    for path in (folder, folder / "pgbouncer.ini", folder / "userlist.txt"):
        os.chown(path, runs_as.get("user", -1), runs_as.get("group", -1))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", str(folder / "pgbouncer.ini")],
            stdout=log,
            stderr=log,
            **runs_as,
        )
    made = Pooled(postgres, folder, port, process)
    made.run(
        "CREATE ROLE pool_app LOGIN; CREATE ROLE pool_auth LOGIN; CREATE SCHEMA pool; GRANT USAGE ON SCHEMA pool TO pool_auth;"
        "CREATE FUNCTION pool.get_auth(requested text) RETURNS TABLE (username text, password text) LANGUAGE sql"
        " SECURITY DEFINER AS $$SELECT rolname::text, rolpassword::text FROM pg_authid WHERE rolname = requested$$"
    )
    try:
        yield made
    finally:
        process.terminate()
        process.wait(20)
        made.run("DROP SCHEMA pool CASCADE; DROP ROLE pool_app; DROP ROLE pool_auth")
        shutil.rmtree(folder)


@settings(max_examples=20)
@given(password=AWKWARD | ANY)
@example(password="@ : / % ' \"")
@example(password='\\"$(x)`y`#\\')
@example(password="{{ lookup('pipe', 'id') }}{% raw %}")
@example(password=" ")
@example(password="ünïcødé 漢字 ﬁ")
@example(password="x" * 256)
@example(password="漢" * 85)
def test_a_password_that_is_accepted_logs_in_everywhere(pooled: Pooled, password: str) -> None:
    assume(not problem(password))
    pooled.give(password)
    pooled.console(password)

    # The application: its URL by way of the env file, through PgBouncer, which looks the verifier up with its own password.
    with tempfile.TemporaryDirectory() as folder:
        env = Path(folder) / "app.env"
        env.write_text("DATABASE_URL=sqlite:///x\n")
        said = run_module("env_file", path=str(env), name="DATABASE_URL", value=pooled.url(password))
        assert password not in str(said) or len(password) < 12
        read = subprocess.run(
            ["bash", "-c", f'set -a; . {env}; printf %s "$DATABASE_URL"'], capture_output=True, text=True, check=True
        ).stdout
        assert read == pooled.url(password)
        # What a container gets as a secret file, and what the project keeps.
        Directory(folder).make("app_password", password)
        file = Path(folder) / "app_password"
        shell = subprocess.run(
            ["bash", "-c", f'printf %s "$(< {file})"'], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
        )
        assert shell.stdout.decode() == password == Directory(folder).read("app_password")
    direct = {"host": "127.0.0.1", "port": pooled.cluster.port, "dbname": "postgres", "user": "pool_app"}
    for connect in (lambda: psycopg2.connect(read), lambda: psycopg2.connect(password=password, **direct)):
        with closing(connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            assert cursor.fetchone() == ("pool_app",)
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(pooled.url(password + "x")).close()
