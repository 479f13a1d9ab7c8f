# SPDX-License-Identifier: GPL-3.0-or-later
"""The role application with two instances side by side: the small application of the roles' tests, started by commands."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.playbooks import ansible
from support.postgres import free_port
from support.project import ROOT

APPLICATION = ROOT / "tests/e2e/roles/app.py"
BEFORE = 'export DATABASE_URL="sqlite:////srv/app.sqlite"\nPORT=1\nSECRET=of the application\n'
URL = "postgresql://app:s3cr%40t@127.0.0.1:6432/app"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="seals a file: needs root")


@dataclass(frozen=True)
class Place:
    """A directory with the application in it."""

    folder: Path
    blue: int
    green: int

    def command(self, action: str, name: str) -> list[str]:
        port = self.blue if name == "app" else self.green
        return [sys.executable, str(APPLICATION), action, str(self.folder), str(port), name]

    @property
    def variables(self) -> dict[str, Any]:
        green_role = self.folder / "deployed"
        return {
            "cutover_source_path": str(self.folder / "app.sqlite"),
            "application_env_file": str(self.folder / "app.env"),
            "application_database_url": URL,
            "application_restart_method": "command",
            "application_restart_command": self.command("restart", "app"),
            "application_start_command": self.command("start", "app"),
            "application_stop_command": self.command("stop", "app"),
            "application_health_url": f"http://127.0.0.1:{self.blue}/health",
            "application_health_timeout": 5,
            "application_grace_seconds": 1,
            "application_green_env_file": str(self.folder / "green.env"),
            "application_green_env": {"PORT": str(self.green)},
            "application_green_command": ["sh", "-c", f'echo "$APPLICATION_GREEN_ENV_FILE" >>{green_role}'],
            "application_green_start_command": self.command("start", "green"),
            "application_green_stop_command": self.command("stop", "green"),
            "application_green_health_url": f"http://127.0.0.1:{self.green}/health",
            # The second one names blue's own origin, as a page that is asked for through a proxy would.
            "application_smoke_urls": [{"url": "/"}, {"url": f"http://127.0.0.1:{self.blue}/missing", "status": 404}],
        }

    def role(self, tasks: str, *, check: bool = False, fails: bool = False, **variables: Any) -> str:
        """Run one entry point, as talkative as it gets, and return the output, which never holds the password."""
        extra = json.dumps({**self.variables, "run_tasks": tasks, **variables})
        done = ansible(
            *("-i", "place,", "-c", "local", "-vvv", "--diff", str(Path(__file__).with_name("run.yml"))),
            *("-e", f"@{self._file(extra)}", "-e", f"ansible_python_interpreter={sys.executable}"),
            *(["--check"] if check else []),
            ANSIBLE_ROLES_PATH=f"{ROOT / 'roles'}:{self.folder / 'roles'}",
        )
        assert "s3cr" not in done.stdout, "the password is in the output"
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        return done.stdout

    def _file(self, text: str) -> Path:
        path = self.folder / "variables.json"
        path.write_text(text)
        return path

    def serves(self, port: int) -> str:
        """Which database an instance says it uses; empty when it does not run."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                return str(json.load(answer)["database"])
        except OSError:
            return ""

    def deployed(self) -> int:
        """How often green's build was deployed."""
        path = self.folder / "deployed"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, free_port(), free_port())
    (tmp_path / "app.env").write_text(BEFORE)
    with closing(sqlite3.connect(tmp_path / "app.sqlite")) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    (tmp_path / "app.sqlite").chmod(0o644)
    subprocess.run(made.command("start", "app"), check=True, timeout=30)
    try:
        yield made
    finally:
        for name in ("app", "green"):
            subprocess.run(made.command("stop", name), check=True, timeout=30)


def changed(output: str) -> int:
    found = re.search(r"changed=(\d+)", output.split("PLAY RECAP")[1])
    assert found
    return int(found.group(1))


def test_there_and_back(place: Place) -> None:
    # A rehearsal says what it would do.
    assert changed(place.role("green_prepare", check=True)) > 0
    assert (place.serves(place.green), place.deployed()) == ("", 0)

    place.role("green_prepare")
    assert (place.serves(place.blue), place.serves(place.green), place.deployed()) == ("sqlite", "postgresql", 1)
    environment = place.folder / "green.env"
    assert environment.read_text() == f'export DATABASE_URL="{URL}"\nPORT={place.green}\nSECRET=of the application\n'
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    assert (place.folder / "app.env").read_text() == BEFORE
    assert changed(place.role("green_prepare")) == 0
    assert place.deployed() == 1

    # A new setting of blue's reaches green, which is deployed and started again.
    (place.folder / "app.env").write_text(BEFORE + "NEW=1\n")
    before = (place.folder / "green.pid").read_text()
    place.role("green_prepare")
    assert (place.folder / "green.pid").read_text() != before
    assert (place.serves(place.green), place.deployed()) == ("postgresql", 2)

    # A run that ends between the new environment and the restart: the next one does not take the green of before for the new one.
    (place.folder / "app.env").write_text(BEFORE + "NEW=2\n")
    before = (place.folder / "green.pid").read_text()
    place.role("green_prepare", fails=True, application_green_command=["false"])
    assert (place.folder / "green.pid").read_text() == before
    place.role("green_prepare")
    assert (place.folder / "green.pid").read_text() != before
    assert changed(place.role("green_prepare")) == 0

    place.role("green_smoke")
    output = place.role("green_smoke", fails=True, application_smoke_urls=[{"url": "/", "status": 418}])
    assert f"http://127.0.0.1:{place.green}/" in output

    # Switched: blue ends after its grace, and its file is closed.
    output = place.role("blue_stop")
    assert changed(output) == 1
    assert (place.serves(place.blue), place.serves(place.green)) == ("", "postgresql")
    assert changed(place.role("blue_stop")) == 0
    assert changed(place.role("blue_seal", check=True)) == 1
    assert changed(place.role("blue_seal")) == 1
    assert changed(place.role("blue_seal")) == 0
    assert stat.S_IMODE((place.folder / "app.sqlite").stat().st_mode) == 0o444

    # And back.
    assert changed(place.role("blue_unseal")) == 1
    assert stat.S_IMODE((place.folder / "app.sqlite").stat().st_mode) == 0o644
    assert changed(place.role("blue_start")) == 1
    place.role("blue_healthy")
    assert changed(place.role("blue_start")) == 0
    assert changed(place.role("green_stop")) == 1
    assert (place.serves(place.blue), place.serves(place.green)) == ("sqlite", "")
    assert changed(place.role("green_stop")) == 0


def test_a_role_deploys_green_each_time_before_it_is_started(place: Place) -> None:
    tasks = place.folder / "roles/deploy/tasks"
    tasks.mkdir(parents=True)
    mark = place.folder / "deployed_by_role"
    line = "{{ application_green_env_file is exists }}"
    (tasks / "main.yml").write_text(
        f"- name: Deploy\n  ansible.builtin.copy: {{dest: {mark}, mode: '0644', content: \"{line}\"}}\n"
    )
    place.role("green_prepare", application_green_role="deploy", application_green_command=[])
    assert mark.read_text().strip() == "True", "green's environment was there by then"
    mark.unlink()
    place.role("green_prepare", application_green_role="deploy", application_green_command=[])
    assert mark.exists()


def test_what_is_missing_or_would_stop_blue_is_refused(place: Place) -> None:
    output = place.role("green_prepare", fails=True, application_green_start_command=[])
    assert "Green is started and stopped by command, which needs application_green_start_command." in output
    output = place.role(
        "green_prepare", fails=True, application_green_health_url=place.variables["application_health_url"]
    )
    assert "Green must be an instance beside blue" in output
    output = place.role("green_prepare", fails=True, application_green_method="systemd")
    assert "which needs application_green_systemd_unit" in output
    same = {"application_restart_method": "systemd", "application_green_method": "systemd"}
    units = {"application_systemd_unit": "app.service", "application_green_systemd_unit": "app.service"}
    assert "Green must be an instance beside blue" in place.role("green_stop", fails=True, **same, **units)
    output = place.role("green_prepare", fails=True, application_database_url="")
    assert "application_database_url is empty" in output
    assert not (place.folder / "green.env").exists()


def test_green_on_the_wrong_database_is_an_error_that_says_so(place: Place) -> None:
    (place.folder / "other.env").write_text(BEFORE)
    wrong = [*place.command("start", "green")[:-1], "other"]
    stop = [*place.command("stop", "green")[:-1], "other"]
    output = place.role(
        "green_prepare",
        fails=True,
        application_green_start_command=wrong,
        application_green_stop_command=stop,
        application_health_timeout=2,
    )
    assert f"http://127.0.0.1:{place.green}/health says database=sqlite instead of postgresql" in output
    subprocess.run(stop, check=True, timeout=30)
