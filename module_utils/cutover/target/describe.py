# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading PostgreSQL's catalog: the tables of a schema as the application's migrations made them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ..own import own_schema
from .connect import qualified, quote
from .model import TargetColumn, TargetDescription, TargetForeignKey, TargetKey, TargetTable

#: PostgreSQL's long names of types → the engine's.
_SHORT = (
    ("character varying", "varchar"),
    ("character", "char"),
    ("timestamp without time zone", "timestamp"),
    ("timestamp with time zone", "timestamptz"),
    ("time without time zone", "time"),
    ("time with time zone", "timetz"),
)
_KINDS = {"r": "table", "p": "partitioned table"}

_TABLES = """
SELECT c.oid, c.relname, c.relkind, pg_has_role(c.relowner, 'USAGE'), c.relforcerowsecurity, c.relispartition,
       EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname
"""

# The type of a domain is looked up to the bottom: domains may stand on domains, and the innermost says how long.
_COLUMNS = """
WITH RECURSIVE base(start, oid, typmod, needed) AS (
  SELECT t.oid, t.typbasetype, t.typtypmod, t.typnotnull FROM pg_type t WHERE t.typtype = 'd'
  UNION ALL SELECT base.start, t.typbasetype, t.typtypmod, base.needed OR t.typnotnull
    FROM base JOIN pg_type t ON t.oid = base.oid WHERE t.typtype = 'd'
), bottom AS (
  SELECT base.start, base.oid, base.typmod, base.needed FROM base JOIN pg_type t ON t.oid = base.oid WHERE t.typtype <> 'd'
)
SELECT a.attrelid, a.attname, t.typname, format_type(t.oid, coalesce(bottom.typmod, a.atttypmod)), t.typtype,
       CASE WHEN own.typtype IN ('d', 'e') THEN format('%%I.%%I', typespace.nspname, own.typname) END,
       a.attnotnull OR coalesce(bottom.needed, false), pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
       array(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       coalesce(pg_get_serial_sequence(format('%%I.%%I', n.nspname, c.relname), a.attname),
         (SELECT format('%%I.%%I', ns.nspname, s.relname) FROM pg_depend dep
            JOIN pg_class s ON s.oid = dep.refobjid AND s.relkind = 'S' JOIN pg_namespace ns ON ns.oid = s.relnamespace
          WHERE dep.classid = 'pg_attrdef'::regclass AND dep.objid = d.oid AND dep.refclassid = 'pg_class'::regclass
            AND pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%' LIMIT 1)),
       own.typdefault
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type own ON own.oid = a.atttypid JOIN pg_namespace typespace ON typespace.oid = own.typnamespace
  LEFT JOIN bottom ON bottom.start = own.oid JOIN pg_type t ON t.oid = coalesce(bottom.oid, own.oid)
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum
"""

_KEYS = """
SELECT i.indrelid, x.relname, i.indisprimary, i.indnullsnotdistinct,
       array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, at)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.at <= i.indnkeyatts ORDER BY k.at)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = ANY(%s) AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY 1, NOT i.indisprimary, 2
"""

_INDEXES = """
SELECT i.indrelid, x.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = ANY(%s) ORDER BY 1, 2
"""

_CONSTRAINTS = """
SELECT k.conrelid, k.conname, k.contype, pg_get_constraintdef(k.oid), pn.nspname, p.relname,
       array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS c(num, at)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.num ORDER BY c.at),
       array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS c(num, at)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.num ORDER BY c.at)
FROM pg_constraint k LEFT JOIN pg_class p ON p.oid = k.confrelid LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.conrelid = ANY(%s) AND k.contype IN ('c', 'f') ORDER BY 1, 2
"""

_TRIGGERS = """
SELECT tgrelid, tgname, pg_get_triggerdef(oid) || ' ' || tgenabled::text FROM pg_trigger
WHERE tgrelid = ANY(%s) AND NOT tgisinternal AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = tgfoid
  AND p.pronamespace = to_regnamespace(%s)) ORDER BY 1, 2
"""


def describe(connection: Any, schema: str) -> TargetDescription:
    """The tables of ``schema`` as the application made them. What a load has set aside is told as if it were there."""
    with connection.cursor() as cursor:
        return describe_with(cursor, schema)


def describe_with(cursor: Any, schema: str, counted: bool = True) -> TargetDescription:
    """``describe`` inside the caller's transaction; rows are left at 0 unless ``counted``."""
    cursor.execute(_TABLES, (schema,))
    tables = cursor.fetchall()
    oids = [table[0] for table in tables]
    columns = _grouped(cursor, _COLUMNS, oids)
    keys, indexes = _grouped(cursor, _KEYS, oids), _grouped(cursor, _INDEXES, oids)
    constraints, triggers = (
        _grouped(cursor, _CONSTRAINTS, oids),
        _grouped(cursor, _TRIGGERS, oids, quote(own_schema(schema))),
    )
    aside, before, created = _recorded(cursor, schema)
    found: list[TargetTable] = []
    for oid, name, kind, owned, forced, partition, inherits in tables:
        foreign = {row[0]: _foreign_key(row) for row in constraints[oid] if row[1] == "f"}
        lists: dict[str, dict[str, Any]] = {
            "foreign key": foreign,
            "index": dict(indexes[oid]),
            "trigger": dict(triggers[oid]),
            "key": {row[0]: TargetKey(row[0], row[1], tuple(row[3]), row[2]) for row in keys[oid]},
        }
        # What is recorded as set aside counts as it was, whether it is gone, or back but not yet checked.
        for what, item, facts in aside[name]:
            lists[what][item] = facts
        found.append(
            TargetTable(
                schema=schema,
                name=name,
                kind="partition" if partition else "child table" if inherits and kind == "r" else _KINDS[kind],
                owned=owned,
                forced=forced,
                rows=_count(cursor, schema, name, before) if counted else 0,
                columns=tuple(_column(row) for row in columns[oid]),
                keys=tuple(sorted(lists["key"].values(), key=lambda key: (not key.primary, key.name))),
                foreign_keys=tuple(lists["foreign key"][item] for item in sorted(lists["foreign key"])),
                checks=tuple((row[0], row[2]) for row in constraints[oid] if row[1] == "c"),
                triggers=tuple(sorted(lists["trigger"].items())),
                indexes=tuple(sorted(lists["index"].items())),
            )
        )
    return TargetDescription(schema, tuple(found), created)


def sequences_of(cursor: Any, schema: str, table: str) -> list[tuple[str, str]]:
    """(column, qualified sequence) of each column that takes its new values from one."""
    cursor.execute("SELECT to_regclass(%s)::oid", (qualified(schema, table),))
    oid = cursor.fetchone()[0]
    found = [] if oid is None else _grouped(cursor, _COLUMNS, [oid])[oid]
    return [(column.name, column.sequence) for column in map(_column, found) if column.sequence is not None]


def _grouped(cursor: Any, query: str, oids: list[int], *more: str) -> dict[int, list[tuple[Any, ...]]]:
    """Rows by their first column, the table."""
    cursor.execute(query, (oids, *more))
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for oid, *row in cursor.fetchall():
        found[oid].append(tuple(row))
    return found


def _count(cursor: Any, schema: str, name: str, before: dict[str, int]) -> int:
    if name in before:
        return before[name]
    cursor.execute("SELECT has_table_privilege(%s, 'SELECT')", (qualified(schema, name),))
    if not cursor.fetchone()[0]:
        return 0
    cursor.execute(f"SELECT count(*) FROM ONLY {qualified(schema, name)}")
    return int(cursor.fetchone()[0])


def _column(row: tuple[Any, ...]) -> TargetColumn:
    name, base, full, kind, domain, not_null, expression, identity, generated, labels, sequence, domain_default = row
    return TargetColumn(
        name=name,
        type="enum" if kind == "e" else _short(base, full),
        labels=tuple(labels) if kind == "e" else (),
        domain=domain,
        not_null=not_null,
        default=None if generated else expression if expression is not None else domain_default,
        identity={"a": "always", "d": "by default"}.get(identity),
        generated=expression if generated else None,
        sequence=sequence,
    )


def _short(base: str, full: str) -> str:
    """``character varying(20)`` → ``varchar(20)``; a type of an extension or of the application keeps its plain name."""
    if full.endswith("[]"):
        return full
    start, bracket, rest = full.partition("(")
    number, _, tail = rest.partition(")")
    plain = " ".join((start + tail).split())
    plain = dict(_SHORT).get(plain, plain)
    # citext, hstore, ltree … are shown with the schema that their extension was put into.
    plain = base if "." in plain or '"' in plain else plain
    return f"{plain}({number.replace(' ', '')})" if bracket else plain


def _foreign_key(row: tuple[Any, ...]) -> TargetForeignKey:
    name, _, definition, parent_schema, parent, columns, parent_columns = row
    # Whether it was validated is no part of what the application wrote.
    return TargetForeignKey(
        name, tuple(columns), (parent_schema, parent), tuple(parent_columns), definition.removesuffix(" NOT VALID")
    )


def _recorded(
    cursor: Any, schema: str
) -> tuple[dict[str, list[tuple[str, str, Any]]], dict[str, int], tuple[str, ...]]:
    """What loads have set aside, by table; how many rows their tables had before; tables that the migration made."""
    aside: dict[str, list[tuple[str, str, Any]]] = defaultdict(list)
    before: dict[str, int] = {}
    of = own_schema(schema)
    tables = qualified(of, "tables")
    cursor.execute("SELECT to_regclass(%s), to_regclass(%s)", (tables, qualified(of, "loaded")))
    own, loaded = cursor.fetchone()
    created: tuple[str, ...] = ()
    if own is not None:
        cursor.execute(f"SELECT table_name FROM {tables} WHERE schema_name = %s ORDER BY 1", (schema,))
        created = tuple(name for (name,) in cursor.fetchall())
    if loaded is not None:
        cursor.execute(
            f"SELECT table_name, rows_before FROM {qualified(of, 'loaded')} WHERE schema_name = %s", (schema,)
        )
        before = dict(cursor.fetchall())
        cursor.execute(
            f"SELECT table_name, kind, name, facts FROM {qualified(of, 'set_aside')} WHERE schema_name = %s ORDER BY number",
            (schema,),
        )
        for table, kind, name, facts in cursor.fetchall():
            if kind == "foreign key":
                value: Any = TargetForeignKey(
                    facts["name"],
                    tuple(facts["columns"]),
                    tuple(facts["parent"]),
                    tuple(facts["parent_columns"]),
                    facts["definition"],
                )
                aside[table].append((kind, name, value))
            else:
                aside[table].append((kind, name, facts["definition"]))
                if facts.get("key"):
                    key = {**facts["key"], "columns": tuple(facts["key"]["columns"])}
                    aside[table].append(("key", name, TargetKey(**key)))
    return aside, before, created
