# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order tables are written: those that are referred to first."""

from __future__ import annotations

from collections.abc import Iterable

from ..plan.model import Plan, PlanTable
from .catalog import ForeignKey


def parents_first(plan: Plan, keys: Iterable[ForeignKey]) -> list[PlanTable]:
    """The plan's tables, each behind those that it refers to; within a cycle in any order."""
    tables = {(plan.schema, table.target): table for table in plan.tables}
    parents: dict[tuple[str, str], list[tuple[str, str]]] = {name: [] for name in tables}
    for key in keys:
        if key.child in tables and key.parent in tables:
            parents[key.child].append(key.parent)
    done: dict[tuple[str, str], PlanTable] = {}
    for start in tables:
        # An explicit stack: chains of tables may be longer than Python's recursion.
        stack = [(start, iter(parents[start]))]
        open_tables = {start}
        while stack and start not in done:
            name, left = stack[-1]
            above = next((one for one in left if one not in done and one not in open_tables), None)
            if above is None:
                done[name] = tables[name]
                stack.pop()
            else:
                open_tables.add(above)
                stack.append((above, iter(parents[above])))
    return list(done.values())
