# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet.yml: several sources in one run, of which one is refused, one host is down, and the whole is killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from support.fleet import LIMIT, Fleet
from support.postgres import Cluster
from support.project import ROOT

pytestmark = pytest.mark.long

NAMES = ("acme", "globex", "initech", "umbrella")


class Vault(str):
    """What Ansible Vault has encrypted."""


yaml.SafeDumper.add_representer(Vault, lambda dumper, value: dumper.represent_scalar("!vault", str(value), style="|"))


@pytest.fixture
def fleet(tmp_path: Path, postgres: Cluster) -> Iterator[Fleet]:
    made = Fleet(tmp_path, postgres, NAMES)
    try:
        yield made
    finally:
        for database in made.databases.values():
            postgres.drop_database(database)


def encrypted(folder: Path, text: str) -> Vault:
    """A secret as ansible-vault writes it."""
    (folder / "vault_password").write_text("open sesame\n")
    done = subprocess.run(
        [str(ROOT / ".venv/bin/ansible-vault"), "encrypt", "--vault-password-file", str(folder / "vault_password")],
        input=text,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return Vault(done.stdout)


class Spy:
    """Looks all the time for secrets in the commands of this machine and in the files that the runs are given."""

    def __init__(self, fleet: Fleet, secrets: list[str], vaulted: str) -> None:
        self._fleet, self._secrets, self._vaulted = fleet, [each.encode() for each in secrets], vaulted.encode()
        self.commands: set[str] = set()
        self.modes: set[int] = set()
        self.clear = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._end.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    said = path.read_bytes()
                    if any(secret in said for secret in self._secrets):
                        self.commands.add(said.decode(errors="replace"))
            for folder in self._fleet.work():
                for path in (*folder.rglob("*.yml"), folder):
                    with contextlib.suppress(OSError):
                        self.modes.add(path.stat().st_mode & 0o077)
                        self.clear += path.is_file() and self._vaulted in path.read_bytes()
            time.sleep(0.1)

    def __enter__(self) -> Spy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_one_that_is_refused_and_a_host_that_is_down_stop_no_other(fleet: Fleet) -> None:
    passwords = [url.split(":")[2].split("@")[0] for url in fleet.urls.values()]
    fleet.source("initech", "INSERT INTO items (name) VALUES (CAST(x'610062' AS TEXT))")
    given = {
        name: {
            "cutover_source_path": str(fleet.folder / "tenants" / name / "app.sqlite"),
            "cutover_target_url": fleet.urls[name],
            "cutover_tenant_host": "gone" if name == "umbrella" else "here",
        }
        for name in NAMES
    }
    given["acme"]["cutover_target_url"] = encrypted(fleet.folder, fleet.urls["acme"])
    fleet.write(("here", "gone"), cutover_tenants=given)
    fleet.hosts.down("gone")
    vault = ("--vault-password-file", str(fleet.folder / "vault_password"))
    with Spy(fleet, passwords, fleet.urls["acme"]) as spy:
        said = fleet.run(*vault, fails=True)
    assert fleet.outcomes() == {
        "acme": "migrated",
        "globex": "migrated",
        "initech": "refused",
        "umbrella": "unreachable",
    }
    assert "2 of 4 tenants are done; not done: initech, umbrella." in said
    entries = {each["tenant"]: each for each in fleet.report()["tenants"]}
    assert entries["acme"]["rows"] == 2
    assert "run the same command again" in entries["initech"]["next"]
    assert "bring gone back" in entries["umbrella"]["next"]
    assert fleet.rows("acme") == ["acme", "b"]
    assert fleet.rows("globex") == ["globex", "b"]
    # Nothing secret in a command, in the output, in a log; what was encrypted is never written in clear text.
    assert spy.commands == set()
    assert spy.clear == 0
    assert spy.modes == {0}
    assert fleet.work() == []
    logs = [Path(each["log"]) for each in entries.values() if each["log"]]
    assert len(logs) == 3
    assert {path.stat().st_mode & 0o777 for path in logs} == {0o600}
    assert not any(password in text for password in passwords for text in (said, *(path.read_text() for path in logs)))

    # Mended, the next run does what is left, and no more.
    fleet.hosts.up("gone")
    fleet.source("initech", "INSERT INTO items (name) VALUES ('initech')")
    fleet.run(*vault)
    assert fleet.outcomes() == {
        "acme": "done before",
        "globex": "done before",
        "initech": "migrated",
        "umbrella": "migrated",
    }
    assert fleet.rows("initech") == ["initech"]
    assert fleet.rows("umbrella") == ["umbrella", "b"]
    # And the one after it nothing, which a run with --check says beforehand.
    for options in (("--check", "--diff"), ()):
        assert "changed=0" in fleet.run(*vault, *options).partition("PLAY RECAP")[2].partition("localhost")[2]
    assert set(fleet.outcomes().values()) == {"done before"}


def test_a_host_that_is_down_may_have_files_that_nobody_heard_of(fleet: Fleet) -> None:
    fleet.write(
        ("here", "gone"),
        cutover_provider="external",
        cutover_tenants_path=str(fleet.folder / "tenants/acme*/app.sqlite"),
        cutover_target_url="{{ urls[cutover_name] }}",
        urls=fleet.urls,
    )
    fleet.hosts.down("gone")
    said = fleet.run("-e", "fleet_playbook=status.yml", fails=True)
    assert "1 of 1 tenants are done; not known: the tenants on gone, which did not answer." in said
    assert "all of gone: gone cannot be worked with: " in said
    assert fleet.outcomes() == {"acme": "new", "all of gone": "unknown"}
    # Who names a tenant needs no other.
    fleet.run("-e", "fleet_playbook=status.yml", "-e", "fleet_only=acme")
    assert "Not heard of: the files of gone" in fleet.run("-e", "fleet_only=globex", fails=True)


def processes(text: str) -> list[int]:
    """The processes whose command holds a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def test_when_the_fleet_is_killed_no_run_goes_on_and_the_next_one_finishes(fleet: Fleet) -> None:
    fleet.write(
        cutover_tenants_path=str(fleet.folder / "tenants/*/app.sqlite"),
        cutover_target_url="{{ urls[cutover_name] }}",
        urls=fleet.urls,
        fleet_only=["acme"],
    )
    process = fleet.start()
    journal = fleet.folder / "state/acme/journal.jsonl"
    deadline = time.monotonic() + LIMIT
    while not journal.exists():
        assert process.poll() is None, (fleet.folder / "output").read_text()[-4000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    [work] = fleet.work()
    assert processes(str(work))
    process.kill()
    process.wait(30)
    while processes(str(work)) or work.exists():
        assert time.monotonic() < deadline, "a tenant's run outlives the fleet"
        time.sleep(0.2)
    fleet.run()
    assert fleet.outcomes() == {"acme": "migrated"}
    assert fleet.rows("acme") == ["acme", "b"]


def own(fleet: Fleet, url: str) -> dict[str, int]:
    """By schema of a migration's own tables, the events of the journal in it."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgcutover%'")
        counted = {}
        for (name,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{name}".journal')
            counted[name] = cursor.fetchone()[0]
    return counted


def test_tenants_in_schemas_of_one_database(fleet: Fleet) -> None:
    url = fleet.urls["acme"]
    given = {
        name: {"cutover_source_path": str(fleet.folder / "tenants" / name / "app.sqlite")}
        for name in ("acme", "globex")
    }
    fleet.write(cutover_tenants=given, cutover_target_url=url, cutover_plan_overrides={"schema": "{{ cutover_name }}"})
    fleet.run()
    assert fleet.outcomes() == {"acme": "migrated", "globex": "migrated"}
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for name in given:
            cursor.execute(f"SELECT name FROM {name}.items ORDER BY id")
            assert cursor.fetchall() == [(name,), ("b",)]
    journals = own(fleet, url)
    assert set(journals) == {"pgcutover_for_acme", "pgcutover_for_globex"}
    assert all(journals.values())
    finalize = ("-e", "fleet_playbook=finalize.yml", "-e", "fleet_only=acme", "-e", "cutover_finalize_early=true")
    fleet.run(*finalize)
    assert set(own(fleet, url)) == {"pgcutover_for_globex"}
    fleet.run("-e", "fleet_playbook=verify.yml", "-e", "fleet_only=globex")


def refused(name: str, fleet: Fleet) -> tuple[dict[str, Any], str]:
    """Variables that are refused, and what the refusal says."""
    pattern = {"cutover_tenants_path": str(fleet.folder / "tenants/*/app.sqlite")}
    by_name = "{{ urls[cutover_name] }}"
    path = str(fleet.folder / "tenants/acme/app.sqlite")
    alias = fleet.folder / "alias.sqlite"
    if name == "file":
        alias.symlink_to(path)
    if name == "name":
        (fleet.folder / "tenants/Big Firm").mkdir()
        (fleet.folder / "tenants/Big Firm/app.sqlite").write_bytes(b"")
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "database": (
            {**pattern, "cutover_target_url": fleet.urls["acme"]},
            "Tenants acme and globex have the same database",
        ),
        "file": (
            {"cutover_tenants": {"acme": {"cutover_source_path": path}, "globex": {"cutover_source_path": str(alias)}}},
            "Tenants acme and globex have the same SQLite file",
        ),
        "missing": (
            {"cutover_tenants": {"acme": {"cutover_source_path": path + ".old"}}},
            f"Tenant acme: {path}.old on here does not exist.",
        ),
        "name": (pattern, "A tenant's name is 'Big Firm'"),
        "none": ({"cutover_tenants_path": "/nowhere/*/app.sqlite"}, "No tenants were found"),
        # A tenant for each host, by the variables of the host.
        "hosts": (
            {
                "hosts": ("here", "there"),
                "cutover_tenants_hosts": True,
                "cutover_source_path": "/nowhere/{{ inventory_hostname }}.sqlite",
                "cutover_target_url": fleet.urls["acme"] + "_{{ cutover_name }}",
            },
            "Tenant here: /nowhere/here.sqlite on here does not exist. Tenant there: /nowhere/there.sqlite on there does not exist.",
        ),
        "state": ({**pattern, "cutover_state_dir": str(fleet.folder / "one")}, "have the same cutover_state_dir"),
    }
    variables, said = cases[name]
    return {"cutover_target_url": by_name, **variables}, said


@pytest.mark.parametrize("name", ["database", "file", "hosts", "missing", "name", "none", "state"])
def test_what_cannot_be_a_fleet_is_refused_before_anything_starts(fleet: Fleet, name: str) -> None:
    variables, told = refused(name, fleet)
    fleet.write(variables.pop("hosts", ("here",)), urls=fleet.urls, **variables)
    said = fleet.run(fails=True)
    assert told in said
    assert "Nothing was started, nothing was changed." in said
    assert not (fleet.folder / "state").exists()
    assert not (fleet.folder / "one").exists()
    assert not (fleet.folder / "reports").exists()
    assert not [url for url in fleet.urls.values() if url.split(":")[2].split("@")[0] in said]
