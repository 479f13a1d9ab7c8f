#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the capture's triggers cost the fastest single-row writes of an application, on tables from bare to usual."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bench  # noqa: F401 - finds the engine
from cutover.capture import cost
from support.engine import planned

_ROWS = 2_000
TABLES = {
    "a number as key": "id INTEGER PRIMARY KEY, name TEXT, n INT",
    "AUTOINCREMENT": "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, n INT",
    "AUTOINCREMENT, UNIQUE": "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, n INT",
    "text as key, UNIQUE, index": "id TEXT PRIMARY KEY, name TEXT UNIQUE, n INT",
}


def main() -> None:
    """Print a line for each table: microseconds of the processor a statement, without and with the triggers."""
    print("| table | write | without | with | share |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="pg-cutover-bench-") as folder:
        for number, (told, columns) in enumerate(TABLES.items()):
            path = Path(folder) / f"{number}.sqlite"
            with closing(sqlite3.connect(path)) as connection:
                connection.execute(f"CREATE TABLE t ({columns})")
                if "index" in told:
                    connection.execute("CREATE INDEX more ON t (n)")
                connection.executemany("INSERT INTO t VALUES (?, ?, ?)", ((n, f"name {n}", n) for n in range(_ROWS)))
                connection.commit()
            writes = cost.measure(str(path), planned(path)[0], folder)["writes"]
            for write, took in writes.items():
                without, captured = took["seconds_without"] * 1e6, took["seconds_with"] * 1e6
                print(f"| {told} | {write} | {without:.1f} µs | {captured:.1f} µs | {captured / without - 1:.0%} |")


if __name__ == "__main__":
    main()
