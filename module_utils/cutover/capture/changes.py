# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the change log: which rows changed, what they are now, and dropping what has been applied.

A log range and the rows it names belong into one read transaction, which the caller opens: else a row could be newer
than the range, and a later range would be applied to a state that never was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..plan.model import Plan, PlanTable

#: Stored values as everywhere: int, float, bytearray (TEXT), bytes (BLOB), None.
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Changes:
    """A range of the log, collapsed.

    through: the last position in it (``after`` when nothing waits). logged: entries read. keys: table name → distinct
    keys in the order in which they were logged first; two keys are distinct when value or storage class differ.
    whole: tables without a key that changed.
    """

    through: int
    logged: int
    keys: dict[str, list[Key]]
    whole: frozenset[str]

    def __bool__(self) -> bool:
        """True when something changed."""
        return self.logged > 0


def position(connection: sqlite3.Connection) -> int:
    """The highest position ever given out, 0 before the first change. Raises SourceError when there is no log."""
    raise NotImplementedError


def count(connection: sqlite3.Connection, after: int) -> int:
    """Entries of the log after a position: what waits."""
    raise NotImplementedError


def read(connection: sqlite3.Connection, plan: Plan, after: int, limit: int) -> Changes:
    """The changes after a position, at most ``limit`` entries of the log.

    The connection's text_factory must be bytearray and a read transaction should be open. Raises SourceError.
    """
    raise NotImplementedError


def rows(connection: sqlite3.Connection, table: PlanTable, keys: Iterable[Key]) -> Iterator[tuple[Any, ...]]:
    """The rows that have these keys now, in the order of the columns of ``table.sent``; a key without a row gives none.

    A key matches exactly: value, case and storage class. In no particular order. The connection's text_factory must
    be bytearray. Raises SourceError.
    """
    raise NotImplementedError


def prune(connection: sqlite3.Connection, through: int, most: int) -> int:
    """Drop at most ``most`` entries up to a position, the newest never; return how many were dropped.

    Short write transactions on a writable connection with no transaction open; where the application is writing, it
    gives way and the rest is left for later. An application with busy_timeout 0 may meet one of them: call it seldom.
    """
    raise NotImplementedError
