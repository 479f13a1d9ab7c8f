# SPDX-License-Identifier: GPL-3.0-or-later
"""The databases that are moved. The same scale gives the same rows on every machine."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT, BenchError

#: What each input is, for the reader of the table.
KINDS = {
    "A": "the demo's reference database: 12 tables, long text, blobs",
    "B": "one table of narrow rows: integers, real, boolean, date, short text, decimal",
    "C": "B ten times larger",
}
#: Rows of B at scale 1.
NARROW_ROWS = 3_000_000

_NARROW = """
CREATE TABLE measurements (
    id        INTEGER PRIMARY KEY,
    device_id INTEGER NOT NULL,
    reading   INTEGER,
    ratio     REAL NOT NULL,
    valid     BOOLEAN NOT NULL,
    taken_at  DATETIME NOT NULL,     -- epoch milliseconds
    label     VARCHAR(16) NOT NULL,
    price     DECIMAL(10,2)          -- REAL or INTEGER, by affinity
);
CREATE INDEX measurements_device ON measurements (device_id);
"""
_START_MS = 1_577_836_800_000  # 2020-01-01


@dataclass(frozen=True)
class Input:
    """A SQLite file that was made for the benchmark."""

    name: str
    scale: float
    path: Path

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return self.path.stat().st_size


def make(name: str, scale: float, folder: Path) -> Input:
    """Write the input called ``name`` into ``folder``."""
    path = folder / f"{name}-{scale:g}.sqlite"
    if name == "A":
        command = [sys.executable, str(ROOT / "demo" / "seed.py"), str(path), "--scale", f"{scale:g}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(done.stderr.strip())
    else:
        _narrow(path, round(NARROW_ROWS * scale))
    return Input(name, scale, path)


def check_room(inputs: list[Input]) -> None:
    """Raise BenchError when the disk may not hold the largest input once more as text, tables and WAL."""
    largest = max(item.bytes for item in inputs)
    free = shutil.disk_usage(inputs[0].path.parent).free
    if free < 8 * largest:
        raise BenchError(
            f"{inputs[0].path.parent} has {free >> 20} MiB free, about {8 * largest >> 20} MiB are needed. "
            "Choose a smaller scale, or name another folder in TMPDIR."
        )


def _narrow(path: Path, rows: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(_NARROW.split(";")[0])
        connection.executemany("INSERT INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _narrow_rows(rows))
        connection.execute(_NARROW.split(";")[1])
        connection.execute("COMMIT")


def _narrow_rows(rows: int) -> Iterator[tuple[object, ...]]:
    # random() and getrandbits() give the same numbers in every version of Python.
    dice = random.Random(20_000)
    bits, real = dice.getrandbits, dice.random
    for key in range(1, rows + 1):
        label = f"{bits(28):x}" if key % 16 else f"Größe {bits(16)}"
        yield (
            key,
            bits(16),
            None if key % 11 == 0 else bits(40) - (1 << 39),
            real() * 1000 - 500,
            bits(1),
            _START_MS + bits(37),
            label,
            None if key % 13 == 0 else bits(26) / 100,
        )
