# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' own ground: the temporary cluster is what the other tests take it for."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from support.postgres import Cluster


def fetch(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def ended(pid: int) -> bool:
    """Wait a moment for a process to be gone, or to be a corpse that only its parent can bury."""
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.1)
    return False


def test_database_belongs_to_an_owner_without_special_rights(database: str) -> None:
    [(owner, current, superuser, createdb, createrole)] = fetch(
        database,
        "SELECT pg_get_userbyid(datdba), current_user, rolsuper, rolcreatedb, rolcreaterole"
        " FROM pg_database, pg_roles WHERE datname = current_database() AND rolname = current_user",
    )
    assert owner == current
    assert (superuser, createdb, createrole) == (False, False, False)
    [(version,)] = fetch(database, "SELECT current_setting('server_version_num')::int")
    assert isinstance(version, int)
    assert version >= 150000


def test_owner_writes_tables_and_reads_unicode_back(database: str) -> None:
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute('CREATE TABLE "Größe" (id bigint PRIMARY KEY, word text)')
        cursor.execute('INSERT INTO "Größe" VALUES (1, %s)', ["naïve 🐘"])
    assert fetch(database, 'SELECT id, word FROM "Größe"') == [(1, "naïve 🐘")]


def test_wrong_password_is_refused(postgres: Cluster, database: str) -> None:
    user, name = database.split("//")[1].split(":")[0], database.rsplit("/", 1)[1]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(postgres.url(user, "wrong", name))
    # The socket asks for the password too.
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host=str(postgres.socket_dir), port=postgres.port, user=user, dbname=name, password="wrong")


def test_server_settings_are_not_the_usual_ones(database: str) -> None:
    names = ("TimeZone", "DateStyle", "IntervalStyle")
    rows = [fetch(database, f"SELECT reset_val FROM pg_settings WHERE name = '{name}'") for name in names]
    # The server's own values: psycopg2 asks for ISO dates when it connects.
    assert rows == [[("Asia/Kathmandu",)], [("SQL, DMY",)], [("iso_8601",)]]


def test_dropped_database_leaves_nothing(postgres: Cluster) -> None:
    made = postgres.create_database()
    with closing(psycopg2.connect(made.url)):  # still connected while it is dropped
        postgres.drop_database(made)
    rows = fetch(
        postgres.superuser_url(),
        "SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles",
    )
    assert made.name not in {name for (name,) in rows}
    assert made.owner not in {name for (name,) in rows}


def test_stopped_cluster_leaves_neither_process_nor_file() -> None:
    cluster = Cluster.start()
    pid = int((cluster.data / "postmaster.pid").read_text().splitlines()[0])
    base = cluster.base
    cluster.stop()
    assert not base.exists()
    assert ended(pid)


def test_make_sqlite_from_script_and_from_callable(make_sqlite: object) -> None:
    assert callable(make_sqlite)

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [(1,), ("two",), (b"\x00",)])

    first = make_sqlite("CREATE TABLE t (x); INSERT INTO t VALUES (1);")
    second = make_sqlite(fill)
    assert isinstance(first, Path)
    assert first != second
    with closing(sqlite3.connect(second)) as connection:
        assert connection.execute("SELECT typeof(x) FROM t").fetchall() == [
            ("integer",),
            ("text",),
            ("blob",),
        ]
