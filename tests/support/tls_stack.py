# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack of tests/e2e/tls: PostgreSQL and PgBouncer with certificates of an authority of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

from support.project import ROOT

HERE = ROOT / "tests" / "e2e" / "tls"
STACK = Path("/var/lib/pg-cutover-tls-test")
TRUST = Path("/etc/pg-cutover/tls-test/ca.crt")
SERVER, POOLER = 24432, 24632
CLUSTER, APP, DATABASE = "pgcutover_tls", "tls_test_app", "tls_test"


def playbook(path: Path, *arguments: str, fails: bool = False, **variables: Any) -> str:
    """Run a playbook, as talkative as it gets in use, and return its output, which never holds a secret or a key."""
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(HERE / "inventory.yml"), str(path)),
            *("-vv", "--diff", "-e", json.dumps(variables), *arguments),
        ],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    for file in (STACK / "secrets").glob("*_password"):
        assert secret(file.name) not in done.stdout, f"{file.name} is in the output of {path.name}"
    assert "PRIVATE KEY" not in done.stdout, "a key is in the output"
    assert (done.returncode != 0) == fails, done.stdout[-6000:]
    return done.stdout


def role(name: str, tasks: str = "main", *arguments: str, fails: bool = False, **variables: Any) -> str:
    """Run one entry point of one role."""
    variables = {"run_role": name, "run_tasks": tasks, **variables}
    return playbook(HERE / "run.yml", *arguments, fails=fails, **variables)


def said(output: str) -> str:
    """The output in one line, for messages that Ansible breaks."""
    return " ".join(output.split())


def secret(name: str) -> str:
    """A generated password."""
    return (STACK / "secrets" / name).read_text().strip()


def connect(port: int = POOLER, **options: Any) -> psycopg2.extensions.connection:
    """A connection of the application that proves the server, unless told otherwise."""
    connection: psycopg2.extensions.connection = psycopg2.connect(
        **{
            "host": "127.0.0.1",
            "port": port,
            "user": APP,
            "password": secret("app_password"),
            "dbname": DATABASE,
            "sslmode": "verify-full",
            "sslrootcert": str(TRUST),
            "connect_timeout": 10,
            **options,
        }
    )
    return connection


@contextmanager
def console(user: str = "pgbouncer_stats") -> Iterator[psycopg2.extensions.cursor]:
    """PgBouncer's console."""
    connection = connect(user=user, password=secret(f"{user}_password"), dbname="pgbouncer")
    with closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def admin(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the superuser over the socket, which root may."""
    with closing(
        psycopg2.connect(host="/var/run/postgresql", port=SERVER, user="postgres", dbname=DATABASE)
    ) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []


def pooler_pid() -> int:
    """The process of PgBouncer."""
    return int((STACK / "run" / "pgbouncer.pid").read_text())
