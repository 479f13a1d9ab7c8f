# SPDX-License-Identifier: GPL-3.0-or-later
"""The last way for rows that no order of statements can write: foreign keys off, rows deleted and inserted, foreign keys on."""

from __future__ import annotations

from typing import Any

from ..errors import Refused
from ..target.connect import first_line
from .catalog import Facts
from .stage import Stage


def rebuild(cursor: Any, facts: Facts, batch: list[Stage], whole: list[Stage], problem: str) -> list[str]:
    """Write the batch so, in the caller's transaction; returns the names of the foreign keys that were taken off.

    It locks the tables and reads those that refer to them whole. problem: why it is needed. Raises Refused when the rows
    contradict a constraint even so.
    """
    touched = {stage.name for stage in (*batch, *whole)}
    keys = [key for key in facts.foreign_keys if key.child in touched or key.parent in touched]
    try:
        for key in keys:
            cursor.execute(key.drop)
        for stage in whole:
            stage.delete_whole(cursor)
        for stage in batch:
            cursor.execute(f"DELETE FROM {stage.target} AS t USING {stage.rows} AS s WHERE {stage.same('t', 's')}")
            cursor.execute(stage.delete)
        for stage in batch:
            cursor.execute(stage.insert_all)
        for stage in whole:
            stage.insert_whole(cursor)
        for key in keys:
            cursor.execute(key.add)
        for key in keys:
            if key.validated:
                cursor.execute(key.validate)
    except cursor.connection.IntegrityError as error:
        table = error.diag.table_name or "?"
        raise Refused(
            f"table {table}: the rows of the source contradict constraint {error.diag.constraint_name} of the target: "
            f"{first_line(error)} ({problem}). Mend the rows in the source, or let the constraint hold for new rows only "
            "(validate: false in cutover_plan_overrides) and copy anew."
        ) from None
    return [key.name for key in keys]
