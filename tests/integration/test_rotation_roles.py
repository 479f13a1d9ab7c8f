# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rotation by administrators that log in by password: a superuser, and one that may only make roles."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from support.independent import execute, fetch
from support.playbooks import ansible
from support.postgres import Cluster, Database

pytestmark = pytest.mark.slow

APP, BOSS, AUTH = "rotated_app", "rotated_boss", "rotated_auth"
PLAY = """
- name: Rotate as far as is asked for
  hosts: all
  gather_facts: false
  tasks:
    - name: Run the entry point
      ansible.builtin.include_role:
        name: rotation
        tasks_from: "{{ item }}"
      loop: "{{ steps }}"
"""
ALL = ("main", "begin", "change", "end")


class Rotation:
    """A database with its roles, the passwords that are kept, and runs of the role."""

    def __init__(self, folder: Path, cluster: Cluster, rights: str) -> None:
        self.folder, self.cluster = folder, cluster
        self.database: Database = cluster.create_database()
        self.secrets = folder / "secrets"
        self.secrets.mkdir(mode=0o700)
        (folder / "pgbouncer").mkdir()
        (folder / "play.yml").write_text(PLAY)
        (folder / "hosts").write_text("[pgbouncer]\nshop\n")
        names = (
            "superuser_password",
            "app_password",
            *(f"pgbouncer_{one}_password" for one in ("auth", "admin", "stats")),
        )
        for name in names:
            (self.secrets / name).write_text(f"first-{name}\n")
            (self.secrets / name).chmod(0o600)
        execute(
            cluster.superuser_url(self.database.name),
            f"CREATE ROLE {BOSS} LOGIN {rights} PASSWORD 'first-superuser_password'",
            # By itself, as the one that made a role may administer it.
            f"SET ROLE {BOSS}",
            f"CREATE ROLE {APP} LOGIN PASSWORD 'first-app_password'",
        )

    def remove(self) -> None:
        self.cluster.drop_database(self.database)
        for role in (f"{APP}_rotating", APP, f"{AUTH}_rotating", AUTH, BOSS):
            execute(self.cluster.superuser_url(), f"DROP ROLE IF EXISTS {role}")

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().rstrip("\n")

    def kept(self) -> set[str]:
        return {file.name for file in self.secrets.iterdir()}

    def run(self, names: str, *steps: str, fails: bool = False) -> str:
        """Run entry points; what was printed, on one line."""
        endpoint = {
            "admin_host": "127.0.0.1",
            "admin_from": "shop",
            "admin_user": BOSS,
            "admin_password": "",
            "port": self.cluster.port,
            "database": self.database.name,
            "sslmode": "prefer",
            "sslrootcert": "",
            "app_user": APP,
            "owner": self.database.owner,
        }
        given = {
            "steps": steps or ALL,
            "cutover_rotate": names,
            "cutover_provider": "docker",
            "cutover_secrets_dir": str(self.secrets),
            "provider_endpoint": endpoint,
            "secrets_declared": {name: "" for name in sorted(self.kept()) if "." not in name},
            "rotation_grace_seconds": 0,
            "rotation_auth_user": AUTH,
            "pgbouncer_config_directory": str(self.folder / "pgbouncer"),
            "ansible_python_interpreter": sys.executable,
        }
        (self.folder / "given.json").write_text(json.dumps(given))
        arguments = (str(self.folder / "play.yml"), "-vv", "--diff", "-e", f"@{self.folder / 'given.json'}")
        done = ansible("-i", str(self.folder / "hosts"), "-c", "local", *arguments)
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        for name in self.kept():
            assert self.secret(name) not in done.stdout, name
        return " ".join(done.stdout.split())

    def session(self, role: str, password: str) -> Any:
        return psycopg2.connect(self.cluster.url(role, password, self.database.name))

    def refused(self, role: str, password: str) -> bool:
        with suppress(psycopg2.OperationalError):
            self.session(role, password).close()
            return False
        return True

    def roles(self) -> set[str]:
        return {row[0] for row in fetch(self.cluster.superuser_url(), "SELECT rolname FROM pg_roles")}


def alive(connection: Any) -> bool:
    """Whether a session goes on."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.OperationalError:
        return False
    connection.rollback()
    return True


@pytest.fixture
def by_superuser(tmp_path: Path, postgres: Cluster) -> Iterator[Rotation]:
    made = Rotation(tmp_path, postgres, "SUPERUSER")
    yield made
    made.remove()


@pytest.fixture
def by_another(tmp_path: Path, postgres: Cluster) -> Iterator[Rotation]:
    made = Rotation(tmp_path, postgres, "CREATEROLE")
    yield made
    made.remove()


def test_superuser_rotates_its_own_password_in_one_run(by_superuser: Rotation) -> None:
    with closing(by_superuser.session(BOSS, "first-superuser_password")) as leaked:
        said = by_superuser.run("superuser")
        assert not alive(leaked)
    assert "The sessions in PostgreSQL that were opened with them have ended." in said
    assert by_superuser.refused(BOSS, "first-superuser_password")
    assert not by_superuser.refused(BOSS, by_superuser.secret("superuser_password"))
    assert "superuser_password.former" not in by_superuser.kept()


def test_run_after_a_kill_ends_the_sessions_that_are_left_and_no_others(by_superuser: Rotation) -> None:
    by_superuser.run("app", "main", "begin")
    # Killed when it had set the password: by its hand, as no moment lies between that and the end of the sessions.
    former, coming = by_superuser.secret("app_password"), by_superuser.secret("app_password.next")
    (by_superuser.secrets / "app_password").rename(by_superuser.secrets / "app_password.former")
    (by_superuser.secrets / "app_password.next").rename(by_superuser.secrets / "app_password")
    with closing(by_superuser.session(APP, former)) as leaked:
        execute(by_superuser.cluster.superuser_url(), f"ALTER ROLE {APP} PASSWORD '{coming}'")
        assert alive(leaked)
        by_superuser.run("", "main", "begin", "change")
        assert not alive(leaked)
    # Killed again, while the instances were given their own login back.
    with closing(by_superuser.session(APP, coming)) as own:
        by_superuser.run("")
        assert alive(own)
    assert by_superuser.secret("app_password") == coming
    assert f"{APP}_rotating" not in by_superuser.roles()
    assert "app_password.former" not in by_superuser.kept()


def test_rotation_is_resumed_without_a_superuser(by_another: Rotation) -> None:
    with closing(by_another.session(APP, "first-app_password")) as leaked:
        by_another.run("app", "main", "begin")
        said = by_another.run("")
        assert f"go on until they end themselves, as {BOSS} is no superuser" in said
        assert "have ended" not in said
        assert alive(leaked)
    assert by_another.refused(APP, "first-app_password")
    assert not by_another.refused(APP, by_another.secret("app_password"))
    assert f"{APP}_rotating" not in by_another.roles()


def test_pgbouncer_with_a_file_has_no_login_to_rotate(by_another: Rotation) -> None:
    (by_another.folder / "pgbouncer/userlist.txt").write_text(f'"{APP}" "x"\n"pgbouncer_admin" "x"\n')
    before = by_another.kept()
    said = by_another.run("app", fails=True)
    assert "PgBouncer on shop has the application's password in its file" in said
    assert "PgBouncer on shop has" in by_another.run("all", fails=True)
    assert by_another.kept() == before

    said = by_another.run("pgbouncer")
    assert "Rotated: pgbouncer_admin_password, pgbouncer_stats_password." in said
    assert by_another.secret("pgbouncer_auth_password") == "first-pgbouncer_auth_password"
    assert by_another.secret("pgbouncer_admin_password") != "first-pgbouncer_admin_password"
    assert by_another.kept() == before

    # One that stuck at it is ended.
    (by_another.secrets / "pgbouncer_auth_password.next").write_text("it-comes-next\n")
    (by_another.secrets / "pgbouncer_auth_password.next").chmod(0o600)
    by_another.run("")
    assert by_another.kept() == before
    assert by_another.roles() & {AUTH, f"{AUTH}_rotating"} == set()
