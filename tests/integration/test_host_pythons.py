# SPDX-License-Identifier: GPL-3.0-or-later
"""A host brings its own Python. The modules and the replication as Ansible ships them, under the oldest and the newest that this
machine has: a copy, following, the switch, and the way back, while an application writes."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cutover.plan.model import Plan
from cutover.plan.model import from_dict as plan_from_dict
from support import engine
from support.host_pythons import found, made
from support.playbooks import ansible
from support.postgres import Cluster, Database
from support.switching import Load, Stage, stage

pytestmark = pytest.mark.slow

_BEGIN = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    cutover_capture: {source_path: "{{ cutover_source_path }}"}
    cutover_follow: {plan: "{{ transfer_plan }}", target_url: "{{ cutover_engine_url }}"}
    cutover_schema: {plan: "{{ transfer_plan }}", target_url: "{{ cutover_engine_url }}"}
    cutover_backup: {name: "{{ cutover_name }}", state_dir: "{{ cutover_state_dir }}", source_path: "{{ cutover_source_path }}"}
    cutover_verify: {name: "{{ cutover_name }}", state_dir: "{{ cutover_state_dir }}", plan: "{{ transfer_plan }}", target_url: "{{ cutover_engine_url }}"}
    cutover_switch: "{{ switch }}"
  tasks:
"""
PREPARE = (
    _BEGIN
    + """
    - cutover_profile: {source_path: "{{ cutover_source_path }}"}
    - cutover_check: {source_path: "{{ cutover_source_path }}", plan: "{{ transfer_plan }}", target_url: "{{ cutover_engine_url }}"}
      register: checked
    - ansible.builtin.assert:
        that: checked.findings | selectattr('severity', 'equalto', 'error') | length == 0
    - cutover_capture: {plan: "{{ transfer_plan }}", state: present, wal: true}
    - cutover_schema: {phase: tables}
    - cutover_backup: {kind: snapshot, captured_path: "{{ cutover_source_path }}"}
      register: copy
    - cutover_copy:
        name: "{{ cutover_name }}"
        state_dir: "{{ cutover_state_dir }}"
        source_path: "{{ copy.path }}"
        captured_path: "{{ cutover_source_path }}"
        position: snapshot:1
        plan: "{{ transfer_plan }}"
        target_url: "{{ cutover_engine_url }}"
        workers: 2
    - cutover_schema: {phase: finish, source_path: "{{ copy.path }}"}
    - cutover_verify: {source_path: "{{ copy.path }}"}
      register: compared
    - ansible.builtin.assert: {that: compared.ok}
    - cutover_reverse: {state: present, plan: "{{ transfer_plan }}", target_url: "{{ cutover_engine_url }}"}
    - cutover_follow: {state: begin, source_path: "{{ copy.path }}"}
"""
)
MOVE = (
    _BEGIN
    + """
    - ansible.builtin.include_role: {name: replication, tasks_from: start}
      vars: {replication_direction: follow}
    - ansible.builtin.slurp: {src: "{{ cutover_state_dir }}/replication.pid"}
      register: pid
    - ansible.builtin.slurp: {src: "/proc/{{ pid.content | b64decode | trim }}/cmdline"}
      register: serving
    - ansible.builtin.include_role: {name: replication, tasks_from: wait}
      vars: {replication_hold_ms: 100000, replication_lag_changes: 1000, replication_wait_timeout: 120}
    - ansible.builtin.include_role: {name: replication, tasks_from: stop}
    - cutover_backup: {kind: proof}
      register: copy
    - cutover_follow: {state: caught_up, source_path: "{{ copy.path }}"}
    - cutover_verify: {source_path: "{{ copy.path }}"}
      register: compared
    - ansible.builtin.assert: {that: compared.ok}
    - cutover_switch: {action: forward}
      register: there
    - ansible.builtin.include_role: {name: replication, tasks_from: start}
      vars: {replication_direction: reverse}
    - ansible.builtin.include_role: {name: replication, tasks_from: status}
    - ansible.builtin.pause: {seconds: 2}
    - ansible.builtin.include_role: {name: replication, tasks_from: stop}
    - cutover_switch: {action: back}
      register: back
    - ansible.builtin.copy:
        content: "{{ {'there': there, 'back': back, 'judged': replication_judged, 'serving': serving.content | b64decode} | to_json }}"
        dest: "{{ told }}"
        mode: "0600"
      vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""
)


class Host:
    """A host with that Python, and what its playbooks are given."""

    def __init__(self, interpreter: str, folder: Path) -> None:
        self.folder = folder
        self.variables: dict[str, Any] = {
            "ansible_python_interpreter": interpreter,
            "cutover_name": "test",
            "cutover_state_dir": str(folder / "state"),
            "replication_service_manager": "daemon",
            "replication_directory": str(folder / "engines"),
            "replication_limits": {"load_per_cpu": 0},
            "switch": {},
            "told": str(folder / "told.json"),
        }

    def prepare(self, source: Path, folder: Path, database: Database) -> Plan:
        """Everything before the critical section. The plan is made by the controller."""
        plan, findings = engine.planned(source)
        assert engine.errors(findings) == []
        # As it arrives over there.
        given = plan.as_dict()
        assert plan_from_dict(json.loads(json.dumps(given))) == plan
        self.variables.update(cutover_source_path=str(source), transfer_plan=given, cutover_engine_url=database.url)
        self.play("prepare", PREPARE)
        return plan

    def move(self, ready: Stage) -> dict[str, Any]:
        """There and back; what both told."""
        self.variables["switch"] = {
            "name": ready.plan.name,
            "state_dir": str(self.folder / "state"),
            "run": "run1",
            "source_path": str(ready.source),
            "plan": ready.plan.as_dict(),
            "target_url": ready.database.url,
            "application_role": ready.role,
            "proxies": [asdict(ready.proxy.endpoint)],
            "budget_ms": 1000,
            "lease_ms": 3000,
            "verified": True,
        }
        self.play("move", MOVE)
        told: dict[str, Any] = json.loads((self.folder / "told.json").read_text())
        return told

    def play(self, name: str, playbook: str) -> None:
        """Run it."""
        path, given = self.folder / f"{name}.yml", self.folder / "variables.json"
        path.write_text(playbook)
        given.touch(mode=0o600)
        given.write_text(json.dumps(self.variables))
        done = ansible("-i", "localhost,", "-c", "local", "-e", f"@{given}", str(path))
        assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.skipif(os.geteuid() != 0, reason="reads who is connected to the application: needs root")
@pytest.mark.parametrize(("version", "program"), sorted(found().items()))
def test_there_and_back(tmp_path: Path, postgres: Cluster, version: str, program: str) -> None:
    tmp_path.chmod(0o755)
    interpreter = made(program, tmp_path / "venv")
    host = Host(interpreter, tmp_path)
    with stage(tmp_path, postgres, postgres.create_database(), host.prepare) as ready:
        with Load(ready.proxy.port, pause=0.1) as load:
            told = host.move(ready)
            time.sleep(0.3)
        assert (load.failed, load.unread) == ([], [])
        # The service that followed, too.
        assert told["serving"].startswith(interpreter)
        assert told["there"]["direction"] == "forward"
        assert told["there"]["verified"]["ok"]
        assert told["back"]["direction"] == "back"
        assert told["judged"]["free_of_loss"], told["judged"]
        assert ready.writable() == ["sqlite"]
        assert load.acknowledged - ready.ids() == set()
