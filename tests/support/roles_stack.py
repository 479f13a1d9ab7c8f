# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack of tests/e2e/roles: how its playbooks are run, and how a test talks to what runs there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from support import playbooks
from support.project import ROOT

HERE = ROOT / "tests" / "e2e" / "roles"
STACK = Path("/var/lib/pg-cutover-test")
CLUSTER = "pgcutover_test"
PROXY, APPLICATION = "http://127.0.0.1:28080", "http://127.0.0.1:28081"


def ansible(playbook: str, *arguments: str, fails: bool = False) -> str:
    """Run a playbook, as talkative as it gets in use, and return its output, which never holds a secret."""
    done = playbooks.ansible("-i", str(HERE / "inventory.yml"), str(HERE / playbook), "-vvv", "--diff", *arguments)
    for file in (STACK / "secrets").glob("*"):
        assert secret(file.name) not in done.stdout, f"{file.name} is in the output of {playbook}"
    assert "SCRAM-SHA-256$" not in done.stdout, "a verifier is as good as a weak password"
    assert (done.returncode != 0) == fails, done.stdout[-6000:]
    return done.stdout


def role(name: str, tasks: str, *, check: bool = False, fails: bool = False, **variables: Any) -> str:
    """Run one entry point of one role."""
    extra = json.dumps({"run_role": name, "run_tasks": tasks, **variables})
    return ansible("run.yml", "-e", extra, *(["--check"] if check else []), fails=fails)


def changed(output: str) -> int:
    """The number of changes in the recap."""
    return int(re.search(r"changed=(\d+)", output.split("PLAY RECAP")[1]).group(1))  # type: ignore[union-attr]


def changes(output: str) -> list[str]:
    """The tasks that changed something, for a message that helps."""
    return re.findall(r"TASK \[(.*?)\] \*+\n(?:(?!TASK).*\n)*?changed:", output)


def secret(name: str) -> str:
    """A generated password."""
    return (STACK / "secrets" / name).read_text().strip()


def connect(
    user: str,
    password: str | None,
    port: int = 26432,
    host: str = "127.0.0.1",
    database: str = "roles_test",
) -> psycopg2.extensions.connection:
    """A connection to the stack's database, or another one."""
    return psycopg2.connect(host=host, port=port, user=user, password=password, dbname=database, connect_timeout=10)


def as_app(port: int = 26432) -> psycopg2.extensions.connection:
    """As the application, through PgBouncer unless another port is given."""
    return connect("roles_test_app", secret("app_password"), port)


def admin(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the superuser over the socket, which root may."""
    with closing(connect("postgres", None, 25432, "/var/run/postgresql")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


def request(path: str, method: str = "GET", base: str = PROXY, **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers (lower case) and body."""
    asked = urllib.request.Request(
        base + path, method=method, headers=headers, data=b"x=1" if method == "POST" else None
    )
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read().decode()


def wait_for_proxy() -> None:
    """Until the proxy has seen the application healthy."""
    deadline = time.monotonic() + 20
    while request("/")[0] != 200:
        assert time.monotonic() < deadline, "the application does not answer through the proxy"
        time.sleep(0.1)


def application(action: str) -> None:
    """Start or stop the application behind the proxy."""
    subprocess.run([sys.executable, str(HERE / "app.py"), action, str(STACK), "28081"], check=True, timeout=30)


def pid(name: str) -> int:
    """The pid in a daemon's pid file."""
    return int((STACK / "run" / name / f"{name}.pid").read_text())
