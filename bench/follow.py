# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast changes are followed, and what a drain costs: ``python -m bench.follow`` on a narrow and a wide table.

Each batch is measured as a whole (log read, rows read, applied, committed), and its proof apart. The server is durable, as the
role postgresql sets it.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench.server import Server
from cutover.follow.steps import Steps
from cutover.source.connect import open_readonly
from cutover.target.connect import connect
from support import engine
from support.following import arranged, began
from support.postgres import Cluster

_ROWS = 100_000
_TABLES = {
    "narrow": ("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT, c REAL, word TEXT)", 12),
    "wide (3.6 kB)": ("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT, c REAL, word TEXT)", 3_500),
}


def _filled(path: Path, sql: str, size: int) -> None:
    chance = random.Random(1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)
        rows = ((n, n, -n, n / 7, f"{chance.random():.17f}" * (size // 19 + 1)) for n in range(_ROWS))
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("CREATE INDEX by_a ON t (a)")


def _changed(path: Path, count: int, chance: random.Random) -> None:
    """So many changes: six of ten update, three insert, one deletes."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for _ in range(count):
            kind, key = chance.random(), chance.randrange(_ROWS)
            if kind < 0.6:
                connection.execute("UPDATE t SET b = b + 1, c = c * 1.1 WHERE id = ?", (key,))
            elif kind < 0.9:
                connection.execute("INSERT INTO t (a, b, c, word) SELECT a, b, c, word FROM t WHERE id = ?", (key,))
            else:
                connection.execute("DELETE FROM t WHERE id = ?", (key,))


def main() -> None:
    """Print a line for each table and size of batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    server = Server.start()
    try:
        print(
            f"{'table':16}{'changes':>9}{'batch ms':>10}{'proof ms':>10}{'changes/s':>11}{'ms a change':>13}{'proof':>8}"
        )
        for name, (sql, size) in _TABLES.items():
            with tempfile.TemporaryDirectory() as folder:
                _measure(server, name, Path(folder) / "source.sqlite", sql, size, given.repeats)
    finally:
        server.stop()


def _measure(server: Cluster, name: str, path: Path, sql: str, size: int, repeats: int) -> None:
    _filled(path, sql, size)
    url = server.create_database().url
    plan, _ = engine.planned(path)
    snapshot = arranged(path, url, plan)
    engine.create(url, plan)
    engine.copy(snapshot, url, plan)
    engine.finish(snapshot, url, plan)
    began(path, snapshot, url, plan)
    chance = random.Random(2)
    steps = Steps(str(path), plan)
    with (
        closing(open_readonly(str(path), bytearray)) as source,
        closing(connect(url, settings={"synchronous_commit": "off"})) as target,
    ):
        for count in (1, 10, 100, 1_000, 10_000):
            spent, proofs = [], []
            for _ in range(repeats):
                _changed(path, count, chance)
                while (done := steps.once(source, target, 20_000, prove=True)).logged:
                    spent.append(done.seconds * 1000)
                    proofs.append((done.proof_seconds or 0) * 1000)
                time.sleep(0.05)
            whole, proof = statistics.median(spent), statistics.median(proofs)
            each = f"{count / whole * 1000:11,.0f}{whole / count:13.3f}{proof / count:8.3f}"
            print(f"{name:16}{count:9}{whole:10.2f}{proof:10.2f}{each}")


if __name__ == "__main__":
    main()
