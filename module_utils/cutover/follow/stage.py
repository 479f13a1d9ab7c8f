# SPDX-License-Identifier: GPL-3.0-or-later
"""One table on its way: changed rows and vanished keys in temporary tables, and the statements that go from there.

The temporary tables live as long as the session, so that hours of batches leave nothing behind in the catalog; the next batch
empties those that it uses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from .. import quarantine
from ..capture import changes as capture
from ..capture.changes import Key
from ..copystream import CopyStream
from ..errors import CutoverError, Refused
from ..packer import Packer, Row, refuse_row, row_name
from ..plan.model import Plan, PlanTable
from ..ranges import Range, Rows
from ..target.connect import explain, first_line, qualified, quote
from ..target.rows import escaped, only_here
from .catalog import Facts

#: The column of the temporary table that keeps the order of the rows.
NUMBER = '"pg-cutover stage number"'
_NUMBERS = "pgcutover_numbers"
#: Rows after which a temporary table is truncated.
_TRUNCATED_AT = 5_000
#: Codecs under which different stored keys never become equal ones.
_INJECTIVE = ("integer", "uuid_key", "blob")


def temporary(cursor: Any) -> set[str]:
    """The temporary tables that this session has."""
    cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r', 'S')")
    return {name for (name,) in cursor.fetchall()}


@contextlib.contextmanager
def hashing(cursor: Any) -> Iterator[None]:
    """For statements that join whole tables."""
    cursor.execute("SET LOCAL enable_hashjoin = on")
    yield
    cursor.execute("SET LOCAL enable_hashjoin = off")


@dataclass
class Staged:
    """What a batch holds of a table: the keys of the rows, in their order, the keys that have none, rows for the quarantine."""

    rows: list[Key] = field(default_factory=list)
    gone: list[Key] = field(default_factory=list)
    aside: list[quarantine.Held] = field(default_factory=list)
    #: Keys of all rows that the source has, those for the quarantine too.
    there: list[Key] = field(default_factory=list)


class Stage:
    """The temporary tables of one table, and the statements that use them."""

    def __init__(self, plan: Plan, table: PlanTable, facts: Facts) -> None:
        self.table = table
        self.sent = table.sent
        self.target = qualified(plan.schema, table.target)
        self.name = (plan.schema, table.target)
        number = plan.tables.index(table)
        self.row_table, self.gone_table = f"pgcutover_rows_{number}", f"pgcutover_gone_{number}"
        self.rows, self.gone = f"pg_temp.{self.row_table}", f"pg_temp.{self.gone_table}"
        self.packer = Packer(self.sent)
        columns = {column.name: column for column in self.sent.columns}
        if not set(table.key) <= set(columns):
            raise Refused(f"table {table.name}: its key is computed by PostgreSQL, so its changes cannot be followed.")
        keys = [columns[name] for name in table.key]
        self._key_at = [self.sent.columns.index(column) for column in keys]
        self._keys = Packer(replace(self.sent, columns=tuple(keys))) if keys else None
        #: Rows that were put into the temporary tables since they were truncated, or may have been.
        self._used = 1
        self._own = plan.own
        self._quarantines = bool(quarantine.columns(self.sent))
        self._mixes = any(column.codec not in _INJECTIVE or column.collation for column in keys)
        self.key_names = [quote(column.target) for column in keys]
        self.names = [quote(column.target) for column in self.sent.columns]
        self._keep = only_here(plan, table) if table.seeded == "keep" else None
        listed, key = ", ".join(self.names), ", ".join(self.key_names)
        fixed = {quote(column) for name, column in facts.always_identity if name == table.target}
        # The key too: what is equal to PostgreSQL may still differ in its bytes.
        written = [name for name in self.names if name not in fixed]
        sets = ", ".join(f"{name} = excluded.{name}" for name in written)
        insert = (
            f"INSERT INTO {self.target} AS t ({listed}) OVERRIDING SYSTEM VALUE SELECT {listed} FROM {self.rows} AS s"
        )
        self.insert_all = insert
        self.upsert = (
            f"{insert} ON CONFLICT ({key}) DO UPDATE SET {sets}" if sets else f"{insert} ON CONFLICT DO NOTHING"
        )
        missing = f"NOT EXISTS (SELECT FROM {self.target} AS t WHERE {self.same('t', 's')})"
        self._some = f" AND s.{NUMBER} = ANY(%s)"
        self.insert_some = escaped(f"{insert} WHERE {missing}") + self._some
        assigned = ", ".join(f"{name} = s.{name}" for name in written)
        update = f"UPDATE {self.target} AS t SET {assigned} FROM {self.rows} AS s WHERE {self.same('t', 's')}"
        self.update_some = escaped(update) + self._some if written else None
        kept = f" AND NOT EXISTS (SELECT FROM {self._keep} AS k WHERE {self.same('k', 'g')})" if self._keep else ""
        self.delete = f"DELETE FROM {self.target} AS t USING {self.gone} AS g WHERE {self.same('t', 'g')}{kept}"

    def same(self, one: str, other: str) -> str:
        """The condition that two rows have the same key."""
        return " AND ".join(f"{one}.{name} = {other}.{name}" for name in self.key_names) or "false"

    def insert_without(self, empty: Iterable[str]) -> str:
        """The statement that inserts some missing rows with NULL in some columns."""
        left = {quote(name) for name in empty}
        listed = ", ".join(self.names)
        values = ", ".join("NULL" if name in left else name for name in self.names)
        missing = f"NOT EXISTS (SELECT FROM {self.target} AS t WHERE {self.same('t', 's')})"
        sql = f"INSERT INTO {self.target} ({listed}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {self.rows} AS s"
        return escaped(f"{sql} WHERE {missing}") + self._some

    def create(self, cursor: Any, there: set[str]) -> None:
        """Make the temporary tables, where this session does not have them yet, and see that they are empty."""
        if self.row_table in there:
            self._empty(cursor)
            return
        if _NUMBERS not in there:
            cursor.execute(f"CREATE TEMPORARY SEQUENCE {_NUMBERS} CACHE 1000")
            there.add(_NUMBERS)
        made = [(self.row_table, self.names)] + ([(self.gone_table, self.key_names)] if self.key_names else [])
        for name, columns in made:
            cursor.execute(
                f"CREATE TEMPORARY TABLE {name} AS SELECT {', '.join(columns)} FROM {self.target} WITH NO DATA"
            )
        default = f"DEFAULT nextval('pg_temp.{_NUMBERS}')"
        cursor.execute(f"ALTER TABLE {self.rows} ADD COLUMN {NUMBER} bigint {default}")
        self._used = 0

    def _empty(self, cursor: Any) -> None:
        """Deleted rows have to be read past until the table is truncated, which is dear for a few."""
        if self._used:
            tables = [self.rows] + ([self.gone] if self.key_names else [])
            if self._used > _TRUNCATED_AT:
                cursor.execute(f"TRUNCATE {', '.join(tables)}")
                self._used = 0
            else:
                cursor.execute("; ".join(f"DELETE FROM {name}" for name in tables))

    def fill(self, source: Any, cursor: Any, keys: Sequence[Key]) -> Staged:
        """Put the rows that the source has of these keys, and the keys that it has no row of, into the temporary tables."""
        staged = Staged()
        left = {capture.identity(key): key for key in keys}

        def noted(rows: Iterable[Row]) -> Iterator[Row]:
            for row in rows:
                key = tuple(row[at] for at in self._key_at)
                left.pop(capture.identity(key), None)
                staged.there.append(key)
                yield row

        def refused(row: Row) -> None:
            one = quarantine.held(self.packer, row, None) if self._quarantines else None
            if one is None:
                refuse_row(self.packer, row)
            else:
                staged.aside.append(one)

        # Closed whatever happens: an open cursor would keep the read transaction.
        with contextlib.closing(cast("Generator[Row, None, None]", capture.rows(source, self.table, keys))) as rows:
            self._copy(cursor, self.rows, self.names, self.packer.chunks(noted(rows), refused))
        aside = {capture.identity(tuple(one.row[at] for at in self._key_at)) for one in staged.aside}
        staged.rows = [key for key in staged.there if capture.identity(key) not in aside] if aside else staged.there
        # A row that goes to quarantine leaves its table.
        staged.gone = [*left.values(), *(key for key in staged.there if aside and capture.identity(key) in aside)]
        if staged.gone and self._keys is not None:
            # A key that is refused was never sent.
            self._copy(cursor, self.gone, self.key_names, self._keys.chunks(staged.gone, lambda _row: None))
            if self._mixes and staged.rows:
                with hashing(cursor):
                    cursor.execute(f"DELETE FROM {self.gone} AS g USING {self.rows} AS s WHERE {self.same('g', 's')}")
        if self._keep and staged.rows:
            cursor.execute(f"DELETE FROM {self._keep} AS k USING {self.rows} AS s WHERE {self.same('k', 's')}")
        if self._quarantines:
            self._release(cursor, keys)
            quarantine.copy(cursor, self._own, self.sent, staged.aside)
        return staged

    def _release(self, cursor: Any, keys: Sequence[Key]) -> None:
        """Take rows out of the quarantine whose state in there is no longer theirs."""
        width = len(self.sent.columns)
        names, stored = [], []
        for key in keys:
            row: list[Any] = [None] * width
            for at, value in zip(self._key_at, key):
                row[at] = value
            names.append(quarantine.shown(row_name(self.sent, tuple(row))))
            stored.append(quarantine.text(self.table.key, key))
        cursor.execute(
            f"DELETE FROM {quarantine.table_of(self._own)} AS q USING unnest(%s::text[], %s::jsonb[]) AS k(key, stored)"
            " WHERE q.table_name = %s AND q.key = k.key AND q.stored @> k.stored",
            (names, stored, self.table.name),
        )

    def fill_whole(self, source: Any, cursor: Any) -> None:
        """Put all rows of a table without a key into the temporary table."""
        rows = Rows(source, self.sent, Range(self.table.name, 0, None, None))
        aside: list[quarantine.Held] = []

        def refused(row: Row) -> None:
            one = quarantine.held(self.packer, row, rows.rowid) if self._quarantines else None
            if one is None:
                refuse_row(self.packer, row)
            else:
                aside.append(one)

        self._copy(cursor, self.rows, self.names, self.packer.chunks(rows, refused))
        if self._quarantines:
            cursor.execute(f"DELETE FROM {quarantine.table_of(self._own)} WHERE table_name = %s", (self.table.name,))
            quarantine.copy(cursor, self._own, self.sent, aside)

    def delete_whole(self, cursor: Any) -> int:
        """Delete the rows of a table without a key that the source no longer has, as often as it has them; how many."""
        with hashing(cursor):
            cursor.execute(
                f"{self._both()} DELETE FROM {self.target} WHERE ctid IN"
                " (SELECT o.at FROM old AS o LEFT JOIN new AS n ON o.form = n.form AND o.nth = n.nth WHERE n.at IS NULL)"
            )
            count = int(cursor.rowcount)
        return count

    def insert_whole(self, cursor: Any) -> int:
        """Insert those that the target does not have, as often as it lacks them; how many."""
        listed = ", ".join(self.names)
        with hashing(cursor):
            cursor.execute(
                f"{self._both()} INSERT INTO {self.target} ({listed}) OVERRIDING SYSTEM VALUE"
                f" SELECT {listed} FROM {self.rows} WHERE ctid IN"
                " (SELECT n.at FROM new AS n LEFT JOIN old AS o ON o.form = n.form AND o.nth = n.nth WHERE o.at IS NULL)"
            )
            count = int(cursor.rowcount)
        return count

    def _both(self) -> str:
        """The rows of both sides by their form, equal ones numbered."""

        def numbered(table: str) -> str:
            return (
                "SELECT at, form, row_number() OVER (PARTITION BY form ORDER BY at) AS nth FROM"
                f" (SELECT ctid AS at, ROW({', '.join(self.names)})::text AS form FROM {table}) AS forms"
            )

        return f"WITH old AS MATERIALIZED ({numbered(self.target)}), new AS MATERIALIZED ({numbered(self.rows)})"

    def _copy(self, cursor: Any, table: str, columns: Sequence[str], chunks: Iterator[tuple[bytes, int]]) -> None:
        stream = CopyStream(chunks)
        self._used += 1
        try:
            cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN WITH (FORMAT binary)", stream)
        except cursor.connection.Error as error:
            if isinstance(stream.error, CutoverError):
                raise stream.error from None
            if (error.pgcode or "").startswith("22"):
                context = getattr(error.diag, "context", None) or ""
                raise Refused(
                    f"table {self.table.name}: PostgreSQL does not take a value: {first_line(error)}. {context}".rstrip()
                ) from None
            if error.pgcode is None:
                raise
            raise explain(error, f"table {self.table.name}") from None
        self._used += stream.rows

    def key_at(self, cursor: Any, number: int) -> str:
        """The key of a row of the temporary table for a person, as PostgreSQL shows it."""
        listed = ", ".join(f"{name}::text" for name in self.key_names)
        cursor.execute(f"SELECT {listed} FROM {self.rows} WHERE {NUMBER} = {number:d}")
        values = cursor.fetchone()
        return row_name_of(self.table, values) if values else "?"


def row_name_of(table: PlanTable, values: Sequence[Any]) -> str:
    """The key of a row for a person, from its texts."""
    shown = ", ".join("NULL" if value is None else str(value)[:80] for value in values)
    return f"{table.key[0]}={shown}" if len(table.key) == 1 else f"({', '.join(table.key)})=({shown})"
