# SPDX-License-Identifier: GPL-3.0-or-later
"""The example inventory: Ansible reads it, and every variable in it is one that a role knows."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.project import ROOT

EXAMPLE = ROOT / "inventories/example"


def read(*inventories: Path) -> dict[str, Any]:
    done = subprocess.run(
        [str(ROOT / ".venv/bin/ansible-inventory"), *(f"-i{path}" for path in inventories), "--list"],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "WARNING" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def inventory() -> dict[str, Any]:
    return read(EXAMPLE)


def known() -> set[str]:
    names = set(yaml.safe_load((ROOT / "roles/settings/vars/main.yml").read_text())["_settings_defaults"])
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            names |= set(entry.get("options") or {})
    return names


def test_it_has_the_hosts_that_the_page_promises(inventory: dict[str, Any]) -> None:
    hosts = {group: inventory[group]["hosts"] for group in ("source", "app", "proxy", "pgbouncer", "postgres")}
    assert hosts == {
        "source": ["files1"],
        "app": ["app1", "app2"],
        "proxy": ["lb1", "lb2"],
        "pgbouncer": ["pool1"],
        "postgres": ["db1"],
    }


def test_every_variable_is_one_that_a_role_knows(inventory: dict[str, Any]) -> None:
    used = {name for values in inventory["_meta"]["hostvars"].values() for name in values}
    assert len(used) > 20
    assert used - known() == set()


def test_each_instance_of_the_proxies_is_a_host_of_the_application(inventory: dict[str, Any]) -> None:
    values = inventory["_meta"]["hostvars"]["lb1"]
    assert [server["address"] for server in values["haproxy_servers"]] == inventory["app"]["hosts"]
    assert [server["address"] for server in values["haproxy_green_servers"]] == inventory["app"]["hosts"]
    blue, green = {s["port"] for s in values["haproxy_servers"]}, {s["port"] for s in values["haproxy_green_servers"]}
    assert not blue & green


def test_a_second_inventory_changes_how_the_hosts_are_reached_and_nothing_else(
    inventory: dict[str, Any], tmp_path: Path
) -> None:
    overlay = tmp_path / "hosts.yml"
    overlay.write_text("all: {vars: {ansible_connection: community.docker.docker}}\n")
    both = read(EXAMPLE, overlay)["_meta"]["hostvars"]
    before = inventory["_meta"]["hostvars"]
    assert both == {
        host: {**values, "ansible_connection": "community.docker.docker"} for host, values in before.items()
    }
