# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading into tables that the application's own migrations made: they are filled, emptied and left as they were, never dropped.

A row is ours when the transaction that wrote it (xmin) is one that recorded a range: that tells, after any kill, what a load
brought from what was there before and from what the application wrote since.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from . import setaside
from .ddl import check_free, check_not_in_use, free_schema, known_plan, own_tables
from .errors import Finding, Refused
from .follow import position
from .own import kept_prefix, own_schema
from .plan.model import Plan, PlanTable
from .target.connect import explain, qualified, quote
from .target.describe import describe_with, sequences_of
from .target.mine import of_another
from .target.rows import only_here

_LOCK_TIMEOUT = "10s"


def prepare(connection: Any, plan: Plan, replace: bool = False, check_mode: bool = False) -> list[str]:
    """Make the migration's own tables and note the plan; the application's tables are not touched yet.

    Raises Refused when a finished copy would have to give way without ``replace``, or when the tables changed.
    """
    statements = [*own_tables(plan.own), *setaside.tables(plan.own)]
    try:
        with connection, connection.cursor() as cursor:
            check_structure(cursor, plan)
            known, stored = known_plan(cursor, plan)
            cursor.execute("SELECT to_regclass(%s)", (qualified(plan.own, "loaded"),))
            if stored == plan.fingerprint() and cursor.fetchone()[0] is not None:
                return []
            if known:
                check_free(cursor, plan.own, replace)
            if not check_mode:
                for statement in statements:
                    cursor.execute(statement)
                _note(cursor, plan)
    except connection.Error as error:
        raise explain(error, "The load cannot be prepared") from None
    return statements


def _note(cursor: Any, plan: Plan) -> None:
    cursor.execute(
        f"INSERT INTO {qualified(plan.own, 'migration')} (name, plan) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE"
        " SET plan = excluded.plan, written = NULL",
        (plan.name, plan.fingerprint()),
    )


def check_structure(cursor: Any, plan: Plan) -> None:
    """Raise Refused when the application's tables are not those that the plan was made for."""
    described = describe_with(cursor, plan.schema, counted=False)
    if described.structure(table.target for table in plan.tables) != plan.structure:
        raise Refused(
            "the application's tables in PostgreSQL changed after the plan was made. Stop what changes them (its migrations) "
            "and run again: the plan is made anew."
        )


def begin(cursor: Any, plan: Plan) -> None:
    """Make the tables ready for a load from the start, in the caller's transaction: nothing of it, or all of it, happens.

    Rows of an earlier load give way; foreign keys and triggers are set aside; rows that were there before go the way of their
    table's policy. What the application itself wrote since is kept in a schema of its own. Raises Refused.
    """
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
    # Two that have read the same tables must not both change them.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (plan.own,))
    check_structure(cursor, plan)
    _empty(cursor, plan.schema)
    large = [(plan.schema, table.target) for table in plan.tables if table.rows >= setaside.MANY_ROWS]
    setaside.take_off(cursor, plan.own, [(plan.schema, table.target) for table in plan.tables], large)
    kept = ""
    for table in plan.tables:
        target = qualified(plan.schema, table.target)
        cursor.execute(f"SELECT count(*) FROM ONLY {target}")
        rows = cursor.fetchone()[0]
        if rows and table.seeded not in ("replace", "keep"):
            raise _not_empty(table, rows)
        if rows:
            kept = kept or _make_schema(cursor, plan.schema)
            cursor.execute(f"CREATE TABLE {qualified(kept, table.target)} AS TABLE {target}")
        if rows and table.seeded == "replace":
            cursor.execute(f"TRUNCATE ONLY {target}")
        if table.seeded == "keep":
            names = ", ".join(_key(table))
            cursor.execute(f"DROP TABLE IF EXISTS {only_here(plan, table)}")
            # Every row that is there; those that the source brings as well are struck off while it is copied.
            cursor.execute(f"CREATE TABLE {only_here(plan, table)} AS SELECT {names} FROM {target}")
        cursor.execute(
            f"INSERT INTO {qualified(plan.own, 'loaded')} VALUES (%s, %s, %s, %s, %s, %s)",
            (
                plan.schema,
                table.target,
                table.name,
                rows,
                kept if rows else None,
                bool(rows) and table.seeded == "keep",
            ),
        )
    cursor.execute(f"UPDATE {qualified(plan.own, 'migration')} SET was_in_use = false")
    _note(cursor, plan)


def _not_empty(table: PlanTable, rows: int) -> Refused:
    decide = None if table.seeded == "fail" else {"tables": {table.name: {"seeded": "replace"}}}
    message = f"{rows} rows are in PostgreSQL already, and the plan says seeded: {table.seeded}"
    return Refused(
        f"table {table.name}: {message}. Nothing was changed.", [Finding("error", message, table.name, decide=decide)]
    )


def undo(connection: Any, schema: str, name: str, check_mode: bool = False) -> list[str]:
    """Put the tables in ``schema`` back as they were before a load of the migration ``name`` that was not finished.

    Returns the statements. A finished load stays: its tables have everything that the application gave them. Raises Refused,
    TargetError.
    """
    own = own_schema(schema)
    try:
        with connection, connection.cursor() as cursor:
            items = [] if of_another(cursor, schema, name) else setaside.recorded(cursor, own)
            if not items or check_mode:
                return [f"-- {len(items)} objects would be put back"] if items else []
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (own,))
            check_not_in_use(cursor, own)
            _empty(cursor, schema)
            return setaside.put_back_at_once(cursor, own)
    except connection.Error as error:
        raise explain(error, "The application's tables cannot be put back as they were") from None


def _empty(cursor: Any, application: str) -> None:
    """Take the rows of an earlier load out, and bring back what was there before it, with everything set aside."""
    own = own_schema(application)
    loaded = qualified(own, "loaded")
    cursor.execute(f"SELECT schema_name, table_name, rows_before, kept_in, stays FROM {loaded} ORDER BY 1, 2")
    loads = cursor.fetchall()
    setaside.take_off(cursor, own, [(schema, table) for schema, table, *_ in loads])
    # Nobody writes from here on: taking a constraint off locks the tables it is between, not the others.
    for schema, table, *_ in loads:
        cursor.execute(f"LOCK TABLE ONLY {qualified(schema, table)} IN ACCESS EXCLUSIVE MODE")
    kept = ""
    for schema, table, _, kept_in, stays in loads:
        target = qualified(schema, table)
        if _written(cursor, own, target, qualified(kept_in, table) if kept_in and stays else None):
            kept = kept or _make_schema(cursor, application)
            cursor.execute(f"CREATE TABLE {qualified(kept, table)} AS TABLE {target}")
        cursor.execute(f"TRUNCATE ONLY {target}")
        if kept_in is not None:
            columns = _stored_columns(cursor, target)
            cursor.execute(
                f"INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE"
                f" SELECT {columns} FROM {qualified(kept_in, table)}"
            )
            # They are where they came from; the next load sets them aside anew.
            cursor.execute(f"DROP TABLE {qualified(kept_in, table)}")
    for name in ("loaded", "ranges", "copy", "quarantine"):
        cursor.execute(f"DELETE FROM {qualified(own, name)}")
    cursor.execute(position.clear(own))


def _written(cursor: Any, own: str, target: str, before: str | None) -> bool:
    """Whether a table holds rows that neither the load brought nor were there before it."""
    others = f"SELECT t::text FROM ONLY {target} AS t WHERE NOT t.xmin IN (SELECT xmin FROM {qualified(own, 'ranges')})"
    if before is not None:
        others = f"{others} EXCEPT ALL SELECT t::text FROM {before} AS t"
    cursor.execute(f"SELECT EXISTS ({others})")
    return bool(cursor.fetchone()[0])


def _stored_columns(cursor: Any, target: str) -> str:
    """The columns that can be written, quoted."""
    cursor.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        (target,),
    )
    return ", ".join(quote(name) for (name,) in cursor.fetchall())


def _make_schema(cursor: Any, application: str) -> str:
    """A new schema for kept rows, closed to everybody else; it goes with finalize."""
    name = free_schema(cursor, kept_prefix(application))
    cursor.execute(f"CREATE SCHEMA {quote(name)}")
    cursor.execute(f"REVOKE ALL ON SCHEMA {quote(name)} FROM PUBLIC")
    return name


@contextlib.contextmanager
def receiver(cursor: Any, plan: Plan, table: PlanTable, columns: str) -> Iterator[str]:
    """What COPY writes to: the table, or, where rows are kept, a temporary one whose rows then join those without the key."""
    target = qualified(plan.schema, table.target)
    if table.seeded != "keep":
        yield target
        return
    cursor.execute(
        f"CREATE TEMPORARY TABLE pgcutover_stage ON COMMIT DROP AS SELECT {columns} FROM {target} WITH NO DATA"
    )
    yield "pg_temp.pgcutover_stage"
    same = " AND ".join(f"t.{name} = s.{name}" for name in _key(table))
    cursor.execute(f"DELETE FROM {only_here(plan, table)} AS t USING pg_temp.pgcutover_stage AS s WHERE {same}")
    cursor.execute(
        f"INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM pg_temp.pgcutover_stage AS s"
        f" WHERE NOT EXISTS (SELECT FROM {target} AS t WHERE {same})"
    )
    cursor.execute("DROP TABLE pg_temp.pgcutover_stage")


def _key(table: PlanTable) -> list[str]:
    return [quote(table.column(name).target) for name in table.key]


def finish(connection: Any, plan: Plan, sequences: Mapping[str, int], check_mode: bool = False) -> list[str]:
    """Put back what was set aside, lift sequences above every value ever used, ANALYZE; return the statements.

    sequences: by table of the source, the highest value that its AUTOINCREMENT ever gave out. Each step stays done, a second
    run does what is left. Raises Refused when the rows contradict a constraint, TargetError for everything else.
    """
    before, connection.autocommit = connection.autocommit, False
    loose = frozenset(
        (plan.schema, table.target, key.target)
        for table in plan.tables
        for key in table.foreign_keys
        if not key.validate
    )
    try:
        run = setaside.put_back(connection, plan.own, loose, check_mode)
        changed = bool(run)
        with connection, connection.cursor() as cursor:
            for table in plan.tables:
                ever = max(sequences.get(table.name, 0), table.sequence_last or 0)
                run += _lift(cursor, plan, table, ever, check_mode)
            if changed:
                for table in plan.tables:
                    run.append(f"ANALYZE {qualified(plan.schema, table.target)}")
                    if not check_mode:
                        cursor.execute(run[-1])
    except connection.Error as error:
        raise explain(error, "The load cannot be finished") from None
    finally:
        connection.autocommit = before
    return run


def _lift(cursor: Any, plan: Plan, table: PlanTable, ever: int, check_mode: bool) -> list[str]:
    """Set every sequence that gives this table's new values above those there are; never lower one."""
    run: list[str] = []
    target = qualified(plan.schema, table.target)
    # Only the key that the source numbered itself has a history beyond its rows.
    numbered = next((c.target for c in table.columns if (c.name,) == table.primary_key), None)
    for column, sequence in sequences_of(cursor, plan.schema, table.target):
        cursor.execute(
            f"SELECT (SELECT max({quote(column)}) FROM ONLY {target}), last_value, is_called, seqincrement, seqmax"
            f" FROM {sequence}, pg_sequence WHERE seqrelid = %s::regclass",
            (sequence,),
        )
        highest, last, called, step, most = cursor.fetchone()
        wanted = min(max(ever if column == numbered else 0, highest or 0), most)
        if step < 0 or wanted < 1 or (last if called else last - 1) >= wanted:
            continue
        run.append(f"SELECT setval('{sequence}', {wanted}, true)")
        if not check_mode:
            cursor.execute("SELECT setval(%s::regclass, %s, true)", (sequence, wanted))
    return run
