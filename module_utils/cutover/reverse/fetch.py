# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of PostgreSQL by their keys, with each value as its codec takes it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Optional

from ..errors import NoWayBack
from ..idmap import restore_sql
from ..plan.codec import codec_of
from ..plan.model import Plan, PlanColumn, PlanTable
from ..target.connect import qualified, quote
from ..target.rows import escaped, only_here
from .changes import Key

#: Bytes of rows that are asked for at once, by what rows of the table took when it was profiled.
_BYTES = 4 << 20
_MOST_KEYS = 1_000

Texts = tuple[Optional[str], ...]


class Field(NamedTuple):
    """A value. text: as ``restore`` of the codec reads it. uuid: of keys that became UUIDs, the UUID itself."""

    text: str | None
    uuid: str | None


class Fetched(NamedTuple):
    """What became of a key. key: its columns. row: the columns that travel, None when no row has it."""

    key: tuple[Field, ...]
    row: tuple[Field, ...] | None


class Fetch:
    """The queries of one table. types: the types of its columns as PostgreSQL names them."""

    def __init__(self, plan: Plan, table: PlanTable, types: dict[str, str]) -> None:
        self.table = table
        self.columns = table.sent.columns
        missing = [column.target for column in table.columns if column.target not in types]
        if missing:
            raise NoWayBack(
                f"table {table.target}: the column {', '.join(missing)} is gone from PostgreSQL, so its rows cannot go back. "
                "Undo that change of the schema."
            )
        self._keys = [table.column(name) for name in table.key]
        self._own = plan.own
        self._target = qualified(plan.schema, table.target)
        self._only_here = only_here(plan, table) if table.seeded == "keep" else None
        each = table.bytes / table.rows if table.rows and table.bytes else 1_000
        self._step = max(1, min(_MOST_KEYS, int(_BYTES / each)))
        self._sent = [column.key_of is not None for column in self.columns]
        self._row = ", ".join(self._fields(column, f"t.{quote(column.target)}") for column in self.columns)
        self._canonical = ", ".join(
            f"({codec_of(column).canonical_sql(f't.{quote(column.target)}', column.type)})::text"
            for column in self.columns
        )
        kept = "false" if self._only_here is None else f"EXISTS (SELECT FROM {self._only_here} AS h WHERE {{same}})"
        if not self._keys:
            return
        # The keys under names that no column of the table has: an expression without a table means that of the table.
        names = [f'"pg-cutover key {number}"' for number in range(len(self._keys))]
        arrays = ", ".join("%s::text[]" for _ in names)
        casts = ", ".join(
            f"u.k{number}::{types[column.target]} AS {name}"
            for number, (column, name) in enumerate(zip(self._keys, names))
        )
        self._asked = [column.key_of is not None for column in self._keys]
        keys = [quote(column.target) for column in self._keys]
        asked = ", ".join(self._fields(column, f"k.{name}") for column, name in zip(self._keys, names))
        found = ", ".join(f"k{number}" for number in range(len(names)))
        same = " AND ".join(f"t.{key} = k.{name}" for key, name in zip(keys, names))
        here = " AND ".join(f"h.{key} = k.{name}" for key, name in zip(keys, names))
        self._by_key = [
            f"SELECT k.n, {escaped(kept.format(same=here))}, {escaped(asked)}, r.* FROM (SELECT u.n, {escaped(casts)}"
            f" FROM unnest({arrays}) WITH ORDINALITY AS u({found}, n)) AS k"
            f' LEFT JOIN LATERAL (SELECT true AS "pg-cutover there", {escaped(row)} FROM {escaped(self._target)} AS t'
            f" WHERE {escaped(same)}) AS r ON true"
            for row in (self._row, self._canonical)
        ]
        self._forget = ""
        if self._only_here is not None:
            same = " AND ".join(
                f"h.{key} = u.k{number}::{types[column.target]}"
                for number, (key, column) in enumerate(zip(keys, self._keys))
            )
            self._forget = (
                f"DELETE FROM {escaped(self._only_here)} AS h USING unnest({arrays}) AS u({found})"
                f" WHERE {escaped(same)}"
            )
        kept_here = " AND ".join(f"h.{key} = t.{key}" for key in keys)
        self._except = f" WHERE NOT {kept.format(same=kept_here)}" if self._only_here else ""

    def _fields(self, column: PlanColumn, expression: str) -> str:
        uuid = f", ({expression})::text" if column.key_of is not None else ""
        return f"({restore_sql(self._own, column, expression)})::text{uuid}"

    def by_keys(self, cursor: Any, keys: Sequence[Key], canonical: bool = False) -> Iterator[Fetched]:
        """What became of keys, in any order; rows that do not travel are left out.

        canonical: the rows as their canonical texts.
        """
        sent = [False] * len(self._sent) if canonical else self._sent
        gone: list[Key] = []
        width = len(self._asked) + sum(self._asked) + 2
        for start in range(0, len(keys), self._step):
            some = keys[start : start + self._step]
            cursor.execute(self._by_key[canonical], [list(column) for column in zip(*some)])
            for found in cursor.fetchall():
                number, kept, there = found[0], found[1], found[width]
                if not kept:
                    row = _fields_of(found[width + 1 :], sent) if there else None
                    yield Fetched(_fields_of(found[2:width], self._asked), row)
                elif not there:
                    gone.append(some[number - 1])
        if gone:
            # What the application deleted it may insert anew: that row is its own.
            cursor.execute(self._forget, [list(column) for column in zip(*gone)])

    def every(self, connection: Any, canonical: bool = False) -> Iterator[tuple[Field, ...]]:
        """Every row that travels; canonical: as canonical texts."""
        where = self._except if self._keys else ""
        with connection.cursor(name="pg_cutover_reverse") as cursor:
            cursor.itersize = self._step
            cursor.execute(f"SELECT {self._canonical if canonical else self._row} FROM {self._target} AS t{where}")
            for row in cursor:
                yield _fields_of(row, [False] * len(row) if canonical else self._sent)


def _fields_of(values: Sequence[Any], with_uuid: Sequence[bool]) -> tuple[Field, ...]:
    """Values in the order of their columns, of which some are followed by their UUID."""
    rest = iter(values)
    return tuple(Field(next(rest), next(rest) if one else None) for one in with_uuid)
