# SPDX-License-Identifier: GPL-3.0-or-later
"""Streaming key ranges of the source through COPY, in parallel, each range with its record in one transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

from . import ddl, existing, idmap, quarantine
from .copystream import CopyStream
from .errors import CutoverError
from .packer import Chunk, OnRefused, Packer, Row, refuse_row
from .plan.model import Plan
from .progress import Progress
from .ranges import Range, Rows, dump, explained, load, plan_ranges, select
from .source.connect import open_readonly
from .structure import check_structure
from .target.connect import connect, explain, quote
from .target.mine import check_mine
from .workers import run


@dataclass(frozen=True)
class Copied:
    """What became of a range: rows (those in quarantine too), bytes sent, seconds, and the values that rules touched."""

    rows: int
    bytes: int
    seconds: float
    rules: dict[tuple[str, str], int]


def copy(
    source_path: str,
    target_url: str,
    plan: Plan,
    position: str,
    workers: int,
    progress: str | None = None,
    replace: bool = False,
    start_over: bool = False,
) -> dict[str, Any]:
    """Copy every row of the plan's tables, or what an interrupted run left to do.

    position: names the frozen contents of the source. When it or the plan differs from what was copied before,
    the tables are made anew and the copy starts over; replace: also when that copy was finished.
    start_over: a finished copy is made anew even of the same contents.
    Returns {tables: {name: {rows, bytes, seconds}}, rules: […], quarantined: […], resumed: bool, sent: bool}.
    Raises Refused at the first value that cannot be carried, SourceError, TargetError.
    """
    pieces, resumed = _prepare(source_path, target_url, plan, position, replace, start_over)
    by_table = {table.name: table for table in plan.tables}
    total = sum(max(table.bytes, 1) for table in plan.tables)
    shown = Progress(progress, "copy", sum(table.rows for table in plan.tables), total)
    done = _summary(target_url, plan)
    shown.skip(
        sum(entry["rows"] for entry in done["tables"].values()),
        sum(e["bytes"] for e in done["tables"].values()),
    )

    def start() -> Callable[[Range], Copied]:
        return _worker(source_path, target_url, plan)

    run(
        pieces,
        start,
        workers,
        lambda piece, copied: shown.advance(by_table[piece.table].name, copied.rows, copied.bytes),
    )
    shown.close()
    _copy_orphans(source_path, target_url, plan)
    return {**_summary(target_url, plan), "resumed": resumed, "sent": bool(pieces)}


def _prepare(
    source_path: str, target_url: str, plan: Plan, position: str, replace: bool, start_over: bool
) -> tuple[list[Range], bool]:
    """The ranges that are still to be copied, the largest tables first; and whether an earlier run began them."""
    check_structure(source_path, plan)
    source = open_readonly(source_path, bytearray)
    # The workers are forked with it.
    idmap.load_given(source, plan)
    target = connect(target_url)
    try:
        with target, target.cursor() as cursor:
            check_mine(cursor, plan.schema, plan.name)
            ddl.check_not_in_use(cursor, plan.own)
            cursor.execute(f"LOCK TABLE {quote(plan.own)}.copy IN EXCLUSIVE MODE")
            cursor.execute(f"SELECT position, plan FROM {quote(plan.own)}.copy")
            row = cursor.fetchone()
            if row == (position, plan.fingerprint()):
                cursor.execute(f"SELECT table_name, number, low, high FROM {quote(plan.own)}.ranges WHERE rows IS NULL")
                left = [Range(name, number, load(low), load(high)) for name, number, low, high in cursor.fetchall()]
                if left and plan.mode == "existing":
                    existing.check_structure(cursor, plan)
                if left or not start_over:
                    return _sorted(plan, left), True
            ddl.check_replaceable(cursor, plan.own, replace)
            if plan.mode == "existing":
                existing.begin(cursor, plan)
            else:
                # Made anew, not emptied: an earlier copy may have left keys and indexes that would slow this one.
                for statement in ddl.replace_tables(cursor, plan):
                    cursor.execute(statement)
                ddl.record_tables(cursor, plan)
            cursor.execute(
                f"INSERT INTO {quote(plan.own)}.copy (position, plan) VALUES (%s, %s)", (position, plan.fingerprint())
            )
            pieces = [piece for table in plan.tables for piece in plan_ranges(source, table)]
            cursor.executemany(
                f"INSERT INTO {quote(plan.own)}.ranges (table_name, number, low, high) VALUES (%s, %s, %s, %s)",
                [(piece.table, piece.number, dump(piece.low), dump(piece.high)) for piece in pieces],
            )
        return _sorted(plan, pieces), False
    except target.Error as error:
        raise explain(error, "The copy cannot begin") from None
    finally:
        source.close()
        target.close()


def _sorted(plan: Plan, pieces: list[Range]) -> list[Range]:
    size = {table.name: table.bytes for table in plan.tables}
    return sorted(pieces, key=lambda piece: (-size[piece.table], piece.table, piece.number))


def _chunks(source: Any, piece: Range, packer: Packer, rows: Rows | None, refused: OnRefused) -> Iterator[Chunk]:
    with explained(source):
        yield from packer.chunks(select(source, packer.table, piece) if rows is None else rows, refused)


def _worker(source_path: str, target_url: str, plan: Plan) -> Callable[[Range], Copied]:
    source = open_readonly(source_path, bytearray)
    # A crash of the server can lose the newest commits, but a range and its record are lost together.
    target = connect(target_url, settings={"synchronous_commit": "off"})
    packers: dict[str, Packer] = {}

    def handle(piece: Range) -> Copied:
        table = plan.table(piece.table).sent
        packer = packers.get(piece.table) or packers.setdefault(piece.table, Packer(table))
        began = time.monotonic()
        before = dict(packer.touched)
        rows = Rows(source, table, piece) if quarantine.columns(table) else None
        aside: list[quarantine.Held] = []

        def refused(row: Row) -> None:
            one = quarantine.held(packer, row, rows.rowid) if rows is not None else None
            if one is None:
                refuse_row(packer, row)
            else:
                aside.append(one)

        stream = CopyStream(_chunks(source, piece, packer, rows, refused))
        columns = ", ".join(quote(column.target) for column in table.columns)
        try:
            with target, target.cursor() as cursor:
                # An orphan of a killed run may still be committing this range: its row lock makes us wait and see.
                cursor.execute(
                    f"SELECT rows IS NULL FROM {quote(plan.own)}.ranges WHERE table_name = %s AND number = %s FOR UPDATE",
                    (piece.table, piece.number),
                )
                record = cursor.fetchone()
                if record is None:
                    raise CutoverError(f"table {piece.table}: another run started the copy over meanwhile.")
                if not record[0]:
                    return Copied(0, 0, 0.0, {})
                if table.uuid_key is not None:
                    keys, fields = idmap.numbers(source, table, piece), packer.fields[table.uuid_key.name]
                    fields.fill(keys)
                with existing.receiver(cursor, plan, table, columns) as receiver:
                    cursor.copy_expert(f"COPY {receiver} ({columns}) FROM STDIN WITH (FORMAT binary)", stream)
                quarantine.copy(cursor, plan.own, table, aside)
                if table.uuid_key is not None:
                    idmap.copy(cursor, plan.own, table, keys, fields)
                    # No other range has these keys; a worker keeps the packers of all its tables.
                    fields.clear()
                seconds = time.monotonic() - began
                rules = {place: count - before[place] for place, count in packer.touched.items()}
                cursor.execute(
                    f"UPDATE {quote(plan.own)}.ranges SET rows = %s, bytes = %s, seconds = %s, rules = %s"
                    " WHERE table_name = %s AND number = %s",
                    (
                        stream.rows,
                        stream.bytes,
                        seconds,
                        json.dumps([[*place, count] for place, count in rules.items()]),
                        piece.table,
                        piece.number,
                    ),
                )
            return Copied(stream.rows + len(aside), stream.bytes, seconds, rules)
        except target.Error as error:
            if isinstance(stream.error, CutoverError):
                raise stream.error from None
            raise explain(error, f"table {piece.table}, range {piece.number}") from None

    return handle


def _copy_orphans(source_path: str, target_url: str, plan: Plan) -> None:
    """Complete the maps of ids with the keys that no row has; a killed run does it anew."""
    if not idmap.unproven(plan):
        return
    source = open_readonly(source_path, bytearray)
    target = connect(target_url)
    try:
        with target, target.cursor() as cursor:
            idmap.copy_orphans(source, cursor, plan)
    except target.Error as error:
        raise explain(error, "The maps of ids cannot be completed") from None
    finally:
        source.close()
        target.close()


def _summary(target_url: str, plan: Plan) -> dict[str, Any]:
    """What the record of ranges says."""
    target = connect(target_url, autocommit=True)
    try:
        with target.cursor() as cursor:
            cursor.execute(
                f"SELECT table_name, coalesce(sum(rows), 0)::bigint, coalesce(sum(bytes), 0)::bigint,"
                f" coalesce(sum(seconds), 0) FROM {quote(plan.own)}.ranges GROUP BY 1"
            )
            tables = {n: {"rows": r, "bytes": b, "seconds": round(s, 3)} for n, r, b, s in cursor.fetchall()}
            cursor.execute(
                "SELECT table_name, touched->>0, touched->>1, sum((touched->>2)::bigint)::bigint"
                f" FROM {quote(plan.own)}.ranges, jsonb_array_elements(rules) AS touched GROUP BY 1, 2, 3"
            )
            touched = {tuple(place): count for *place, count in cursor.fetchall()}
            aside = quarantine.summary(cursor, plan.own, plan.tables)
    finally:
        target.close()
    rules = [
        {
            "table": table.name,
            "column": column.name,
            "rule": rule,
            "count": touched.get((table.name, column.name, rule), 0),
        }
        for table in plan.tables
        for column in table.columns
        for rule in column.rules
    ]
    return {"tables": tables, "rules": rules, "quarantined": aside}
