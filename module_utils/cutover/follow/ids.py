# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping the maps of integer keys that became UUIDs: what they hold is what the source's rows have, at every position."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .. import idmap
from ..capture import changes as capture
from ..capture.changes import Key
from ..errors import Unfit
from ..plan.codec import codec_of
from ..plan.model import Plan, PlanColumn, PlanTable
from ..source.sqltokens import quote as quote_source
from .stage import Staged

#: SQLite takes so many bound values in any version.
_VALUES = 900


def keep_map(cursor: Any, plan: Plan, table: PlanTable, staged: Staged) -> None:
    """Bring the map of a table to the keys of a batch."""
    own = table.uuid_key
    if own is None:
        return
    name = idmap.map_of(plan.own, table.name)
    there = [key[0] for key in staged.there if key[0].__class__ is int]
    present = set(there)
    gone = [key[0] for key in staged.gone if key[0].__class__ is int and key[0] not in present]
    if gone:
        cursor.execute(f"DELETE FROM {name} WHERE old = ANY(%s::bigint[])", (gone,))
    if there:
        text = codec_of(own).canonical(own.type)
        cursor.execute(
            f"INSERT INTO {name} (old, new) SELECT * FROM unnest(%s::bigint[], %s::{own.type}[]) ON CONFLICT DO NOTHING",
            (there, [text(number).decode() for number in there]),
        )


def keep_orphans(
    source: Any, cursor: Any, plan: Plan, there: dict[str, list[Key]], deleted: dict[str, list[Key]]
) -> None:
    """Bring the record of keys that columns refer to and no row has to what it is now.

    Only where no foreign key rules such keys out. It costs a look at the referring columns when rows vanished or such keys
    are known; an index on them helps.
    """
    columns: dict[str, list[tuple[PlanTable, PlanColumn]]] = {}
    for table, column in idmap.unproven(plan):
        columns.setdefault(str(column.key_of), []).append((table, column))
    for name, referring in columns.items():
        parent = plan.table(name)
        touched = name in there or name in deleted or any(t.name in there or t.name in deleted for t, _ in referring)
        if touched:
            _keep(source, cursor, plan.own, parent, referring, there, deleted)


def _keep(
    source: Any,
    cursor: Any,
    own: str,
    parent: PlanTable,
    referring: list[tuple[PlanTable, PlanColumn]],
    there: dict[str, list[Key]],
    deleted: dict[str, list[Key]],
) -> None:
    cursor.execute(f"SELECT old FROM {idmap.orphans_of(own)} WHERE key_of = %s", (parent.name,))
    known = {old for (old,) in cursor.fetchall()}
    asked = known | {key[0] for key in deleted.get(parent.name, ()) if key[0].__class__ is int}
    referred: set[int] = set()
    for table, column in referring:
        written = there.get(table.name, ())
        if written:
            narrow = replace(
                table, columns=(column, *(c for c in table.columns if c.name in table.key and c != column))
            )
            referred |= set(_numbers(row[:1] for row in capture.rows(source, narrow, written)))
        referred |= set(_among(source, table, column, asked))
    key = quote_source(parent.key[0])
    rows: set[int] = set()
    for some in _slices(referred):
        marks = ", ".join("?" * len(some))
        rows |= set(
            _numbers(source.execute(f"SELECT {key} FROM {quote_source(parent.name)} WHERE {key} IN ({marks})", some))
        )
    wanted = referred - rows
    if known - wanted:
        cursor.execute(
            f"DELETE FROM {idmap.orphans_of(own)} WHERE key_of = %s AND old = ANY(%s::bigint[])",
            (parent.name, list(known - wanted)),
        )
    text = codec_of(parent.column(parent.key[0])).canonical(parent.column(parent.key[0]).type)
    for old in sorted(wanted - known):
        cursor.execute(
            f"INSERT INTO {idmap.orphans_of(own)} VALUES (%s, %s, %s)", (parent.name, old, text(old).decode())
        )


def _among(source: Any, table: PlanTable, column: PlanColumn, asked: Iterable[int]) -> Iterable[int]:
    name = quote_source(column.name)
    for some in _slices(asked):
        # A column that keeps numbers as text gives its affinity to the values it is compared with.
        marks = ", ".join("?" * len(some))
        yield from _numbers(
            source.execute(f"SELECT DISTINCT {name} FROM {quote_source(table.name)} WHERE {name} IN ({marks})", some)
        )


def _slices(numbers: Iterable[int]) -> Iterable[list[int]]:
    every = sorted(numbers)
    for at in range(0, len(every), _VALUES):
        yield every[at : at + _VALUES]


def _numbers(rows: Iterable[tuple[Any, ...]]) -> Iterable[int]:
    """The integers among values, which may be kept as text; what is none went to quarantine with its row."""
    for (value,) in rows:
        try:
            if value is not None and value.__class__ is not float and value.__class__ is not bytes:
                yield int(value)
        except (Unfit, ValueError):
            continue
