# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that the maps of integer keys are right: recomputed from the source, compared by checksum with PostgreSQL's."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from .canonical import Canonical
from .compare import CAP, Counts, Difference
from .idmap import map_name, map_of, mapped, orphans, orphans_of
from .plan.codec import codec_of
from .plan.model import Plan, PlanColumn, PlanTable
from .ranges import Range, explained, plan_ranges, read, select
from .target.connect import qualified, quote
from .target.rows import digest_query, escaped, key_range, row_form

MAP = "map of ids"
#: Names of expressions that no column of a table should have.
_OLD, _NEW, _THERE, _ROW = (f'"pg-cutover {name}"' for name in ("integer", "uuid", "there", "form"))


def _own(table: PlanTable) -> PlanColumn:
    key = table.uuid_key
    if key is None:
        raise ValueError(f"table {table.name} has no map")
    return key


def as_table(table: PlanTable) -> PlanTable:
    """The map of a table as a planned table that is filled from the same rows: twice the key, as it is and as UUID."""
    key = _own(table)
    old = PlanColumn(key.name, "old", key.declared, "integer", "bigint", not_null=True)
    return PlanTable(
        name=table.name,
        target=map_name(table.name),
        rows=table.rows,
        bytes=table.rows * 64,
        # By the key itself, so that both sides go through the same ranges of it.
        rowid=None,
        compare="ordered",
        columns=(old, replace(key, target="new")),
        primary_key=(key.name,),
        primary_key_name=None,
        indexes=(),
        foreign_keys=(),
    )


def tasks(source: Any, table: PlanTable) -> list[tuple[str, str, Range]]:
    """The ranges of a table's map, for ``compare``; none when it has no map."""
    if table.uuid_key is None:
        return []
    return [("map", table.name, piece) for piece in plan_ranges(source, as_table(table))]


def count(cursor: Any, plan: Plan, table: PlanTable) -> int:
    """The rows that PostgreSQL has of a table."""
    cursor.execute(f"SELECT count(*) FROM {qualified(plan.schema, table.target)}")
    found: int = cursor.fetchone()[0]
    return found


def compare(source: Any, target: Any, plan: Plan, piece: Range) -> dict[str, Any]:
    """Compare a range of a map. Its differences count as differences of the table's key."""
    table = as_table(plan.table(piece.table))
    own = replace(plan, schema=plan.own)
    key = table.columns[1]
    text = codec_of(key).canonical(key.type)
    digest = hashlib.sha256()
    # What is no integer has no place in the map: the row is in quarantine.
    numbers = [row[0] for row in read(source, table, piece) if row[0].__class__ is int]
    Canonical(table).digest([(number, number) for number in numbers], digest.update)
    with target.cursor() as cursor:
        cursor.execute(*digest_query(own, table, piece.low, piece.high))
        found = tuple(cursor.fetchone())
    result: dict[str, Any] = {"rows_source": 0, "rows_target": 0, "bytes": 0, "aside": (0, 0)}
    if found != (len(numbers), digest.hexdigest()):
        condition, values = key_range(table, piece.low, piece.high)
        with target.cursor() as cursor:
            cursor.execute(f"SELECT old, new::text FROM {qualified(plan.own, table.target)} WHERE {condition}", values)
            held = cursor.fetchall()
        result["merged"] = _differing(table.name, key.name, [(n, text(n).decode()) for n in numbers], held)
        result["merged"].require(table)
    return result


def compare_rows(source: Any, target: Any, plan: Plan, piece: Range) -> dict[str, Any]:
    """Compare a range of a table and of its map at once: each row behind its integer key, in the order of these.

    ``differs`` in the answer says that anything is wrong, not what.
    """
    table = plan.table(piece.table)
    key, rows = as_table(table), replace(table, columns=(_before(table), *table.columns))
    digest = hashlib.sha256()
    with explained(source):
        count, size = Canonical(rows).digest(select(source, table, piece, with_key=True), digest.update)
    condition, values = key_range(key, piece.low, piece.high)
    with target.cursor() as cursor:
        cursor.execute(_mapped_query(plan, rows, condition), values)
        held, there, other = cursor.fetchone()
    return {
        "rows_source": count,
        "rows_target": there,
        "bytes": size,
        "digest": digest.hexdigest(),
        "aside": (0, 0),
        "differs": (held, there, other) != (count, count, digest.hexdigest()),
    }


def _mapped_query(plan: Plan, rows: PlanTable, condition: str) -> str:
    """(rows of the map, rows of the table, SHA-256) of a range of integer keys. rows: the table behind its integer key."""
    own = quote(_own(rows).target)
    maps = map_of(plan.own, rows.name)
    inner = (
        f"SELECT held.{own} AS {_THERE}, {row_form(rows)} AS {_ROW} FROM"
        f" (SELECT old AS {_OLD}, new AS {_NEW} FROM {maps} WHERE "
    )
    outer = f") AS maps LEFT JOIN {qualified(plan.schema, rows.target)} AS held ON held.{own} = maps.{_NEW}"
    return (
        f"SELECT count(*), count({_THERE}), encode(sha256(coalesce(string_agg({_ROW}, ''::bytea), '')), 'hex') FROM"
        f" ({escaped(inner)}{condition}{escaped(outer)} ORDER BY {_OLD}) AS ordered"
    )


def _before(table: PlanTable) -> PlanColumn:
    """The integer key as a column in front of the row."""
    name = _OLD.strip('"')
    return replace(as_table(table).columns[0], name=name, target=name)


def compare_orphans(source: Any, cursor: Any, plan: Plan) -> dict[str, Counts]:
    """By table, what is wrong with the keys that no row has."""
    wanted = orphans(source, plan)
    found: dict[str, Counts] = {}
    for table in mapped(plan):
        cursor.execute(f"SELECT old, new FROM {orphans_of(plan.own)} WHERE key_of = %s", (table.name,))
        held = cursor.fetchall()
        pairs = list(wanted.get(table.name, {}).items())
        if sorted(held) != sorted(pairs):
            key = table.uuid_key
            found[table.name] = _differing(table.name, key.name if key else "", pairs, held)
    return found


def _differing(table: str, key: str, wanted: list[tuple[int, str]], held: list[tuple[int, str]]) -> Counts:
    counts = Counts(0, 0, 0, [])
    left = set(wanted)
    surplus: dict[int, list[str]] = {}
    for old, new in held:
        if (old, new) in left:
            left.discard((old, new))
        else:
            surplus.setdefault(old, []).append(new)
    for old, new in sorted(left):
        others = surplus.get(old)
        counts.different += 1
        other = others.pop() if others else "missing"
        counts.shown.append(Difference(table, f"{key}={old}", MAP, new, other))
    for old, others in sorted(surplus.items()):
        for other in others:
            counts.different += 1
            counts.shown.append(Difference(table, f"{key}={old}", MAP, "missing", other))
    counts.shown = counts.shown[:CAP]
    return counts
