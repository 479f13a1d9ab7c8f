# SPDX-License-Identifier: GPL-3.0-or-later
"""The Pythons of this machine that a host may have, each with what the engine needs there: psycopg2 and nothing else."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .project import ROOT

_OLDEST = (3, 9)
_NEWEST_MINOR = 20
_ASK = "import sqlite3, sys; print('%d.%d' % sys.version_info[:2])"


def found() -> dict[str, str]:
    """Version → program: the oldest and the newest but the one that runs the tests, which is taken where it is alone.

    What holds at both ends of what Python has changed holds between.
    """
    own = "{}.{}".format(*sys.version_info[:2])
    names = [f"python3.{minor}" for minor in range(_OLDEST[1], _NEWEST_MINOR)]
    programs = [path for name in names if (path := shutil.which(name))]
    # Where several are looked after by pyenv, those on PATH are shims, which may answer for none.
    programs += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3")))
    programs += ["/usr/bin/python3", os.path.join(sys.base_prefix, "bin", "python3")]
    versions: dict[str, str] = {}
    for program in programs:
        version = _version(program)
        if version and tuple(map(int, version.split("."))) >= _OLDEST:
            versions.setdefault(version, program)
    others = {version: program for version, program in versions.items() if version != own}
    ordered = sorted(others or versions, key=lambda version: int(version.split(".")[1]))
    return {version: versions[version] for version in (ordered[0], ordered[-1])}


def _version(program: str) -> str:
    """major.minor; empty for what is no Python, or one without SQLite."""
    try:
        asked = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def made(program: str, folder: Path) -> str:
    """A virtual environment of that Python with psycopg2; the path of its interpreter."""
    uv = str(ROOT / ".venv/bin/uv")
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    interpreter = str(folder / "bin/python")
    subprocess.run([uv, "venv", "--quiet", "--python", program, str(folder)], env=environment, check=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", interpreter, "psycopg2-binary"], env=environment, check=True
    )
    return interpreter
