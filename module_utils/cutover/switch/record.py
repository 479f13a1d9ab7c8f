# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL durably knows of the switch: which fence was passed, and on which side the application has been since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..target.connect import qualified


def table_of(own: str) -> str:
    """The table, of the migration whose own schema is ``own``."""
    return qualified(own, "switch")


def create(own: str) -> str:
    """The statement that makes it. fence: the fence of SQLite that the side belongs to. by: the attempt that decided it."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table_of(own)} (name text PRIMARY KEY, fence text, side text NOT NULL"
        " CHECK (side IN ('source', 'target')), by text, at timestamp NOT NULL)"
    )


def _note(own: str) -> str:
    return f"UPDATE {table_of(own)} SET fence = %s, side = %s, by = %s, at = now() AT TIME ZONE 'UTC' WHERE name = %s"


@dataclass(frozen=True)
class Record:
    """The last decision. side: where the application may write, ``source`` or ``target``."""

    fence: str | None
    side: str
    by: str | None


def prepare(cursor: Any, own: str, name: str) -> None:
    """Make the table and the migration's row, which every decision locks."""
    cursor.execute("SELECT to_regclass(%s)", (table_of(own),))
    if cursor.fetchone()[0] is None:
        cursor.execute(create(own))
    cursor.execute(
        f"INSERT INTO {table_of(own)} VALUES (%s, NULL, 'source', NULL, now() AT TIME ZONE 'UTC') ON CONFLICT DO NOTHING",
        (name,),
    )


def read(cursor: Any, own: str, name: str, lock: bool = False) -> Record | None:
    """The last decision, or None before the first attempt.

    lock: wait for a transaction that is about to decide, also one whose client is gone.
    """
    cursor.execute("SELECT to_regclass(%s)", (table_of(own),))
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute(
        f"SELECT fence, side, by FROM {table_of(own)} WHERE name = %s{' FOR UPDATE' if lock else ''}", (name,)
    )
    row = cursor.fetchone()
    return Record(*row) if row else None


def note(cursor: Any, own: str, name: str, fence: str, side: str, by: str) -> None:
    """Record a decision inside its transaction."""
    cursor.execute(_note(own), (fence, side, by, name))


def closed(cursor: Any, own: str, name: str) -> None:
    """Record that a rollback in a maintenance window has closed PostgreSQL."""
    cursor.execute("SELECT to_regclass(%s)", (table_of(own),))
    if cursor.fetchone()[0] is not None:
        cursor.execute(f"UPDATE {table_of(own)} SET side = 'source' WHERE name = %s", (name,))


def noting(cursor: Any, own: str, name: str, fence: str, side: str, by: str) -> str:
    """The statement that records a decision, to be run later together with what it decides."""
    statement: bytes = cursor.mogrify(_note(own), (fence, side, by, name))
    return statement.decode()
