# SPDX-License-Identifier: GPL-3.0-or-later
"""The columns of a table that exists: which column of the source goes into which, and by which codec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..codecs import CODECS
from ..codecs.fills import fills
from ..errors import Finding, PlanError
from ..source.model import Column, Table
from ..source.profile import TableProfile
from ..target.model import TargetColumn, TargetTable
from .existing_overrides import ExistingOverrides
from .fit import Unfillable, assumes_utc, fit
from .matching import match
from .model import NotCarried, PlanColumn
from .overrides import named_rules

#: What PostgreSQL or the application computes from other columns.
_SEARCH = frozenset({"tsvector", "tsquery"})


class Columns:
    """Plans the columns of all tables."""

    def __init__(
        self,
        profiles: Mapping[str, TableProfile],
        decided: ExistingOverrides,
        findings: list[Finding],
        left: list[NotCarried],
    ) -> None:
        self._profiles = profiles
        self._decided = decided
        self._findings = findings
        self._left = left
        self._asked = False

    def of(self, table: Table, target: TargetTable) -> tuple[PlanColumn, ...]:
        """The columns that travel; what does not is a finding or noted as left out."""
        wanted: list[Column] = []
        for column in table.columns:
            if self._decided.left_out(table.name, column.name):
                self._leave(table, column.name, "the plan says so", "its values stay in the source only")
            else:
                wanted.append(column)
        decisions = {column.name: self._decided.column(table.name, column.name) for column in wanted}
        told = {name: str(decision["target"]) for name, decision in decisions.items() if "target" in decision}
        matches = match([c.name for c in wanted], [c.name for c in target.columns], told)
        for name, near in matches.missing.items():
            called = f" called {told[name]!r}, which the plan names" if name in told else ""
            hint = f"; or name it: target: {near[0]}" if near else ""
            message = (
                f"table {target.name} of PostgreSQL has no column for it{called}. Leave its values in SQLite{hint}"
            )
            self._error(table, name, message)
        for name, guess in matches.guessed:
            message = f"goes into column {guess}, the only one whose name is alike"
            self._findings.append(Finding("info", message, table.name, name))
        planned = [
            self._column(table, c, target.column(matches.by_name[c.name])) for c in wanted if c.name in matches.by_name
        ]
        self._without_source(table, target, set(matches.by_name.values()))
        found = tuple(column for column in planned if column is not None)
        if not found:
            self._findings.append(Finding("error", "has no column that could be carried", table.name))
        return found

    def _column(self, table: Table, column: Column, target: TargetColumn) -> PlanColumn | None:
        if target.generated is not None:
            self._leave(table, column.name, f"PostgreSQL computes it ({target.generated})", "nothing to do")
            return None
        decision = self._decided.column(table.name, column.name)
        chosen = self._codec(table, column, target, decision)
        if chosen is None:
            return None
        stored = self._profiles[table.name].columns[column.name]
        nulls = self._profiles[table.name].rows - stored.values
        if target.not_null and nulls and column.name != table.rowid_alias:
            message = (
                f"{nulls} rows hold NULL, and the column is NOT NULL in PostgreSQL; mend the rows, or alter the table"
            )
            self._findings.append(Finding("error", message, table.name, column.name))
        return PlanColumn(
            name=column.name,
            target=target.name,
            declared=column.declared,
            codec=chosen,
            type=target.type,
            rules=named_rules(decision),
            not_null=target.not_null,
            refused=str(decision.get("refused", "fail")),
            labels=target.labels,
        )

    def _codec(self, table: Table, column: Column, target: TargetColumn, decision: Mapping[str, Any]) -> str | None:
        where = f"tables.{table.name}.columns.{column.name}"
        named = self._decided.type(table.name, column.name)
        if named is not None and named != target.type:
            raise PlanError(
                f"{where}.type: the column is {target.type} in PostgreSQL and stays so; it cannot be {named!r}."
            )
        if "codec" in decision:
            codec = str(decision["codec"])
            if not fills(codec, target.type):
                able = ", ".join(name for name in CODECS if fills(name, target.type)) or "none"
                raise PlanError(f"{where}.codec: {codec} does not fill {target.type}; codecs that do: {able}.")
            return codec
        try:
            codec = fit(column, self._profiles[table.name].columns[column.name], target)
        except Unfillable as reason:
            self._error(table, column.name, f"{reason}. Leave its values in SQLite")
            return None
        if assumes_utc(codec) and not self._decided.utc and not self._asked:
            self._asked = True
            message = (
                "holds times without a zone, and the column keeps instants (timestamptz) in PostgreSQL: nothing says which zone "
                "they mean. Applications store UTC as a rule (Django, Rails); the entry says so for all such columns"
            )
            self._findings.append(Finding("error", message, table.name, column.name, decide={"zone": "UTC"}))
        return codec

    def _without_source(self, table: Table, target: TargetTable, used: set[str]) -> None:
        """Columns of the target that no column of the source goes into."""
        filled: list[str] = []
        for column in target.columns:
            if column.name in used or column.generated is not None:
                continue
            has_value = column.default is not None or column.identity is not None
            if column.type in _SEARCH and not column.not_null:
                message = (
                    f"column {column.name} ({column.type}) of PostgreSQL is left empty by the load, because triggers are off "
                    "meanwhile; rebuild it afterwards as the application does (an UPDATE of each row fires its trigger)"
                )
                self._findings.append(Finding("warning", message, table.name))
            elif column.not_null and not has_value:
                message = (
                    f"column {column.name} of PostgreSQL is NOT NULL without a default, and the source has no column for it; "
                    "name one with target:, or give the column a default"
                )
                self._findings.append(Finding("error", message, table.name))
            else:
                filled.append(f"{column.name} ({'its default' if has_value else 'NULL'})")
        if filled:
            message = f"columns of PostgreSQL without a column in the source: {', '.join(filled)}"
            self._findings.append(Finding("info", message, table.name))
        if target.triggers:
            names = ", ".join(name for name, _ in target.triggers)
            message = f"triggers of PostgreSQL that do not fire for the loaded rows: {names}"
            self._findings.append(Finding("info", message, table.name))

    def _error(self, table: Table, column: str, message: str) -> None:
        decide = {"tables": {table.name: {"columns": {column: {"carry": False}}}}}
        self._findings.append(Finding("error", message, table.name, column, decide=decide))

    def _leave(self, table: Table, column: str, reason: str, hint: str) -> None:
        self._left.append(NotCarried(f"{table.name}.{column}", "column", reason, hint))
