# SPDX-License-Identifier: GPL-3.0-or-later
"""After the load: keys, indexes, foreign keys, sequences and statistics; what is there already is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import existing, idmap, sessions, views
from .ddl import check, foreign_key, index, primary_key, primary_key_by_index, validate
from .plan.model import Plan, PlanTable
from .sessions import Step
from .target.connect import qualified, quote


def finish(
    connection: Any,
    plan: Plan,
    sequences: Mapping[str, int],
    check_mode: bool = False,
    validated: bool = True,
    url: str | None = None,
    workers: int = 1,
) -> list[str]:
    """Add keys, indexes, constraints and views that are missing, set sequences, ANALYZE; return the statements run.

    sequences: by table of the source, the highest value that its AUTOINCREMENT ever gave out.
    The connection must be in autocommit: each step stays done, a second run adds what is missing.
    url, workers: with both, what takes long runs over that many sessions.
    Raises Refused when the rows contradict a constraint, TargetError for everything else.
    """
    if plan.mode == "existing":
        return existing.finish(connection, plan, sequences, check_mode)
    done: list[str] = []
    if not check_mode:
        # The server finishes a statement of a killed run before it notices; two that build one index would fail.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", (plan.own,))
        sessions.wait_for_others(connection, plan.own)
    constraints, indexes = _present(connection, plan)
    with connection.cursor() as cursor:
        mapped = idmap.present(cursor, plan.own)
    # The largest first: what remains at the end is small, and the sessions end together.
    tables = sorted(plan.tables, key=lambda table: -table.bytes)

    def execute(groups: list[list[Step]], at_once: int = workers) -> None:
        done.extend(step.statement for group in groups for step in group)
        if not check_mode:
            sessions.run(connection, plan.own, url, [group for group in groups if group], at_once)

    builds: list[list[Step]] = []
    keys: list[Step] = []
    for table in tables:
        first, then = _primary_key(plan, table, constraints, indexes, split=url is not None and workers > 1)
        builds += [[step] for step in first]
        keys += then
        builds += [[Step(index(plan, table, i), table.name)] for i in table.indexes if i.target not in indexes]
        if table.uuid_key is not None:
            builds += [[Step(sql, table.name)] for name, sql in idmap.indexes(plan.own, table) if name not in mapped]
        keys += [Step(check(plan, table, c), table.name) for c in table.checks if c.target not in constraints]
    execute(builds)
    execute([keys], 1)
    execute(
        [
            [Step(foreign_key(plan, t, k), t.name)]
            for t in tables
            for k in t.foreign_keys
            if k.target not in constraints
        ],
        1,
    )
    # VALIDATE locks its table against another VALIDATE: those of a table stay together.
    execute(
        [
            [
                Step(validate(plan, table, added), table.name)
                for added in table.constraints
                if added.validate and validated and not constraints.get(added.target, False)
            ]
            for table in tables
        ]
    )
    changed = bool(done)
    for table in plan.tables:
        statement = _set_sequence(
            connection, plan, table, max(sequences.get(table.name, 0), table.sequence_last or 0), check_mode
        )
        done += [statement] if statement else []
    done += views.add(connection, plan, check_mode)
    if changed:
        execute([[Step(f"ANALYZE {qualified(plan.schema, table.target)}", table.name)] for table in tables])
    return done


def _primary_key(
    plan: Plan, table: PlanTable, constraints: Mapping[str, bool], indexes: list[str], split: bool
) -> tuple[list[Step], list[Step]]:
    """What adds the primary key: what may run beside other indexes of the table, and what comes behind them.

    ALTER TABLE keeps everybody else out while it builds an index; so where the table has other indexes, the index of the
    key is built by itself (``split``) and made the key in the end.
    """
    name = table.primary_key_name
    if not table.primary_key or name is None or name in constraints:
        return [], []
    build, use = primary_key_by_index(plan, table)
    if name in indexes:
        return [], [Step(use, table.name)]
    if split and table.indexes:
        return [Step(build, table.name)], [Step(use, table.name)]
    return [Step(primary_key(plan, table), table.name)], []


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
