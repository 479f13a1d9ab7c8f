# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios below molecule/ are whole, alike where they must be, and run by scripts that refuse what they do not know."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MOLECULE = ROOT / "molecule"
SCENARIOS = sorted(path.parent.name for path in MOLECULE.glob("*/molecule.yml"))


def configuration(scenario: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((MOLECULE / scenario / "molecule.yml").read_text())
    return loaded


def test_there_are_those_that_the_page_names() -> None:
    page = (ROOT / "docs/molecule.md").read_text()
    assert {"default", "cutover", "rollback"} <= set(SCENARIOS)
    assert [name for name in SCENARIOS if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_uses_the_projects_configuration_and_nothing_from_elsewhere(scenario: str) -> None:
    given = configuration(scenario)
    assert given["ansible"]["env"]["ANSIBLE_CONFIG"] == "${MOLECULE_PROJECT_DIRECTORY}/ansible.cfg"
    assert given["prerun"] is False
    assert given["dependency"]["enabled"] is False


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_removes_what_it_made(scenario: str) -> None:
    sequence = configuration(scenario)["scenario"]["test_sequence"]
    assert sequence[0] == sequence[-1] == "destroy"
    assert "create" in sequence


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_files_that_a_scenario_names_are_there(scenario: str) -> None:
    given = configuration(scenario)
    named = list(given["ansible"].get("playbooks", {}).values())
    for step in given["scenario"]["test_sequence"]:
        named += step.split()[1:]
    assert [name for name in named if not (MOLECULE / scenario / name).exists()] == []
    if any(step.startswith("side_effect ") for step in given["scenario"]["test_sequence"]):
        assert "side_effect" in given["ansible"]["playbooks"], "molecule leaves out every side_effect then"
    # A folder that verify names must hold tests: molecule is content with none.
    folders = [
        MOLECULE / scenario / step.split()[1]
        for step in given["scenario"]["test_sequence"]
        if step.startswith("verify ")
    ]
    if "verify" in given["scenario"]["test_sequence"] and given["verifier"]["name"] == "testinfra":
        folders.append(MOLECULE / scenario / "tests")
    assert [folder.name for folder in folders if not list(folder.rglob("test_*.py"))] == []


@pytest.mark.parametrize("scenario", ["default", "cutover", "example", "pgdg", "rollback"])
def test_host_is_reached_by_the_name_of_its_container(scenario: str) -> None:
    # Connections are shared by this name among all playbooks that run, and the tests ask the container of this name.
    inventory = yaml.safe_load((MOLECULE / scenario / "inventory.yml").read_text())["molecule"]
    reached = {host: given["ansible_ssh_host"] for host, given in inventory["hosts"].items()}
    assert reached == {host: f"pg-cutover-{scenario}-{host}" for host in inventory["hosts"]}
    arguments = configuration(scenario)["ansible"]["executor"]["args"]["ansible_playbook"]
    assert "--inventory=${MOLECULE_PROJECT_DIRECTORY}/molecule/shared/connection.yml" in arguments


@pytest.mark.parametrize(
    ("command", "environment", "status", "said"),
    [
        (["molecule/run", "nosuch"], {}, 64, "there is no scenario nosuch"),
        (["molecule/run"], {"MOLECULE_TIMES": "often"}, 64, "MOLECULE_TIMES is often"),
        ([".ci/docker"], {}, 1, "usage: .ci/docker run COMMAND"),
        ([".ci/docker", "run"], {}, 1, "run needs a command"),
        (
            [".ci/docker", "start"],
            {"DOCKER_HOST": "unix:///nowhere"},
            1,
            "DOCKER_HOST is set, and no engine answers there",
        ),
    ],
)
def test_scripts_refuse(command: list[str], environment: dict[str, str], status: int, said: str) -> None:
    done = subprocess.run(
        [str(ROOT / command[0]), *command[1:]],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
