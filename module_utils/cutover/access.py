# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may write to PostgreSQL: the application's role from the switch on, nobody but the engine before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .errors import CutoverError
from .own import own_schema
from .plan.model import Plan
from .switch import record
from .target.connect import explain, qualified, quote
from .target.mine import check_mine

_WRITES = "INSERT, UPDATE, DELETE"
_LOCK_TIMEOUT = "10s"


@dataclass(frozen=True)
class Opening:
    """What lets the application's role write, made ready beforehand: ``sql`` is one command of several statements."""

    role: str
    sql: str


def _noted(own: str) -> str:
    return qualified(own, "migration")


def open_access(connection: Any, plan: Plan, role: str, check_mode: bool = False) -> list[str]:
    """Let ``role`` read and write the plan's tables and note that the database is in use; return the statements."""
    try:
        with connection, connection.cursor() as cursor:
            statements = _reading(cursor, plan, role) + _writing(cursor, plan, role)
            cursor.execute(
                f"SELECT in_use_since IS NOT NULL AND application_role = %s FROM {_noted(plan.own)} WHERE name = %s",
                (role, plan.name),
            )
            row = cursor.fetchone()
            if row is None:
                raise CutoverError("the target holds no such migration; run the copy first.")
            if row[0]:
                return []
            if not check_mode:
                for statement in statements:
                    cursor.execute(statement)
                cursor.execute(_in_use(cursor, plan, role))
    except connection.Error as error:
        raise explain(error, "The application's role cannot be let in") from None
    return statements


def admit_readers(connection: Any, plan: Plan, role: str, check_mode: bool = False) -> list[str]:
    """Let ``role`` read the plan's tables and views, not write, so that green can be tried; return the statements.

    Nothing when the role may write already, or may read everything.
    """
    try:
        with connection, connection.cursor() as cursor:
            if role_in_use(cursor, plan) == role or _may_read(cursor, plan, role):
                return []
            statements = _reading(cursor, plan, role)
            for statement in statements if not check_mode else ():
                cursor.execute(statement)
    except connection.Error as error:
        raise explain(error, "The application's role cannot be let in to read") from None
    return statements


def may_write(cursor: Any, plan: Plan, role: str) -> list[str]:
    """The plan's tables that a role may write to now, by whatever right: its own, its ownership, another role's, everybody's."""
    cursor.execute(
        "SELECT name FROM unnest(%s::text[]) name WHERE has_table_privilege(%s, name, 'INSERT, UPDATE, DELETE, TRUNCATE')"
        " OR has_any_column_privilege(%s, name, 'INSERT, UPDATE')",
        ([qualified(plan.schema, table.target) for table in plan.tables], role, role),
    )
    return [name for (name,) in cursor.fetchall()]


def prepare_opening(cursor: Any, plan: Plan, role: str) -> Opening:
    """Everything that ``open_access`` does, put together beforehand, for a moment in which every round trip counts."""
    statements = _reading(cursor, plan, role) + _writing(cursor, plan, role)
    return Opening(role, ";\n".join([*statements, _in_use(cursor, plan, role)]))


def closing_lock(cursor: Any, plan: Plan) -> str:
    """The plan's tables as LOCK TABLE names them: who holds their lock knows that nobody is writing."""
    return _tables(cursor, plan)


def closing(cursor: Any, plan: Plan, role: str) -> list[str]:
    """The statements that take the right to write from ``role`` and note that the database is no longer in use."""
    noted: str = cursor.mogrify(
        f"UPDATE {_noted(plan.own)} SET in_use_since = NULL, application_role = NULL WHERE name = %s", (plan.name,)
    ).decode()
    return [f"REVOKE {_WRITES} ON {_tables(cursor, plan)} FROM {quote(role)}", noted]


def _reading(cursor: Any, plan: Plan, role: str) -> list[str]:
    statements: list[str] = []
    tables = _tables(cursor, plan)
    if tables:
        statements.append(f"GRANT USAGE ON SCHEMA {quote(plan.schema)} TO {quote(role)}")
        statements.append(f"GRANT SELECT ON {tables} TO {quote(role)}")
    # Views of SQLite cannot be written to.
    views = _views(cursor, plan)
    if views:
        statements.append(f"GRANT SELECT ON {', '.join(views)} TO {quote(role)}")
    return statements


def _writing(cursor: Any, plan: Plan, role: str) -> list[str]:
    statements: list[str] = []
    tables = _tables(cursor, plan)
    if tables:
        statements.append(f"GRANT {_WRITES} ON {tables} TO {quote(role)}")
    sequences = _sequences(cursor, plan)
    if sequences:
        statements.append(f"GRANT USAGE, SELECT ON SEQUENCE {', '.join(sequences)} TO {quote(role)}")
    return statements


def _may_read(cursor: Any, plan: Plan, role: str) -> bool:
    names = [qualified(plan.schema, table.target) for table in plan.tables] + _views(cursor, plan)
    cursor.execute(
        "SELECT bool_and(has_table_privilege(%s, name, 'SELECT')) AND has_schema_privilege(%s, %s, 'USAGE')"
        " FROM unnest(%s::text[]) name",
        (role, role, plan.schema, names),
    )
    return bool(cursor.fetchone()[0])


def _in_use(cursor: Any, plan: Plan, role: str) -> str:
    noted: bytes = cursor.mogrify(
        f"UPDATE {_noted(plan.own)} SET in_use_since = coalesce(in_use_since, now() AT TIME ZONE 'UTC'),"
        # What was counted at the first opening stays: a rollback that was called off opens once more.
        " application_role = %s, written = coalesce(written, %s), was_in_use = true WHERE name = %s",
        (role, json.dumps(_written(cursor, plan.own)), plan.name),
    )
    return noted.decode()


def close_access(connection: Any, plan: Plan, check_mode: bool = False) -> list[str]:
    """Take the right to write from the application's role, once its transactions in flight are done.

    The tables are locked before the privileges go: a transaction that wrote has ended, a later one gets an error.
    Returns the statements; none when nobody was let in. Raises TargetError when a transaction does not end in 10 s.
    """
    try:
        with connection, connection.cursor() as cursor:
            role = role_in_use(cursor, plan)
            if role is None:
                return []
            lock = f"LOCK TABLE {closing_lock(cursor, plan)} IN EXCLUSIVE MODE"
            revoke, noted = closing(cursor, plan, role)
            statements = [lock, revoke]
            if not check_mode:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
                for statement in (*statements, noted):
                    cursor.execute(statement)
                record.closed(cursor, plan.own, plan.name)
    except connection.Error as error:
        raise explain(error, "PostgreSQL cannot be closed to writes of the application") from None
    return statements


def read_access(connection: Any, schema: str, name: str) -> dict[str, Any]:
    """Of the tables in ``schema``: {in_use_since: text, writes: [{table, writes}]} by PostgreSQL's statistics, which lag by
    about a second.

    writes is None when the statistics do not go back to the switch: a crash of the server empties them.
    """
    own = own_schema(schema)
    try:
        with connection, connection.cursor() as cursor:
            if not check_mine(cursor, schema, name):
                return {"in_use_since": "", "writes": []}
            cursor.execute(f"SELECT in_use_since, written FROM {_noted(own)} WHERE name = %s", (name,))
            row = cursor.fetchone()
            if row is None or row[0] is None:
                return {"in_use_since": "", "writes": []}
            before: dict[str, int] = row[1] or {}
            now = _written(cursor, own)
    except connection.Error as error:
        raise explain(error, "PostgreSQL does not tell what was written") from None
    counted = {table: count - before.get(table, 0) for table, count in sorted(now.items())}
    writes = [{"table": table, "writes": count} for table, count in counted.items() if count]
    return {
        "in_use_since": f"{row[0]:%Y-%m-%d %H:%M:%S}",
        "writes": None if any(count < 0 for count in counted.values()) else writes,
    }


def _written(cursor: Any, own: str) -> dict[str, int]:
    """Rows ever inserted, updated and deleted in each of the migration's tables, by the server's statistics."""
    cursor.execute("SELECT to_regclass(%s)", (qualified(own, "loaded"),))
    loaded = (
        f" UNION SELECT schema_name, table_name FROM {qualified(own, 'loaded')}"
        if cursor.fetchone()[0] is not None
        else ""
    )
    cursor.execute(
        "SELECT t.table_name, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables s"
        f" JOIN (SELECT schema_name, table_name FROM {qualified(own, 'tables')}{loaded}) t"
        " ON t.schema_name = s.schemaname AND t.table_name = s.relname WHERE t.schema_name <> %s",
        (own,),
    )
    return {table: int(count) for table, count in cursor.fetchall()}


def role_in_use(cursor: Any, plan: Plan) -> str | None:
    """The application's role while the database is in use, else None."""
    if not check_mine(cursor, plan.schema, plan.name):
        return None
    cursor.execute(
        f"SELECT application_role FROM {_noted(plan.own)} WHERE name = %s AND in_use_since IS NOT NULL",
        (plan.name,),
    )
    row = cursor.fetchone()
    return row[0] if row else None


def _tables(cursor: Any, plan: Plan) -> str:
    """The plan's tables; where the application made them itself, all tables of the schema that the role may grant."""
    names = [qualified(plan.schema, table.target) for table in plan.tables]
    if plan.mode == "existing":
        names = _relations(cursor, plan, "rp")
    return ", ".join(names)


def _views(cursor: Any, plan: Plan) -> list[str]:
    if plan.mode == "existing":
        return _relations(cursor, plan, "vm")
    return [qualified(plan.schema, view.target) for view in plan.views]


def _relations(cursor: Any, plan: Plan, kinds: str) -> list[str]:
    """The relations of some kinds in the plan's schema that the role may grant."""
    cursor.execute(
        "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind = ANY(%s) AND pg_has_role(c.relowner, 'USAGE') ORDER BY 1",
        (plan.schema, list(kinds)),
    )
    return [name for (name,) in cursor.fetchall()]


def _sequences(cursor: Any, plan: Plan) -> list[str]:
    """The sequences that the tables' new values come from."""
    if plan.mode == "existing":
        return _relations(cursor, plan, "S")
    found: list[str] = []
    for table in plan.tables:
        for column in table.columns:
            if column.identity:
                name = (qualified(plan.schema, table.target), column.target)
                cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", name)
                found.append(cursor.fetchone()[0])
    return found
