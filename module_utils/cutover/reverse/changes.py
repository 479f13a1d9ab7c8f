# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking changed keys out of the outbox, in the transaction that replays them.

The order of the outbox is not the order of commits: nothing may rely on it. What counts is the row as it is in the
snapshot that the keys were taken in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from ..plan.model import Plan
from .capture import in_use, outbox_of, state_of

#: A key by the texts of its columns, as PostgreSQL writes them in the engine's sessions or the capture's functions.
Key = tuple[Optional[str], ...]

#: Entries that are counted before it is only said that there are more.
COUNTED = 100_000


@dataclass(frozen=True)
class Changes:
    """What was taken. logged: entries. keys: table → distinct keys. whole: tables of which every row may have changed.

    more: whether entries are left in the snapshot.
    """

    logged: int
    keys: dict[str, list[Key]]
    whole: frozenset[str]
    more: bool


@dataclass(frozen=True)
class Waiting:
    """What is in the outbox. count: entries, at most COUNTED. seconds: the age of the oldest."""

    count: int
    seconds: float


def waiting(cursor: Any, own: str) -> Waiting:
    """What waits to go back."""
    outbox = outbox_of(own)
    cursor.execute(
        f"SELECT (SELECT count(*) FROM (SELECT FROM {outbox} LIMIT {COUNTED}) AS counted),"
        f" (SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM {outbox} ORDER BY seq LIMIT 1)"
    )
    count, seconds = cursor.fetchone()
    return Waiting(count, max(0.0, seconds or 0.0))


def strays(cursor: Any, own: str) -> list[str]:
    """The tables that others than the engine have written to before the application was let in, none without an outbox.

    Until then each entry of the outbox is of such a write.
    """
    cursor.execute("SELECT to_regclass(%s)", (outbox_of(own),))
    if cursor.fetchone()[0] is None:
        return []
    cursor.execute(f"SELECT DISTINCT t FROM {outbox_of(own)} ORDER BY t")
    return [table for (table,) in cursor.fetchall()]


def forget_strays(cursor: Any, own: str) -> int:
    """Empty the outbox before a comparison of all rows, which finds what such a write has spoilt; entries forgotten.

    Nothing where the application writes: then they are what goes back. To be committed before the comparison begins.
    """
    cursor.execute("SELECT to_regclass(%s)", (outbox_of(own),))
    if cursor.fetchone()[0] is None or in_use(cursor, own):
        return 0
    cursor.execute(f"DELETE FROM {outbox_of(own)}")
    return int(cursor.rowcount)


def lock(cursor: Any, own: str) -> None:
    """Let no other process replay until the transaction ends. To be its first statement: it takes no snapshot."""
    cursor.execute(f"LOCK TABLE {state_of(own)} IN EXCLUSIVE MODE")


def take(cursor: Any, plan: Plan, limit: int | None = None) -> Changes:
    """Take at most ``limit`` entries out of the outbox; they are gone when the transaction commits."""
    outbox = outbox_of(plan.own)
    if limit is None:
        cursor.execute(f"DELETE FROM {outbox} RETURNING t, k")
    else:
        first = f"SELECT seq FROM {outbox} ORDER BY seq LIMIT %s"
        cursor.execute(
            f"DELETE FROM {outbox} WHERE seq <= (SELECT max(seq) FROM ({first}) AS first) RETURNING t, k", (limit,)
        )
    rows = cursor.fetchall()
    known = {table.name for table in plan.tables}
    keys: dict[str, dict[Key, None]] = {}
    whole: set[str] = set()
    for table, key in rows:
        if table not in known:
            continue
        if key is None:
            whole.add(table)
        else:
            keys.setdefault(table, {})[tuple(key)] = None
    more = False
    if limit is not None and len(rows) >= limit:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {outbox})")
        more = bool(cursor.fetchone()[0])
    return Changes(len(rows), {t: list(k) for t, k in keys.items() if t not in whole}, frozenset(whole), more)
