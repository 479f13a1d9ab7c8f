# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine's own time goes: reading, packing and canonical text of one range of each table, in this process."""

from __future__ import annotations

import cProfile
import io
import pstats
import time
from collections import deque
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Callable

from bench.inputs import Input
from bench.project import make_plan
from cutover.canonical import Canonical
from cutover.packer import Packer, refuse_row
from cutover.plan.model import Plan, PlanTable
from cutover.ranges import Range, plan_ranges, read
from cutover.source.connect import open_readonly

_TOP = 14


@dataclass(frozen=True)
class Spent:
    """Seconds of one process for a whole table, extrapolated from one range of ``sampled`` rows."""

    table: PlanTable
    piece: Range
    sampled: int
    reading: float
    packing: float
    canonical: float


def report(item: Input, workers: int) -> str:
    """The breakdown of every table, and the profile of the table that costs most."""
    plan = make_plan(item, workers)
    with closing(open_readonly(str(item.path), bytearray)) as source:
        spent = sorted((_spent(source, t) for t in plan.tables), key=lambda s: -(s.packing + s.canonical))
        lines = [_breakdown(item, plan, spent)]
        most = spent[0]
        lines.append(f"Packing one range of {most.table.name}, {most.sampled:,} rows, under cProfile:\n")
        lines.append(_profile(lambda: _pack(source, most.table, most.piece)))
        lines.append("Canonical text of the same range, the engine's side of verify:\n")
        lines.append(_profile(lambda: _canonical(source, most.table, most.piece)))
    return "\n".join(lines)


def _spent(source: Any, table: PlanTable) -> Spent:
    pieces = plan_ranges(source, table)
    piece = pieces[len(pieces) // 2]
    rows = len(list(read(source, table, piece)))
    share = table.rows / rows if rows else 0.0
    reading = _seconds(lambda: _drain(read(source, table, piece)))
    packing = _seconds(lambda: _pack(source, table, piece)) - reading
    canonical = _seconds(lambda: _canonical(source, table, piece)) - reading
    return Spent(table, piece, rows, reading * share, max(0.0, packing) * share, max(0.0, canonical) * share)


def _seconds(work: Callable[[], None]) -> float:
    """The best of three: what disturbs can only add."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def _drain(things: Iterable[Any]) -> None:
    deque(things, maxlen=0)


def _pack(source: Any, table: PlanTable, piece: Range) -> None:
    packer = Packer(table)
    _drain(packer.chunks(read(source, table, piece), lambda row: refuse_row(packer, row)))


def _canonical(source: Any, table: PlanTable, piece: Range) -> None:
    canonical = Canonical(table).row
    _drain(map(canonical, read(source, table, piece)))


def _breakdown(item: Input, plan: Plan, spent: list[Spent]) -> str:
    lines = [
        f"{item.name} at scale {item.scale:g}: processor seconds of the engine's own code for all rows, one process",
        "",
        "| table | rows | read | pack | canonical text |",
        "|---|---:|---:|---:|---:|",
    ]
    for s in spent:
        lines.append(f"| {s.table.name} | {s.table.rows:,} | {s.reading:.2f} | {s.packing:.2f} | {s.canonical:.2f} |")
    sums = [sum(values) for values in zip(*[(s.reading, s.packing, s.canonical) for s in spent])]
    rows = sum(table.rows for table in plan.tables)
    lines.append(f"| together | {rows:,} | {sums[0]:.2f} | {sums[1]:.2f} | {sums[2]:.2f} |\n")
    return "\n".join(lines)


def _profile(work: Callable[[], None]) -> str:
    profiler = cProfile.Profile()
    profiler.runcall(work)
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(_TOP)
    return text.getvalue().strip() + "\n"
