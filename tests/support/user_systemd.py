# SPDX-License-Identifier: GPL-3.0-or-later
"""A real systemd for tests on a machine that was not booted with one: a user's instance in a mount namespace of its own.

There `systemctl` means that instance, and its units lie where a host's do. Nothing of it is seen from outside.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The instance refuses to start unless /run looks like that of a host with systemd.
_BEGIN = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/instance
chmod 700 /run/instance
ln -s system /run/systemd/user
exec /lib/systemd/systemd --user --log-target=console
"""
_SYSTEMCTL = '#!/bin/sh\nexec /usr/bin/systemctl --user "$@"\n'
_VARIABLES = {"XDG_RUNTIME_DIR": "/run/instance", "DBUS_SESSION_BUS_ADDRESS": ""}


@dataclass(frozen=True)
class Systemd:
    """A running instance."""

    process: subprocess.Popen[bytes]
    programs: Path

    def run(self, *command: str, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command where it is seen."""
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", f"--wd={os.getcwd()}", *command],
            env={**os.environ, **_VARIABLES, "PATH": f"{self.programs}:{os.environ['PATH']}", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def unit(self, name: str, text: str) -> None:
        """Write a unit and let systemd read it."""
        done = self.run(
            "sh", "-c", f'printf %s "$1" >/run/systemd/system/{name} && systemctl daemon-reload', "sh", text
        )
        assert done.returncode == 0, done.stdout


@contextmanager
def running(folder: Path) -> Iterator[Systemd]:
    """An instance, which ends with all its services."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "systemctl").write_text(_SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)
    log = folder / "systemd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _BEGIN],
            env={**os.environ, **_VARIABLES, "XDG_CONFIG_HOME": str(folder / "none")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        made = Systemd(process, programs)
        deadline = time.monotonic() + 20
        while made.run("systemctl", "list-units").returncode != 0:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield made
        # It would only tell its services to end, and not wait.
        made.run("systemctl", "stop", "--all", "*.socket", "*.service")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
