# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider external with a real server and a real pooler before it: refused before anything is made, or described."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from support.independent import execute, fetch
from support.pgbouncer import pgbouncer
from support.platforms import ORGANIZATION, TOKEN, platform, project
from support.postgres import Cluster
from support.project import ROOT

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Run the provider
      ansible.builtin.include_role:
        name: provider
        tasks_from: "{{ run_tasks }}"

    - name: Create the role of the application
      ansible.builtin.include_role:
        name: database
      when: run_database | default(false) and inventory_hostname == 'one'

    - name: Keep what it found
      ansible.builtin.copy:
        content: "{{ {'endpoint': provider_endpoint, 'target': provider_target_url, 'app': provider_application_url} | to_json }}"
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.json"
        mode: "0600"
      changed_when: false
      check_mode: false
      no_log: true
"""

pytestmark = pytest.mark.slow


class Provider:
    """Runs of the role on two hosts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "play.yml").write_text(PLAYBOOK)
        (folder / "hosts").write_text("[all:vars]\nansible_connection=local\n[all]\none\ntwo\n")

    def run(self, url: str, *options: str, fails: bool = False, tasks: str = "main", **variables: Any) -> str:
        settings = {
            "provider_kind": "external",
            "provider_name": "shop",
            "cutover_workers": 2,
            "provider_secrets_directory": str(self.folder / "secrets"),
            "managed_service_secrets_directory": str(self.folder / "secrets"),
            "run_tasks": tasks,
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        (self.folder / "url.json").write_text(json.dumps({"cutover_target_url": url} if url else {}))
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        done = subprocess.run(
            [program, "-i", "hosts", "play.yml", "-vv", "--diff", "-e", "@settings.json", "-e", "@url.json", *options],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8", "SUPABASE_ACCESS_TOKEN": TOKEN},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        if url:
            assert url.split(":")[2].split("@")[0] not in done.stdout, "the password is in the output"
        return " ".join(done.stdout.split())

    def found(self) -> dict[str, Any]:
        found = json.loads((self.folder / "two.json").read_text())
        assert isinstance(found, dict)
        return found


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(tmp_path)


@pytest.fixture
def owner(postgres: Cluster) -> Iterator[str]:
    """The URL of an owner who may create roles, as platforms give it."""
    made = postgres.create_database()
    execute(postgres.superuser_url(), f"ALTER ROLE {made.owner} CREATEROLE")
    yield made.url
    execute(postgres.superuser_url(made.name), *_without("shop_app", postgres))
    postgres.drop_database(made)


def _without(role: str, postgres: Cluster) -> list[str]:
    there = fetch(postgres.superuser_url(), "SELECT 1 FROM pg_roles WHERE rolname = %s", role)
    return [f"DROP OWNED BY {role}", f"DROP ROLE {role}"] if there else ["SELECT 1"]


def test_sessions_of_the_role_start_in_the_schema_of_its_tables(provider: Provider, owner: str) -> None:
    name = 'Shop "2"'
    given = {"run_database": True, "cutover_engine_schema": name}
    for again in (False, True):
        said = provider.run(owner, **given)
        assert (set(re.findall(r"changed=(\d+)", said)) == {"0"}) == again
    with closing(psycopg2.connect(provider.found()["app"])) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        assert cursor.fetchone() == ('"Shop ""2"""',)
    # The schema comes with its tables; the engine gives the right to see it.
    assert fetch(owner, "SELECT to_regnamespace(quote_ident(%s))", name) == [(None,)]
    said = provider.run(owner, "--check", **given)
    assert set(re.findall(r"changed=(\d+)", said)) == {"0"}


def test_role_of_the_application_is_made_and_a_second_run_changes_nothing(provider: Provider, owner: str) -> None:
    said = provider.run(owner, run_database=True)
    assert "is no superuser, may create roles, may not create databases, owns the database" in said
    found = provider.found()
    assert found["target"] == owner
    with closing(psycopg2.connect(found["app"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("shop_app",)
    said = provider.run(owner, run_database=True)
    assert set(re.findall(r"changed=(\d+)", said)) == {"0"}
    said = provider.run(owner, "--check", run_database=True)
    assert set(re.findall(r"changed=(\d+)", said)) == {"0"}


def test_pooler_in_transaction_mode_is_refused_before_anything_is_made(
    provider: Provider, owner: str, postgres: Cluster
) -> None:
    with pgbouncer(owner, "transaction") as pooled:
        said = provider.run(pooled, fails=True, run_database=True)
    assert "is a connection pooler in transaction mode" in said
    assert f"which says that it listens on port {postgres.port} of 127.0.0.1" in said
    assert fetch(postgres.superuser_url(), "SELECT 1 FROM pg_roles WHERE rolname = 'shop_app'") == []


def test_limit_that_the_application_would_not_fit_into(provider: Provider, owner: str) -> None:
    said = provider.run(owner, fails=True, pgbouncer_application_instances=6)
    assert "the run needs 64: 2 workers and 2 others of the engine, 60 of the application." in said


def test_database_that_the_platform_is_asked_for(provider: Provider) -> None:
    with platform() as at:
        variables = {
            "provider_external_service": "supabase",
            "managed_service_api_url": at.url,
        }
        more = {"managed_service_project": "shop", "managed_service_organization": ORGANIZATION}
        # Before it is there, the facts name a place that nobody has, and nothing is asked or made.
        provider.run("", tasks="facts", **variables, **more)
        assert provider.found()["endpoint"]["host"] == "not-created-yet.invalid"
        assert "Supabase has no project shop. Name an existing one" in provider.run("", fails=True, **variables, **more)
        at.projects = [project()]
        (provider.folder / "secrets").mkdir(exist_ok=True)
        (provider.folder / "secrets" / "owner_password").write_text("p@ss:w/o%rd' ü\n")
        provider.run("", tasks="facts", **variables, **more)
        assert at.writes() == []
    found = provider.found()
    assert found["endpoint"]["host"] == "db.abcdefghijklmnopqrst.supabase.co"
    assert found["endpoint"]["owner_password"] == "p@ss:w/o%rd' ü"
    assert found["target"].startswith("postgresql://postgres:p%40ss%3Aw%2Fo%25rd%27%20%C3%BC@db.")
