# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role postgresql_docker refuses by what Docker says, and what it leaves out in check mode: no Docker is needed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from support.playbooks import ansible

PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: postgresql_docker
        tasks_from: "{{ part }}"
"""
NONE: dict[str, Any] = {"exists": False, "container": None, "volume": None}
ROLE = {"pg-cutover.role": "postgresql_docker"}


def run(folder: Path, part: str, *options: str, **given: Any) -> tuple[bool, str]:
    """Whether this part of the role succeeded, and what it printed, on one line."""
    (folder / "play.yml").write_text(PLAY)
    variables = {"part": part, "cutover_name": "shop", "ansible_python_interpreter": sys.executable, **given}
    done = ansible("-i", "localhost,", "-c", "local", str(folder / "play.yml"), "-e", json.dumps(variables), *options)
    return done.returncode == 0, " ".join(done.stdout.split())


def container(**labels: str) -> dict[str, Any]:
    return {**NONE, "exists": True, "container": {"Config": {"Image": "postgres:15", "Labels": labels}}}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({}, ""),
        ({"container": container(**ROLE, **{"pg-cutover.migration": "shop"})}, ""),
        ({"container": container(**ROLE)}, ""),
        (
            {"container": container(**ROLE, **{"pg-cutover.migration": "blog"})},
            "has a container pg-cutover-postgres of the migration blog, and this is shop.",
        ),
        (
            {"looking": container()},
            "has a container pg-cutover-postgres-look (image postgres:15) that this role did not",
        ),
        (
            {"volume": {"exists": True, "volume": {"Labels": {**ROLE, "pg-cutover.migration": "blog"}}}},
            "has a volume pg-cutover-postgres-data of the migration blog, and this is shop.",
        ),
    ],
)
def test_what_belongs_to_somebody_else_is_not_touched(tmp_path: Path, found: dict[str, Any], told: str) -> None:
    given = {f"__postgresql_docker_{name}": found.get(name, NONE) for name in ("container", "looking", "volume")}
    good, said = run(tmp_path, "ownership", **given)
    assert good == (not told), said
    assert told in said
    assert not told or "It is not touched." in said


@pytest.mark.skipif(os.geteuid() != 0, reason="the role's files are root's")
@pytest.mark.parametrize("there", [False, True])
def test_check_mode_foresees_a_certificate_on_a_host_without_its_folder(tmp_path: Path, there: bool) -> None:
    for name in ("server.crt", "server.key"):
        (tmp_path / name).write_text("x")
    directory = tmp_path / "role"
    if there:
        (directory / "pg-cutover-postgres/shown").mkdir(parents=True)
    good, said = run(
        tmp_path,
        "files",
        "--check",
        postgresql_docker_directory=str(directory),
        postgresql_docker_ssl_certificate=str(tmp_path / "server.crt"),
        postgresql_docker_ssl_key=str(tmp_path / "server.key"),
        postgresql_docker_superuser_password="s",
        _postgresql_docker_first=True,
        __postgresql_docker_found={"uid": 0},
    )
    assert good, said
    assert directory.exists() == there
