# SPDX-License-Identifier: GPL-3.0-or-later
"""The role replication with the real service between a SQLite file and PostgreSQL, both ways, as a daemon of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cutover.capture import install as capture
from cutover.capture import wal
from cutover.follow import position
from cutover.lock import replicating
from cutover.reverse import capture as outbox
from cutover.source.fence import raise_fence
from cutover.target.connect import connect
from support.engine import migrate
from support.playbooks import ansible
from support.project import ROOT

SCRIPT = """
CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO t VALUES (1, 'one'), (2, 'two');
"""
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - name: Run the entry point
      ansible.builtin.include_role:
        name: replication
        tasks_from: "{{ run_tasks }}"

    - name: Keep what it found
      ansible.builtin.copy:
        content: "{{ {'status': replication_status | default({}), 'judged': replication_judged | default({})} | to_json }}"
        dest: "{{ playbook_dir }}/found.json"
        mode: "0600"
      changed_when: false
      check_mode: false
"""

pytestmark = pytest.mark.slow


class Replication:
    """A migration whose copy is done and whose source is captured, and the role on it."""

    def __init__(self, folder: Path, source: Path, url: str) -> None:
        self.folder, self.source, self.url = folder, source, url
        self.state, self.engines = folder / "state", folder / "engines"
        self.playbook = folder / "run.yml"
        self.playbook.write_text(PLAYBOOK)
        self.plan = migrate(source, url).plan
        wal.arrange(str(source), consent=True)
        made = capture.install(str(source), self.plan)
        with closing(connect(url)) as target, target.cursor() as cursor:
            position.begin(cursor, "pgcutover", made.id, made.position)
            target.commit()

    def command(self, tasks: str, *more: str, **variables: Any) -> list[str]:
        given = {
            "run_tasks": tasks,
            "cutover_name": "replicated",
            "cutover_state_dir": str(self.state),
            "cutover_source_path": str(self.source),
            "replication_service_manager": "daemon",
            "replication_directory": str(self.engines),
            # What else this machine does is no reason here.
            "replication_limits": {"load_per_cpu": 0},
            **variables,
        }
        if tasks == "start":
            given = {"transfer_plan": self.plan.as_dict(), "cutover_engine_url": self.url, **given}
        program = str(ROOT / ".venv/bin/ansible-playbook")
        return [
            *(program, "-i", "localhost,", "-c", "local", "-vvv", "--diff", *more),
            *("-e", json.dumps(given), str(self.playbook)),
        ]

    def popen(self, command: list[str]) -> subprocess.Popen[str]:
        environment = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
        return subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, tasks: str, *more: str, fails: bool = False, **variables: Any) -> tuple[str, int, dict[str, Any]]:
        """What it printed, the number of changes, and what the role found."""
        with self.popen(self.command(tasks, *more, **variables)) as process:
            said = process.communicate(timeout=120)[0]
        return self.ended(process.returncode, said, fails)

    def ended(self, code: int, said: str, fails: bool = False) -> tuple[str, int, dict[str, Any]]:
        assert (code != 0) == fails, said[-5000:]
        password = re.search(r":([^:@]+)@", self.url)
        assert password is not None
        # The arguments with which the test itself calls are echoed with -vvv nowhere.
        assert password.group(1) not in said, "the password is in the output"
        changed = re.search(r"changed=(\d+)", said.split("PLAY RECAP")[1])
        assert changed is not None
        return said, int(changed.group(1)), {} if fails else json.loads((self.folder / "found.json").read_text())

    def pid(self) -> int:
        holder = replicating(str(self.state))
        return int(holder["pid"]) if holder and "pid" in holder else 0

    def write(self, statement: str) -> None:
        with closing(sqlite3.connect(self.source, timeout=10)) as connection, connection:
            connection.execute(statement)

    def in_source(self) -> list[Any]:
        with closing(sqlite3.connect(self.source)) as connection:
            return connection.execute("SELECT id, v FROM t ORDER BY id").fetchall()

    def in_target(self) -> list[Any]:
        with closing(connect(self.url, autocommit=True)) as target, target.cursor() as cursor:
            cursor.execute("SELECT id, v FROM public.t ORDER BY id")
            rows: list[Any] = cursor.fetchall()
            return rows


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


@pytest.fixture
def replication(tmp_path: Path, make_sqlite: Any, database: str) -> Iterator[Replication]:
    """It is ended after the test."""
    made = Replication(tmp_path, make_sqlite(SCRIPT), database)
    try:
        yield made
    finally:
        for file in (made.state / "replication.pid",):
            if file.exists():
                os.kill(int(file.read_text()), signal.SIGKILL)
        until(lambda: not made.pid())


def test_it_follows_and_is_looked_after(replication: Replication) -> None:
    _, changes, _ = replication.run("start", "--check", replication_direction="follow")
    assert changes > 0
    assert not replication.state.exists()
    assert not replication.engines.exists()

    _, changes, found = replication.run("start", replication_direction="follow")
    assert changes == 2, "engine and configuration, and the daemon"
    assert (found["status"]["running"], found["status"]["state"]) == (True, "following")
    first = replication.pid()
    for process in (first, int((replication.state / "replication.pid").read_text())):
        line = Path(f"/proc/{process}/cmdline").read_bytes() + Path(f"/proc/{process}/environ").read_bytes()
        assert str(replication.state).encode() in line
        assert replication.url.split("@")[0].encode() not in line
    assert (replication.state / "replication.config.json").stat().st_mode & 0o777 == 0o600

    replication.write("INSERT INTO t VALUES (3, 'three')")
    until(lambda: (3, "three") in replication.in_target())
    _, changes, _ = replication.run("start", replication_direction="follow")
    assert (changes, replication.pid()) == (0, first)

    os.kill(first, signal.SIGKILL)
    replication.write("UPDATE t SET v = 'after the kill' WHERE id = 1")
    until(lambda: replication.pid() not in (0, first))
    until(lambda: (1, "after the kill") in replication.in_target())

    # Other limits are another configuration, and an engine that nobody runs goes.
    former = replication.engines / "former"
    former.mkdir()
    (former / "__main__.py").touch()
    second = replication.pid()
    replication.run("start", replication_direction="follow", replication_limits={"load_per_cpu": 0, "prune_seconds": 3})
    assert replication.pid() not in (0, second)
    assert not former.exists()
    assert len(list(replication.engines.iterdir())) == 1


def test_it_is_waited_for_and_postponed(replication: Replication) -> None:
    replication.run("start", replication_direction="follow")
    postpone = replication.folder / "not-yet"
    postpone.touch()
    command = replication.command("wait", replication_postpone_file=str(postpone), replication_hold_ms=10_000)
    waiting = replication.popen(command)
    lines: list[str] = []
    assert waiting.stdout is not None
    for line in waiting.stdout:
        lines.append(line)
        if "postponed until" in line:
            postpone.unlink()
    waiting.wait(60)
    said, changes, found = replication.ended(waiting.returncode, "".join(lines))
    shown = [line for line in said.splitlines() if "postponed until" in line]
    assert f"[localhost] postponed until {postpone} is removed; following: 0 changes behind" in "".join(shown), shown
    assert (changes, found["status"]["lag_changes"]) == (0, 0)

    _, changes, _ = replication.run("stop")
    assert (changes, replication.pid()) == (1, 0)
    # Counted in the source at this moment, though nobody follows.
    replication.write("INSERT INTO t VALUES (3, 'three'), (4, 'four')")
    _, changes, found = replication.run("status")
    assert (changes, found["status"]["text"]) == (0, "stopped: stopped as asked; 2 changes behind")

    # After a failure it goes on as it was set up.
    _, changes, found = replication.run("resume", replication_direction="follow")
    assert (changes, found["status"]["running"]) == (1, True)
    until(lambda: (4, "four") in replication.in_target())


def test_it_carries_back_what_is_written_on_postgresql(replication: Replication) -> None:
    replication.run("start", replication_direction="follow")
    # Before the fence stands it does not begin, and says why.
    said, _, _ = replication.run("start", fails=True, replication_direction="reverse")
    assert "did not start (exit status 3)" in said
    assert "no fence stands" in said
    assert replication.pid() == 0
    # What is set up for the one direction does not go on in the other.
    replication.run("resume", replication_direction="follow")
    assert replication.pid() == 0

    with closing(connect(replication.url)) as target:
        outbox.install(target, replication.plan)
    raise_fence(str(replication.source), "attempt-1")
    _, _, found = replication.run("start", replication_direction="reverse")
    assert found["status"]["direction"] == "reverse"
    with closing(connect(replication.url)) as target, target.cursor() as cursor:
        # As the application writes: without the mark of the engine's sessions.
        cursor.execute("SELECT set_config('pgcutover.applying', '', false)")
        cursor.execute("INSERT INTO public.t (id, v) VALUES (5, 'of PostgreSQL')")
        target.commit()
    until(lambda: (5, "of PostgreSQL") in replication.in_source())
    with pytest.raises(sqlite3.IntegrityError, match="closed to writes"):
        replication.write("DELETE FROM t")
    _, _, found = replication.run("status")
    assert found["status"]["text"].startswith("carrying back: 0 changes behind")
    assert found["judged"]["free_of_loss"] is True, found["judged"]
    assert found["judged"]["text"] == "free of loss at this moment"

    _, changes, _ = replication.run("absent")
    assert (changes, replication.pid()) == (2, 0)
    assert not replication.engines.exists()
    assert sorted(path.name for path in replication.state.iterdir()) == ["replication.lock", "replication.log"]
    assert replication.run("absent")[1] == 0


def test_the_unit_is_one_that_systemd_accepts(tmp_path: Path) -> None:
    odd = tmp_path / "a folder, 100 %"
    odd.mkdir()
    playbook = tmp_path / "unit.yml"
    playbook.write_text(
        f"""
- hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    cutover_name: shop
    replication_direction: reverse
    replication_stop_timeout: 90
    _replication_state_dir: {str(odd)!r}
    __service:
      python: /usr/bin/python3
      program: {str(odd / "abc")!r}
      config: {str(odd / "replication.config.json")!r}
      read_write: [/var/tmp, {str(odd)!r}]
  tasks:
    - ansible.builtin.template:
        src: {ROOT}/roles/replication/templates/replication.service.j2
        dest: {tmp_path}/pg-cutover-shop.service
        mode: "0644"
"""
    )
    done = ansible("-i", "localhost,", "-c", "local", str(playbook))
    assert done.returncode == 0, done.stdout
    unit = (tmp_path / "pg-cutover-shop.service").read_text()
    escaped = str(odd).replace("%", "%%")
    assert f'ExecStart="/usr/bin/python3" -B "{escaped}/abc" --config "{escaped}/replication.config.json"\n' in unit
    assert f'ReadWritePaths="/var/tmp" "{escaped}"\n' in unit
    assert "\nRestartPreventExitStatus=3\n" in unit
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / "pg-cutover-shop.service")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # What else lies on this machine may be reported too.
        assert [line for line in checked.stderr.splitlines() if "pg-cutover" in line] == []
