# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether going back would lose anything at this moment."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from ..errors import CutoverError, NoWayBack
from ..plan.model import Plan
from ..source.connect import ERRORS
from ..source.fence import fence_id
from ..target.connect import qualified, quote
from . import capture
from .changes import waiting
from .replay import Replayer, open_source
from .tables import Clash

#: From so old an entry on, a replay is tried: one that keeps up would have taken it.
_OLD_SECONDS = 2.0
_TRIED = 500


def judge(source: sqlite3.Connection, cursor: Any, plan: Plan) -> dict[str, Any]:
    """{free_of_loss, lag: entries that wait in the outbox, why: what could not go back}. Quick enough for a status.

    What waits is no loss: going back takes it along. Where something waits for long, its first entries are replayed for a
    trial and rolled back. Raises psycopg2's errors.
    """
    why = capture.problems(cursor, plan)
    cursor.execute("SELECT to_regclass(%s)", (capture.outbox_of(plan.own),))
    if cursor.fetchone()[0] is None:
        return {"free_of_loss": False, "lag": 0, "why": why}
    left = waiting(cursor, plan.own)
    if fence_id(source) is None:
        why.append("SQLite takes writes of its own: the application is not on PostgreSQL alone")
    else:
        why += _changed(cursor, plan)
        if left.seconds > _OLD_SECONDS and not why:
            why += _tried(source, cursor, plan)
    return {"free_of_loss": not why, "lag": left.count, "why": why}


def _changed(cursor: Any, plan: Plan) -> list[str]:
    """What the target's schema has become since the application was let in, where rows cannot follow it back."""
    before, now = capture.noted_structure(cursor, plan.own), capture.structure(cursor, plan)
    planned = {table.target for table in plan.tables}
    found: list[str] = []
    for table in sorted({*before, *now}):
        if table not in before:
            cursor.execute(f"SELECT EXISTS (SELECT FROM {qualified(plan.schema, table)})")
            if cursor.fetchone()[0]:
                found.append(
                    f"table {table} was made in PostgreSQL since the switch and has rows: SQLite has no such table"
                )
            continue
        if table not in planned:
            continue
        if table not in now:
            found.append(f"table {table} was dropped or renamed in PostgreSQL since the switch")
            continue
        for column in sorted({*before[table], *now[table]}):
            if column not in before[table]:
                name, of = quote(column), qualified(plan.schema, table)
                cursor.execute(f"SELECT EXISTS (SELECT FROM {of} WHERE {name} IS NOT NULL)")
                if cursor.fetchone()[0]:
                    found.append(
                        f"column {table}.{column} was added in PostgreSQL since the switch: SQLite has no such column"
                    )
            elif column not in now[table]:
                found.append(f"column {table}.{column} was dropped or renamed in PostgreSQL since the switch")
            elif before[table][column] != now[table][column]:
                types = f"from {before[table][column]} to {now[table][column]}"
                found.append(f"column {table}.{column} was changed in PostgreSQL since the switch, {types}")
    return found


def _tried(source: sqlite3.Connection, cursor: Any, plan: Plan) -> list[str]:
    """Why the first entries that wait cannot be replayed; nothing when they can, or when that cannot be tried now."""
    path = source.execute("PRAGMA database_list").fetchone()[2]
    autocommit = cursor.connection.autocommit
    try:
        with closing(open_source(path if isinstance(path, str) else bytes(path).decode(), timeout=0.5)) as writable:
            writable.execute("BEGIN IMMEDIATE")
            cursor.execute("BEGIN" if autocommit else "SAVEPOINT pgcutover_trial")
            try:
                cursor.execute("SET LOCAL lock_timeout TO '500ms'")
                Replayer(plan).apply(writable, cursor, _TRIED)
                return []
            finally:
                cursor.execute("ROLLBACK" if autocommit else "ROLLBACK TO SAVEPOINT pgcutover_trial")
                writable.execute("ROLLBACK")
    except Clash:
        # Rows that wait behind may solve it.
        return []
    except NoWayBack as error:
        return [error.message]
    except (CutoverError, cursor.connection.Error, *ERRORS):
        return []
