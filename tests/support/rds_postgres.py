# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL that behaves as one on RDS does, as far as its users can tell.

TLS only; the superuser is AWS's; the master user has CREATEDB, CREATEROLE and the role rds_superuser, and may create the extensions
that RDS allows it. There is no switch for that last point in PostgreSQL: here the server runs from copies of its programs, whose
extension pg_stat_statements is marked as trusted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import sql

from support.postgres import Cluster, become_postgres, find_bindir

_SETTINGS = """
shared_preload_libraries = 'pg_stat_statements'
ssl = on
ssl_cert_file = '{base}/server.pem'
ssl_key_file = '{base}/server.key'
"""
_ACCESS = "local all all scram-sha-256\nhostssl all all all scram-sha-256\n"
_TRUSTED = "pg_stat_statements.control"


class RdsPostgres(Cluster):
    """The cluster behind an endpoint."""

    @classmethod
    def serve(cls, certificate: Path, key: Path) -> RdsPostgres:
        """Create and start it with a certificate."""
        base = Path(tempfile.mkdtemp(prefix="pg-cutover-rds-"))
        cluster = cls(base=base, bindir=_copied(base), superuser="rdsadmin", host="localhost")
        try:
            cluster._initdb()
            cluster.present(certificate, key)
            with (cluster.data / "postgresql.conf").open("a") as conf:
                conf.write(_SETTINGS.format(base=base))
            (cluster.data / "pg_hba.conf").write_text(_ACCESS)
            cluster._start()
            cluster.administer("CREATE ROLE rds_superuser", "GRANT pg_monitor, pg_signal_backend TO rds_superuser")
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def present(self, certificate: Path, key: Path) -> None:
        """Use this certificate; a running server does after a reload."""
        for source, name in ((certificate, "server.pem"), (key, "server.key")):
            target = self.base / name
            target.unlink(missing_ok=True)
            target.touch(mode=0o600)
            target.write_bytes(source.read_bytes())
            runs_as = become_postgres()
            if runs_as:
                os.chown(target, runs_as["user"], runs_as["group"])
        if self.port:
            self.administer("SELECT pg_reload_conf()")

    def make_master(self, user: str, password: str) -> None:
        """The master user of a new instance, or its new password."""
        role = sql.Identifier(user)
        self.administer(
            sql.SQL(
                "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN"
                " CREATE ROLE {} LOGIN CREATEDB CREATEROLE IN ROLE rds_superuser; END IF; END $$"
            ).format(sql.Literal(user), role),
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password)),
        )

    def administer(self, *statements: str | sql.Composable) -> None:
        """Run statements as AWS's superuser."""
        with closing(
            psycopg2.connect(
                host=str(self.socket_dir),
                port=self.port,
                user=self.superuser,
                password=self.password,
                dbname="postgres",
            )
        ) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)


def _copied(base: Path) -> Path:
    """Programs that find their extensions beside themselves; the folder of the copies."""
    original = find_bindir()
    version = original.parent.name
    programs = base / "lib/postgresql" / version / "bin"
    shutil.copytree(original, programs)
    (programs.parent / "lib").symlink_to(original.parent / "lib")
    shared = base / "share/postgresql" / version
    (shared / "extension").mkdir(parents=True)
    system = Path("/usr/share/postgresql") / version
    for entry in system.iterdir():
        if entry.name != "extension":
            (shared / entry.name).symlink_to(entry)
    for entry in (system / "extension").iterdir():
        if entry.name != _TRUSTED:
            (shared / "extension" / entry.name).symlink_to(entry)
    control = (system / "extension" / _TRUSTED).read_text()
    (shared / "extension" / _TRUSTED).write_text(control + "trusted = true\n")
    return programs
