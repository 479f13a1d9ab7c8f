# SPDX-License-Identifier: GPL-3.0-or-later
"""The role managed_service against a local server that answers as the platforms' public documents say: the role runs unchanged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.platforms import ORGANIZATION, PROJECT, REF, SHOP, TOKEN, Platform, platform, project
from support.project import ROOT

PASSWORD = "pw-1f2e3d4c"
PUBLIC = f"postgresql://postgres:{PASSWORD}@switchback.proxy.rlwy.net:31234/railway"
INSIDE = f"postgresql://postgres:{PASSWORD}@postgres.railway.internal:5432/railway"
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Run the entry point
      ansible.builtin.include_role:
        name: managed_service
        tasks_from: "{{ run_tasks }}"

    - name: Keep what it found
      ansible.builtin.copy:
        content: "{{ {'found': managed_service_found | default(none), 'url': managed_service_target_url | default('')} | to_json }}"
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.json"
        mode: "0600"
      changed_when: false
      check_mode: false
      delegate_to: localhost
      no_log: true
"""

pytestmark = pytest.mark.long


class Role:
    """Runs of one entry point, on two hosts at once."""

    def __init__(self, folder: Path, at: Platform) -> None:
        self.folder, self.at = folder, at
        self.secrets = folder / "secrets"
        (folder / "play.yml").write_text(PLAYBOOK)
        (folder / "hosts").write_text("[all:vars]\nansible_connection=local\n[all]\none\ntwo\n")

    def run(
        self, kind: str, tasks: str = "main", *options: str, fails: bool = False, token: str = TOKEN, **variables: Any
    ) -> str:
        """What a run printed: never a secret."""
        path = "/graphql/v2" if kind == "railway" else ""
        settings = {
            "cutover_external_service": kind,
            "managed_service_api_url": self.at.url + path,
            "managed_service_secrets_directory": str(self.secrets),
            "managed_service_delay": 1,
            "managed_service_timeout": 5,
            "run_tasks": tasks,
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        done = subprocess.run(
            [program, "-i", "hosts", "play.yml", "-vvv", "--diff", "-e", "@settings.json", *options],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8",
                 "SUPABASE_ACCESS_TOKEN": token, "RAILWAY_TOKEN": token},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        assert "Traceback" not in done.stdout
        for secret in (TOKEN, PASSWORD, *(file.read_text().strip() for file in self.secrets.glob("*"))):
            assert secret not in done.stdout, "a secret is in the output"
        return " ".join(done.stdout.split())

    def refused(self, kind: str, tasks: str = "main", **more: Any) -> str:
        """The one message of a run that must fail."""
        return self.run(kind, tasks, fails=True, **more)

    def found(self) -> dict[str, Any]:
        """What the facts say, the same on both hosts."""
        one, two = (json.loads((self.folder / f"{name}.json").read_text()) for name in ("one", "two"))
        assert one == two
        assert isinstance(one, dict)
        return one

    def unchanged(self, kind: str, tasks: str = "main", **more: Any) -> None:
        """A run that must change nothing."""
        before = len(self.at.writes())
        assert set(re.findall(r"changed=(\d+)", self.run(kind, tasks, **more))) == {"0"}
        assert len(self.at.writes()) == before

    def password(self, text: str) -> None:
        self.secrets.mkdir(exist_ok=True)
        (self.secrets / "owner_password").write_text(text + "\n")


@pytest.fixture
def role(tmp_path: Path) -> Iterator[Role]:
    with platform() as at:
        yield Role(tmp_path, at)


NEW = {
    "managed_service_project": "shop",
    "managed_service_organization": ORGANIZATION,
    "managed_service_region": "eu-central-1",
}

# ---------------------------------------------------------------- Supabase


def test_supabase_project_is_created_waited_for_and_found_again(role: Role) -> None:
    role.at.slow = 2
    # Turned away, then let in: a creation is sent again only because nothing was done.
    role.at.faults = [(200, {}, []), (429, {"Retry-After": "1"}, {"message": "Too many requests"})]
    said = role.run("supabase", managed_service_create=True, **NEW)
    assert (
        f"Supabase project shop in organisation {ORGANIZATION}, region eu-central-1, size the smallest of the plan."
        in said
    )
    assert "Wait as the platform says, 1 s (HTTP 429)" in said
    made = (role.secrets / "owner_password").read_text().strip()
    assert len(made) == 32
    assert (role.secrets / "owner_password").stat().st_mode & 0o777 == 0o600
    # Once for both hosts.
    assert [path for _, path, _ in role.at.writes()] == ["/v1/projects"] * 2
    body = {"name": "shop", "organization_slug": ORGANIZATION, "region": "eu-central-1", "db_pass": made}
    assert [body for _, _, body in role.at.writes()] == [body] * 2
    assert len(role.at.projects) == 1
    url = f"postgresql://postgres:{made}@db.{REF}.supabase.co:5432/postgres?sslmode=require"
    assert role.found() == {"found": True, "url": url}
    role.unchanged("supabase", managed_service_create=True, **NEW)
    assert role.found()["url"] == url


def test_supabase_creates_nothing_unasked(role: Role) -> None:
    assert "Supabase has no project shop. Name an existing one" in role.refused("supabase", **NEW)
    said = role.run("supabase", "main", "--check", managed_service_create=True, **NEW)
    assert "Supabase project shop in organisation" in said
    assert role.found() == {"found": False, "url": ""}
    assert role.at.writes() == []
    assert not role.secrets.exists()


def test_supabase_pooler_in_session_mode_instead(role: Role) -> None:
    role.at.projects = [project()]
    role.password("p@ss:w/o%rd' ü")
    tls = {"managed_service_sslmode": "verify-full", "managed_service_sslrootcert": "/etc/ca.crt"}
    role.unchanged("supabase", "find", managed_service_connection="session", **tls, **NEW)
    assert role.found()["url"] == (
        f"postgresql://postgres.{REF}:p%40ss%3Aw%2Fo%25rd%27%20%C3%BC@aws-0-eu-central-1.pooler.supabase.com:5432/postgres"
        "?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.crt"
    )


def test_supabase_project_whose_password_nobody_told(role: Role) -> None:
    role.at.projects = [project()]
    assert "Supabase project shop is there, and the platform tells nobody its password" in role.refused(
        "supabase", **NEW
    )


def test_supabase_takes_longer_than_the_deadline(role: Role) -> None:
    role.at.slow = 1000
    said = role.refused("supabase", managed_service_create=True, managed_service_timeout=2, **NEW)
    assert (
        "Supabase project shop is COMING_UP, not ACTIVE_HEALTHY, after 2 s (managed_service_timeout). Run again" in said
    )
    # It was not lost: the next run finds it, with the password that was made.
    role.at.slow = 1
    role.unchanged("supabase", managed_service_create=True, **NEW)
    assert role.found()["found"]


def test_wrong_token(role: Role) -> None:
    said = role.refused("supabase", token="tok_wrong", **NEW)
    assert (
        "Supabase, listing the projects: the token is refused. Check managed_service_token (or the environment variable"
        in said
    )
    assert "needs a token: managed_service_token from a vault" in role.refused("supabase", token="", **NEW)


def test_creation_that_may_have_happened_is_not_sent_twice(role: Role) -> None:
    # A fault while it only looks is tried again.
    role.at.faults = [
        (503, {}, "<html>Service Unavailable</html>"),
        (200, {}, []),
        (502, {}, {"message": "Bad gateway"}),
    ]
    said = role.refused("supabase", managed_service_create=True, **NEW)
    assert "(HTTP 503)" in said
    assert (
        "Supabase, creating project shop: the platform has a fault of its own (HTTP 502): Bad gateway. Run again"
        in said
    )
    assert len(role.at.writes()) == 1


# ---------------------------------------------------------------- Railway


def railway(**more: Any) -> dict[str, Any]:
    return {"managed_service_project": PROJECT, "managed_service_application": "shop", **more}


def test_railway_database_is_created_waited_for_and_found_again(role: Role) -> None:
    role.at.slow, role.at.database = 2, {"DATABASE_URL": INSIDE, "DATABASE_PUBLIC_URL": PUBLIC}
    assert "has no service Postgres; it has shop." in role.refused("railway", **railway())
    assert role.at.writes() == []
    role.run("railway", managed_service_create=True, **railway())
    [(_, _, body)] = role.at.writes()
    assert body["variables"]["input"]["templateId"] == "template-1"
    assert role.found() == {"found": True, "url": f"{PUBLIC}?sslmode=require"}
    role.unchanged("railway", managed_service_create=True, **railway())


def test_railway_database_without_a_public_address(role: Role) -> None:
    role.at.services["db"], role.at.variables["db"] = "Postgres", {"DATABASE_URL": INSIDE}
    said = role.refused("railway", managed_service_timeout=2, **railway())
    assert (
        "Railway service Postgres has no DATABASE_PUBLIC_URL after 2 s (managed_service_timeout): give it a TCP proxy"
        in said
    )


def test_railway_variable_follows_the_environment_file_there_and_back(role: Role, tmp_path: Path) -> None:
    role.at.services["db"] = "Postgres"
    role.at.variables["db"] = {"DATABASE_URL": INSIDE, "DATABASE_PUBLIC_URL": PUBLIC}
    file, app = (
        tmp_path / "blue.env",
        f"postgresql://shop_app:{PASSWORD}@switchback.proxy.rlwy.net:31234/railway?sslmode=require",
    )
    file.write_text(f'PORT=8000\nexport DATABASE_URL="{app}"\n')
    options = railway(managed_service_env_file=str(file))
    said = role.run("railway", "set_variable", "--check", **options)
    assert "DATABASE_URL of Railway service shop would be set." in said
    assert role.at.writes() == []
    said = role.run("railway", "set_variable", **options)
    assert "DATABASE_URL of Railway service shop was set; Railway deploys the service anew." in said
    # Within the platform the application goes the private way.
    inside = f"postgresql://shop_app:{PASSWORD}@postgres.railway.internal:5432/railway"
    assert role.at.variables[SHOP] == {"PORT": "8000", "DATABASE_URL": inside}
    role.unchanged("railway", "set_variable", **options)
    # The way back: whatever the file says.
    file.write_text("DATABASE_URL=sqlite:////data/shop.sqlite\n")
    role.run("railway", "set_variable", **options)
    assert role.at.variables[SHOP]["DATABASE_URL"] == "sqlite:////data/shop.sqlite"


def test_railway_project_token_goes_in_its_own_header_and_an_application_must_be_there(role: Role) -> None:
    options = {"managed_service_token_kind": "project", "managed_service_value": "x"}
    said = role.refused("railway", "set_variable", **options, **railway(managed_service_application="web"))
    assert "has no service web; it has shop. Nothing was changed." in said
    assert [headers["Project-Access-Token"] for headers in role.at.headers] == [TOKEN] * len(role.at.headers)
    assert not any("Authorization" in headers for headers in role.at.headers)


def test_supabase_secret_is_set_once(role: Role) -> None:
    role.at.projects = [project()]
    options = {**NEW, "managed_service_value": f"postgresql://shop_app:{PASSWORD}@db/postgres"}
    assert "was set." in role.run("supabase", "set_variable", **options)
    assert role.at.secrets["DATABASE_URL"] == options["managed_service_value"]
    role.unchanged("supabase", "set_variable", **options)
