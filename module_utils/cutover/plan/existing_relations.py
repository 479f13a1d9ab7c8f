# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and foreign keys of tables that exist, by the names of the source, so that its rows can be checked against them."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Finding
from ..source.profile import TableProfile
from ..target.model import TargetTable
from .existing_overrides import ExistingOverrides
from .model import PlanColumn, PlanForeignKey, PlanIndex, PlanIndexColumn


def unique_keys(target: TargetTable, columns: tuple[PlanColumn, ...]) -> tuple[PlanIndex, ...]:
    """What PostgreSQL holds unique, where all of it comes from the source."""
    names = {column.target: column.name for column in columns}
    return tuple(
        PlanIndex(key.name, True, tuple(PlanIndexColumn(names[name]) for name in key.columns))
        for key in target.keys
        if names.keys() >= set(key.columns)
    )


def foreign_keys(
    name: str,
    target: TargetTable,
    planned: Mapping[str, tuple[PlanColumn, ...]],
    found: Mapping[str, TargetTable],
    profiles: Mapping[str, TableProfile],
    decided: ExistingOverrides,
    findings: list[Finding],
) -> tuple[PlanForeignKey, ...]:
    """The foreign keys whose columns and parents come from the source; one to a table without rows is a finding."""
    decisions = decided.part(name, "foreign_keys", [key.name for key in target.foreign_keys])
    sources = {(table.schema, table.name): source for source, table in found.items()}
    mine = {column.target: column.name for column in planned[name]}
    kept: list[PlanForeignKey] = []
    for key in target.foreign_keys:
        validate = bool(decisions.get(key.name, {}).get("validate", True))
        parent = sources.get(key.parent)
        theirs = {column.target: column.name for column in planned.get(parent or "", ())}
        if not (mine.keys() >= set(key.columns)):
            continue
        columns = tuple(mine[column] for column in key.columns)
        if parent is not None and theirs.keys() >= set(key.parent_columns):
            referred = tuple(theirs[column] for column in key.parent_columns)
            kept.append(PlanForeignKey(key.name, columns, parent, referred, validate=validate))
        elif validate and all(profiles[name].columns[column].values for column in columns):
            message = (
                f"refers to {key.parent[1]} in PostgreSQL (foreign key {key.name}), which gets no rows from the source; unless "
                "its rows are there already, the constraint can hold for new rows only"
            )
            decide = {"tables": {name: {"foreign_keys": {key.name: {"validate": False}}}}}
            findings.append(Finding("warning", message, name, ", ".join(columns), decide=decide))
    return tuple(kept)
