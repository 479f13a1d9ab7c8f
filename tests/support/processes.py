# SPDX-License-Identifier: GPL-3.0-or-later
"""Other processes that get in the engine's way: one that holds a lock, one that writes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
print("ready", flush=True)
sys.stdin.read()
"""

_WRITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN")
for statement in sys.argv[2:]:
    connection.execute(statement)
connection.execute("COMMIT")
print("ready", flush=True)
"""


@contextmanager
def holding(path: Path, *statements: str) -> Iterator[None]:
    """Another process has run the statements on the file and keeps its connection open meanwhile."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path), *statements], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


def written_elsewhere(path: Path, *statements: str) -> None:
    """Another process runs the statements on the file in one transaction."""
    subprocess.run([sys.executable, "-c", _WRITE, str(path), *statements], check=True, stdout=subprocess.DEVNULL)
