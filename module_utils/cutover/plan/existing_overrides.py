# SPDX-License-Identifier: GPL-3.0-or-later
"""``cutover_plan_overrides`` for tables that exist: what can be decided about them, and what cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import PlanError
from ..source.model import Description
from .overrides import Overrides, known, mapping

POLICIES = ("empty", "replace", "keep", "fail")
_TOP = ("schema", "tables", "zone", "bookkeeping")
_TABLE = ("carry", "target", "columns", "foreign_keys", "seeded")
_COLUMN = ("carry", "target", "codec", "type", "rule", "rules", "refused")


class ExistingOverrides(Overrides):
    """Checked access to the overrides. Raises PlanError, naming the nearest valid name, for whatever is unknown."""

    _part_keys = {"foreign_keys": ("carry", "validate")}

    def __init__(self, data: Mapping[str, Any] | None, source: Description) -> None:
        given = mapping(data, "cutover_plan_overrides")
        known("cutover_plan_overrides", given, _TOP)
        self._own: dict[str, dict[str, Any]] = {}
        self._types: dict[tuple[str, str], str] = {}
        self._left_out: set[tuple[str, str]] = set()
        tables = mapping(given.get("tables"), "tables")
        plain = {name: self._plain(name, mapping(entry, f"tables.{name}")) for name, entry in tables.items()}
        if given.get("zone", "UTC") != "UTC":
            raise PlanError("cutover_plan_overrides.zone: is UTC or left out: what times without a zone mean.")
        self.utc = "zone" in given
        names = given.get("bookkeeping", [])
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise PlanError("cutover_plan_overrides.bookkeeping: must be a list of names of tables.")
        self.bookkeeping: tuple[str, ...] = tuple(names)
        super().__init__({"tables": plain, **({"schema": given["schema"]} if "schema" in given else {})}, source)

    def _plain(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry of a table without what only tables that exist have."""
        known(f"tables.{name}", entry, _TABLE)
        policy = entry.pop("seeded", None)
        if policy is not None:
            known(f"tables.{name}.seeded", {policy: None}, POLICIES)
            self._own[name] = {"seeded": policy}
        columns = mapping(entry.get("columns"), f"tables.{name}.columns")
        for column, decision in columns.items():
            decision = mapping(decision, f"tables.{name}.columns.{column}")
            known(f"tables.{name}.columns.{column}", decision, _COLUMN)
            if decision.pop("carry", True) is False:
                self._left_out.add((name, column))
            if "type" in decision:
                self._types[name, column] = str(decision.pop("type"))
                if "codec" not in decision:
                    raise PlanError(
                        f"tables.{name}.columns.{column}.type: the type is that of the application's table; name a codec that "
                        "fills it, or alter the table."
                    )
            columns[column] = decision
        return {**entry, "columns": columns} if columns else entry

    def seeded(self, table: str) -> str | None:
        """The policy that was decided for rows that are there already."""
        chosen: str | None = self._own.get(table, {}).get("seeded")
        return chosen

    def left_out(self, table: str, column: str) -> bool:
        """Whether the column's values are not to be carried."""
        return (table, column) in self._left_out

    def type(self, table: str, column: str) -> str | None:
        """The type that the plan names for a column; it can only be the one that the column has."""
        return self._types.get((table, column))
