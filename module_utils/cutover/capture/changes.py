# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the change log: which rows changed, what they are now, and dropping what has been applied.

A log range and the rows it names belong into one read transaction, which the caller opens: else a row could be newer
than the range, and a later range would be applied to a state that never was.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import SourceChanged
from ..plan.model import Plan, PlanTable
from ..ranges import explained, parameter
from ..source.connect import explain
from ..source.sqltokens import quote
from .names import LOG, key_column

#: SQLite before 3.32 takes 999 bound values; a compound of VALUES is not limited.
_KEYS_PER_QUERY = 500
_MOST_VALUES = 900
#: A few milliseconds of the write lock.
_DROPPED_AT_ONCE = 2_000
_PAUSE_SECONDS = 0.01

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
    return int(_one(connection, f"SELECT coalesce(max(seq), 0) FROM {LOG}"))


def count(connection: sqlite3.Connection, after: int) -> int:
    """Entries of the log after a position: what waits. Raises SourceError when there is no log."""
    return int(_one(connection, f"SELECT count(*) FROM {LOG} WHERE seq > ?", after))


def _one(connection: sqlite3.Connection, query: str, *values: Any) -> Any:
    with explained(connection):
        return connection.execute(query, values).fetchone()[0]


def read(connection: sqlite3.Connection, plan: Plan, after: int, limit: int) -> Changes:
    """The changes after a position, at most ``limit`` entries of the log.

    The connection's text_factory must be bytearray and a read transaction should be open. Raises SourceError,
    SourceChanged when the log does not reach the position (an older file was put in its place).
    """
    widths = [len(table.key) for table in plan.tables]
    columns = "".join(f", {key_column(number)}" for number in range(max([1, *widths])))
    with explained(connection):
        found = connection.execute(
            f"SELECT seq, t{columns} FROM {LOG} WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        ).fetchall()
    if not found:
        last = position(connection)
        if last < after:
            raise SourceChanged(
                f"the change log ends at {last}, and {after} was applied already: an older file was put in the source's "
                "place. Run cutover.yml again: the copy starts over."
            )
        return Changes(after, 0, {}, frozenset())
    collapsed: list[dict[Any, Key]] = [{} for _ in plan.tables]
    whole: set[str] = set()
    for entry in found:
        number, width = entry[1], widths[entry[1]]
        if not width:
            whole.add(plan.tables[number].name)
            continue
        key = entry[2 : 2 + width]
        collapsed[number].setdefault(identity(key), key)
    keys = {table.name: list(seen.values()) for table, seen in zip(plan.tables, collapsed) if seen}
    return Changes(found[-1][0], len(found), keys, frozenset(whole))


def identity(key: Key) -> Any:
    """What tells keys apart in a dict or set: value and storage class, so that 1, 1.0, '1' and x'31' are four keys."""
    if len(key) == 1 and type(key[0]) is int:
        return key[0]
    return tuple((type(part), bytes(part) if isinstance(part, bytearray) else part) for part in key)


def rows(connection: sqlite3.Connection, table: PlanTable, keys: Iterable[Key]) -> Iterator[tuple[Any, ...]]:
    """The rows that have these keys now, in the order of the columns of ``table.sent``; a key without a row gives none.

    A key matches exactly: value, case and storage class. In no particular order; a key must not be given twice. The
    connection's text_factory must be bytearray. Raises SourceError.
    """
    many = iter(keys)
    while batch := list(itertools.islice(many, _KEYS_PER_QUERY)):
        with explained(connection):
            for query, values in _queries(table, batch):
                yield from connection.execute(query, values)


def _queries(table: PlanTable, batch: list[Key]) -> Iterator[tuple[str, list[Any]]]:
    columns = ", ".join(f"r.{quote(column.name)}" for column in table.sent.columns)
    name = quote(table.name)
    if table.rowid is not None and table.key == (table.rowid,):
        marks = ", ".join("?" * len(batch))
        yield f"SELECT {columns} FROM {name} AS r WHERE r.{quote(table.rowid)} IN ({marks})", [key[0] for key in batch]
        return
    width = len(table.key)
    usual = [key for key in batch if None not in key]
    names = [key_column(number) for number in range(width)]
    pairs = list(zip(table.key, names))
    exact = [f"r.{quote(name)} = k.{k}" for name, k in pairs]
    # Found by the index under its collation and affinity; these leave what is the same to the letter.
    exact += [
        f"r.{quote(name)} = k.{k} COLLATE BINARY AND typeof(r.{quote(name)}) = typeof(k.{k})" for name, k in pairs
    ]
    most = max(1, _MOST_VALUES // width)
    for at in range(0, len(usual), most):
        some = usual[at : at + most]
        marked = [[parameter(part) for part in key] for key in some]
        lines = ", ".join(f"({', '.join(mark for mark, _ in key)})" for key in marked)
        query = (
            f"WITH k ({', '.join(names)}) AS (VALUES {lines}) SELECT {columns} FROM k CROSS JOIN {name} AS r "
            f"WHERE {' AND '.join(exact)}"
        )
        yield query, [value for line in marked for _, value in line]
    for key in batch:
        if None not in key:
            continue
        parts = [parameter(part) for part in key]
        same = (
            f"r.{quote(name)} IS {mark} COLLATE BINARY AND typeof(r.{quote(name)}) = typeof({mark})"
            for name, (mark, _) in zip(table.key, parts)
        )
        query = f"SELECT {columns} FROM {name} AS r WHERE {' AND '.join(same)}"
        yield query, [value for _, value in parts for _ in range(2)]


def prune(connection: sqlite3.Connection, through: int, most: int) -> int:
    """Drop at most ``most`` entries up to a position, the newest never; return how many were dropped.

    Short write transactions on a writable connection with no transaction open; where the application is writing, it
    gives way and the rest is left for later. An application with busy_timeout 0 may meet one of them: call it seldom.
    """
    patience = _one(connection, "PRAGMA busy_timeout")
    connection.execute("PRAGMA busy_timeout = 0")
    dropped = 0
    try:
        newest = position(connection)
        while dropped < most:
            low = int(_one(connection, f"SELECT coalesce(min(seq), 0) FROM {LOG}"))
            high = min(low + min(_DROPPED_AT_ONCE, most - dropped), through + 1, newest)
            if high <= low:
                break
            dropped += connection.execute(f"DELETE FROM {LOG} WHERE seq < ?", (high,)).rowcount
            # The application's writers poll for the lock: they get more time than this takes.
            time.sleep(_PAUSE_SECONDS)
    except sqlite3.OperationalError as error:
        if "locked" not in str(error).lower():
            raise explain(LOG, error) from None
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(patience)}")
    return dropped
