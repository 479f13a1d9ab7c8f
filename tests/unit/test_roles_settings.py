# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the variables of a run come from: the inventory, and what is the default of the rest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from support.playbooks import ansible
from support.project import ROOT

DEFAULTS = yaml.safe_load((ROOT / "roles/settings/vars/main.yml").read_text())["_settings_defaults"]
HOSTS = ("source1", "app1", "app2")
INVENTORY = {
    "all": {
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "cutover_follow_lag": 7}
    },
    "source": {"hosts": {"source1": {}}},
    "app": {"hosts": {"app1": {"cutover_retention_days": 30}, "app2": {}}},
}
TASKS = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: settings, tasks_from: defaults}
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: settings, tasks_from: defaults}
    - ansible.builtin.include_role: {name: settings, tasks_from: rehearsal}
    - ansible.builtin.set_fact: {found: "{{ found | default({}) | combine({item: lookup('ansible.builtin.vars', item)}) }}"}
      loop: "{{ names }}"
      no_log: true
    - ansible.builtin.copy:
        content: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'found'))) | to_json }}"
        dest: "{{ answer }}"
        mode: "0600"
      run_once: true
"""


def settled(folder: Path, **given: Any) -> tuple[dict[str, dict[str, Any]], str]:
    """What each host has for every public variable after two plays that take the defaults, and what was printed."""
    for name, content in (("play.yml", TASKS), ("hosts.yml", yaml.safe_dump(INVENTORY))):
        (folder / name).write_text(content)
    variables = {"names": sorted(DEFAULTS), "answer": str(folder / "answer.json"), **given}
    done = ansible("-i", str(folder / "hosts.yml"), "-e", json.dumps(variables), str(folder / "play.yml"))
    assert done.returncode == 0, done.stdout
    return json.loads((folder / "answer.json").read_text()), done.stdout


def test_what_is_set_stays_and_the_rest_has_its_default(tmp_path: Path) -> None:
    found, printed = settled(tmp_path, cutover_workers=3)
    assert sorted(found) == sorted(HOSTS)
    for host, values in found.items():
        plain = {name: value for name, value in DEFAULTS.items() if not isinstance(value, str) or "{{" not in value}
        expected = {**plain, "cutover_workers": 3, "cutover_follow_lag": 7}
        if host == "app1":
            expected["cutover_retention_days"] = 30
        # As they are, not as text: 7 is a number, [] a list.
        assert {name: values[name] for name in expected} == expected
        assert values["cutover_strategy"] == "maintenance"
        assert values["cutover_tls_dir"] == values["cutover_secrets_dir"] + "/tls"
    # A line for each host and not for each variable; the second play had nothing to set.
    assert printed.count("Take the default of each variable") == 1
    assert "item=" not in printed.split("rehearsal", 1)[0]


def test_a_rehearsal_has_names_of_its_own(tmp_path: Path) -> None:
    found, _ = settled(tmp_path, cutover_rehearsal=True)
    for values in found.values():
        assert values["cutover_name"] == "app-rehearsal"
        assert values["cutover_secrets_dir"].endswith("/app-rehearsal")
        assert values["cutover_state_dir"] == ""
        # The server is the same, and so is its authority.
        assert values["cutover_tls_dir"].endswith("/app/tls")
