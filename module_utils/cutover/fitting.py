# SPDX-License-Identifier: GPL-3.0-or-later
"""Before anything is loaded into tables that exist: does the source contradict what they hold unique, or the rows they keep?"""

from __future__ import annotations

from typing import Any

from .canonical import Canonical
from .errors import Finding, Unfit, sample
from .packer import row_name
from .plan.model import Plan, PlanIndex, PlanTable
from .ranges import Range, read
from .source.connect import ERRORS, explain, open_readonly
from .source.sqltokens import quote
from .target.connect import qualified
from .target.rows import rows_query

#: Rows kept in PostgreSQL that are compared in memory; a table with more is data, not a seed.
_MOST_KEPT = 100_000


def check_unique(source_path: str, plan: Plan) -> list[Finding]:
    """A finding for each unique key of the target that rows of the source contradict, by the values as they are stored."""
    found: list[Finding] = []
    connection = open_readonly(source_path, bytearray)
    try:
        for table in plan.tables:
            for key in table.indexes:
                finding = _repeated(connection, table, key) if key.unique else None
                found += [finding] if finding else []
    except ERRORS as error:
        raise explain(source_path, error) from None
    finally:
        connection.close()
    return found


def _repeated(connection: Any, table: PlanTable, key: PlanIndex) -> Finding | None:
    names = [part.column for part in key.columns]
    if set(names) == set(table.primary_key) and table.rowid is None:
        return None
    # PostgreSQL compares bytes, whatever collation the source's column has.
    columns = ", ".join(f"{quote(name)} COLLATE BINARY" for name in names)
    present = " AND ".join(f"{quote(name)} IS NOT NULL" for name in names)
    values = ", ".join(f"min({quote(name)})" for name in names)
    groups = (
        f"SELECT count(*), {values} FROM {quote(table.name)} WHERE {present} GROUP BY {columns} HAVING count(*) > 1"
    )
    row = connection.execute(f"SELECT count(*) OVER (), * FROM ({groups}) LIMIT 1").fetchone()
    if row is None:
        return None
    message = (
        f"{row[0]} values stand in several rows, and PostgreSQL holds them unique (index {key.target}); mend the rows, or alter "
        "the table"
    )
    shown = ", ".join(sample(value) for value in row[2:])
    return Finding("error", message, table.name, ", ".join(names), None, shown)


def check_kept(source_path: str, connection: Any, plan: Plan) -> list[Finding]:
    """A finding for each table with ``seeded: keep`` whose rows in PostgreSQL differ from those of the source with their key."""
    found: list[Finding] = []
    for table in plan.tables:
        if table.seeded == "keep" and table.key:
            found += _differing(source_path, connection, plan, table)
    return found


def _differing(source_path: str, connection: Any, plan: Plan, table: PlanTable) -> list[Finding]:
    with connection.cursor() as cursor:
        loaded = qualified(plan.own, "loaded")
        cursor.execute("SELECT to_regclass(%s)", (loaded,))
        kept_in = None
        if cursor.fetchone()[0] is not None:
            cursor.execute(
                f"SELECT rows_before, kept_in FROM {loaded} WHERE schema_name = %s AND table_name = %s",
                (plan.schema, table.target),
            )
            row = cursor.fetchone()
            if row is not None and not row[0]:
                return []
            kept_in = row[1] if row is not None else None
        cursor.execute(*rows_query(kept_in or plan.schema, table, _MOST_KEPT + 1))
        kept = cursor.fetchall()
    if len(kept) > _MOST_KEPT:
        message = f"seeded: keep is for rows that migrations put there; more than {_MOST_KEPT} are data. Say replace"
        return [Finding("error", message, table.name, decide={"tables": {table.name: {"seeded": "replace"}}})]
    places = [at for at, column in enumerate(table.columns) if column.name in table.key]
    by_key = {tuple(row[at] for at in places): row for row in kept}
    return _compared(source_path, table, by_key, places)


def _compared(source_path: str, table: PlanTable, kept: dict[Any, Any], places: list[int]) -> list[Finding]:
    canonical = Canonical(table)
    count, first = 0, None
    source = open_readonly(source_path, bytearray)
    try:
        for row in read(source, table, Range(table.name, 0, None, None)) if kept else ():
            try:
                texts = canonical.values(row)
            except Unfit:
                # The check of every value tells.
                continue
            other = kept.get(tuple(texts[at] for at in places))
            differs = [at for at, text in enumerate(texts) if other is not None and other[at] != text]
            if differs and other is not None:
                count += 1
                first = first or (
                    row_name(table, row),
                    table.columns[differs[0]].name,
                    row[differs[0]],
                    other[differs[0]],
                )
    finally:
        source.close()
    if first is None:
        return []
    key, column, mine, theirs = first
    message = (
        f"{count} rows are in PostgreSQL already and differ from those of the source with the same key (there: {theirs}); with "
        "seeded: keep they must be equal. replace: the source's take their place"
    )
    decide = {"tables": {table.name: {"seeded": "replace"}}}
    return [Finding("error", message, table.name, column, key, sample(mine), decide)]
