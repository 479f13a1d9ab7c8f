# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the record in PostgreSQL is that of this migration: others may lie beside it, and a schema may be named by mistake."""

from __future__ import annotations

from typing import Any

from ..errors import Refused, TargetError
from ..own import PREFIX, own_schema
from .connect import qualified


def recorded(cursor: Any, schema: str) -> list[str] | None:
    """The names of the migrations into ``schema`` by the record there, of which there is one at most; None without a record."""
    migration = qualified(own_schema(schema), "migration")
    cursor.execute("SELECT to_regclass(%s)", (migration,))
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute(f"SELECT name FROM {migration} ORDER BY 1")
    return [name for (name,) in cursor.fetchall()]


def check_mine(cursor: Any, schema: str, name: str) -> bool:
    """Whether the record of a migration into ``schema`` is there. Raises TargetError when it is another migration's, Refused
    when that of this one lies elsewhere: what it made and whom it let in would be taken for nothing."""
    if of_another(cursor, schema, name):
        raise TargetError(
            f"the database holds the migration {', '.join(recorded(cursor, schema) or [])} into schema {schema}, not {name!r}. "
            "Name another database, give this migration a schema of its own (cutover_plan_overrides.schema), or set "
            "cutover_name to go on with that one."
        )
    return recorded(cursor, schema) is not None


def of_another(cursor: Any, schema: str, name: str) -> bool:
    """Whether the record there is another migration's, so that nothing of this one is there. Raises Refused as above."""
    names = recorded(cursor, schema)
    if names is None:
        where = elsewhere(cursor, schema, name)
        if where:
            raise Refused(of_elsewhere(where, schema))
    return bool(names) and name not in (names or ())


def elsewhere(cursor: Any, schema: str, name: str) -> str:
    """The schema in which the record of a migration of this name lies beside that which the plan leads to, else ''."""
    # By the catalog: to_regclass fails in a schema that another role's migration keeps to itself.
    cursor.execute(
        "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 'migration'"
        " AND (n.nspname = %s OR starts_with(n.nspname, %s)) AND n.nspname <> %s AND has_schema_privilege(n.oid, 'USAGE')"
        " AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1",
        (PREFIX, f"{PREFIX}_for_", own_schema(schema)),
    )
    for (where,) in cursor.fetchall():
        cursor.execute(f"SELECT EXISTS (SELECT FROM {qualified(where, 'migration')} WHERE name = %s)", (name,))
        if cursor.fetchone()[0]:
            return str(where)
    return ""


def of_elsewhere(where: str, schema: str) -> str:
    """The message that refuses to go on beside it."""
    return (
        f"the record of this migration lies in schema {where} of the database, and for tables in schema {schema} it would lie in "
        f"{own_schema(schema)}: the plan named another schema when it began, or another migration has its name, or version 0.1 "
        f"began it, which kept all records in {PREFIX}. Set cutover_plan_overrides.schema or cutover_name right, or go on with "
        "that version. If nobody uses what was copied, drop it and that record."
    )
