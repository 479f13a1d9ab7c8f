# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugin cutover_tenants makes of an inventory: tenants, their runs, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from support.project import load

plugin = load("action_plugins/cutover_tenants.py")

BOTH = {"web1": ["/srv/acme/app.sqlite"], "web2": ["/srv/globex/app.sqlite"]}
PATH = {"cutover_tenants_path": "/srv/*/app.sqlite"}


class Inventory:
    """An inventory with two source hosts, and the plugin on its controller."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hosts.yml"

    def run(self, playbook: str, groups: dict[str, list[str]], variables: dict[str, Any], **given: Any) -> Any:
        """What the plugin answers."""
        made = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in groups.items()}
        own = {"cutover_state_dir": "", "cutover_secrets_dir": "", "cutover_name": "app"}
        made["all"] = {"vars": {**own, **variables}}
        self.path.write_text(yaml.safe_dump(made))
        loader = DataLoader()
        inventory = InventoryManager(loader=loader, sources=[str(self.path)])
        manager = VariableManager(loader=loader, inventory=inventory)
        variables = manager.get_vars(host=inventory.localhost or inventory.get_host("localhost"))
        variables["hostvars"] = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
        variables["ansible_inventory_sources"] = [str(self.path)]
        task = mock.Mock(
            args={"playbook": f"/playbooks/{playbook}", "state": "ready", "forks": 2, **given},
            async_val=0,
            check_mode=False,
        )
        action = plugin.ActionModule(
            task=task,
            connection=mock.Mock(),
            play_context=mock.Mock(),
            loader=loader,
            templar=Templar(loader=loader, variables=variables),
            shared_loader_obj=mock.Mock(),
        )
        return action.run(task_vars=variables)


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    (tmp_path / "local").mkdir()
    monkeypatch.setattr(plugin.C, "DEFAULT_LOCAL_TMP", str(tmp_path / "local/own"))
    monkeypatch.setenv("PWD", str(tmp_path))
    for name in ("CUTOVER_TARGET_URL", "CUTOVER_REHEARSAL_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return Inventory(tmp_path)


def looked(*names: str) -> dict[str, Any]:
    """What the hosts say of these tenants' files."""
    return {
        name: {"problem": "", "real": f"/srv/{name}/app.sqlite", "stage": None, "unchanged": False} for name in names
    }


SOURCES = {"source": ["web1", "web2"]}
URL = {"cutover_target_url": "postgresql://o@db1/{{ cutover_name }}"}


def test_a_host_that_is_down_is_not_done_and_the_others_run(inventory: Inventory) -> None:
    found = {"web1": BOTH["web1"]}
    answer = inventory.run(
        "migrate.yml",
        SOURCES,
        {**PATH, **URL},
        found=found,
        looked=looked("acme"),
        unseen={"web1": "", "web2": "No route to host"},
    )
    assert not answer.get("failed"), answer
    [lost] = answer["fleet"]["entries"]
    assert (lost["ok"], lost["host"], lost["tenant"]) == (False, "web2", "all of web2")
    assert lost["reason"] == "web2 cannot be worked with: No route to host"
    assert [child["name"] for step in answer["fleet"]["steps"] for child in step["children"]] == ["acme"]


def test_who_answers_with_no_file_is_not_lost(inventory: Inventory) -> None:
    found = {"web1": BOTH["web1"], "web2": []}
    answer = inventory.run("migrate.yml", SOURCES, {**PATH, **URL}, found=found, looked=looked("acme"))
    assert answer["fleet"]["entries"] == []


def test_a_tenant_that_is_asked_for_may_be_on_the_host_that_is_down(inventory: Inventory) -> None:
    given = {"found": {"web1": BOTH["web1"]}, "looked": looked("acme")}
    answer = inventory.run("migrate.yml", SOURCES, {**PATH, **URL}, only="globex", **given)
    assert answer["failed"]
    assert "Not heard of: the files of web2, which did not answer" in answer["msg"]
    answer = inventory.run("migrate.yml", SOURCES, {**PATH, **URL}, only="acme", **given)
    assert answer["fleet"]["entries"] == []


DOCKER = {**PATH, "cutover_provider": "docker"}
NAMED = {"postgresql_docker_container": "pg-{{ cutover_name }}"}
PORTS = {"ports": {"acme": 6001, "globex": 6002}, "postgresql_docker_port": "{{ ports[cutover_name] }}"}
RDS = {**PATH, "cutover_provider": "rds", "rds_region": "eu-central-1"}


@pytest.mark.parametrize("playbook", ["cutover.yml", "provision.yml", "rollback.yml", "verify.yml"])
@pytest.mark.parametrize(
    ("groups", "variables", "told"),
    [
        ({"postgres": ["db1"]}, DOCKER, "postgresql_docker_container (db1 pg-cutover-postgres)"),
        ({"postgres": ["db1"]}, {**DOCKER, **NAMED}, "postgresql_docker_port (db1 127.0.0.1:5432)"),
        ({"postgres": ["db1"]}, {**DOCKER, **PORTS}, "postgresql_docker_volume (db1 pg-cutover-postgres-data)"),
        ({}, {**RDS, "rds_identifier": "shared"}, "rds_identifier (eu-central-1 shared)"),
        ({"postgres": ["db1"]}, {**RDS, "rds_identifier": "shared"}, "rds_identifier (eu-central-1 shared)"),
    ],
)
def test_a_server_of_one_migration_is_not_shared(
    inventory: Inventory, playbook: str, groups: dict[str, list[str]], variables: dict[str, Any], told: str
) -> None:
    answer = inventory.run(playbook, {**SOURCES, **groups}, variables, found=BOTH, looked=looked("acme", "globex"))
    assert answer["failed"]
    assert f"Tenants acme and globex have the same {told}." in answer["msg"]


@pytest.mark.parametrize(
    ("groups", "variables", "steps"),
    [
        # Containers of one host are provided one after the other, before the playbook; instances of RDS by each run itself.
        ({"postgres": ["db1"]}, {**DOCKER, **NAMED, **PORTS}, [1, 2]),
        ({}, RDS, [2]),
    ],
)
def test_servers_of_their_own_are_taken(
    inventory: Inventory, groups: dict[str, list[str]], variables: dict[str, Any], steps: list[int]
) -> None:
    answer = inventory.run("cutover.yml", {**SOURCES, **groups}, variables, found=BOTH, looked=looked("acme", "globex"))
    assert not answer.get("failed"), answer
    assert [step["at_once"] for step in answer["fleet"]["steps"]] == steps


@pytest.mark.parametrize("playbook", ["migrate.yml", "verify.yml"])
def test_a_run_that_knows_its_target_by_url_asks_for_no_server(inventory: Inventory, playbook: str) -> None:
    given = {**RDS, **URL, "rds_identifier": "shared"}
    answer = inventory.run(playbook, SOURCES, given, found=BOTH, looked=looked("acme", "globex"))
    assert not answer.get("failed"), answer


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"tags": ("switch",)}, "--tags: "),
        ({"skip_tags": ("verify",)}, "--skip-tags: "),
        ({"subset": "web1"}, "--limit: "),
    ],
)
def test_options_that_a_run_of_its_own_cannot_have_are_refused(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch, option: dict[str, Any], told: str
) -> None:
    monkeypatch.setattr(plugin.controller.context, "CLIARGS", {"tags": ("all",), "skip_tags": (), **option})
    answer = inventory.run("migrate.yml", SOURCES, {**PATH, **URL}, found=BOTH, looked=looked("acme", "globex"))
    assert answer["failed"]
    assert told in answer["msg"]


IN_ONE = {
    "cutover_provider": "external",
    "cutover_target_url": "postgresql://o@db1/shop",
    "cutover_plan_overrides": {"schema": "{{ cutover_name }}"},
}


@pytest.mark.parametrize(
    ("playbook", "variables", "said"),
    [
        ("cutover.yml", {}, ""),
        ("migrate.yml", {"cutover_provider": "native"}, ""),
        ("migrate.yml", {"cutover_plan_overrides": {}}, "the same schema in it (public)"),
        ("migrate.yml", {"cutover_plan_overrides": {"schema": "all"}}, "the same schema in it (all)"),
        (
            "cutover.yml",
            {"cutover_application_url": "postgresql://app:x@db1/shop"},
            "have the same role of the application (app) in one database (db1 5432 shop)",
        ),
        ("cutover.yml", {"cutover_application_url": "postgresql://{{ cutover_name }}:x@db1/shop"}, ""),
        ("cutover.yml", {"cutover_rehearsal": True}, ""),
        (
            "cutover.yml",
            {
                "cutover_rehearsal": True,
                "cutover_rehearsal_url": "postgresql://o@db1/scratch",
                "cutover_plan_overrides": {},
            },
            "the same database (db1 5432 scratch) and the same schema in it (public)",
        ),
    ],
)
def test_schemas_of_one_database(inventory: Inventory, playbook: str, variables: dict[str, Any], said: str) -> None:
    given = {"found": BOTH, "looked": looked("acme", "globex")}
    answer = inventory.run(playbook, SOURCES, {**PATH, **IN_ONE, **variables}, **given)
    assert said in answer.get("msg", "")
    assert bool(answer.get("failed")) == bool(said), answer


@pytest.mark.parametrize(
    ("variables", "taken"),
    [
        ({}, True),
        ({"pgbouncer_auth_method": "file"}, False),
        ({"pgbouncer_manage_auth_function": False}, False),
        ({"pgbouncer_auth_user": "{{ cutover_name }}_look", "pgbouncer_auth_schema": "{{ cutover_name }}_look"}, False),
    ],
)
def test_pgbouncers_of_one_database_look_up_by_their_own(
    inventory: Inventory, variables: dict[str, Any], taken: bool
) -> None:
    groups = {**SOURCES, "pgbouncer": ["bouncer1"]}
    apart = {
        "pgbouncer_config_directory": "/etc/{{ cutover_name }}",
        "pgbouncer_listen_port": "{{ cutover_name | length }}",
    }
    given = {"found": BOTH, "looked": looked("acme", "globex")}
    answer = inventory.run("cutover.yml", groups, {**PATH, **IN_ONE, **apart, **variables}, **given)
    assert ("have the same pgbouncer_auth_user (pgbouncer_auth) in one database" in answer.get("msg", "")) == taken
    assert bool(answer.get("failed")) == taken, answer
