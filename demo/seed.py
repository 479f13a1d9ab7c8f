#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the demo's reference database: 12 tables, about 100,000 rows, about 500 MB at scale 1.

The same scale gives the same rows on every machine. The file appears under its name only when it is whole.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from seeding import content, people
from seeding.scale import BYTES_AT_SCALE_1, counts_for
from seeding.values import Embeddings, Prose

SCHEMA = Path(__file__).resolve().parent / "app" / "schema.sql"
# Rows that the application once wrote and deleted: automatic ids go on above them.
DELETED_LATER = ("messages", "orders", "events")


class SeedError(Exception):
    """The database cannot be written; the message says why."""


def tables(scale: float) -> Iterator[tuple[str, Iterable[tuple[Any, ...]]]]:
    """Each table with its rows, parents first."""
    counts = counts_for(scale)
    prose = Prose()
    yield "users", people.users(counts, prose)
    yield "sessions", people.sessions(counts)
    yield "workspaces", people.workspaces(counts, prose)
    yield "memberships", people.memberships(counts)
    yield "documents", content.documents(counts, prose)
    yield "document_chunks", content.document_chunks(counts, prose, Embeddings())
    yield "messages", content.messages(counts, prose)
    yield "attachments", content.attachments(counts, prose)
    yield "tags", content.tags(counts, prose)
    yield "_DocumentToTag", content.document_to_tag(counts)
    yield "orders", people.orders(counts, prose)
    yield "events", content.events(counts, prose)


def seed(path: Path, scale: float) -> dict[str, int]:
    """Write a new database to `path`; returns the rows of each table."""
    if path.exists():
        raise SeedError(f"{path} exists; it is not overwritten")
    folder = path.parent
    if not folder.is_dir():
        raise SeedError(f"{folder} is not a directory")
    needed = int(BYTES_AT_SCALE_1 * scale * 1.1)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SeedError(f"{folder} has {free >> 20} MiB free, scale {scale:g} needs {needed >> 20} MiB")

    unfinished = path.with_name(path.name + ".seeding")
    _remove(unfinished)
    try:
        rows = _write(unfinished, scale)
        _sync(unfinished)
        os.replace(unfinished, path)
        _sync(folder)
    except BaseException:
        _remove(unfinished)
        raise
    return rows


def _write(path: Path, scale: float) -> dict[str, int]:
    # Private from its first byte on: the content stands for an application's data.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # Nobody reads the file before it has its name: a journal would only cost time.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -32000")
        connection.executescript(SCHEMA.read_text(encoding="utf-8"))
        rows = {}
        for table, content_rows in tables(scale):
            connection.execute("BEGIN")
            rows[table] = _insert(connection, table, content_rows)
            connection.execute("COMMIT")
        for table in DELETED_LATER:
            connection.execute("UPDATE sqlite_sequence SET seq = seq + 25 WHERE name = ?", (table,))
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken:
            raise SeedError(f"the seeded rows break a foreign key: {broken}")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    return rows


def _insert(connection: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> int:
    width = len(connection.execute(f'PRAGMA table_info("{table}")').fetchall())
    places = ", ".join("?" * width)
    before = connection.total_changes
    connection.executemany(f'INSERT INTO "{table}" VALUES ({places})', rows)
    return connection.total_changes - before


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path, help="the SQLite file to write; must not exist")
    parser.add_argument(
        "--scale",
        default=os.environ.get("DEMO_SCALE") or "1",
        help="size, 0.01 to 10 (default: the environment variable DEMO_SCALE, or 1)",
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        rows = seed(options.path, float(options.scale))
    except (SeedError, ValueError, OSError, sqlite3.Error) as error:
        print(f"seed: {error}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - started
    megabytes = options.path.stat().st_size / 1e6
    total = sum(rows.values())
    print(f"{options.path}: {total} rows in {len(rows)} tables, {megabytes:.0f} MB, {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
