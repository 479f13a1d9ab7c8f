# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of small sources with a database each, and fleet.yml run on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import yaml

from support.hosts import Hosts
from support.postgres import Cluster
from support.project import ROOT

#: Seconds for one run on a busy machine.
LIMIT = 900


class Fleet:
    """Sources, databases and an inventory with two hosts, one of which can be down."""

    def __init__(self, folder: Path, postgres: Cluster, names: tuple[str, ...]) -> None:
        self.folder, self.hosts = folder, Hosts(folder)
        self.databases = {name: postgres.create_database() for name in names}
        self.urls = {name: made.url for name, made in self.databases.items()}
        for name in names:
            self.source(name, f"INSERT INTO items (name) VALUES ('{name}'), ('b')")
        self.variables: dict[str, Any] = {
            "cutover_state_dir": str(folder / "state/{{ cutover_name }}"),
            "cutover_secrets_dir": str(folder / "secrets/{{ cutover_name }}"),
            "cutover_report_dir": str(folder / "reports"),
            "cutover_workers": 1,
        }

    def source(self, name: str, script: str) -> Path:
        """Write the file of a tenant anew."""
        path = self.folder / "tenants" / name / "app.sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL); {script}")
        return path

    def write(self, hosts: tuple[str, ...] = ("here",), groups: tuple[str, ...] = (), **variables: Any) -> None:
        """Write the inventory. groups: those that all hosts are in, beside source."""
        place = self.folder / "inventory"
        (place / "group_vars").mkdir(parents=True, exist_ok=True)
        entries: dict[str, dict[str, str]] = {host: {} for host in hosts}
        (place / "hosts.yml").write_text(
            yaml.safe_dump(
                {
                    **{group: {"hosts": dict(entries)} for group in ("source", *groups)},
                    "all": {"vars": self.hosts.variables()},
                }
            )
        )
        (place / "group_vars/all.yml").write_text(yaml.safe_dump({**self.variables, **variables}))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start fleet.yml in a process group of its own."""
        with (self.folder / "output").open("wb") as output:
            return subprocess.Popen(
                [
                    *(str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(self.folder / "inventory")),
                    *(str(ROOT / "playbooks/fleet.yml"), *arguments),
                ],
                cwd=ROOT,
                env={
                    **{key: value for key, value in os.environ.items() if key != "CUTOVER_TARGET_URL"},
                    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                    "LC_ALL": "C.UTF-8",
                    "ANSIBLE_NOCOLOR": "1",
                    "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run fleet.yml to its end; what it printed, on one line."""
        process = self.start(*arguments)
        try:
            process.wait(LIMIT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        said = (self.folder / "output").read_text()
        assert (process.returncode != 0) == fails, said[-6000:]
        return " ".join(said.split())

    def outcomes(self) -> dict[str, str]:
        """What the last run made of each tenant."""
        return {each["tenant"]: each["outcome"] for each in self.report()["tenants"]}

    def report(self) -> dict[str, Any]:
        """The last run's fleet.json."""
        found: dict[str, Any] = json.loads((self.folder / "reports/_fleet/latest/fleet.json").read_text())
        return found

    def rows(self, name: str) -> list[str]:
        """What the tenant's database holds."""
        with closing(psycopg2.connect(self.urls[name])) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT name FROM items ORDER BY id")
            return [value for (value,) in cursor.fetchall()]

    def work(self) -> list[Path]:
        """The folders with the runs' inventories that are there now."""
        return list((self.folder / "local").glob("pg-cutover-fleet-*"))
