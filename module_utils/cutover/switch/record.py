# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL durably knows of the switch: which fence was passed, and on which side the application has been since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ddl import OWN

TABLE = f"{OWN}.switch"
#: fence: the fence of SQLite that the side belongs to. by: the attempt that decided it.
CREATE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (name text PRIMARY KEY, fence text, side text NOT NULL"
    " CHECK (side IN ('source', 'target')), by text, at timestamp NOT NULL)"
)
_NOTE = f"UPDATE {TABLE} SET fence = %s, side = %s, by = %s, at = now() AT TIME ZONE 'UTC' WHERE name = %s"


@dataclass(frozen=True)
class Record:
    """The last decision. side: where the application may write, ``source`` or ``target``."""

    fence: str | None
    side: str
    by: str | None


def prepare(cursor: Any, name: str) -> None:
    """Make the table and the migration's row, which every decision locks."""
    cursor.execute("SELECT to_regclass(%s)", (TABLE,))
    if cursor.fetchone()[0] is None:
        cursor.execute(CREATE)
    cursor.execute(
        f"INSERT INTO {TABLE} VALUES (%s, NULL, 'source', NULL, now() AT TIME ZONE 'UTC') ON CONFLICT DO NOTHING",
        (name,),
    )


def read(cursor: Any, name: str, lock: bool = False) -> Record | None:
    """The last decision, or None before the first attempt.

    lock: wait for a transaction that is about to decide, also one whose client is gone.
    """
    cursor.execute("SELECT to_regclass(%s)", (TABLE,))
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute(f"SELECT fence, side, by FROM {TABLE} WHERE name = %s{' FOR UPDATE' if lock else ''}", (name,))
    row = cursor.fetchone()
    return Record(*row) if row else None


def note(cursor: Any, name: str, fence: str, side: str, by: str) -> None:
    """Record a decision inside its transaction."""
    cursor.execute(_NOTE, (fence, side, by, name))


def closed(cursor: Any, name: str) -> None:
    """Record that a rollback in a maintenance window has closed PostgreSQL."""
    cursor.execute("SELECT to_regclass(%s)", (TABLE,))
    if cursor.fetchone()[0] is not None:
        cursor.execute(f"UPDATE {TABLE} SET side = 'source' WHERE name = %s", (name,))


def noting(cursor: Any, name: str, fence: str, side: str, by: str) -> str:
    """The statement that records a decision, to be run later together with what it decides."""
    statement: bytes = cursor.mogrify(_NOTE, (fence, side, by, name))
    return statement.decode()
