# SPDX-License-Identifier: GPL-3.0-or-later
"""Lifting the target's sequences above every value that the source ever used, after its last change."""

from __future__ import annotations

from typing import Any

from ..plan.model import Plan, PlanTable
from ..source.sqltokens import quote as quote_source
from ..target.connect import qualified, quote

#: The columns that take new values from a sequence, by identity or by default.
_SEQUENCES = """
SELECT c.relname, a.attname, format('%%I.%%I', sn.nspname, s.relname)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND (
    (d.classid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype = 'i')
    OR (d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.deptype = 'n'))
  JOIN pg_class s ON s.oid = CASE WHEN d.deptype = 'i' THEN d.objid ELSE d.refobjid END AND s.relkind = 'S'
  JOIN pg_namespace sn ON sn.oid = s.relnamespace
WHERE c.oid = ANY(%s::regclass[])
"""
_LIFT = """
SELECT w.name, setval(w.name::regclass, least(w.value, p.seqmax), true)
FROM (SELECT name, max(value) AS value FROM unnest(%s::text[], %s::bigint[]) AS g(name, value) GROUP BY 1) AS w
  JOIN pg_sequence p ON p.seqrelid = w.name::regclass
WHERE w.value >= 1 AND p.seqincrement > 0 AND coalesce(pg_sequence_last_value(w.name::regclass), 0) < least(w.value, p.seqmax)
"""


def set_sequences(source: Any, cursor: Any, plan: Plan) -> list[str]:
    """Lift each sequence that stands too low, never lower one; return the statements run. Fast: for the critical section.

    source: in the transaction of the last changes, which PostgreSQL has already. What a sequence is lifted to stays, even if
    the transaction of ``cursor`` does not.
    """
    tables = {table.target: table for table in plan.tables}
    cursor.execute(_SEQUENCES, ([qualified(plan.schema, name) for name in tables],))
    found = cursor.fetchall()
    if not found:
        return []
    given_out = _given_out(source)
    names, values = [], []
    for name, column, sequence in found:
        table = tables[name]
        names.append(sequence)
        values.append(_highest(source, cursor, plan, table, column, given_out.get(table.name, 0)))
    cursor.execute(_LIFT, (names, values))
    return [f"SELECT setval('{name}', {value}, true)" for name, value in cursor.fetchall()]


def _given_out(source: Any) -> dict[str, int]:
    """By table, the highest value that AUTOINCREMENT ever gave out."""
    if not source.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        return {}
    rows = source.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    texts = ((name.decode() if isinstance(name, (bytes, bytearray)) else name, seq) for name, seq in rows)
    return {name: seq for name, seq in texts if isinstance(seq, int)}


def _highest(source: Any, cursor: Any, plan: Plan, table: PlanTable, column: str, given_out: int) -> int:
    planned = next((one for one in table.columns if one.target == column), None)
    if planned is not None and (planned.name,) == table.primary_key:
        if planned.key_of is not None:
            return 0
        # By the index of the key, whatever the size of the table.
        query = f"SELECT max({quote_source(planned.name)}) FROM {quote_source(table.name)}"
        highest = source.execute(query).fetchone()[0]
        return max(given_out, table.sequence_last or 0, highest if isinstance(highest, int) else 0)
    cursor.execute(f"SELECT max({quote(column)}) FROM ONLY {qualified(plan.schema, table.target)}")
    return int(cursor.fetchone()[0] or 0)
