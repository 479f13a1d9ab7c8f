# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions of PostgreSQL that the critical section works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..target.connect import connect, patient

#: Seconds after which a network that has fallen silent counts as cut, on this side and on the server's, which then lets
#: go of the locks. Where the hold's watchdog is not at work, nothing else ends the wait: TCP itself gives up after a
#: quarter of an hour.
PATIENCE = 5
#: The rows that the engine applies are not captured for the way back; what is committed here is on disk.
_SETTINGS = {"pgcutover.applying": "on", "synchronous_commit": "on"}


def applying(url: str, durable: bool = True) -> Any:
    """A session whose changes the reverse capture passes over; not in autocommit."""
    return session(url, settings=_SETTINGS if durable else {**_SETTINGS, "synchronous_commit": "off"})


def session(url: str, autocommit: bool = False, settings: dict[str, str] | None = None) -> Any:
    """A session that gives up soon when the network is cut. Raises TargetError."""
    return connect(url, autocommit, {**patient(PATIENCE), **(settings or {})}, PATIENCE)


def alive(connection: Any) -> bool:
    """Whether a connection still answers; its transaction is rolled back."""
    if connection is None or connection.closed:
        return False
    try:
        connection.rollback()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except connection.Error:
        connection.close()
        return False
    return True


def limit(cursor: Any, milliseconds: int) -> None:
    """Let the statements of this transaction wait for locks, and last, no longer. Takes no snapshot."""
    # The lock's limit strikes first: its message says what is the matter.
    cursor.execute(
        f"SET LOCAL lock_timeout TO {int(milliseconds)}; SET LOCAL statement_timeout TO {int(milliseconds) + 10}"
    )


def rehearse(connection: Any, command: str, look: Callable[[Any], None] | None = None) -> None:
    """Run a command and take it back: it is allowed then, and what it needs of the catalog is at hand the next time.

    look: is given the cursor while the command holds, and may raise.
    """
    autocommit = connection.autocommit
    connection.autocommit = False
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout TO '5s'")
            cursor.execute(command)
            if look is not None:
                look(cursor)
    finally:
        connection.rollback()
        connection.autocommit = autocommit
