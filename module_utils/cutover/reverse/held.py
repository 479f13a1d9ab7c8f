# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of the source as a replay reads and writes it: row by row, by its key, in the form in which values are stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..plan.model import PlanTable
from ..ranges import parameter
from ..source.sqltokens import quote

#: Values as they are bound (str for text) or as they were read (bytearray for text).
Values = Sequence[Any]


class Found(NamedTuple):
    """A row: what addresses it (rowid or primary key), and the values of the columns that travel, as they are stored."""

    identity: tuple[Any, ...]
    values: tuple[Any, ...]


class Held:
    """The statements of one table. text_factory of every connection is bytearray."""

    def __init__(self, source: sqlite3.Connection, table: PlanTable) -> None:
        self.table = table
        self.columns = table.sent.columns
        self._name = quote(table.name)
        info = source.execute(f"PRAGMA table_xinfo({self._name})").fetchall()
        # The others are generated: SQLite computes them.
        self._all = [bytes(row[1]).decode() for row in info if row[6] == 0]
        self.writable = {column.name for column in self.columns} & set(self._all)
        address = (table.rowid,) if table.rowid else table.primary_key
        self._address = [quote(name) for name in address]
        self._rowid = table.rowid if table.rowid and table.rowid not in self._all else None
        sent = ", ".join(quote(column.name) for column in self.columns)
        self._select = f"SELECT {', '.join(self._address)}, {sent} FROM {self._name}"

    def find(self, source: sqlite3.Connection, key: Values) -> Found | None:
        """The row with this key, text compared byte by byte whatever the column's collation."""
        marks = [parameter(value) for value in key]
        where = " AND ".join(
            # The first finds the row by the index, which may take other texts for equal.
            f"{quote(name)} = {mark} AND {quote(name)} = {mark} COLLATE BINARY"
            for name, (mark, _) in zip(self.table.key, marks)
        )
        bound = [value for _, value in marks for _ in range(2)]
        row = source.execute(f"{self._select} WHERE {where}", bound).fetchone()
        return None if row is None else self._found(row)

    def rows(self, source: sqlite3.Connection) -> Iterator[Found]:
        """Every row. The table must not be changed meanwhile."""
        return map(self._found, source.execute(self._select))

    def _found(self, row: tuple[Any, ...]) -> Found:
        return Found(row[: len(self._address)], row[len(self._address) :])

    def update(self, source: sqlite3.Connection, identity: Values, changed: Mapping[str, Any]) -> None:
        """Set some columns of a row. ABORT whatever the table says becomes of a conflict: nothing else may be deleted."""
        marks = [parameter(value) for value in changed.values()]
        sets = ", ".join(f"{quote(name)} = {mark}" for name, (mark, _) in zip(changed, marks))
        where, bound = self._where(identity)
        source.execute(
            f"UPDATE OR ABORT {self._name} SET {sets} WHERE {where}", [*(value for _, value in marks), *bound]
        )

    def insert(self, source: sqlite3.Connection, values: Mapping[str, Any]) -> None:
        """A new row from column → value; columns that are not named get their defaults."""
        marks = [parameter(value) for value in values.values()]
        names = ", ".join(quote(name) for name in values)
        source.execute(
            f"INSERT OR ABORT INTO {self._name} ({names}) VALUES ({', '.join(mark for mark, _ in marks)})",
            [value for _, value in marks],
        )

    def delete(self, source: sqlite3.Connection, identity: Values) -> None:
        """Delete a row."""
        where, bound = self._where(identity)
        source.execute(f"DELETE FROM {self._name} WHERE {where}", bound)

    def whole(self, source: sqlite3.Connection, identity: Values) -> dict[str, Any]:
        """Everything that a row consists of, its rowid and what does not travel too: ``insert`` makes the same row of it."""
        where, bound = self._where(identity)
        names = [*([self._rowid] if self._rowid else []), *self._all]
        row = source.execute(f"SELECT {', '.join(map(quote, names))} FROM {self._name} WHERE {where}", bound).fetchone()
        return dict(zip(names, row))

    def _where(self, identity: Values) -> tuple[str, list[Any]]:
        marks = [parameter(value) for value in identity]
        parts = [f"{name} = {mark}" for name, (mark, _) in zip(self._address, marks)]
        if not self.table.rowid:
            parts += [f"{part} COLLATE BINARY" for part in parts]
            return " AND ".join(parts), [value for _, value in marks] * 2
        return " AND ".join(parts), [value for _, value in marks]


def as_read(value: Any) -> Any:
    """A value to be bound, as it would be read again: text undecoded."""
    return bytearray(value.encode()) if isinstance(value, str) else value
