# SPDX-License-Identifier: GPL-3.0-or-later
"""Several hosts on one machine: Ansible's ssh connection, with a program for ssh that runs the command here, or says that the
host does not answer. A test takes a host down and brings it back, also in the middle of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_SSH = """#!/bin/sh
# The last two arguments are the host and the command.
while [ $# -gt 2 ]; do shift; done
if [ -e "{folder}/$1.down" ]; then
    echo "ssh: connect to host $1 port 22: No route to host" >&2
    exit 255
fi
exec sh -c "$2"
"""


class Hosts:
    """The hosts of a test, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ssh = folder / "ssh"
        self._ssh.write_text(_SSH.format(folder=folder))
        self._ssh.chmod(0o755)

    def variables(self) -> dict[str, Any]:
        """How Ansible reaches each of them."""
        return {
            "ansible_connection": "ssh",
            "ansible_user": "root",
            "ansible_ssh_executable": str(self._ssh),
            "ansible_ssh_transfer_method": "piped",
            "ansible_python_interpreter": sys.executable,
        }

    def switch(self, name: str) -> Path:
        """The file that takes a host down while it is there."""
        return self._folder / f"{name}.down"

    def down(self, name: str) -> None:
        """From now on the host does not answer."""
        self.switch(name).touch()

    def up(self, name: str) -> None:
        """It answers again."""
        self.switch(name).unlink()
