# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence: triggers that refuse every INSERT, UPDATE and DELETE, so that a late writer gets an error, not a loss."""

from __future__ import annotations

import re
import sqlite3

from ..errors import SourceError
from .connect import ERRORS, explain, open_writable
from .describe import OWN_PREFIX, describe
from .sqltokens import quote

_PREFIX = OWN_PREFIX + "fence_"
_ID = re.compile(r"fence ([0-9A-Za-z-]+):")
#: How long the fence waits for a writer that holds the database.
WAIT_SECONDS = 30.0


def fence_id(connection: sqlite3.Connection) -> str | None:
    """The identifier of the fence that stands, or None."""
    row = connection.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, ?) = ? LIMIT 1",
        (len(_PREFIX), _PREFIX),
    ).fetchone()
    if row is None:
        return None
    match = _ID.search(row[0])
    return match.group(1) if match else ""


def raise_fence(path: str, identifier: str, check_mode: bool = False) -> list[str]:
    """Fence the source; return the statements (to be) run, none when it is fenced already.

    All triggers are made in one transaction that holds the write lock, so that no write falls between.
    Raises SourceError, also when another process does not let go of the database.
    """
    if not re.fullmatch(r"[0-9A-Za-z-]+", identifier):
        raise ValueError(identifier)
    connection = open_writable(path, WAIT_SECONDS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        statements = [] if fence_id(connection) is not None else _statements(connection, path, identifier)
        for statement in statements:
            if not check_mode:
                connection.execute(statement)
        connection.execute("ROLLBACK" if check_mode else "COMMIT")
        return statements
    except ERRORS as error:
        raise _explained(path, error) from None
    finally:
        connection.close()


def _statements(connection: sqlite3.Connection, path: str, identifier: str) -> list[str]:
    message = (
        f"pg-cutover fence {identifier}: this SQLite database is closed to writes, the application moves to PostgreSQL"
    )
    statements: list[str] = []
    for number, table in enumerate(describe(connection, path).tables):
        for operation in ("INSERT", "UPDATE", "DELETE"):
            name = quote(f"{_PREFIX}{number}_{operation.lower()}")
            statements.append(
                f"CREATE TRIGGER {name} BEFORE {operation} ON {quote(table.name)} BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
    return statements


def drop_statements(connection: sqlite3.Connection) -> list[str]:
    """The statements that take the fence away, none when there is none."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, ?) = ?",
        (len(_PREFIX), _PREFIX),
    ).fetchall()
    return [f"DROP TRIGGER {quote(name)}" for (name,) in names]


def lift_fence(path: str, check_mode: bool = False) -> list[str]:
    """Open the source for writes again; return the statements (to be) run, none when there is no fence."""
    connection = open_writable(path, WAIT_SECONDS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        statements = drop_statements(connection)
        for statement in statements:
            if not check_mode:
                connection.execute(statement)
        connection.execute("ROLLBACK" if check_mode else "COMMIT")
        return statements
    except ERRORS as error:
        raise _explained(path, error) from None
    finally:
        connection.close()


def _explained(path: str, error: Exception) -> SourceError:
    if "locked" in str(error).lower():
        return SourceError(
            f"{path}: another process held it for {WAIT_SECONDS:.0f} s without a pause, so it can be neither "
            "closed to writes nor opened. "
            "Find the long transaction (lsof, the application's jobs) and run again; nothing was changed."
        )
    return explain(path, error)
