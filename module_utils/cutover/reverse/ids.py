# SPDX-License-Identifier: GPL-3.0-or-later
"""UUIDs on their way back to integer keys: those of rows that were made in PostgreSQL get integers of their own.

What was given is kept in the source, in the transaction that writes the rows: PostgreSQL may lose its part of a batch
that SQLite has, and the same UUID must get the same integer again.
"""

from __future__ import annotations

import sqlite3
from typing import Any
from uuid import UUID

from ..codecs.keys import GIVEN
from ..idmap import GIVEN_IDS, copy_orphans, load_given, map_of, mapped, orphans_of, unproven
from ..plan.model import Plan, PlanColumn, PlanTable
from ..source.sqltokens import quote as quote_source

_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {GIVEN_IDS} (key_of TEXT NOT NULL, id INTEGER NOT NULL, uuid TEXT)",
    f"CREATE UNIQUE INDEX IF NOT EXISTS {GIVEN_IDS}_uuid ON {GIVEN_IDS} (key_of, uuid)",
)


class Ids:
    """The integers of one batch. Does nothing for a plan without UUIDs."""

    def __init__(self, plan: Plan, source: sqlite3.Connection, cursor: Any, load: bool = True) -> None:
        """load: take in what was given before; needed once a process, and after a batch that failed."""
        self._plan = plan
        self._source = source
        self._cursor = cursor
        self._maps = {table.name: table for table in mapped(plan)}
        self._next: dict[str, int] = {}
        #: By table: what was given, UUID → integer.
        self._given: dict[str, dict[str, int]] = {}
        self._there: dict[str, list[tuple[int, str]]] = {}
        self._gone: dict[str, list[str]] = {}
        self._touched: set[str] = set()
        if self._maps:
            for statement in _CREATE:
                source.execute(statement)
            if load:
                load_given(source, plan)

    def text(self, column: PlanColumn, uuid: str) -> str:
        """The digits of the integer for a UUID that no map of PostgreSQL has."""
        name = str(column.key_of)
        given = self._given.setdefault(name, {})
        if uuid not in given:
            row = self._source.execute(
                f"SELECT id FROM {GIVEN_IDS} WHERE key_of = ? AND uuid = ?", (name, uuid)
            ).fetchone()
            if row is not None:
                given[uuid] = row[0]
        if uuid not in given:
            number = given[uuid] = self._above(name)
            self._next[name] = number + 1
            self._source.execute(f"INSERT INTO {GIVEN_IDS} VALUES (?, ?, ?)", (name, number, uuid))
            namespace = self._maps[name].uuid_key
            assert namespace is not None
            # What is written next is compared by its canonical form, which has to know.
            GIVEN[UUID(namespace.key_namespace)][number] = uuid
        return str(given[uuid])

    def has(self, table: PlanTable, number: int, uuid: str) -> None:
        """A row of the table has this key now."""
        self._there.setdefault(table.name, []).append((number, uuid))

    def gone(self, table: PlanTable, number: int, uuid: str) -> None:
        """No row of the table has this key any more. Its integer is never given again."""
        self._above(table.name)
        # Rows that referred to it may be replayed later, and are found by it.
        self._source.execute(f"INSERT OR IGNORE INTO {GIVEN_IDS} VALUES (?, ?, ?)", (table.name, number, uuid))
        self._gone.setdefault(table.name, []).append(uuid)

    def touch(self, table: PlanTable) -> None:
        """Rows of this table were replayed."""
        self._touched.add(table.name)

    def settle(self) -> None:
        """Bring PostgreSQL's maps to what the rows are now, when all tables of the batch are done."""
        for name, table in self._maps.items():
            own = table.uuid_key
            assert own is not None
            target = map_of(self._plan.own, name)
            if name in self._gone:
                self._cursor.execute(f"DELETE FROM {target} WHERE new = ANY(%s::{own.type}[])", (self._gone[name],))
            there = self._there.get(name, [])
            if there:
                self._cursor.execute(
                    f"INSERT INTO {target} (old, new) SELECT * FROM unnest(%s::bigint[], %s::{own.type}[])"
                    " ON CONFLICT DO NOTHING",
                    ([number for number, _ in there], [uuid for _, uuid in there]),
                )
            if name in self._next:
                # The highest ever used, which may be that of a row that is gone.
                self._source.execute(f"DELETE FROM {GIVEN_IDS} WHERE key_of = ? AND uuid IS NULL", (name,))
                self._source.execute(f"INSERT INTO {GIVEN_IDS} VALUES (?, ?, NULL)", (name, self._next[name] - 1))
        loose = unproven(self._plan)
        if any(table.name in self._touched or column.key_of in self._touched for table, column in loose):
            copy_orphans(self._source, self._cursor, self._plan)

    def _above(self, name: str) -> int:
        """The next integer of a table, above every one that it ever used."""
        if name not in self._next:
            table = self._maps[name]
            own = table.uuid_key
            assert own is not None
            key = quote_source(own.name)
            used = [table.sequence_last, self._sequence(name)]
            used += self._source.execute(f"SELECT max(CAST({key} AS INTEGER)) FROM {quote_source(name)}").fetchone()
            used += self._source.execute(f"SELECT max(id) FROM {GIVEN_IDS} WHERE key_of = ?", (name,)).fetchone()
            self._cursor.execute(
                f"SELECT (SELECT max(old) FROM {map_of(self._plan.own, name)}),"
                f" (SELECT max(old) FROM {orphans_of(self._plan.own)} WHERE key_of = %s)",
                (name,),
            )
            used += self._cursor.fetchone()
            self._next[name] = max([0, *(number for number in used if number is not None)]) + 1
        return self._next[name]

    def _sequence(self, name: str) -> int | None:
        source = self._source
        if not source.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone()[0]:
            return None
        found = source.execute(
            "SELECT max(seq) FROM sqlite_sequence WHERE name = ? AND typeof(seq) = 'integer'", (name,)
        ).fetchone()[0]
        return None if found is None else int(found)
