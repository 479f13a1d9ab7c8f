# SPDX-License-Identifier: GPL-3.0-or-later
"""The limit: PostgreSQL reads the same rows from its own files, without a client and without conversion."""

from __future__ import annotations

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from cutover.plan.model import Plan, PlanTable
from cutover.target.connect import qualified, quote
from support.postgres import Cluster, Database

#: A file holds about this much of a table, so that parallel streams finish together.
_PIECE_BYTES = 16 << 20


@dataclass(frozen=True)
class Piece:
    """A file with rows of one table, and the statement that loads it."""

    load: str
    bytes: int


def write(cluster: Cluster, database: Database, plan: Plan, folder: Path, form: str) -> list[Piece]:
    """Write every row of the plan's tables into files of the server. form: ``text`` or ``binary``."""
    pieces: list[Piece] = []
    with closing(psycopg2.connect(cluster.superuser_url(database.name))) as connection, connection.cursor() as cursor:
        for table in plan.tables:
            pieces += _write_table(cursor, plan, table, folder, form)
    return sorted(pieces, key=lambda piece: -piece.bytes)


def _write_table(cursor: Any, plan: Plan, table: PlanTable, folder: Path, form: str) -> list[Piece]:
    target = qualified(plan.schema, table.target)
    columns = ", ".join(quote(column.target) for column in table.columns)
    cursor.execute(
        "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int, pg_table_size(%s::regclass)",
        (target, target),
    )
    blocks, size = cursor.fetchone()
    step = max(1, -(-blocks // max(1, round(size / _PIECE_BYTES))))
    pieces: list[Piece] = []
    for first in range(0, blocks, step):
        file = folder / f"{len(list(folder.iterdir())):05}"
        cursor.execute(
            f"COPY (SELECT {columns} FROM {target} WHERE ctid >= '({first},0)' AND ctid < '({first + step},0)')"
            f" TO '{file}' WITH (FORMAT {form})"
        )
        pieces.append(Piece(f"COPY {target} ({columns}) FROM '{file}' WITH (FORMAT {form})", file.stat().st_size))
    return pieces


def load(cluster: Cluster, database: Database, pieces: list[Piece], streams: int) -> float:
    """Load all files over as many connections; returns the seconds from the first COPY to the last commit."""
    left: queue.SimpleQueue[Piece] = queue.SimpleQueue()
    for piece in pieces:
        left.put(piece)

    def stream(connection: Any) -> None:
        with connection.cursor() as cursor:
            while True:
                try:
                    piece = left.get_nowait()
                except queue.Empty:
                    return
                cursor.execute(piece.load)

    with ExitStack() as stack:
        connections = []
        for _ in range(streams):
            connection = stack.enter_context(closing(psycopg2.connect(cluster.superuser_url(database.name))))
            connection.autocommit = True
            with connection.cursor() as cursor:
                # As the engine does: a commit need not wait for the disk while more is to come.
                cursor.execute("SET synchronous_commit TO off")
            connections.append(connection)
        pool = stack.enter_context(ThreadPoolExecutor(streams))
        began = time.perf_counter()
        try:
            for done in [pool.submit(stream, connection) for connection in connections]:
                done.result()
        except BaseException:
            # Interrupted: the threads must not go on to the last file.
            while not left.empty():
                left.get_nowait()
            for connection in connections:
                connection.cancel()
            raise
        return time.perf_counter() - began
