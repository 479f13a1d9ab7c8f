# SPDX-License-Identifier: GPL-3.0-or-later
"""Up to which position of the change log the target has everything: one row, changed only together with the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import Refused, TargetError
from ..target.connect import literal, qualified


def table_of(own: str) -> str:
    """The table, of the migration whose own schema is ``own``."""
    return qualified(own, "follow")


def create(own: str) -> str:
    """The statement that makes it."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table_of(own)} (one boolean PRIMARY KEY DEFAULT true CHECK (one),"
        " capture_id text NOT NULL, position bigint NOT NULL)"
    )


def clear(own: str) -> str:
    """The statement that empties it: a database that an earlier release prepared does not have it."""
    table = table_of(own)
    body = f"BEGIN IF to_regclass({literal(table)}) IS NOT NULL THEN DELETE FROM {table}; END IF; END"
    return f"DO {literal(body)}"


@dataclass(frozen=True)
class Position:
    """capture_id: the log it is of. position: the last entry of that log whose change the target has."""

    capture_id: str
    position: int


def read(cursor: Any, own: str, lock: bool = False) -> Position | None:
    """Where the target stands; None before ``begin``, and after its tables were made anew.

    lock: nobody else applies changes until the transaction ends.
    """
    cursor.execute("SELECT to_regclass(%s)", (table_of(own),))
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute(f"SELECT capture_id, position FROM {table_of(own)}" + (" FOR UPDATE" if lock else ""))
    row = cursor.fetchone()
    return None if row is None else Position(*row)


def begin(cursor: Any, own: str, capture_id: str, position: int) -> Position:
    """Note where following begins: at the position of the snapshot whose rows the target has. Returns what stands now.

    A target that followed the same log further stays where it is. Raises Refused when it followed another log: what
    changed between the two is in neither.
    """
    cursor.execute(create(own))
    before = read(cursor, own, lock=True)
    if before is not None and before.capture_id != capture_id:
        raise Refused(
            f"the target followed the change log {before.capture_id}, the source has {capture_id} now: changes between them "
            "may be missing. Copy anew with -e cutover_start_over=true."
        )
    if before is not None and before.position >= position:
        return before
    cursor.execute(
        f"INSERT INTO {table_of(own)} (capture_id, position) VALUES (%s, %s)"
        " ON CONFLICT (one) DO UPDATE SET position = excluded.position",
        (capture_id, position),
    )
    return Position(capture_id, position)


def advance(cursor: Any, own: str, capture_id: str, through: int) -> None:
    """Note that the target has everything up to ``through``, in the transaction that brought it. Raises TargetError."""
    cursor.execute(
        f"UPDATE {table_of(own)} SET position = %s WHERE capture_id = %s AND position <= %s",
        (through, capture_id, through),
    )
    if cursor.rowcount != 1:
        raise TargetError(
            f"the target does not stand before position {through} of the change log {capture_id}: somebody else has copied "
            "anew or applied changes meanwhile. Nothing was changed; run again."
        )
