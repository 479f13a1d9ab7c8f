# SPDX-License-Identifier: GPL-3.0-or-later
"""Half-open key ranges of a table of the source: how it is cut into pieces, and how a piece is read."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .plan.model import PlanTable
from .source.connect import ERRORS, explain
from .source.sqltokens import quote

#: A range is about this many bytes, so that little is repeated after a kill and workers finish together.
RANGE_BYTES = 8 << 20
_MOST_ROWS = 65_536

Bound = Optional[tuple[Any, ...]]


@dataclass(frozen=True)
class Range:
    """Rows of ``table`` with low ≤ key < high; None is open. The key is the rowid or, without one, the primary key."""

    table: str
    number: int
    low: Bound
    high: Bound


def key_columns(table: PlanTable) -> tuple[str, ...]:
    """The columns that a table is cut along."""
    return (table.rowid,) if table.rowid else table.primary_key


def plan_ranges(connection: sqlite3.Connection, table: PlanTable, size: int = RANGE_BYTES) -> list[Range]:
    """Cut ``table`` by its rows as they are now. The ranges cover every key, also those that no row has yet."""
    with explained(connection):
        return _cut(connection, table, size)


def _cut(connection: sqlite3.Connection, table: PlanTable, size: int) -> list[Range]:
    count = connection.execute(f"SELECT count(*) FROM {quote(table.name)}").fetchone()[0]
    each = table.bytes / table.rows if table.rows else 0
    step = max(1, min(_MOST_ROWS, int(size / each) if each else _MOST_ROWS))
    columns = key_columns(table)
    keys = ", ".join(quote(name) for name in columns)
    bounds: list[Bound] = [None]
    at: Bound = None
    while count > step * len(bounds):
        where, values = _where(columns, at, None)
        found = connection.execute(
            f"SELECT {keys} FROM {quote(table.name)} {where} ORDER BY {keys} LIMIT 1 OFFSET ?",
            (*values, step),
        ).fetchone()
        if found is None:
            break
        at = tuple(found)
        bounds.append(at)
    bounds.append(None)
    return [Range(table.name, number, low, high) for number, (low, high) in enumerate(zip(bounds, bounds[1:]))]


def _where(columns: Sequence[str], low: Bound, high: Bound) -> tuple[str, list[Any]]:
    """The WHERE clause of low ≤ key < high and the values to bind."""
    conditions: list[str] = []
    values: list[Any] = []
    row = ", ".join(quote(name) for name in columns)
    for bound, operator in ((low, ">="), (high, "<")):
        if bound is not None:
            marked = [parameter(value) for value in bound]
            conditions.append(f"({row}) {operator} ({', '.join(mark for mark, _ in marked)})")
            values += [value for _, value in marked]
    return f"WHERE {' AND '.join(conditions)}" if conditions else "", values


def parameter(value: Any) -> tuple[str, Any]:
    """How a key is bound with its storage class."""
    if not isinstance(value, bytearray):
        return "?", value
    try:
        return "?", value.decode()
    except UnicodeDecodeError:
        # The plus takes away the affinity that CAST lends, which would turn the integers of a column without
        # affinity into text for the comparison.
        return "+CAST(? AS TEXT)", bytes(value)


def read(
    connection: sqlite3.Connection, table: PlanTable, piece: Range, with_key: bool = False
) -> Iterator[tuple[Any, ...]]:
    """The rows of a range in the order of the key: the plan's columns; ``with_key`` puts the key in front.

    The connection's text_factory must be bytearray. Raises SourceError.
    """
    with explained(connection):
        yield from select(connection, table, piece, with_key)


def select(
    connection: sqlite3.Connection, table: PlanTable, piece: Range, with_key: bool = False
) -> Iterator[tuple[Any, ...]]:
    """As ``read``, without a step in Python for each row: SQLite's errors are ``explained`` by who reads the rows."""
    columns = key_columns(table)
    where, values = _where(columns, piece.low, piece.high)
    names = [quote(column.name) for column in table.columns]
    if with_key:
        names = [quote(name) for name in columns] + names
    order = ", ".join(quote(name) for name in columns)
    query = f"SELECT {', '.join(names)} FROM {quote(table.name)} {where} ORDER BY {order}"
    return connection.execute(query, values)


class Rows:
    """The rows of a range, with the rowid of the one that was read last (None for a table without one)."""

    def __init__(self, connection: sqlite3.Connection, table: PlanTable, piece: Range) -> None:
        self.rowid: int | None = None
        self._read = read(connection, table, piece, with_key=True)
        self._keys = len(key_columns(table))
        self._has_rowid = table.rowid is not None

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self._read:
            if self._has_rowid:
                self.rowid = row[0]
            yield row[self._keys :]


@contextlib.contextmanager
def explained(connection: sqlite3.Connection) -> Iterator[None]:
    """Turn an error of SQLite, such as a damaged page in the middle of a table, into one that names the file."""
    try:
        yield
    except ERRORS as error:
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        raise explain(bytes(path).decode("utf-8", "replace") if not isinstance(path, str) else path, error) from None


def dump(bound: Bound) -> str | None:
    """A bound as text for the record of ranges, storage classes kept."""
    if bound is None:
        return None
    parts: list[list[str]] = []
    for value in bound:
        if isinstance(value, int):
            parts.append(["i", str(value)])
        elif isinstance(value, float):
            parts.append(["r", value.hex()])
        else:
            parts.append(["t" if isinstance(value, bytearray) else "b", base64.b64encode(value).decode()])
    return json.dumps(parts)


def load(text: str | None) -> Bound:
    """The bound that ``dump`` wrote."""
    if text is None:
        return None
    values: list[Any] = []
    for kind, part in json.loads(text):
        if kind == "i":
            values.append(int(part))
        elif kind == "r":
            values.append(float.fromhex(part))
        else:
            raw = base64.b64decode(part)
            values.append(bytearray(raw) if kind == "t" else raw)
    return tuple(values)
