# SPDX-License-Identifier: GPL-3.0-or-later
"""The role application on three hosts: one restarts after the other, the rest serves; one is down, one does not get healthy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Any

import pytest
import yaml

from support.hosts import Hosts
from support.project import ROOT

pytestmark = pytest.mark.long

APPLICATION = ROOT / "tests/e2e/roles/app.py"
PORTS = {"app1": 43101, "app2": 43102, "app3": 43103}
RESTART = """#!/bin/sh
set -e
echo "$1" >>{folder}/restarted
if [ -e "{folder}/$1.before" ]; then . "{folder}/$1.before"; fi
exec {python} {application} restart {folder}/$1 "$2"
"""


class Fleet:
    """Three instances, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hosts = folder, Hosts(folder)
        self.restart = folder / "restart"
        self.restart.write_text(RESTART.format(folder=folder, python=sys.executable, application=APPLICATION))
        self.restart.chmod(0o755)
        entries = {}
        for name, port in PORTS.items():
            (folder / name).mkdir()
            (folder / name / "app.env").write_text("DATABASE_URL=sqlite:////srv/app.sqlite\n")
            entries[name] = {
                "application_env_file": str(folder / name / "app.env"),
                "application_restart_command": [str(self.restart), name, str(port)],
                "application_health_url": f"http://127.0.0.1:{port}/health",
            }
        everything = {
            **self.hosts.variables(),
            "application_restart_method": "command",
            "application_database_url": "postgresql://app:s3cr%40t@127.0.0.1:6432/app",
            "application_health_timeout": 4,
        }
        self.inventory = folder / "hosts.yml"
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": entries, "vars": everything}}))

    def role(self, tasks: str, *, fails: bool = False, **variables: Any) -> str:
        """Run one entry point on all three."""
        done = subprocess.run(
            [
                *(str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(self.inventory)),
                *(str(Path(__file__).with_name("run.yml")), "-e", json.dumps({"run_tasks": tasks, **variables})),
            ],
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        return done.stdout

    def restarted(self) -> list[str]:
        """The hosts whose application was restarted, in order, since this was asked last."""
        path = self.folder / "restarted"
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return names

    def serve(self) -> dict[str, str]:
        """Which database each says it uses; empty when it does not run."""
        return {name: said(port) for name, port in PORTS.items()}


def said(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return str(json.load(answer)["database"])
    except OSError:
        return ""


class Watch:
    """Looks all the time how many of the instances take connections."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._end.is_set():
            up = 0
            for port in PORTS.values():
                with closing(socket()) as each:
                    up += each.connect_ex(("127.0.0.1", port)) == 0
            self.seen.add(up)
            time.sleep(0.01)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    try:
        for name, port in PORTS.items():
            subprocess.run([str(made.restart), name, str(port)], check=True, timeout=30)
        made.restarted()
        yield made
    finally:
        for name, port in PORTS.items():
            subprocess.run(
                [sys.executable, str(APPLICATION), "stop", str(tmp_path / name), str(port)], check=False, timeout=30
            )


ON = dict.fromkeys(PORTS, "postgresql")


def test_one_after_the_other_so_that_the_rest_serves(fleet: Fleet) -> None:
    # Each takes its time to stop, so that two at once could not be missed.
    for name in PORTS:
        (fleet.folder / f"{name}.before").write_text(
            f"{sys.executable} {APPLICATION} stop {fleet.folder / name} 0; sleep 1\n"
        )
    with Watch() as watch:
        fleet.role("switch")
    assert fleet.serve() == ON
    assert fleet.restarted() == list(PORTS)
    assert watch.seen == {2, 3}
    fleet.role("switch")
    assert fleet.restarted() == [], "a second run restarts nothing"
    # All at once where that is wanted.
    with Watch() as watch:
        fleet.role("restore", application_restart_serial=3)
    assert sorted(fleet.restarted()) == list(PORTS)
    assert min(watch.seen) < 2


def test_a_host_that_is_lost_in_the_middle_is_left_to_the_next_run(fleet: Fleet) -> None:
    (fleet.folder / "app1.before").write_text(f"touch {fleet.hosts.switch('app2')}\n")
    said = fleet.role("switch", fails=True)
    assert "app2" in said.partition("UNREACHABLE")[0].rsplit("fatal:", 1)[1]
    assert fleet.restarted() == ["app1", "app3"]
    assert fleet.serve() == {**ON, "app2": "sqlite"}
    (fleet.folder / "app1.before").unlink()
    fleet.hosts.up("app2")
    fleet.role("switch")
    assert fleet.restarted() == ["app2"]
    assert fleet.serve() == ON


def test_behind_a_host_that_does_not_get_healthy_none_is_restarted(fleet: Fleet) -> None:
    (fleet.folder / "app2.before").write_text("exit 1\n")
    said = fleet.role("switch", fails=True)
    assert fleet.restarted() == ["app1", "app2"]
    assert fleet.serve() == {"app1": "postgresql", "app2": "sqlite", "app3": "sqlite"}
    assert "The application on app3 was not restarted, because it did not get healthy on app2" in " ".join(said.split())
    (fleet.folder / "app2.before").unlink()
    fleet.role("switch")
    assert fleet.restarted() == ["app2", "app3"]
    assert fleet.serve() == ON
