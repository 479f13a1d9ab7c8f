# SPDX-License-Identifier: GPL-3.0-or-later
"""What was named is gone, and nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

import testinfra

HERE = testinfra.get_host("local://")
FOLDER = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
HOST = FOLDER / "host"


def names(command: str) -> list[str]:
    """The scenario's containers or volumes."""
    return sorted(name for name in HERE.check_output(command).split() if name.startswith("pg-cutover-docker-"))


def test_what_was_named_is_gone_and_nothing_else() -> None:
    assert names("docker ps -a --format {{.Names}}") == ["pg-cutover-docker-other"]
    assert names("docker volume ls -q") == ["pg-cutover-docker-other-data"]


def test_no_volume_was_left_without_a_name() -> None:
    before = (FOLDER / "unused_volumes").read_text().split()
    after = HERE.check_output("docker volume ls -q -f dangling=true").split()
    # Docker gives 64 digits for a name; those with names may be of a scenario beside this one.
    assert [name for name in after if name not in before and re.fullmatch("[0-9a-f]{64}", name)] == []


def test_the_secret_went_with_it() -> None:
    assert list(HOST.iterdir()) == []
