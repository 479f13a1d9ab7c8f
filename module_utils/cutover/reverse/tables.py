# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing the rows of one table of the source to what they are in PostgreSQL.

Columns whose value did not change keep the form in which they are stored: what differs is told by canonical texts. No
row is deleted for the sake of another: one that stands in the way of a unique value is taken out and put back as it was.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import Finding, NoWayBack, Unfit, sample
from ..packer import Row, row_name
from ..plan.model import Plan, PlanTable
from ..quarantine import Sieve
from ..source.sqltokens import has_autoincrement
from .changes import Key
from .columns import UNREADABLE, Canon, Column, LooseKeys, Wanted
from .fetch import Fetch, Field
from .held import Found, Held
from .ids import Ids

_REFUSED = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError)


class Clash(NoWayBack):
    """A unique value is still held by a row that is not among those to be replayed, but may be among those that wait."""


class Table:
    """Replays one table. sequences: (column, sequence) of PostgreSQL from which new keys come."""

    def __init__(self, plan: Plan, table: PlanTable, source: sqlite3.Connection, types: dict[str, str]) -> None:
        self.table = table
        self.held = Held(source, table)
        self.fetch = Fetch(plan, table, types)
        self.columns = [Column(column) for column in table.sent.columns]
        self._keys = [Column(table.column(name)) for name in table.key]
        self._at = {column.name: at for at, column in enumerate(self.columns)}
        self._sieve = Sieve(table.sent)
        self._own = table.uuid_key
        row = source.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table.name,)
        ).fetchone()
        sql = bytes(row[0]).decode("utf-8", "replace") if row and not isinstance(row[0], str) else row[0]
        self.autoincrement = has_autoincrement(sql)
        self._loose = LooseKeys(self._keys, self.held)

    # ------------------------------------------------------------ by key

    def replay(self, source: sqlite3.Connection, cursor: Any, keys: Sequence[Key], ids: Ids) -> tuple[int, int]:
        """Bring the rows of these keys to what they are; (rows written, rows deleted). Raises NoWayBack, Clash."""
        ids.touch(self.table)
        self._loose.look(source)
        written = deleted = 0
        stuck: list[Wanted] = []
        for one in self.fetch.by_keys(cursor, keys):
            key = self._key(one.key, ids)
            wanted = None if one.row is None else self._wanted(one.row, ids)
            if wanted is None or wanted.key != key:
                # A collation that ignores case finds the row under its new key, too.
                deleted += self._delete(source, key, one.key, ids)
            if wanted is not None:
                written += self._try(source, wanted, stuck, ids)
        return written + self._settle(source, stuck, ids), deleted

    # ------------------------------------------------------------ from end to end

    def refresh(self, source: sqlite3.Connection, cursor: Any, ids: Ids) -> tuple[int, int]:
        """Bring the whole table to what it is; (rows written, rows deleted). Raises NoWayBack, Clash."""
        ids.touch(self.table)
        self._loose.look(source)
        if not self.table.key:
            return self._refresh_keyless(source, cursor)
        written = 0
        stuck: list[Wanted] = []
        there: set[tuple[Canon, ...]] = set()
        at = [self._at[name] for name in self.table.key]
        for row in self.fetch.every(cursor.connection):
            wanted = self._wanted(row, ids)
            there.add(tuple(wanted.canon[i] for i in at))
            written += self._try(source, wanted, stuck, ids)
        surplus = [
            found
            for found in self.held.rows(source)
            if tuple(self.columns[i].mine(found.values[i]) for i in at) not in there
            and not self._sieve.holds(found.values)
        ]
        for found in surplus:
            if self._own is not None:
                self._forget(found, ids)
            self.held.delete(source, found.identity)
        return written + self._settle(source, stuck, ids), len(surplus)

    def _refresh_keyless(self, source: sqlite3.Connection, cursor: Any) -> tuple[int, int]:
        there: dict[tuple[Canon, ...], list[Found]] = {}
        for found in self.held.rows(source):
            if not self._sieve.holds(found.values):
                there.setdefault(tuple(map(Column.mine, self.columns, found.values)), []).append(found)
        new: list[Wanted] = []
        for row in self.fetch.every(cursor.connection):
            wanted = Wanted((), row, list(map(Column.canon, self.columns, row)))
            same = there.get(tuple(wanted.canon))
            if same:
                same.pop()
            else:
                new.append(wanted)
        surplus = [found for some in there.values() for found in some]
        for found in surplus:
            self.held.delete(source, found.identity)
        for wanted in new:
            values = {c.name: self._value(wanted, c) for c in self.columns if c.name in self.held.writable}
            try:
                self.held.insert(source, values)
            except _REFUSED as error:
                raise self._refused(wanted, error) from None
        return len(new), len(surplus)

    # ------------------------------------------------------------ one row

    def _key(self, fields: Sequence[Field], ids: Ids) -> tuple[Any, ...]:
        """The key in the form in which the source is looked through. Raises NoWayBack."""
        values = []
        for column, one in zip(self._keys, fields):
            text = one.text
            if text is None and one.uuid is not None:
                text = ids.text(column.plan, one.uuid)
            try:
                values.append(None if text is None else column.restore(text))
            except UNREADABLE as error:
                raise self._unreadable(column, text, None, error) from None
        return self._loose.stored(tuple(values))

    def _wanted(self, row: tuple[Field, ...], ids: Ids) -> Wanted:
        fields = tuple(
            Field(ids.text(column.plan, one.uuid), one.uuid) if one.text is None and one.uuid is not None else one
            for column, one in zip(self.columns, row)
        )
        key = self._key([fields[self._at[name]] for name in self.table.key], ids)
        return Wanted(key, fields, list(map(Column.canon, self.columns, fields)))

    def _value(self, wanted: Wanted, column: Column) -> Any:
        """The value of a column to be bound. Raises NoWayBack."""
        text = wanted.fields[self._at[column.name]].text
        if text is None:
            return None
        try:
            return column.restore(text)
        except UNREADABLE as error:
            raise self._unreadable(column, text, wanted, error) from None

    def _changed(self, wanted: Wanted, found: Found) -> dict[str, Any]:
        """The columns whose values are others, with these."""
        return {
            column.name: self._value(wanted, column)
            for column, stored, canon in zip(self.columns, found.values, wanted.canon)
            if column.name in self.held.writable and column.mine(stored) != canon
        }

    def _try(self, source: sqlite3.Connection, wanted: Wanted, stuck: list[Wanted], ids: Ids) -> int:
        """Write a row; one that a unique value of another keeps out is left in ``stuck``."""
        try:
            return self._write(source, wanted, ids)
        except sqlite3.IntegrityError as error:
            if not _is_unique(error):
                raise self._refused(wanted, error) from None
            stuck.append(wanted)
            return 0
        except _REFUSED as error:
            raise self._refused(wanted, error) from None

    def _write(self, source: sqlite3.Connection, wanted: Wanted, ids: Ids) -> int:
        found = self.held.find(source, wanted.key)
        if found is None:
            values = {c.name: self._value(wanted, c) for c in self.columns if c.name in self.held.writable}
            self.held.insert(source, values)
        else:
            values = self._changed(wanted, found)
            if self._sieve.holds(found.values):
                raise self._no_way(
                    wanted, None, "the source has a row with this key in quarantine, which would be overwritten"
                )
            if values:
                self.held.update(source, found.identity, values)
        if self._own is not None:
            self._keep(wanted, ids)
        if not values:
            return 0
        self._check(source, wanted)
        return 1

    def _settle(self, source: sqlite3.Connection, stuck: list[Wanted], ids: Ids) -> int:
        """Write the rows whose unique values others held: these have changed by now, or are among them."""
        written = 0
        while stuck:
            left: list[Wanted] = []
            for wanted in stuck:
                written += self._try(source, wanted, left, ids)
            if len(left) == len(stuck):
                return written + self._exchange(source, stuck, ids)
            stuck = left
        return written

    def _exchange(self, source: sqlite3.Connection, stuck: list[Wanted], ids: Ids) -> int:
        """Rows that hold one another's values are taken out first, and put back with everything that they had."""
        rows: list[tuple[Wanted, dict[str, Any], dict[str, Any]]] = []
        for wanted in stuck:
            found = self.held.find(source, wanted.key)
            if found is None:
                values = {c.name: self._value(wanted, c) for c in self.columns if c.name in self.held.writable}
                rows.append((wanted, {}, values))
            else:
                values = self._changed(wanted, found)
                rows.append((wanted, self.held.whole(source, found.identity), values))
                self.held.delete(source, found.identity)
        for wanted, before, values in rows:
            try:
                self.held.insert(source, {**before, **values})
            except sqlite3.IntegrityError as error:
                if _is_unique(error):
                    raise Clash(self._refused(wanted, error).message) from None
                raise self._refused(wanted, error) from None
            except _REFUSED as error:
                raise self._refused(wanted, error) from None
            if self._own is not None:
                self._keep(wanted, ids)
            self._check(source, wanted)
        return len(rows)

    def _delete(self, source: sqlite3.Connection, key: tuple[Any, ...], fields: Sequence[Field], ids: Ids) -> int:
        found = self.held.find(source, key)
        if found is None or self._sieve.holds(found.values):
            return 0
        if self._own is not None and fields[0].uuid is not None:
            ids.gone(self.table, int(key[0]), fields[0].uuid)
        self.held.delete(source, found.identity)
        self._loose.drop(key)
        return 1

    def _keep(self, wanted: Wanted, ids: Ids) -> None:
        assert self._own is not None
        one = wanted.fields[self._at[self._own.name]]
        if one.uuid is not None and one.text is not None:
            ids.has(self.table, int(one.text), one.uuid)

    def _forget(self, found: Found, ids: Ids) -> None:
        assert self._own is not None
        column = self.columns[self._at[self._own.name]]
        stored = found.values[self._at[self._own.name]]
        uuid = column.mine(stored)
        if uuid:
            ids.gone(self.table, int(stored), uuid.decode())

    # ------------------------------------------------------------ what cannot go back

    def _check(self, source: sqlite3.Connection, wanted: Wanted) -> None:
        """What was written is what PostgreSQL has: an affinity, a generated column may have made something else of it."""
        found = self.held.find(source, wanted.key)
        if found is None:
            raise self._no_way(wanted, None, "the row is not found under its key after it was written")
        for column, stored, canon, one in zip(self.columns, found.values, wanted.canon, wanted.fields):
            if not column.is_(stored, canon):
                reason = f"its value {sample(one.text)} cannot go back: the source would store it as {sample(stored)}"
                raise self._no_way(wanted, column, reason)
        if self._sieve.holds(found.values):
            raise self._no_way(wanted, None, "the plan would send it to quarantine")

    def _refused(self, wanted: Wanted, error: BaseException) -> NoWayBack:
        return self._no_way(wanted, None, f"SQLite refuses it: {error}")

    def _unreadable(self, column: Column, text: str | None, wanted: Wanted | None, error: BaseException) -> NoWayBack:
        reason = str(error) if isinstance(error, Unfit) else "it has no form in the source"
        return self._no_way(wanted, column, f"its value {sample(text)} cannot go back: {reason}")

    def _no_way(self, wanted: Wanted | None, column: Column | None, reason: str) -> NoWayBack:
        key = "" if wanted is None else self._name(wanted)
        where = (
            f"table {self.table.name}" + (f", column {column.name}" if column else "") + (f", row {key}" if key else "")
        )
        finding = Finding("error", reason, self.table.name, column.name if column else None, key or None)
        return NoWayBack(
            f"{where}: {reason}. Mend the row in PostgreSQL, or give up the way back; nothing of it was replayed.",
            [finding],
        )

    def _name(self, wanted: Wanted) -> str:
        if not self.table.key:
            return "(" + ", ".join("NULL" if f.text is None else f.text[:40] for f in wanted.fields) + ")"
        values: list[Any] = [None] * len(self.columns)
        for name, value in zip(self.table.key, wanted.key):
            values[self._at[name]] = value
        row: Row = tuple(values)
        return row_name(self.table.sent, row)

    # ------------------------------------------------------------ proof

    def different(self, source: sqlite3.Connection, cursor: Any, keys: Sequence[Key], ids: Ids) -> list[str]:
        """The names of rows of these keys that are not what PostgreSQL's own canonical texts say."""
        self._loose.look(source)
        found: list[str] = []
        for one in self.fetch.by_keys(cursor, keys, canonical=True):
            mine = self.held.find(source, self._key(one.key, ids))
            if mine is not None and self._sieve.holds(mine.values):
                mine = None
            if (mine is None) != (one.row is None) or (
                mine is not None
                and one.row is not None
                and not all(map(Column.is_, self.columns, mine.values, _canonical(one.row)))
            ):
                found.append(f"{self.table.name} ({', '.join(str(f.uuid or f.text) for f in one.key)})")
        return found

    def all_different(self, source: sqlite3.Connection, cursor: Any) -> list[str]:
        """The same for a table that was refreshed from end to end."""
        rows: Counter[tuple[Canon, ...]] = Counter()
        for found in self.held.rows(source):
            if not self._sieve.holds(found.values):
                rows[tuple(map(Column.mine, self.columns, found.values))] += 1
        for row in self.fetch.every(cursor.connection, canonical=True):
            rows[_canonical(row)] -= 1
        left = sum(1 for count in rows.values() if count)
        return [f"{self.table.name} ({left} rows)"] if left else []


def _canonical(row: Sequence[Field]) -> tuple[Canon, ...]:
    # As on the source's side, the text of what is NULL may be empty.
    return tuple(one.text.encode() if one.text else None for one in row)


def _is_unique(error: sqlite3.IntegrityError) -> bool:
    return str(error).startswith("UNIQUE constraint failed")


def names(found: Iterable[str]) -> str:
    """The first few, for a message."""
    shown = list(found)
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")
