# SPDX-License-Identifier: GPL-3.0-or-later
"""What was named is gone, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import testinfra

HERE = testinfra.get_host("local://")
HOST = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "host"


def names(command: str) -> list[str]:
    """The scenario's containers or volumes."""
    return sorted(name for name in HERE.check_output(command).split() if name.startswith("pg-cutover-docker-"))


def test_what_was_named_is_gone_and_nothing_else() -> None:
    assert names("docker ps -a --format {{.Names}}") == ["pg-cutover-docker-other"]
    assert names("docker volume ls -q") == ["pg-cutover-docker-other-data"]


def test_the_secret_went_with_it() -> None:
    assert list(HOST.iterdir()) == []
