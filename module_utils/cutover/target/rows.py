# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL that reads rows back from PostgreSQL as canonical text, and digests of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..canonical import forms
from ..plan.codec import codec_of
from ..plan.model import Plan, PlanTable
from .connect import qualified, quote

#: Blocks of 8 KiB that one task of a multiset reads.
_BLOCKS = 2_048

#: Names an expression; ORDER BY would take it for a column of the table that is called the same.
_ROW = '"pg-cutover row"'

Query = tuple[str, tuple[Any, ...]]


def column_texts(table: PlanTable) -> list[str]:
    """The canonical SQL expression of each column."""
    return [codec_of(c).canonical_sql(quote(c.target), c.type) for c in table.columns]


def only_here(plan: Plan, table: PlanTable) -> str:
    """Where the keys are noted of rows that a table has kept and the source does not have."""
    return qualified(plan.own, f"only_here_{plan.tables.index(table)}")


def relation(plan: Plan, table: PlanTable) -> str:
    """What is compared with the source: the table, without the rows that it kept beside the source's."""
    target = qualified(plan.schema, table.target)
    if table.seeded != "keep":
        return target
    same = " AND ".join(f"k.{name} = t.{name}" for name in (quote(table.column(n).target) for n in table.key))
    return (
        f"(SELECT t.ctid, t.* FROM {target} AS t WHERE NOT EXISTS (SELECT FROM {only_here(plan, table)} AS k WHERE {same}))"
        ' AS "pg-cutover kept"'
    )


def row_form(table: PlanTable) -> str:
    """One expression for the canonical form of a row."""
    return f"record_send(ROW({', '.join(sql for form in forms(table) for sql in form.sql)}))"


def key_range(table: PlanTable, low: tuple[Any, ...] | None, high: tuple[Any, ...] | None) -> Query:
    """The condition low ≤ key < high on the integer key of an ordered table."""
    key = escaped(quote(table.column(table.primary_key[0]).target))
    conditions: list[str] = []
    values: list[Any] = []
    for bound, operator in ((low, ">="), (high, "<")):
        if bound is not None:
            conditions.append(f"{key} {operator} %s")
            values.append(bound[0])
    return " AND ".join(conditions) or "true", tuple(values)


def digest_query(plan: Plan, table: PlanTable, low: tuple[Any, ...] | None, high: tuple[Any, ...] | None) -> Query:
    """(count, SHA-256) of a key range in the order of the key; the digest of nothing where there are no rows."""
    condition, values = key_range(table, low, high)
    key = quote(table.column(table.primary_key[0]).target)
    form = escaped(row_form(table))
    return (
        (
            f"SELECT count(*), encode(sha256(coalesce(string_agg({_ROW}, ''::bytea), '')), 'hex') FROM"
            f" (SELECT {form} AS {_ROW} FROM {escaped(relation(plan, table))}"
            f" WHERE {condition} ORDER BY {escaped(key)}) AS ordered"
        ),
        values,
    )


def block_ranges(cursor: Any, plan: Plan, table: PlanTable) -> list[tuple[int, int | None]]:
    """Half-open ranges of blocks that cover the whole table, the last one open."""
    cursor.execute(
        "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int",
        (qualified(plan.schema, table.target),),
    )
    blocks = cursor.fetchone()[0]
    starts = list(range(0, max(blocks, 1), _BLOCKS))
    ends: list[int | None] = [*starts[1:], None]
    return list(zip(starts, ends))


def bucket_query(plan: Plan, table: PlanTable, blocks: Sequence[int | None]) -> Query:
    """(bucket, count, sum) of the rows of a range of blocks: bucket is the first byte of a row's SHA-256, the sum
    adds up the seven bytes after it."""
    condition = "ctid >= %s::tid"
    values: tuple[Any, ...] = (f"({blocks[0]},0)",)
    if blocks[1] is not None:
        condition += " AND ctid < %s::tid"
        values += (f"({blocks[1]},0)",)
    return (
        (
            "SELECT get_byte(digest, 0), count(*), sum(('x' || encode(substr(digest, 2, 7), 'hex'))::bit(56)::bigint)"
            f" FROM (SELECT {_digest(table)} AS digest FROM {escaped(relation(plan, table))}"
            f" WHERE {condition} OFFSET 0) AS digests GROUP BY 1"
        ),
        values,
    )


def digests_query(plan: Plan, table: PlanTable, buckets: Sequence[int]) -> Query:
    """(digest) of every row in the given buckets."""
    target = escaped(relation(plan, table))
    return (
        (
            f"SELECT digest FROM (SELECT {_digest(table)} AS digest FROM {target} OFFSET 0) AS digests"
            " WHERE get_byte(digest, 0) = ANY(%s)"
        ),
        (list(buckets),),
    )


def rows_by_digest_query(plan: Plan, table: PlanTable, digests: Sequence[bytes]) -> Query:
    """(digest, canonical text of each column …) of the rows with the given digests."""
    target, digest = escaped(relation(plan, table)), _digest(table)
    return f"SELECT {digest}, {_texts(table)} FROM {target} WHERE {digest} = ANY(%s)", (list(digests),)


def ordered_rows_query(
    plan: Plan, table: PlanTable, low: tuple[Any, ...] | None, high: tuple[Any, ...] | None
) -> Query:
    """(key, canonical text of each column …) of a key range in the order of the key."""
    condition, values = key_range(table, low, high)
    key = escaped(quote(table.column(table.primary_key[0]).target))
    return (
        (
            f"SELECT {key}, {_texts(table)} FROM {escaped(relation(plan, table))}"
            # By position: the name of the key would mean its text as well.
            f" WHERE {condition} ORDER BY 1"
        ),
        values,
    )


def rows_query(schema: str, table: PlanTable, most: int) -> Query:
    """(canonical text of each column …) of the first rows of the table, or of its copy in another schema."""
    return f"SELECT {_texts(table)} FROM {escaped(qualified(schema, table.target))} LIMIT %s", (most,)


def _texts(table: PlanTable) -> str:
    return ", ".join(escaped(f"({text})::text") for text in column_texts(table))


def _digest(table: PlanTable) -> str:
    return escaped(f"sha256({row_form(table)})")


def escaped(sql: str) -> str:
    """SQL that psycopg2 does not take for a placeholder."""
    return sql.replace("%", "%%")
