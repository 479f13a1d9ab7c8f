# SPDX-License-Identifier: GPL-3.0-or-later
"""What a peer's tables hold other than they should: row by row and column by column beside a verified copy."""

from __future__ import annotations

import dataclasses
import re
from contextlib import closing
from typing import Any

import psycopg2

from bench.inputs import Input
from bench.project import run_step, verify
from cutover import ddl
from cutover.plan.model import Plan, PlanColumn, PlanTable
from cutover.target.connect import connect, qualified, quote

#: The schema of the verified copy in the peer's database.
_OURS = "verified"
_INTEGERS = ("bigint", "integer", "smallint")
_FLOATS = ("double precision", "real")
_TRY = (
    "CREATE FUNCTION verified.as_jsonb(text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS"
    " $$ BEGIN RETURN $1::jsonb; EXCEPTION WHEN others THEN RETURN NULL; END $$"
)
_COUNTS = {
    "NOT NULL columns": "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " WHERE c.relkind = 'r' AND c.relnamespace = %s::regnamespace AND a.attnum > 0 AND a.attnotnull",
    "defaults and identities": "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " WHERE c.relkind = 'r' AND c.relnamespace = %s::regnamespace AND a.attnum > 0 AND (a.atthasdef OR a.attidentity <> '')",
    "primary keys": "SELECT count(*) FROM pg_constraint WHERE connamespace = %s::regnamespace AND contype = 'p'",
    "foreign keys": "SELECT count(*) FROM pg_constraint WHERE connamespace = %s::regnamespace AND contype = 'f'",
    "checks": "SELECT count(*) FROM pg_constraint WHERE connamespace = %s::regnamespace AND contype = 'c'",
    "indexes": "SELECT count(*) FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'i'",
}


def find(item: Input, plan: Plan, url: str, workers: int) -> dict[str, Any]:
    """{rows: {table: missing}, values: {table.column: changed}, types: {table.column: …}, lost: {what: [peer, here]}}."""
    # Views name the tables of the plan's own schema.
    ours = dataclasses.replace(plan, schema=_OURS, views=())
    with closing(connect(url)) as connection:
        ddl.create_tables(connection, ours)
    for step in ("copy", "finish"):
        run_step(step, item, workers, ours, url)
    verify(item, workers, ours, url)
    found: dict[str, Any] = {"rows": {}, "values": {}, "types": {}, "lost": {}}
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SET TimeZone TO 'UTC'")
        cursor.execute(_TRY)
        cursor.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c"
            " ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
            " AND NOT a.attisdropped"
        )
        # A peer that folds names is given the benefit of the doubt.
        theirs = {(t.lower(), c.lower()): (t, c, kind) for t, c, kind in cursor.fetchall()}
        for table in ours.tables:
            _compare_table(cursor, table, theirs, found)
        for what, query in _COUNTS.items():
            counts = []
            for schema in ("public", _OURS):
                cursor.execute(query, (schema,))
                counts.append((cursor.fetchone() or (0,))[0])
            if counts[0] < counts[1]:
                found["lost"][what] = counts
    return found


def _compare_table(
    cursor: Any, table: PlanTable, theirs: dict[tuple[str, str], tuple[str, str, str]], found: Any
) -> None:
    columns = [(c, theirs.get((table.target.lower(), c.target.lower()))) for c in table.columns]
    if any(other is None for _, other in columns):
        found["rows"][table.name] = table.rows
        return
    pairs = [(column, other) for column, other in columns if other is not None]
    mine, peer = qualified(_OURS, table.target), qualified("public", pairs[0][1][0])
    cursor.execute(f"SELECT (SELECT count(*) FROM {mine}) - (SELECT count(*) FROM {peer})")
    missing = cursor.fetchone()[0]
    if missing:
        found["rows"][table.name] = missing
    for column, other in pairs:
        wanted = column.type.replace("timestamptz", "timestamp with time zone").replace("varchar", "character varying")
        wanted = "timestamp without time zone" if wanted == "timestamp" else wanted
        if other[2] != wanted and (other[2], wanted) != ("character varying", "text"):
            found["types"][f"{table.name}.{column.name}"] = f"{other[2]} for {wanted}"
    keys = [(column, other) for column, other in pairs if column.name in table.key]
    if not keys:
        return
    joined = " AND ".join(f"m.{quote(c.target)}::text = p.{quote(o[1])}::text" for c, o in keys)
    for column, other in pairs:
        query = (
            f"SELECT count(*) FROM {mine} m JOIN {peer} p ON {joined}"
            f" WHERE ({_same(column, f'm.{quote(column.target)}', f'p.{quote(other[1])}', other[2])}) IS NOT TRUE"
        )
        try:
            cursor.execute(query)
            changed: Any = cursor.fetchone()[0]
        except psycopg2.Error as error:
            changed = f"cannot be compared: {str(error).splitlines()[0]}"
        if changed:
            found["values"][f"{table.name}.{column.name}"] = changed


def _same(column: PlanColumn, mine: str, peer: str, kind: str) -> str:
    """Whether two values mean the same, whatever the peer's type is: NULL only equals NULL."""
    base, other = column.type.split("(")[0], kind.split("(")[0]
    same = f"{mine}::text = {peer}::text"
    if base in (*_INTEGERS, "numeric", *_FLOATS) and other in (*_INTEGERS, "numeric", *_FLOATS):
        # By the shortest text of a float, as the source means it.
        same = (
            f"{mine} = {peer}"
            if base in _FLOATS and other in _FLOATS
            else f"{mine}::text::numeric = {peer}::text::numeric"
        )
    elif base == "boolean" and other in _INTEGERS:
        same = f"{mine}::integer = {peer}"
    elif base.startswith("timestamp") and other in _INTEGERS:
        same = f"extract(epoch FROM {mine}) * 1000 = {peer}"
    elif base.startswith("timestamp") and other.startswith("timestamp"):
        same = f"{mine}::timestamp = {peer}::timestamp"
    elif base in ("json", "jsonb"):
        same = f"{mine}::jsonb = verified.as_jsonb({peer}::text)"
    elif base == "bytea" and other != "bytea":
        same = f"{mine} = convert_to({peer}::text, 'UTF8')"
    return f"({mine} IS NULL AND {peer} IS NULL) OR {same}"


def summary(found: dict[str, Any]) -> list[str]:
    """The mistakes in a few lines, the worst first."""
    lines = []
    if found["rows"]:
        lines.append("rows missing: " + ", ".join(f"{t} {n:,}" for t, n in found["rows"].items()))
    if found["values"]:
        shown = [f"{c} {n:,}" if isinstance(n, int) else f"{c} ({n})" for c, n in found["values"].items()]
        lines.append("values changed: " + ", ".join(shown))
    if found["types"]:
        lines.append(f"columns of another type: {len(found['types'])} (" + "; ".join(_grouped(found["types"])) + ")")
    lines += [f"{what}: {peer} of {here}" for what, (peer, here) in found["lost"].items()]
    return lines


def _grouped(types: dict[str, str]) -> list[str]:
    groups: dict[str, int] = {}
    for change in types.values():
        change = re.sub(r"\((\d+)\)", "(n)", change)
        groups[change] = groups.get(change, 0) + 1
    return [f"{n} × {change}" for change, n in sorted(groups.items(), key=lambda g: -g[1])]
