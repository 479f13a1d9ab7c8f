# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back from UUIDs to the integer keys that they were made from: a map per table, in the migration's own schema.

A map holds every integer key of its table. Keys that other columns refer to although no row has them (orphans) are kept
in one table for all, where the source does not rule them out.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, repeat
from typing import Any
from uuid import UUID

from .codecs.keys import GIVEN, Fields
from .errors import Unfit
from .packer import COPY_HEADER, COPY_TRAILER
from .plan.codec import codec_of
from .plan.model import Plan, PlanColumn, PlanTable
from .plan.names import too_long
from .ranges import Range, read
from .source.describe import OWN_PREFIX
from .source.sqltokens import quote as quote_source
from .target.connect import qualified, quote

#: In the source: integers given on the way back. A row without UUID: the highest ever used in its table.
GIVEN_IDS = OWN_PREFIX + "given_ids"

_OLD = struct.Struct(">hiq").pack


def orphans_of(own: str) -> str:
    """Keys that rows refer to and no row has (table, integer, UUID), of the migration whose own schema is ``own``."""
    return qualified(own, "orphan_ids")


def create_orphans(own: str) -> str:
    """The statement that makes that table."""
    return (
        f"CREATE TABLE IF NOT EXISTS {orphans_of(own)} (key_of text, old bigint, new text, PRIMARY KEY (key_of, old))"
    )


def map_of(own: str, table: str) -> str:
    """The map of a table of the source."""
    return qualified(own, map_name(table))


def map_name(table: str) -> str:
    """The name of the map of a table of the source: of letters, digits and _ only."""
    plain = f"ids_{re.sub(r'[^A-Za-z0-9_]', '_', table)}"
    if plain == f"ids_{table}" and not too_long(plain):
        return plain
    return f"{plain[:48]}_{hashlib.sha256(table.encode()).hexdigest()[:8]}"


def mapped(plan: Plan) -> list[PlanTable]:
    """The tables that have a map."""
    return [table for table in plan.tables if table.uuid_key is not None]


def _own(table: PlanTable) -> PlanColumn:
    column = table.uuid_key
    if column is None:
        raise ValueError(f"table {table.name} has no map")
    return column


def create(plan: Plan) -> list[str]:
    """The statements that create the maps."""
    return [
        f"CREATE TABLE {map_of(plan.own, table.name)} (old bigint NOT NULL, new "
        + _own(table).type
        + (' COLLATE "C"' if _own(table).type == "text" else "")
        + " NOT NULL)"
        for table in mapped(plan)
    ]


def indexes(own: str, table: PlanTable) -> list[tuple[str, str]]:
    """Name and statement of the unique indexes that a map gets after the load."""
    name = map_name(table.name)
    return [
        (
            f"{column}_{name}",
            f"CREATE UNIQUE INDEX {quote(f'{column}_{name}')} ON {qualified(own, name)} ({column})",
        )
        for column in ("old", "new")
    ]


def present(cursor: Any, own: str) -> set[str]:
    """The indexes of maps that are there and valid."""
    cursor.execute(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname = %s AND i.indisvalid",
        (own,),
    )
    return {name for (name,) in cursor.fetchall()}


def numbers(source: Any, table: PlanTable, piece: Range) -> list[int]:
    """The integer keys of a range. A key that is none has no place in the map: its row is in quarantine."""
    only = replace(table, columns=(_own(table),))
    return [key for (key,) in read(source, only, piece) if key.__class__ is int]


def copy(cursor: Any, own: str, table: PlanTable, keys: Sequence[int], fields: Fields) -> None:
    """Fill the map with the keys of a range, in the transaction of ``cursor``."""
    news = map(fields.__getitem__, keys)
    if _own(table).type == "uuid":
        data: bytes = _records(keys, b"".join(news))
    else:
        data = b"".join(chain.from_iterable(zip(map(_OLD, repeat(2), repeat(8), keys), news)))
    cursor.copy_expert(
        f"COPY {map_of(own, table.name)} (old, new) FROM STDIN WITH (FORMAT binary)",
        io.BytesIO(COPY_HEADER + data + COPY_TRAILER),
    )


def _records(keys: Sequence[int], fields: bytes) -> bytes:
    """Rows of binary COPY from integers and the fields of their UUIDs, put together byte by byte of all rows."""
    numbers = array("q", keys)
    if sys.byteorder == "little":
        numbers.byteswap()
    old = numbers.tobytes()
    whole = bytearray(_OLD(2, 8, 0) + bytes(20)) * len(keys)
    for at in range(8):
        whole[6 + at :: 34] = old[at::8]
    for at in range(20):
        whole[14 + at :: 34] = fields[at::20]
    return bytes(whole)


def unproven(plan: Plan) -> list[tuple[PlanTable, PlanColumn]]:
    """The columns that may hold keys that no row has: no validated foreign key of theirs leads to the key itself."""
    tables = {table.name: table for table in plan.tables}

    def proven(table: PlanTable, column: PlanColumn, seen: frozenset[tuple[str, str]]) -> bool:
        if table.name == column.key_of and table.uuid_key == column:
            return True
        for key in table.foreign_keys:
            if key.validate and key.columns == (column.name,) and (table.name, column.name) not in seen:
                parent = tables[key.parent]
                above = parent.column(key.parent_columns[0])
                if proven(parent, above, seen | {(table.name, column.name)}):
                    return True
        return False

    return [
        (table, column)
        for table in plan.tables
        for column in table.columns
        if column.key_of is not None and not proven(table, column, frozenset())
    ]


def orphans(source: Any, plan: Plan) -> dict[str, dict[int, str]]:
    """By table, each integer that columns refer to and no row has, and its UUID."""
    found: dict[str, dict[int, str]] = {}
    for table, column in unproven(plan):
        parent = plan.table(str(column.key_of))
        key = quote_source(_own(parent).name)
        name = f"c.{quote_source(column.name)}"
        rows = source.execute(
            f"SELECT DISTINCT {name} FROM {quote_source(table.name)} AS c WHERE {name} IS NOT NULL AND NOT EXISTS"
            f" (SELECT 1 FROM {quote_source(parent.name)} AS p WHERE p.{key} = {name})"
        )
        text = codec_of(column).canonical(column.type)
        for (value,) in rows:
            try:
                found.setdefault(parent.name, {})[int(value)] = text(value).decode()
            except (Unfit, ValueError):
                # Not carried either: the row is in quarantine.
                continue
    return found


def copy_orphans(source: Any, cursor: Any, plan: Plan) -> None:
    """Write down the keys that no row has, all anew."""
    cursor.execute(f"DELETE FROM {orphans_of(plan.own)}")
    for table, pairs in orphans(source, plan).items():
        cursor.executemany(
            f"INSERT INTO {orphans_of(plan.own)} VALUES (%s, %s, %s)",
            [(table, old, new) for old, new in sorted(pairs.items())],
        )


def old_keys(cursor: Any, plan: Plan, table: str, uuids: Sequence[str]) -> dict[str, int]:
    """The integers that UUIDs of the key of ``table`` were made from, by UUID in lower case.

    A UUID that is missing in the answer belongs to a row that was made in PostgreSQL: the way back has to give it an
    integer of its own, above ``sequence_last`` of the plan.
    """
    own = _own(plan.table(table))
    cursor.execute(
        f"SELECT new::text, old FROM {map_of(plan.own, table)} WHERE new = ANY(%s::{own.type}[])"
        f" UNION SELECT new, old FROM {orphans_of(plan.own)} WHERE key_of = %s AND new = ANY(%s)",
        (list(uuids), table, list(uuids)),
    )
    return dict(cursor.fetchall())


def load_given(source: Any, plan: Plan) -> None:
    """Let the codecs of this process know the integers that a way back gave to rows made in PostgreSQL.

    The source keeps them, because it has the rows. To be called before rows of ``source`` are packed or digested.
    """
    for table in mapped(plan):
        GIVEN.setdefault(UUID(_own(table).key_namespace), {}).clear()
    found = source.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (GIVEN_IDS,)).fetchone()[0]
    if not found:
        return
    keys = {table.name.encode(): UUID(_own(table).key_namespace) for table in mapped(plan)}
    for name, number, uuid in source.execute(
        f"SELECT CAST(key_of AS BLOB), id, CAST(uuid AS BLOB) FROM {GIVEN_IDS} WHERE uuid IS NOT NULL"
    ):
        if name in keys:
            GIVEN[keys[name]][number] = uuid.decode()


def restore_sql(own: str, column: PlanColumn, expression: str) -> str:
    """The SQL expression of a column's value whose text the codec's ``restore`` understands; NULL where no map has it."""
    codec = codec_of(column)
    if column.key_of is None:
        return codec.restore_sql(expression, column.type)
    known = f"SELECT m.old FROM {map_of(own, column.key_of)} AS m WHERE m.new = {expression}"
    name = column.key_of.replace("'", "''")
    orphaned = f"SELECT o.old FROM {orphans_of(own)} AS o WHERE o.key_of = '{name}' AND o.new = ({expression})::text"
    return f"coalesce(({known}), ({orphaned}))"
