# SPDX-License-Identifier: GPL-3.0-or-later
"""After the load: keys, indexes, foreign keys, sequences and statistics; what is there already is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import existing, idmap
from .ddl import foreign_key, index, primary_key, validate
from .errors import Refused
from .plan.model import Plan, PlanTable
from .target.catalog import OWN_SCHEMA
from .target.connect import explain, first_line, qualified, quote


def finish(
    connection: Any,
    plan: Plan,
    sequences: Mapping[str, int],
    check_mode: bool = False,
    validated: bool = True,
) -> list[str]:
    """Add keys, indexes and foreign keys that are missing, set sequences, ANALYZE; return the statements run.

    sequences: by table of the source, the highest value that its AUTOINCREMENT ever gave out.
    The connection must be in autocommit: each step stays done, a second run adds what is missing.
    Raises Refused when the rows contradict a constraint, TargetError for everything else.
    """
    if plan.mode == "existing":
        return existing.finish(connection, plan, sequences, check_mode)
    run: list[str] = []
    if not check_mode:
        # The server finishes a statement of a killed run before it notices; two that build one index would fail.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", (OWN_SCHEMA,))
    constraints, indexes = _present(connection, plan)

    def execute(statement: str, table: PlanTable) -> None:
        run.append(statement)
        if check_mode:
            return
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        except connection.Error as error:
            if getattr(error, "pgcode", "") in ("23505", "23503", "23502"):
                raise Refused(
                    f"table {table.name}: its rows contradict a constraint of PostgreSQL: {first_line(error)}. "
                    "Mend the rows, or leave the constraint out in cutover_plan_overrides."
                ) from None
            raise explain(error, f"table {table.name}: {statement.split('(')[0].strip()}") from None

    for table in plan.tables:
        if table.primary_key and table.primary_key_name not in constraints:
            execute(primary_key(plan, table), table)
        for planned in table.indexes:
            if planned.target not in indexes:
                execute(index(plan, table, planned), table)
    with connection.cursor() as cursor:
        mapped = idmap.present(cursor)
    for table in idmap.mapped(plan):
        for name, create in idmap.indexes(table):
            if name not in mapped:
                execute(create, table)
    for table in plan.tables:
        for key in table.foreign_keys:
            if key.target not in constraints:
                execute(foreign_key(plan, table, key), table)
    for table in plan.tables:
        for key in table.foreign_keys:
            if key.validate and validated and not constraints.get(key.target, False):
                execute(validate(plan, table, key), table)
    changed = bool(run)
    for table in plan.tables:
        statement = _set_sequence(
            connection, plan, table, max(sequences.get(table.name, 0), table.sequence_last or 0), check_mode
        )
        run += [statement] if statement else []
    if changed:
        for table in plan.tables:
            execute(f"ANALYZE {qualified(plan.schema, table.target)}", table)
    return run


def _present(connection: Any, plan: Plan) -> tuple[dict[str, bool], list[str]]:
    """Constraints (name → validated) and valid indexes that the schema has."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.conname, c.convalidated FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace"
            " WHERE n.nspname = %s",
            (plan.schema,),
        )
        constraints = dict(cursor.fetchall())
        cursor.execute(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND i.indisvalid",
            (plan.schema,),
        )
        return constraints, [row[0] for row in cursor.fetchall()]


def _set_sequence(connection: Any, plan: Plan, table: PlanTable, ever: int, check_mode: bool) -> str | None:
    """Lift the identity sequence of ``table`` above every value ever used; never lower it."""
    column = next((column for column in table.columns if column.identity), None)
    if column is None:
        return None
    target = qualified(plan.schema, table.target)
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", (target,))
        if check_mode and cursor.fetchone()[0] is None:
            return None
        cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", (target, column.target))
        sequence = cursor.fetchone()[0]
        if sequence is None:
            return None
        cursor.execute(f"SELECT max({quote(column.target)}) FROM {target}")
        highest = max(ever, cursor.fetchone()[0] or 0)
        cursor.execute(f"SELECT last_value, is_called FROM {sequence}")
        last, called = cursor.fetchone()
        if highest < 1 or (last if called else last - 1) >= highest:
            return None
        if not check_mode:
            cursor.execute("SELECT setval(%s::regclass, %s, true)", (sequence, highest))
    return f"SELECT setval('{sequence}', {highest}, true)"
