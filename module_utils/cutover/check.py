# SPDX-License-Identifier: GPL-3.0-or-later
"""The rehearsal of the copy: every value of every row goes through its codec, nothing is sent anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from . import quarantine
from .aside import Aside, set_aside
from .codecs.alternatives import Alternatives
from .errors import Finding, Refusal, sample
from .packer import Packer, Row, row_name
from .plan.codec import deciding
from .plan.model import Plan
from .progress import Progress
from .ranges import Range, Rows, plan_ranges, read
from .source.connect import open_readonly
from .workers import run


@dataclass
class _Tally:
    """What was refused in one column: how many values, the first of them (of which range), the choices that take all."""

    count: int
    number: int
    first: Refusal
    others: Alternatives


@dataclass(frozen=True)
class _Result:
    rows: int
    bytes: int
    tallies: dict[str, _Tally]
    aside: Aside | None


def check_values(source_path: str, plan: Plan, workers: int, progress: str | None = None) -> list[Finding]:
    """All values that a codec refuses: a finding per column with the first key, the number of values, what to decide."""
    source = open_readonly(source_path, bytearray)
    try:
        pieces = [piece for table in plan.tables for piece in plan_ranges(source, table)]
    finally:
        source.close()
    shown = Progress(progress, "check", sum(t.rows for t in plan.tables), sum(max(t.bytes, 1) for t in plan.tables))
    found: dict[tuple[str, str], _Tally] = {}
    aside: dict[str, Aside] = {}

    def collect(piece: Range, result: _Result) -> None:
        shown.advance(piece.table, result.rows, result.bytes)
        if result.aside is not None:
            aside.setdefault(piece.table, Aside()).add(result.aside)
        for column, tally in result.tallies.items():
            whole = found.get((piece.table, column))
            if whole is None:
                found[piece.table, column] = tally
            else:
                whole.count += tally.count
                if tally.number < whole.number:
                    whole.number, whole.first = tally.number, tally.first
                whole.others.merge(tally.others)

    run(pieces, lambda: _worker(source_path, plan), workers, collect)
    shown.close()
    order = {(t.name, c.name): (i, j) for i, t in enumerate(plan.tables) for j, c in enumerate(t.columns)}
    findings = [_finding(plan, *place, found[place]) for place in sorted(found, key=lambda place: order[place])]
    return findings + set_aside(source_path, plan, aside)


def _finding(plan: Plan, table: str, name: str, tally: _Tally) -> Finding:
    column = plan.table(table).column(name)
    decide = deciding(table, column, tally.others.best())
    reason = tally.first.reason
    if column.declared:
        reason = f"{reason} (declared {column.declared}, carried as {column.type})"
    if tally.others.best() is None and plan.table(table).column(name).key_of is None:
        reason += "; no codec takes all of these values: the entry sets their rows aside"
    first = tally.first
    return Refusal(table, name, first.key, first.value, reason, decide).as_finding(tally.count)


def _worker(source_path: str, plan: Plan) -> Callable[[Range], _Result]:
    source = open_readonly(source_path, bytearray)

    def handle(piece: Range) -> _Result:
        table = plan.table(piece.table)
        packer = Packer(table)
        tallies: dict[str, _Tally] = {}
        aside = Aside() if quarantine.columns(table) else None
        rows = size = 0
        rowids = Rows(source, table, piece) if aside is not None or not table.key else None
        stream = read(source, table, piece) if rowids is None else rowids

        def refused(row: Row) -> None:
            rowid = rowids.rowid if rowids is not None else None
            held = quarantine.held(packer, row, rowid) if aside is not None else None
            if held is not None and aside is not None:
                aside.note(plan, table, held)
                return
            for column, value, reason in packer.refusals(row):
                if column.refused == "quarantine":
                    continue
                tally = tallies.get(column.name)
                if tally is None:
                    key = row_name(table, row, rowid)
                    first = Refusal(table.name, column.name, key, sample(value), reason)
                    others = Alternatives(column.codec, column.type, column.rules, table.seeded is not None)
                    tally = tallies[column.name] = _Tally(0, piece.number, first, others)
                tally.count += 1
                tally.others.refused(value)

        for chunk, count in packer.chunks(stream, refused):
            rows += count
            size += len(chunk)
        return _Result(rows, size, tallies, aside)

    return handle
