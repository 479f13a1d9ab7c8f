# SPDX-License-Identifier: GPL-3.0-or-later
"""What is taken off the application's tables while rows are loaded, and put back exactly as it was.

Foreign keys, because ranges of different tables arrive in any order; triggers, because rows are to stay as they are;
secondary indexes of large tables, because building them afterwards takes half the time. Each is recorded in the
transaction that takes it off, with what it takes to put it back, so that no kill can lose one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .errors import Refused
from .target.connect import explain, first_line, qualified, quote

#: From so many rows on, building an index after the load was measured to be faster than filling it (docs/existing-schema.md).
MANY_ROWS = 10_000


def tables(own: str) -> list[str]:
    """The statements that make the record of what is off, in the migration's own schema.

    state: ``off``, or ``unchecked``: a foreign key that is back, its rows not validated yet.
    """
    return [
        (
            f"CREATE TABLE IF NOT EXISTS {quote(own)}.loaded (schema_name text, table_name text, source_name text NOT NULL,"
            " rows_before bigint NOT NULL, kept_in text, stays boolean NOT NULL, PRIMARY KEY (schema_name, table_name))"
        ),
        (
            f"CREATE TABLE IF NOT EXISTS {_set_aside(own)} (number int GENERATED ALWAYS AS IDENTITY, schema_name text,"
            " table_name text, kind text, name text, facts jsonb NOT NULL, state text NOT NULL DEFAULT 'off',"
            " PRIMARY KEY (schema_name, table_name, kind, name))"
        ),
    ]


def _set_aside(own: str) -> str:
    return qualified(own, "set_aside")


_FOREIGN_KEYS = """
SELECT n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid), k.convalidated, pn.nspname, p.relname,
       array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS x(num, at)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.num ORDER BY x.at),
       array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS x(num, at)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.num ORDER BY x.at),
       obj_description(k.oid, 'pg_constraint')
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND (k.conrelid = ANY(%s::regclass[]) OR k.confrelid = ANY(%s::regclass[]))
ORDER BY 1, 2, 3
"""

_TRIGGERS = """
SELECT n.nspname, c.relname, t.tgname, t.tgenabled::text, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.tgrelid = ANY(%s::regclass[]) AND NOT t.tgisinternal AND t.tgenabled <> 'D'
  AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = t.tgfoid AND p.pronamespace = to_regnamespace(%s))
ORDER BY 1, 2, 3
"""

# What pg_get_indexdef does not tell (tablespace, CLUSTER, replica identity, statistics targets) keeps an index in its place.
_INDEXES = """
SELECT n.nspname, x.relname, c.relname, pg_get_indexdef(i.indexrelid), obj_description(i.indexrelid, 'pg_class'),
       CASE WHEN i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL THEN
         array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, at)
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.at <= i.indnkeyatts ORDER BY k.at)
       END, i.indnullsnotdistinct
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = ANY(%s::regclass[]) AND i.indisvalid AND NOT i.indisprimary AND NOT i.indisclustered AND NOT i.indisreplident
  AND x.reltablespace = 0 AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0)
ORDER BY 1, 3, 2
"""

_ENABLE = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}
#: In this order things are put back; deleting from the end of the list would leave tables without their guards longest.
_ORDER = {"index": 1, "foreign key": 2, "trigger": 3}


def take_off(cursor: Any, own: str, tables: list[tuple[str, str]], large: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Take foreign keys (both ways) and triggers off ``tables``, and indexes off the ``large`` ones; return the statements.

    All of it happens in the caller's transaction.
    """
    names = [qualified(*table) for table in tables]
    run: list[str] = []
    cursor.execute(_FOREIGN_KEYS, (names, names))
    for schema, table, name, definition, validated, *parent, columns, parent_columns, comment in cursor.fetchall():
        facts = {
            "name": name,
            "columns": columns,
            "parent": parent,
            "parent_columns": parent_columns,
            "definition": definition.removesuffix(" NOT VALID"),
            "validated": validated,
            "comment": comment,
        }
        run.append(f"ALTER TABLE {qualified(schema, table)} DROP CONSTRAINT {quote(name)}")
        _take(cursor, own, (schema, table, "foreign key", name), facts, run[-1])
    cursor.execute(_TRIGGERS, (names, quote(own)))
    for schema, table, name, enabled, definition in cursor.fetchall():
        run.append(f"ALTER TABLE {qualified(schema, table)} DISABLE TRIGGER {quote(name)}")
        _take(cursor, own, (schema, table, "trigger", name), {"enabled": enabled, "definition": definition}, run[-1])
    cursor.execute(_INDEXES, ([qualified(*table) for table in large],))
    for schema, index, table, definition, comment, columns, nulls_equal in cursor.fetchall():
        key = {"name": index, "primary": False, "columns": columns, "nulls_equal": nulls_equal} if columns else None
        run.append(f"DROP INDEX {qualified(schema, index)}")
        _take(
            cursor,
            own,
            (schema, table, "index", index),
            {"definition": definition, "comment": comment, "key": key},
            run[-1],
        )
    return run


def _take(cursor: Any, own: str, item: tuple[str, str, str, str], facts: dict[str, Any], statement: str) -> None:
    # One that is back already but not checked yet is taken off again; what was recorded at first stays true.
    cursor.execute(
        f"INSERT INTO {_set_aside(own)} (schema_name, table_name, kind, name, facts) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (schema_name, table_name, kind, name) DO UPDATE SET state = 'off'",
        (*item, json.dumps(facts)),
    )
    cursor.execute(statement)


def recorded(cursor: Any, own: str) -> list[tuple[int, str, str, str, str, dict[str, Any], str]]:
    """(number, schema, table, kind, name, facts, state) of everything that is off, in the order of putting it back."""
    cursor.execute("SELECT to_regclass(%s)", (_set_aside(own),))
    if cursor.fetchone()[0] is None:
        return []
    cursor.execute(f"SELECT number, schema_name, table_name, kind, name, facts, state FROM {_set_aside(own)}")
    return sorted(cursor.fetchall(), key=lambda item: (_ORDER[item[3]], item[0]))


def put_back(
    connection: Any, own: str, unchecked: frozenset[tuple[str, str, str]] = frozenset(), check_mode: bool = False
) -> list[str]:
    """Put back everything that is off, each with its record in a transaction of its own; return the statements.

    unchecked: (schema, table, name) of foreign keys that the plan lets hold for new rows only. The connection must not be in
    autocommit. Raises Refused when the rows contradict a constraint; what is left stays recorded.
    """
    run: list[str] = []
    with connection, connection.cursor() as cursor:
        items = recorded(cursor, own)
    for item in items:
        for statements in _steps(own, item, item[1:3] + item[4:5] not in unchecked):
            run += [statement for statement in statements if not statement.startswith(("DELETE", "UPDATE"))]
            if check_mode:
                continue
            try:
                with connection, connection.cursor() as cursor:
                    for statement in statements:
                        cursor.execute(statement)
            except connection.Error as error:
                raise _contradiction(error, item) from None
    return run


def put_back_at_once(cursor: Any, own: str) -> list[str]:
    """Put back everything in the caller's transaction, over rows that were there when it was taken off."""
    run: list[str] = []
    for item in recorded(cursor, own):
        for statements in _steps(own, item, True):
            for statement in statements:
                cursor.execute(statement)
                run.append(statement)
    return [statement for statement in run if not statement.startswith(("DELETE", "UPDATE"))]


def _steps(own: str, item: tuple[int, str, str, str, str, dict[str, Any], str], validate: bool) -> list[list[str]]:
    """The statements that put an item back, in groups that belong into one transaction."""
    number, schema, table, kind, name, facts, state = item
    target, done = qualified(schema, table), f"DELETE FROM {_set_aside(own)} WHERE number = {number}"
    if kind == "trigger":
        return [[f"ALTER TABLE {target} {_ENABLE[facts['enabled']]} TRIGGER {quote(name)}", done]]
    if kind == "index":
        return [[facts["definition"], *_comment("INDEX", qualified(schema, name), facts), done]]
    add = [
        f"ALTER TABLE {target} ADD CONSTRAINT {quote(name)} {facts['definition']} NOT VALID",
        *_comment("CONSTRAINT", f"{quote(name)} ON {target}", facts),
    ]
    if not (facts["validated"] and validate):
        return [[*([] if state == "unchecked" else add), done]]
    check = [f"ALTER TABLE {target} VALIDATE CONSTRAINT {quote(name)}", done]
    if state == "unchecked":
        return [check]
    # Validated apart: it reads the whole table and lets others write meanwhile.
    return [[*add, f"UPDATE {_set_aside(own)} SET state = 'unchecked' WHERE number = {number}"], check]


def _comment(kind: str, what: str, facts: dict[str, Any]) -> list[str]:
    if not facts.get("comment"):
        return []
    text = facts["comment"].replace("'", "''").replace("\\", "\\\\")
    return [f"COMMENT ON {kind} {what} IS E'{text}'"]


def _contradiction(error: BaseException, item: tuple[int, str, str, str, str, dict[str, Any], str]) -> Exception:
    table, kind, name = item[2:5]
    if getattr(error, "pgcode", "") in ("23505", "23503", "23502"):
        return Refused(
            f"table {table}: the rows contradict {kind} {name} of the application's schema: {first_line(error)}. Mend the rows, "
            "or (a foreign key) let it hold for new rows only with validate: false in cutover_plan_overrides."
        )
    return explain(error, f"table {table}: {kind} {name} cannot be put back")
