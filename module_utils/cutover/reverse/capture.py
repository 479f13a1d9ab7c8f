# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture in PostgreSQL: statement-level triggers that write the keys of changed rows into an outbox.

A statement logs the keys of all its rows at once, by its transition tables. The function runs as the owner, so the
application's role needs no right on the migration's schema. Sessions of the engine itself are not captured.
"""

from __future__ import annotations

import json
from typing import Any

from ..codecs.base import base_type
from ..errors import Refused
from ..own import own_schema
from ..plan.model import Plan, PlanTable
from ..target.connect import explain, literal, qualified, quote
from ..target.mine import check_mine, of_another

#: The triggers on the application's tables: this and the event.
PREFIX = "pgcutover_capture_"
_LOCK_TIMEOUT = "10s"

#: Types whose text does not depend on a session's settings.
_PLAIN = {
    *("bigint", "integer", "smallint", "numeric", "uuid", "text", "varchar", "char", "citext", "boolean", "enum"),
    *("inet", "jsonb"),
}
_SETTINGS = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}
_EVENTS = {
    "insert": ("INSERT", "REFERENCING NEW TABLE AS pgcutover_new "),
    "update": ("UPDATE", "REFERENCING OLD TABLE AS pgcutover_old NEW TABLE AS pgcutover_new "),
    "delete": ("DELETE", "REFERENCING OLD TABLE AS pgcutover_old "),
    "truncate": ("TRUNCATE", ""),
}


def outbox_of(own: str) -> str:
    """What was logged, of the migration whose own schema is ``own``.

    t: the table by its name in the source. k: the key as text, NULL: rows without number, so the whole table counts as changed.
    """
    # Spelled as in the functions that stand already, which are compared with it.
    return f"{quote(own)}.outbox"


def state_of(own: str) -> str:
    """One row: the plan that the capture is for and what the target looked like; its lock lets one replay at a time."""
    return qualified(own, "reverse")


def _tables(own: str) -> list[str]:
    return [
        (
            f"CREATE TABLE IF NOT EXISTS {outbox_of(own)} (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text NOT NULL,"
            " k text[], at timestamptz NOT NULL DEFAULT clock_timestamp())"
            # It is emptied all the time: what is dead must not pile up in front of what is new.
            " WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)"
        ),
        (
            f"CREATE TABLE IF NOT EXISTS {state_of(own)} (one boolean PRIMARY KEY DEFAULT true CHECK (one), plan text NOT NULL,"
            " triggers jsonb NOT NULL, structure jsonb NOT NULL)"
        ),
    ]


def install(connection: Any, plan: Plan, check_mode: bool = False) -> list[str]:
    """Install the capture; return the statements (to be) run, none when it stands already.

    Where the application has written without it, every table counts as changed: the replay compares all rows then.
    What the target looks like is noted as long as the application does not use it: what differs from that later cannot
    go back. The connection must not be in autocommit. Raises Refused, TargetError.
    """
    try:
        with connection, connection.cursor() as cursor:
            _check_names(plan)
            check_mine(cursor, plan.schema, plan.name)
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            statements = (
                [*_tables(plan.own), *_drops(cursor, plan.own), *_creates(plan)] if problems(cursor, plan) else []
            )
            if check_mode:
                return statements
            for statement in statements:
                cursor.execute(statement)
            _note(cursor, plan)
            if statements and in_use(cursor, plan.own):
                # What was written without it is not known: every row may be another.
                names = [table.name for table in plan.tables]
                cursor.execute(f"INSERT INTO {outbox_of(plan.own)} (t) SELECT unnest(%s::text[])", (names,))
            return statements
    except connection.Error as error:
        raise explain(error, "The way back cannot be made ready in PostgreSQL") from None


def remove(connection: Any, schema: str, name: str, check_mode: bool = False) -> list[str]:
    """Take the capture of the migration ``name`` into ``schema`` out with everything that it has logged.

    Returns the statements (to be) run. Raises Refused, TargetError.
    """
    own = own_schema(schema)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            if of_another(cursor, schema, name):
                return []
            statements = _drops(cursor, own)
            for table in (outbox_of(own), state_of(own)):
                cursor.execute("SELECT to_regclass(%s)", (table,))
                if cursor.fetchone()[0] is not None:
                    statements.append(f"DROP TABLE {table}")
            for statement in statements if not check_mode else ():
                cursor.execute(statement)
            return statements
    except connection.Error as error:
        raise explain(error, "The capture cannot be taken out of PostgreSQL") from None


def problems(cursor: Any, plan: Plan) -> list[str]:
    """What is missing for every change to be logged, empty when nothing is."""
    cursor.execute("SELECT to_regclass(%s), to_regclass(%s)", (outbox_of(plan.own), state_of(plan.own)))
    if None in cursor.fetchone():
        return ["PostgreSQL does not log what changes: the reverse capture is not installed"]
    cursor.execute(f"SELECT plan, triggers FROM {state_of(plan.own)}")
    row = cursor.fetchone()
    if row is None or row[0] != plan.fingerprint():
        return ["the reverse capture in PostgreSQL was installed for another plan"]
    found: list[str] = []
    noted, there, bodies = row[1], _triggers(cursor, plan), _functions(cursor, plan.own)
    for number, table in enumerate(plan.tables):
        for event in _EVENTS:
            definition, enabled = there.get((table.target, PREFIX + event), (None, ""))
            if definition is None:
                found.append(f"table {table.target}: the trigger {PREFIX}{event} is gone")
            elif definition != noted.get(table.target, {}).get(PREFIX + event):
                found.append(f"table {table.target}: the trigger {PREFIX}{event} is another than the one installed")
            elif enabled != "A":
                found.append(f"table {table.target}: the trigger {PREFIX}{event} is switched off")
        if bodies.get(f"capture_{number}") != (_body(plan.own, table), True):
            found.append(f"table {table.target}: the function {plan.own}.capture_{number} was changed")
    return found


def structure(cursor: Any, plan: Plan) -> dict[str, dict[str, str]]:
    """Tables of the plan's schema: their columns with their types."""
    cursor.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c JOIN pg_attribute a ON a.attrelid"
        " = c.oid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind IN ('r', 'p')"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum",
        (plan.schema,),
    )
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in cursor.fetchall():
        found.setdefault(table, {})[column] = kind
    return found


def noted_structure(cursor: Any, own: str) -> dict[str, dict[str, str]]:
    """What ``structure`` was when the application was last let in."""
    cursor.execute(f"SELECT structure FROM {state_of(own)}")
    row = cursor.fetchone()
    return row[0] if row else {}


def _check_names(plan: Plan) -> None:
    for table in plan.tables:
        if any(column.target in ("pgcutover_new", "pgcutover_old") for column in table.columns):
            raise Refused(f"table {table.target}: has a column with a name that the migration uses itself.")


def _key(table: PlanTable, alias: str) -> str:
    """The key as an array of texts."""
    names = [f"{alias}.{quote(table.column(name).target)}::text" for name in table.key]
    return f"ARRAY[{', '.join(names)}]"


def _body(own: str, table: PlanTable) -> str:
    name = "'" + table.name.replace("'", "''") + "'"
    into, whole = f"INSERT INTO {outbox_of(own)} (t, k)", f"VALUES ({name}, NULL)"
    if not table.key:
        return f"BEGIN\n  {into} {whole};\n  RETURN NULL;\nEND"
    new = f"SELECT {name}, {_key(table, 'n')} FROM pgcutover_new AS n"
    old = f"SELECT {name}, {_key(table, 'o')} FROM pgcutover_old AS o"
    return (
        "BEGIN\n"
        f"  IF TG_OP = 'INSERT' THEN\n    {into} {new};\n"
        f"  ELSIF TG_OP = 'UPDATE' THEN\n    {into} {new} UNION {old};\n"
        f"  ELSIF TG_OP = 'DELETE' THEN\n    {into} {old};\n"
        f"  ELSE\n    {into} {whole};\n"
        "  END IF;\n  RETURN NULL;\nEND"
    )


def _creates(plan: Plan) -> list[str]:
    statements: list[str] = []
    for number, table in enumerate(plan.tables):
        function, target = f"{qualified(plan.own, f'capture_{number}')}()", qualified(plan.schema, table.target)
        kinds = {base_type(table.column(name).type) for name in table.key}
        settings = {} if kinds <= _PLAIN else _SETTINGS
        sets = "".join(f" SET {name} = '{value}'" for name, value in settings.items())
        statements.append(
            f"CREATE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
            f" SET search_path = pg_catalog, pg_temp{sets} AS {literal(_body(plan.own, table))}"
        )
        statements.append(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        for event, (word, tables) in _EVENTS.items():
            name = quote(PREFIX + event)
            statements.append(
                f"CREATE TRIGGER {name} AFTER {word} ON {target} {tables}FOR EACH STATEMENT"
                " WHEN (current_setting('pgcutover.applying', true) IS DISTINCT FROM 'on')"
                f" EXECUTE FUNCTION {function}"
            )
            # Also for sessions that replicate: what they write has to go back too.
            statements.append(f"ALTER TABLE {target} ENABLE ALWAYS TRIGGER {name}")
    return statements


def _drops(cursor: Any, own: str) -> list[str]:
    """The statements that drop the functions and, with them, their triggers."""
    names = sorted(name for name in _functions(cursor, own))
    return [f"DROP FUNCTION {qualified(own, name)}() CASCADE" for name in names]


def _functions(cursor: Any, own: str) -> dict[str, tuple[str, bool]]:
    """The capture's functions: body, and whether they run as the owner with a search path of their own."""
    cursor.execute(
        "SELECT p.proname, p.prosrc, p.prosecdef AND p.proconfig[1] = 'search_path=pg_catalog, pg_temp' FROM pg_proc p"
        " JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %s AND p.proname ~ '^capture_[0-9]+$'",
        (own,),
    )
    return {name: (body, safe) for name, body, safe in cursor.fetchall()}


def _triggers(cursor: Any, plan: Plan) -> dict[tuple[str, str], tuple[str, str]]:
    """(table, trigger) → (definition, enabled) of the triggers that call the capture's functions."""
    cursor.execute(
        "SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text FROM pg_trigger t JOIN pg_class c"
        " ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid"
        " JOIN pg_namespace pn ON pn.oid = p.pronamespace WHERE n.nspname = %s AND pn.nspname = %s AND NOT t.tgisinternal",
        (plan.schema, plan.own),
    )
    return {(table, name): (definition, enabled) for table, name, definition, enabled in cursor.fetchall()}


def in_use(cursor: Any, own: str) -> bool:
    """Whether the application writes to the target."""
    cursor.execute(f"SELECT bool_or(in_use_since IS NOT NULL) FROM {qualified(own, 'migration')}")
    return bool(cursor.fetchone()[0])


def _note(cursor: Any, plan: Plan) -> None:
    """Note the triggers as PostgreSQL tells them and, unless the application uses the target, what it looks like."""
    triggers: dict[str, dict[str, str]] = {}
    for (table, name), (definition, _) in _triggers(cursor, plan).items():
        triggers.setdefault(table, {})[name] = definition
    looks = noted_structure(cursor, plan.own) if in_use(cursor, plan.own) else {}
    cursor.execute(
        f"INSERT INTO {state_of(plan.own)} (plan, triggers, structure) VALUES (%s, %s, %s) ON CONFLICT (one) DO UPDATE"
        " SET plan = excluded.plan, triggers = excluded.triggers, structure = excluded.structure",
        (plan.fingerprint(), json.dumps(triggers), json.dumps(looks or structure(cursor, plan))),
    )
