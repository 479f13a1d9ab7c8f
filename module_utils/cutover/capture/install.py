# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting the capture into the SQLite file and taking it out again, each in one short write transaction."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import Refused, SourceChanged, SourceError
from ..plan.model import Plan
from ..source.connect import ERRORS, explain, open_readonly, open_writable
from ..source.describe import describe
from ..source.fence import fence_id
from ..source.sqltokens import quote
from . import standing
from .changes import position
from .names import CAPTURE, LOG, TRIGGER
from .triggers import check, log_table, triggers

#: How long the installation waits for a writer that holds the database.
WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Installed:
    """id: the log's identity. position: its highest position. queries: the statements run, none when it stood already."""

    id: str
    position: int
    queries: list[str]


@dataclass(frozen=True)
class Capture:
    """A capture that stands. id: the identity of its log: another id means other positions.

    fingerprint: of the plan it was last installed for. tables: names by their numbers in the log. journal_mode: what
    the file had before WAL was arranged, None when nothing was changed.
    """

    id: str
    fingerprint: str
    tables: tuple[str, ...]
    journal_mode: str | None


def install(path: str, plan: Plan, check_mode: bool = False) -> Installed:
    """Install the capture for the plan's tables; what stands and still holds is kept, with its id and position.

    A capture for other keys, or one whose triggers, log or tables were changed, is replaced by one with a new id.
    Raises Refused for a fenced source and for what triggers cannot follow, SourceError when the file cannot be had.
    """
    version, wanted = _wanted(path, plan)
    with _writing(path, check_mode) as connection:
        if fence_id(connection) is not None:
            raise Refused(
                f"{path}: is fenced, so there is nothing to capture. Run cutover.yml again if a cutover is under way, or "
                "rollback.yml to open it."
            )
        if connection.execute("PRAGMA schema_version").fetchone()[0] != version:
            raise SourceChanged(f"{path}: its tables were changed in this moment. Run again.")
        note = standing.read_note(connection)
        ignored = standing.ignored_tables(connection, plan)
        structure = standing.digests(standing.structure(connection, ignored))
        kept = standing.Note(
            note.id if note else secrets.token_hex(8),
            plan.fingerprint(),
            tuple(table.name for table in plan.tables),
            structure,
            standing.digests(wanted),
            ignored,
            note.journal_mode if note else None,
        )
        if note is not None and _holds(connection, note, kept):
            queries = [] if note.fingerprint == kept.fingerprint else [f"UPDATE {CAPTURE} SET fingerprint = ?"]
            for query in queries if not check_mode else ():
                connection.execute(query, (kept.fingerprint,))
            return Installed(note.id, position(connection), queries)
        queries = _removal(connection)
        queries += [log_table(max([1, *(len(table.key) for table in plan.tables)])), standing.NOTE_TABLE]
        queries += wanted.values()
        if check_mode:
            return Installed("", 0, queries)
        for query in queries:
            connection.execute(query)
        values = standing.Note(**{**kept.__dict__, "id": secrets.token_hex(8)}).values()
        connection.execute(f"INSERT INTO {CAPTURE} VALUES ({', '.join('?' * len(values))})", values)
        return Installed(str(values[0]), 0, queries)


def _wanted(path: str, plan: Plan) -> tuple[int, dict[str, str]]:
    """schema_version, and name → SQL of all triggers. Nothing is locked for it. Raises Refused."""
    connection = open_readonly(path)
    try:
        connection.execute("BEGIN")
        described = describe(connection, path)
        tables = {table.name: table for table in described.tables}
        wanted: dict[str, str] = {}
        for number, table in enumerate(plan.tables):
            source = tables.get(table.name)
            if source is None or not {column.name for column in source.columns}.issuperset(table.key):
                raise SourceChanged(
                    f"{path}: table {table.name} is no longer as the plan was made for. Run cutover.yml again: the plan "
                    "is made anew."
                )
            check(connection, table, source)
            wanted.update(triggers(table, source, number))
        return described.schema_version, wanted
    except ERRORS as error:
        raise explain(path, error) from None
    finally:
        connection.close()


def _holds(connection: sqlite3.Connection, note: standing.Note, wanted: standing.Note) -> bool:
    same = (note.tables, note.triggers, note.ignored) == (wanted.tables, wanted.triggers, wanted.ignored)
    return same and not standing.changed(connection, note)


def remove(path: str, check_mode: bool = False) -> list[str]:
    """Take the capture out, also what is left of a damaged one; return the statements (to be) run."""
    reading = open_readonly(path)
    try:
        nothing = not _removal(reading)
    except ERRORS as error:
        raise explain(path, error) from None
    finally:
        reading.close()
    if nothing:
        return []
    with _writing(path, check_mode) as connection:
        queries = _removal(connection)
        for query in queries if not check_mode else ():
            connection.execute(query)
        return queries


def _removal(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT type, name FROM sqlite_master WHERE type IN ('table', 'trigger')").fetchall()
    there = [(standing.text(kind), standing.text(name)) for kind, name in rows]
    # Triggers first: one without its log would fail.
    queries = [f"DROP TRIGGER {quote(n)}" for kind, n in there if kind == "trigger" and n.startswith(TRIGGER)]
    return queries + [f"DROP TABLE {name}" for name in (LOG, CAPTURE) if ("table", name) in there]


def inspect(connection: sqlite3.Connection) -> Capture | None:
    """The capture that stands, None when there is none (or its log or description is gone)."""
    note = standing.read_note(connection)
    return None if note is None else Capture(note.id, note.fingerprint, note.tables, note.journal_mode)


@contextlib.contextmanager
def _writing(path: str, check_mode: bool) -> Iterator[sqlite3.Connection]:
    connection = open_writable(path, WAIT_SECONDS)
    try:
        connection.execute("BEGIN" if check_mode else "BEGIN IMMEDIATE")
        yield connection
        connection.execute("ROLLBACK" if check_mode else "COMMIT")
    except ERRORS as error:
        if "locked" in str(error).lower():
            raise SourceError(
                f"{path}: another process held it for {WAIT_SECONDS:.0f} s without a pause. Find the long transaction "
                "(lsof, the application's jobs) and run again; nothing was changed."
            ) from None
        raise explain(path, error) from None
    finally:
        connection.close()
