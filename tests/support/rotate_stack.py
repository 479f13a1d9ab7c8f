# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack of tests/e2e/rotate: its playbooks, its secrets, and what its application's instances went through."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from support.project import ROOT

STACK = Path("/var/lib/pg-cutover-rotate")
POOLERS = ("pgbouncer_auth_password", "pgbouncer_admin_password", "pgbouncer_stats_password")
SECRETS = ("app_password", "owner_password", *POOLERS)
POSTGRES, PGBOUNCER = 45432, 46432
LIMIT = 900


def ansible(playbook: str, *arguments: str, fails: bool = False, kill_at: str = "") -> str:
    """Run a playbook, as talkative as it gets, and return its output; or kill it when a task of that name begins."""
    with tempfile.NamedTemporaryFile("w+") as output:
        process = subprocess.Popen(
            [
                *(str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(ROOT / "tests/e2e/rotate/inventory.yml")),
                *(str(ROOT / playbook), "-vvv", "--diff", *arguments),
            ],
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + LIMIT
        try:
            while process.poll() is None and not (kill_at and kill_at in Path(output.name).read_text()):
                assert time.monotonic() < deadline, Path(output.name).read_text()[-5000:]
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        said = Path(output.name).read_text()
    if kill_at:
        assert process.returncode == -signal.SIGKILL, f"it ended before {kill_at}:\n{said[-5000:]}"
    else:
        assert (process.returncode != 0) == fails, said[-6000:]
    return said


def secret(name: str) -> str:
    """A password as it is kept."""
    return (STACK / "secrets" / name).read_text().rstrip("\n")


def kept() -> dict[str, str]:
    """All that is kept."""
    return {file.name: secret(file.name) for file in (STACK / "secrets").iterdir()}


def session(user: str, password: str, port: int = POSTGRES, database: str = "rotate_test") -> Any:
    """A session of somebody."""
    return psycopg2.connect(
        host="127.0.0.1", port=port, user=user, password=password, dbname=database, connect_timeout=20
    )


def users() -> list[str]:
    """The users that PgBouncer knows itself."""
    lines = (STACK / "pgbouncer/userlist.txt").read_text().splitlines()
    return [line.split('"')[1] for line in lines if line]


def login(user: str, password: str, port: int = PGBOUNCER, database: str = "rotate_test") -> bool:
    """Whether somebody can log in."""
    try:
        session(user, password, port, database).close()
    except psycopg2.OperationalError as error:
        if "authentication failed" in str(error) or "no such user" in str(error):
            return False
        raise
    return True


def admin(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the superuser over the socket, which root may."""
    with closing(
        psycopg2.connect(host="/var/run/postgresql", port=POSTGRES, user="postgres", dbname="rotate_test")
    ) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


def failures() -> str:
    """What the instances could not do since the start."""
    return "".join(file.read_text() for file in sorted(STACK.glob("*.failures")))


def forget_failures() -> None:
    """Begin anew with what they could not do, after a test has taken PgBouncer from them."""
    for file in STACK.glob("*.failures"):
        file.unlink()


def stop_pgbouncer() -> None:
    """End PgBouncer; the next up.yml starts it."""
    pid = int((STACK / "run/pgbouncer/pgbouncer.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    with contextlib.suppress(OSError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline, f"PgBouncer ({pid}) does not end"
            time.sleep(0.1)


def written() -> int:
    """The rows that they have written."""
    return int(admin("SELECT count(*) FROM written")[0][0])


def right(before: dict[str, str], rotated: tuple[str, ...]) -> None:
    """All is as after a rotation: new passwords log in everywhere, former ones nowhere, nothing is left over."""
    now = kept()
    assert sorted(now) == sorted(SECRETS), "nothing but the passwords is left"
    assert {name for name in SECRETS if now[name] != before[name]} == set(rotated)
    users = {
        "app_password": "rotate_test_app",
        "owner_password": "rotate_test_owner",
        "pgbouncer_auth_password": "pgbouncer_auth",
    }
    for name, user in users.items():
        assert login(user, now[name], POSTGRES), user
        assert not (name in rotated and login(user, before[name], POSTGRES)), f"{user}: the former password still works"
    assert login("rotate_test_app", now["app_password"])
    assert login("pgbouncer_admin", now["pgbouncer_admin_password"], database="pgbouncer")
    assert admin("SELECT rolname FROM pg_roles WHERE rolname LIKE '%%rotating'") == []
    for instance in ("one", "two"):
        text = (STACK / f"{instance}.env").read_text()
        assert (
            f"DATABASE_URL=postgresql://rotate_test_app:{now['app_password']}@127.0.0.1:{PGBOUNCER}/rotate_test\n"
            in text
        )
