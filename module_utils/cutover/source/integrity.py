# SPDX-License-Identifier: GPL-3.0-or-later
"""What contradicts the source's own declarations, and who else has the file open."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import sample
from .model import Table
from .sqltokens import quote


@dataclass(frozen=True)
class Orphans:
    """Rows that contradict a constraint: how many, the key of the first, and the values of its foreign key."""

    count: int
    first: str
    values: tuple[Any, ...]


def orphans(
    connection: sqlite3.Connection, table: Table, columns: Sequence[str], parent: str, parent_columns: Sequence[str]
) -> Orphans | None:
    """The orphaned rows of ``table`` by one foreign key; None when there are none.

    A parent that differs in case only counts as missing, as it does for PostgreSQL.
    """
    pairs = [(f"c.{quote(mine)}", f"p.{quote(theirs)}") for mine, theirs in zip(columns, parent_columns)]
    # The first comparison uses the parent's index, whatever its collation; the second is the one that counts.
    same = " AND ".join(f"{theirs} = {mine} AND {theirs} = {mine} COLLATE BINARY" for mine, theirs in pairs)
    where = (
        " AND ".join(f"{mine} IS NOT NULL" for mine, _ in pairs)
        + f" AND NOT EXISTS (SELECT 1 FROM {quote(parent)} AS p WHERE {same})"
    )
    return _rows(connection, table, columns, where)


def contradictions(connection: sqlite3.Connection, table: Table, condition: str) -> Orphans | None:
    """The rows of ``table`` that a CHECK constraint does not let in; None when there are none."""
    return _rows(connection, table, (), f"NOT ({condition})")


def _rows(connection: sqlite3.Connection, table: Table, columns: Sequence[str], where: str) -> Orphans | None:
    rows = f"FROM {quote(table.name)} AS c WHERE {where}"
    count = connection.execute(f"SELECT count(*) {rows}").fetchone()[0]
    if not count:
        return None
    key = (table.rowid,) if table.rowid else table.primary_key
    names = ", ".join(f"c.{quote(name)}" for name in (*key, *columns))
    found = connection.execute(f"SELECT {names} {rows} LIMIT 1").fetchone()
    shown = ", ".join(sample(value) for value in found[: len(key)])
    first = f"({', '.join(key)})=({shown})" if len(key) > 1 else f"{table.rowid_alias or key[0]}={shown}"
    return Orphans(count, first, tuple(found[len(key) :]))


def holders(path: str) -> list[str]:
    """Processes on this host that have the file open, as ``name (pid)``; only what this user may see."""
    try:
        wanted = os.stat(path)
    except OSError:
        return []
    found: list[str] = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            for descriptor in os.listdir(f"/proc/{entry}/fd"):
                status = os.stat(f"/proc/{entry}/fd/{descriptor}")
                if (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino):
                    with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                        found.append(f"{file.read().strip()} ({entry})")
                    break
        except OSError:
            continue
    return found
