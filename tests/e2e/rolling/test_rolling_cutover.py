# SPDX-License-Identifier: GPL-3.0-or-later
"""cutover.yml with two application hosts behind a proxy, with maintenance: they restart one after the other and reads go on; one of
them is down in the middle, and the next run finishes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from psycopg2 import sql

from support.hosts import Hosts
from support.playbooks import Playbooks
from support.postgres import Cluster
from support.project import ROOT

pytestmark = pytest.mark.long

PLACE = Path("/var/lib/pg-cutover-rolling")
APPLICATION = ROOT / "tests/e2e/roles/app.py"
PORTS = {"app1": 43201, "app2": 43202}
PROXY = 43200
CUTOVER, ROLLBACK = "playbooks/cutover.yml", "playbooks/rollback.yml"
RESTART = """#!/bin/sh
set -e
if [ -e "{place}/$1.before" ]; then . "{place}/$1.before"; fi
exec {python} {application} restart {place}/$1 "$2"
"""


def ask(port: int, method: str = "GET") -> tuple[int, str]:
    """Status, and the database that the answer names."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/", method=method, data=b"x" if method == "POST" else None)
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, str(json.load(answer)["database"])
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return 0, ""


class Reader:
    """Reads through the proxy all the time."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self._end.is_set():
            self.answers[ask(PROXY)] += 1
            time.sleep(0.05)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


class Stage:
    """The hosts, the playbooks, the database."""

    def __init__(self, hosts: Hosts, playbooks: Playbooks, url: str) -> None:
        self.hosts, self.playbooks, self.url = hosts, playbooks, url

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((PLACE / "reports/rolling/latest/report.json").read_text())
        return found


def inventory(hosts: Hosts) -> dict[str, Any]:
    apps = {
        name: {
            "application_env_file": str(PLACE / name / "app.env"),
            "application_restart_command": [str(PLACE / "restart"), name, str(port)],
            "application_health_url": f"http://127.0.0.1:{port}/health",
        }
        for name, port in PORTS.items()
    }
    return {
        "source": {"hosts": {"files1": {}}},
        "app": {"hosts": apps},
        "proxy": {"hosts": {"lb1": {}}},
        "all": {
            "vars": {
                **hosts.variables(),
                "cutover_name": "rolling",
                "cutover_strategy": "maintenance",
                "cutover_source_path": str(PLACE / "app.sqlite"),
                "cutover_state_dir": str(PLACE / "state"),
                "cutover_secrets_dir": str(PLACE / "secrets"),
                "cutover_report_dir": str(PLACE / "reports"),
                "cutover_watch_seconds": 1,
                "cutover_provider": "external",
                "cutover_application_url": "{{ lookup('ansible.builtin.env', 'CUTOVER_APPLICATION_URL') }}",
                "application_restart_method": "command",
                "application_health_timeout": 20,
                "haproxy_bind": [f"127.0.0.1:{PROXY}"],
                "haproxy_servers": [{"name": n, "address": "127.0.0.1", "port": p} for n, p in PORTS.items()],
                "haproxy_health_interval": "200ms",
                "haproxy_service_manager": "daemon",
                "haproxy_config_directory": str(PLACE / "haproxy"),
                "haproxy_run_directory": str(PLACE / "haproxy/run"),
                "haproxy_admin_socket": str(PLACE / "haproxy/run/admin.sock"),
            }
        },
    }


STOP = """
- name: Stop the proxy
  hosts: proxy
  gather_facts: false
  tasks:
    - name: Stop it
      ansible.builtin.include_role:
        name: haproxy
        tasks_from: stop
"""


@pytest.fixture(scope="module")
def stage(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if os.geteuid() != 0:
        pytest.skip("starts servers: needs root")
    database = postgres.create_database()
    with closing(psycopg2.connect(postgres.superuser_url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE rolling_app LOGIN PASSWORD 'application'")
            cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO rolling_app").format(sql.Identifier(database.name)))
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(mode=0o755)
    hosts = Hosts(PLACE)
    (PLACE / "hosts.yml").write_text(yaml.safe_dump(inventory(hosts)))
    (PLACE / "stop.yml").write_text(STOP)
    run = Playbooks(
        str(PLACE / "hosts.yml"),
        PLACE / "state",
        tmp_path_factory.mktemp("output"),
        environment={
            "CUTOVER_TARGET_URL": database.url,
            "CUTOVER_APPLICATION_URL": postgres.url("rolling_app", "application", database.name),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
        },
    )
    restart = PLACE / "restart"
    restart.write_text(RESTART.format(place=PLACE, python=sys.executable, application=APPLICATION))
    restart.chmod(0o755)
    with closing(sqlite3.connect(PLACE / "app.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO items (name) VALUES ('a')"
        )
    try:
        for name, port in PORTS.items():
            (PLACE / name).mkdir()
            (PLACE / name / "app.env").write_text(f"DATABASE_URL=sqlite:///{PLACE}/app.sqlite\n")
            subprocess.run([str(restart), name, str(port)], check=True, timeout=30)
        yield Stage(hosts, run, database.url)
    finally:
        with suppress(AssertionError):
            run.run(str(PLACE / "stop.yml"))
        for name, port in PORTS.items():
            subprocess.run(
                [sys.executable, str(APPLICATION), "stop", str(PLACE / name), str(port)], check=False, timeout=30
            )
        shutil.rmtree(PLACE)


def write_to_sqlite() -> None:
    """What an application does that still has the SQLite file."""
    with closing(sqlite3.connect(PLACE / "app.sqlite")) as connection:
        connection.execute("INSERT INTO items (name) VALUES ('late')")
        connection.commit()


def test_a_host_that_is_down_in_the_middle_leaves_the_others_consistent(stage: Stage) -> None:
    # app2 is lost while app1 restarts.
    (PLACE / "app1.before").write_text(f"touch {stage.hosts.switch('app2')}\n")
    output = stage.playbooks.run(CUTOVER, fails=True)
    said = " ".join(output.split())
    assert (
        "app2 cannot be reached any more; the others go on. Bring back what is lost and run the same playbook again"
        in said
    )
    assert "app2 cannot be reached any more" in stage.report()["message"]
    assert {name: ask(port)[1] for name, port in PORTS.items()} == {"app1": "postgresql", "app2": "sqlite"}
    # One writable database: the application may write to PostgreSQL, and whoever still has the file gets an error.
    with pytest.raises(sqlite3.DatabaseError, match="closed to writes"):
        write_to_sqlite()
    # Reads are answered, writes wait for the operator.
    assert ask(PROXY)[0] == 200
    assert ask(PROXY, "POST")[0] == 503


def test_the_next_run_finishes_and_reads_were_answered_all_the_time(stage: Stage) -> None:
    (PLACE / "app1.before").unlink()
    stage.hosts.up("app2")
    with Reader() as reader:
        stage.playbooks.run(CUTOVER)
    assert {status for status, _ in reader.answers} == {200}, reader.answers
    assert {name: ask(port)[1] for name, port in PORTS.items()} == dict.fromkeys(PORTS, "postgresql")
    assert ask(PROXY, "POST") == (201, "postgresql")
    assert stage.report()["ok"]


def test_check_and_diff_on_the_finished_system_report_no_change(stage: Stage) -> None:
    for playbook in (CUTOVER, "playbooks/provision.yml"):
        recap = stage.playbooks.run(playbook, "--check", "--diff").partition("PLAY RECAP")[2]
        assert recap.count("changed=0") == recap.count("changed="), f"{playbook}: {recap}"


def test_the_way_back_restarts_both_as_well(stage: Stage) -> None:
    stage.playbooks.run(ROLLBACK, "-e", "cutover_accept_loss=true")
    assert {name: ask(port)[1] for name, port in PORTS.items()} == dict.fromkeys(PORTS, "sqlite")
    write_to_sqlite()
    assert ask(PROXY, "POST") == (201, "sqlite")
