# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL that is measured: the tests' temporary cluster, durable and set as the role postgresql sets it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from cutover import ddl
from cutover.plan.model import Plan
from cutover.target.connect import connect, qualified
from cutover.workers import default_workers
from support.postgres import Cluster, Database, become_postgres
from support.project import load

# What the role's template sets beside what it derives.
_PRELOADED = {"shared_preload_libraries": "pg_stat_statements", "password_encryption": "scram-sha-256"}
# What the tests' cluster sets otherwise because its data need not last.
_DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
}
_TICKS = os.sysconf("SC_CLK_TCK")


def settings() -> dict[str, str]:
    """The role's settings for a bulk load on this machine, as its filters derive them."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    cores = default_workers()
    role = load("filter_plugins/postgresql_tuning.py")
    return {**_DURABLE, **_PRELOADED, **role.tuning(memory_mb, cores), **role.tuning_bulk(memory_mb, cores)}


class Server(Cluster):
    """A temporary cluster whose settings are the role's, with data checksums as the role makes it."""

    def _initdb(self) -> None:
        super()._initdb()
        self._run("pg_checksums", "--enable", f"--pgdata={self.data}")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings().items())


@contextmanager
def empty_tables(cluster: Cluster, plan: Plan) -> Iterator[Database]:
    """A fresh database with the plan's tables, without keys and indexes, after a checkpoint; dropped in the end."""
    database = cluster.create_database()
    try:
        with closing(connect(database.url)) as connection:
            ddl.create_tables(connection, plan)
        execute(cluster.superuser_url(), "CHECKPOINT")
        yield database
    finally:
        cluster.drop_database(database)


def execute(url: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def fingerprint(cluster: Cluster, database: Database, plan: Plan) -> dict[str, tuple[int, str]]:
    """By table, the number of rows and a sum over the hash of each row, whatever their order."""
    found: dict[str, tuple[int, str]] = {}
    with closing(psycopg2.connect(cluster.superuser_url(database.name))) as connection, connection.cursor() as cursor:
        for table in plan.tables:
            cursor.execute(
                'SELECT count(*), coalesce(sum(hashtextextended("a row"::text, 0)::numeric), 0)::text'
                f' FROM {qualified(plan.schema, table.target)} AS "a row"'
            )
            count, total = cursor.fetchone() or (0, "")
            found[table.name] = (count, total)
    return found


def server_folder(cluster: Cluster, name: str) -> Path:
    """A folder that the server may write to; it goes with the cluster."""
    folder = cluster.base / name
    folder.mkdir()
    runs_as = become_postgres()
    if runs_as:
        os.chown(folder, runs_as["user"], runs_as["group"])
    return folder


def cpu_seconds(cluster: Cluster) -> float:
    """The processor time of the server's sessions that have ended."""
    # The postmaster counts a session when it collects its process, a moment after the client has gone.
    time.sleep(0.2)
    pid = int((cluster.data / "postmaster.pid").read_text().splitlines()[0])
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS
