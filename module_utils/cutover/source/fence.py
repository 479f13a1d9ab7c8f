# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence: triggers that refuse every INSERT, UPDATE and DELETE, so that a late writer gets an error, not a loss.

While PostgreSQL's changes are replayed into the fenced source, a row in REPLAY lets them through. It is written and
deleted within the replay's transaction, so no other connection ever sees it. The application's own triggers are set
aside for that long: what they did came back from PostgreSQL as rows, and they would do it a second time.
"""

from __future__ import annotations

import re
import sqlite3

from ..errors import SourceError
from .connect import ERRORS, as_text, explain, open_writable
from .describe import ASIDE, OWN_PREFIX, describe
from .model import Description
from .sqltokens import quote

#: Empty, except inside a transaction that replays changes.
REPLAY = OWN_PREFIX + "replay"
#: Run at the start and at the end of such a transaction.
OPEN_REPLAY = f"INSERT INTO {REPLAY} VALUES (1)"
CLOSE_REPLAY = f"DELETE FROM {REPLAY}"

_PREFIX = OWN_PREFIX + "fence_"
_ID = re.compile(r"fence ([0-9A-Za-z-]+):")
#: How long the fence waits for a writer that holds the database.
WAIT_SECONDS = 30.0


def fence_id(connection: sqlite3.Connection) -> str | None:
    """The identifier of the fence that stands, or None."""
    row = connection.execute(
        "SELECT CAST(sql AS BLOB) FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, ?) = ? LIMIT 1",
        (len(_PREFIX), _PREFIX),
    ).fetchone()
    if row is None:
        return None
    match = _ID.search(row[0].decode("utf-8", "replace"))
    return match.group(1) if match else ""


def raise_fence(path: str, identifier: str, check_mode: bool = False) -> list[str]:
    """Fence the source; return the statements (to be) run, none when it is fenced already.

    All triggers are made in one transaction that holds the write lock, so that no write falls between.
    Raises SourceError, also when another process does not let go of the database.
    """
    connection = open_writable(path, WAIT_SECONDS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        prepared = statements(connection, path, identifier)
        for statement in prepared:
            if not check_mode:
                connection.execute(statement)
        connection.execute("ROLLBACK" if check_mode else "COMMIT")
        return prepared
    except ERRORS as error:
        raise _explained(path, error) from None
    finally:
        connection.close()


def statements(connection: sqlite3.Connection, path: str, identifier: str) -> list[str]:
    """The statements that fence the source, none when it is fenced already.

    They are prepared before the hold and run later, in a transaction of the caller's that holds the write lock;
    ``PRAGMA schema_version`` tells whether they still fit. identifier: letters, digits, dashes. Raises SourceError.
    """
    if not re.fullmatch(r"[0-9A-Za-z-]+", identifier):
        raise ValueError(identifier)
    if fence_id(connection) is not None:
        return []
    with as_text(connection):
        described = describe(connection, path)
    message = (
        f"pg-cutover fence {identifier}: this SQLite database is closed to writes, the application moves to PostgreSQL"
    )
    prepared = [f"CREATE TABLE IF NOT EXISTS {REPLAY} (open)", *_set_aside(described)]
    for number, table in enumerate(described.tables):
        for operation in ("INSERT", "UPDATE", "DELETE"):
            name = quote(f"{_PREFIX}{number}_{operation.lower()}")
            prepared.append(
                f"CREATE TRIGGER {name} BEFORE {operation} ON {quote(table.name)} "
                f"WHEN NOT EXISTS (SELECT 1 FROM {REPLAY}) BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
    return prepared


def _set_aside(described: Description) -> list[str]:
    """Moves the triggers of tables; those of views (INSTEAD OF) stay, for what they do meets the fence of a table."""
    prepared = [f"CREATE TABLE IF NOT EXISTS {ASIDE} (number INTEGER PRIMARY KEY, name TEXT, tbl_name TEXT, sql TEXT)"]
    # A trigger names its table in whatever case it was written.
    tables = {table.name.lower() for table in described.tables}
    for other in described.others:
        if other.kind != "trigger" or other.table.lower() not in tables:
            continue
        text = "'" + other.name.replace("'", "''") + "'"
        if "\ufffd" in other.sql:
            raise SourceError(
                f"{described.path}: trigger {other.name} holds text that is no valid UTF-8, so it could not be made again "
                "after the fence. Drop it, or make it anew without that text."
            )
        prepared.append(
            f"INSERT INTO {ASIDE} SELECT rowid, name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND name = {text}"
        )
        prepared.append(f"DROP TRIGGER {quote(other.name)}")
    return prepared


def lift_statements(connection: sqlite3.Connection) -> list[str]:
    """The statements that take the fence away and put the application's triggers back, none when there is no fence.

    Prepared before and run in a transaction of the caller's, like ``statements``. Raises SourceError.
    """
    with as_text(connection):
        own = connection.execute(
            "SELECT type, name FROM sqlite_master WHERE (type = 'trigger' AND substr(name, 1, ?) = ?) OR name IN (?, ?)",
            (len(_PREFIX), _PREFIX, REPLAY, ASIDE),
        ).fetchall()
        aside: list[tuple[str]] = []
        if ("table", ASIDE) in own:
            aside = connection.execute(f"SELECT sql FROM {ASIDE} ORDER BY number").fetchall()
    prepared = [f"DROP TRIGGER {quote(name)}" for kind, name in own if kind == "trigger"]
    prepared += [sql for (sql,) in aside]
    return prepared + [f"DROP TABLE {name}" for name in (ASIDE, REPLAY) if ("table", name) in own]


def lift_fence(path: str, check_mode: bool = False) -> list[str]:
    """Open the source for writes again; return the statements (to be) run, none when there is no fence."""
    connection = open_writable(path, WAIT_SECONDS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        prepared = lift_statements(connection)
        for statement in prepared:
            if not check_mode:
                connection.execute(statement)
        connection.execute("ROLLBACK" if check_mode else "COMMIT")
        return prepared
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
