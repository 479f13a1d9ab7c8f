# SPDX-License-Identifier: GPL-3.0-or-later
"""What the callback of the tests spares: loading in each worker, and putting a module together in each run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CALLBACKS = Path(__file__).parents[1] / "support/callback"
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.stat:
        path: /
"""
SCRIPT = """
import os, sys
os.register_at_fork(before=lambda: print("loaded:", [
    name for name in ("ssh", "local") if any(key.endswith(f"plugins.connection.{name}") for key in sys.modules)]))
from ansible.cli.playbook import main
sys.argv[0] = "ansible-playbook"
main(sys.argv)
"""


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A playbook with one module."""
    path = tmp_path_factory.mktemp("play") / "play.yml"
    path.write_text(PLAY)
    return path


def run(play: Path, built: Path | None, fails: bool = False) -> str:
    """What a run of the playbook printed, with a folder for what is sent for modules."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SCRIPT,
            "-i",
            "localhost,",
            "-c",
            "local",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
            str(play),
        ],
        env={
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "preload",
            "PG_CUTOVER_BUILT_MODULES": str(built or ""),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def test_what_workers_need_is_loaded_before_the_first(play: Path) -> None:
    assert "loaded: ['ssh', 'local']" in run(play, None).splitlines()


def test_a_module_is_put_together_once_for_all_runs(play: Path, tmp_path: Path) -> None:
    run(play, tmp_path)
    # Ansible removes its own folder at the end, not what it leads to.
    [kept] = [path for path in tmp_path.iterdir() if "stat" in path.name and path.suffix != ".lock"]
    kept.write_bytes(b"not what was kept")
    run(play, tmp_path, fails=True)


def test_a_folder_of_somebody_else_is_left_alone(play: Path, tmp_path: Path) -> None:
    # Only root can give a folder away; for anybody else the root folder is not theirs.
    theirs = tmp_path if os.getuid() == 0 else Path("/")
    if os.getuid() == 0:
        os.chown(theirs, 65534, 65534)
    before = sorted(theirs.iterdir())
    run(play, theirs)
    assert sorted(theirs.iterdir()) == before
