# SPDX-License-Identifier: GPL-3.0-or-later
"""Replaying changed rows of PostgreSQL into the fenced SQLite file.

SQLite is committed before PostgreSQL: keys are only gone from the outbox once the source has their rows. What is taken
twice after a crash between the two is compared and found to be there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable

from ..capture.names import LOG
from ..errors import CutoverError, NoWayBack, SourceError
from ..plan.model import Plan, PlanTable
from ..source.connect import ERRORS, open_writable
from ..source.connect import explain as explain_source
from ..source.fence import CLOSE_REPLAY, OPEN_REPLAY, REPLAY, fence_id
from ..target.connect import explain, first_line
from ..target.describe import sequences_of
from .capture import structure
from .changes import Key, lock, take
from .ids import Ids
from .tables import Clash, Table, names

#: PostgreSQL's errors that mean that a table or a column is another than the plan's.
_OTHER = ("42P01", "42703", "42846", "42883", "42804", "22P02")
_SETTINGS = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")


@dataclass
class Replayed:
    """What a batch did. logged: entries of the outbox. written, deleted: rows of SQLite. more: whether entries are left.

    keys: table → keys that were replayed, for ``verify``. whole: tables that were refreshed from end to end.
    """

    logged: int = 0
    written: int = 0
    deleted: int = 0
    more: bool = False
    keys: dict[str, list[Key]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()


def open_source(path: str, timeout: float = 10.0) -> sqlite3.Connection:
    """The source as a replay needs it: writable, values undecoded, no foreign keys or triggers of triggers at work.

    Raises SourceError.
    """
    connection = open_writable(path, timeout)
    connection.text_factory = bytearray
    try:
        for pragma in ("foreign_keys = OFF", "recursive_triggers = OFF", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")
    except ERRORS as error:
        connection.close()
        raise explain_source(path, error) from None
    return connection


class Replayer:
    """Replays for one plan; keep one for as long as possible, it remembers what the tables look like."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._names = {table.name: table for table in plan.tables}
        self._tables: dict[str, Table] = {}
        self._sequences: dict[str, str | None] = {}
        self._types: dict[str, dict[str, str]] = {}
        self._fresh = True

    def batch(
        self, source: sqlite3.Connection, target: Any, limit: int, before_commit: Callable[[str], None] | None = None
    ) -> Replayed:
        """Take at most ``limit`` entries, replay them, commit SQLite, then PostgreSQL.

        source: from ``open_source``. target: not in autocommit, no transaction open. before_commit: called with an exported
        snapshot of PostgreSQL when SQLite has been committed; when nothing is left in the outbox, both sides are equal
        under it. Raises NoWayBack for what SQLite cannot take, SourceError, TargetError; nothing is changed then.
        """
        most: int | None = limit
        while True:
            try:
                return self._batch(source, target, most, before_commit)
            except Clash:
                # What stands in the way may have changed, too, in an entry that waits: all of them together are PostgreSQL's
                # state, in which nothing clashes.
                if most is None:
                    raise
                most = most * 16 if most < 1_000_000 else None

    def _batch(
        self, source: sqlite3.Connection, target: Any, limit: int | None, before_commit: Callable[[str], None] | None
    ) -> Replayed:
        try:
            target.set_session(isolation_level="REPEATABLE READ")
            with target.cursor() as cursor:
                lock(cursor, self.plan.own)
                # What PostgreSQL forgets of it is taken again.
                cursor.execute("SET LOCAL synchronous_commit TO off")
                self._begin(source)
                replayed = self.apply(source, cursor, limit)
                if limit is not None and not replayed.more:
                    limit = None
                snapshot = None
                if before_commit is not None:
                    cursor.execute("SELECT pg_export_snapshot()")
                    snapshot = cursor.fetchone()[0]
                self._commit(source)
                if before_commit is not None and snapshot is not None:
                    before_commit(snapshot)
            target.commit()
            return replayed
        except Clash as clash:
            self._undo(source, target)
            if limit is None:
                raise NoWayBack(clash.message, clash.findings) from None
            raise
        except target.Error as error:
            self._undo(source, target)
            raise explain(error, "The replay into SQLite stopped") from None
        except BaseException:
            self._undo(source, target)
            raise

    def apply(self, source: sqlite3.Connection, cursor: Any, limit: int | None = None) -> Replayed:
        """The same inside the caller's transactions, without a commit: for the critical section.

        source: from ``open_source``, after its BEGIN IMMEDIATE. cursor: in REPEATABLE READ before its first query (LOCK TABLE
        is none), or in READ COMMITTED when nobody can write. Raises as ``batch``.
        """
        lock(cursor, self.plan.own)
        # Rows are read by their keys; an estimate must not make that a read of whole tables.
        cursor.execute("; ".join(f"SET LOCAL {setting} TO off" for setting in _SETTINGS))
        changes = take(cursor, self.plan, limit)
        replayed = Replayed(changes.logged, 0, 0, changes.more, changes.keys, changes.whole)
        if not changes.keys and not changes.whole:
            return replayed
        try:
            with _passing(source):
                ids = Ids(self.plan, source, cursor, self._fresh)
                for table in self.plan.tables:
                    if table.name in changes.whole or table.name in changes.keys:
                        self._replay(source, cursor, table, changes.keys.get(table.name), ids, replayed)
                ids.settle()
                self._fresh = False
        except ERRORS as error:
            self.forget()
            raise _explained(source, error) from None
        except cursor.connection.Error as error:
            self.forget()
            if error.pgcode in _OTHER:
                raise NoWayBack(
                    f"the tables in PostgreSQL are no longer those of the plan ({first_line(error)}): what was written since "
                    "cannot go back. Undo the change of the schema, or give up the way back."
                ) from None
            raise
        except BaseException:
            self.forget()
            raise
        return replayed

    def verify(self, source: sqlite3.Connection, cursor: Any, replayed: Replayed) -> None:
        """Compare the replayed rows as SQLite has them now with PostgreSQL's own canonical texts. Raises CutoverError.

        In the transactions of ``apply``.
        """
        ids = Ids(self.plan, source, cursor, self._fresh) if replayed.keys else None
        found: list[str] = []
        try:
            for name, keys in replayed.keys.items():
                assert ids is not None
                found += self._table(source, cursor, self._names[name]).different(source, cursor, keys, ids)
            for name in sorted(replayed.whole):
                found += self._table(source, cursor, self._names[name]).all_different(source, cursor)
        except ERRORS as error:
            raise _explained(source, error) from None
        if found:
            raise CutoverError(
                f"{len(found)} rows are not the same in SQLite as in PostgreSQL after they were replayed: {names(found)}. "
                "This is a bug of pg-cutover; the application stays on PostgreSQL."
            )

    def _replay(
        self,
        source: sqlite3.Connection,
        cursor: Any,
        planned: PlanTable,
        keys: list[Key] | None,
        ids: Ids,
        replayed: Replayed,
    ) -> None:
        table = self._table(source, cursor, planned)
        if keys is None:
            written, deleted = table.refresh(source, cursor, ids)
        else:
            written, deleted = table.replay(source, cursor, keys, ids)
        replayed.written += written
        replayed.deleted += deleted
        if table.autoincrement:
            self._follow_sequence(source, cursor, planned)

    def _table(self, source: sqlite3.Connection, cursor: Any, planned: PlanTable) -> Table:
        if planned.name not in self._tables:
            if not self._types:
                self._types = structure(cursor, self.plan)
            if planned.target not in self._types:
                raise NoWayBack(
                    f"the table {planned.target} is gone from PostgreSQL, so its rows cannot go back. Undo that change of the "
                    "schema, or give up the way back."
                )
            self._tables[planned.name] = Table(self.plan, planned, source, self._types[planned.target])
        return self._tables[planned.name]

    def _follow_sequence(self, source: sqlite3.Connection, cursor: Any, table: PlanTable) -> None:
        """A key that PostgreSQL gave out is not given out again by SQLite, even when its row is gone."""
        if table.name not in self._sequences:
            found = sequences_of(cursor, self.plan.schema, table.target)
            own = {table.column(name).target for name in table.primary_key}
            self._sequences[table.name] = next((sequence for column, sequence in found if column in own), None)
        sequence = self._sequences[table.name]
        if sequence is None:
            return
        cursor.execute(f"SELECT last_value FROM {sequence} WHERE is_called")
        row = cursor.fetchone()
        if row is None:
            return
        lifted = source.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ? AND typeof(seq) = 'integer'",
            (row[0], table.name),
        )
        if not lifted.rowcount:
            source.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table.name, row[0]))

    def _begin(self, source: sqlite3.Connection) -> None:
        try:
            source.execute("BEGIN IMMEDIATE")
        except ERRORS as error:
            raise _explained(source, error) from None

    def _commit(self, source: sqlite3.Connection) -> None:
        try:
            source.execute("COMMIT")
        except ERRORS as error:
            raise _explained(source, error) from None

    def _undo(self, source: sqlite3.Connection, target: Any) -> None:
        self.forget()
        if source.in_transaction:
            source.execute("ROLLBACK")
        if not target.closed:
            target.rollback()

    def forget(self) -> None:
        """Forget what was remembered of a transaction that never was. For who rolls back what ``apply`` did."""
        self._tables.clear()
        self._types.clear()
        self._sequences.clear()
        self._fresh = True


@contextmanager
def _passing(source: sqlite3.Connection) -> Iterator[None]:
    """Let this transaction through the fence, and leave nothing of it in the change log."""
    there = {
        bytes(name).decode()
        for (name,) in source.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN (?, ?)", (REPLAY, LOG)
        )
    }
    if REPLAY not in there or fence_id(source) is None:
        raise SourceError(
            "the source is not fenced for a way back, so nothing is replayed into it: the application may be writing to it."
        )
    before = source.execute(f"SELECT max(seq) FROM {LOG}").fetchone()[0] if LOG in there else None
    source.execute(OPEN_REPLAY)
    yield
    source.execute(CLOSE_REPLAY)
    if LOG in there:
        # The rows before stay, so that no position is given out twice.
        source.execute(f"DELETE FROM {LOG} WHERE seq > ?", (before or 0,))


def _explained(source: sqlite3.Connection, error: Exception) -> SourceError:
    path = source.execute("PRAGMA database_list").fetchone()[2]
    return explain_source(path if isinstance(path, str) else bytes(path).decode("utf-8", "replace"), error)
