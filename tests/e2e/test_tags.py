# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks that prove one thing by another are run whole; those that set hosts up may be run in parts."""

from __future__ import annotations

import subprocess

import pytest

from support.playbooks import ansible
from support.project import ROOT


def play(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ansible("-i", "localhost,", "-c", "local", str(ROOT / "playbooks" / name), *arguments)


@pytest.mark.parametrize("playbook", ["cutover.yml", "rollback.yml", "migrate.yml", "finalize.yml"])
@pytest.mark.parametrize("option", [("--tags", "switch"), ("--skip-tags", "pgbouncer,other")])
def test_a_part_of_it_is_refused(playbook: str, option: tuple[str, str]) -> None:
    done = play(playbook, *option)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0, said
    assert f"{playbook} is run whole: --tags and --skip-tags would leave out what proves the rest" in said
    assert "changed=0" in said


@pytest.mark.parametrize("option", [("--tags", "switch"), ("--skip-tags", "verify")])
def test_a_fleet_has_no_parts(option: tuple[str, str]) -> None:
    done = play("fleet.yml", *option, "-e", "cutover_tenants_hosts=true")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0, said
    assert f"{option[0]}: run the playbook for one tenant itself. Nothing was started, nothing was changed." in said
    assert "changed=0" in said


def test_parts_that_there_are() -> None:
    for playbook, topics in (
        ("provision.yml", {"database", "pgbouncer"}),
        ("certificates.yml", {"postgresql", "pgbouncer", "haproxy"}),
    ):
        listed = play(playbook, "--list-tags").stdout
        tags = {
            tag
            for line in listed.splitlines()
            if "TASK TAGS" in line
            for tag in line.split("[")[1].rstrip("]").split(", ")
        }
        assert tags == {"always", *topics}, listed
