# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the source against the plan: its tables are still those, and no row contradicts a constraint."""

from __future__ import annotations

from .errors import Finding, Refused, sample
from .plan.model import Plan, PlanColumn, PlanTable
from .source.connect import ERRORS, explain, open_readonly
from .source.describe import describe
from .source.integrity import contradictions, orphans


def check_structure(source_path: str, plan: Plan) -> None:
    """Raise Refused when the source's tables are not those of the plan: one made since would be left behind unseen."""
    connection = open_readonly(source_path)
    try:
        described = describe(connection, source_path).tables
    except ERRORS as error:
        raise explain(source_path, error) from None
    finally:
        connection.close()
    left_out = {entry.object for entry in plan.not_carried if entry.kind == "table"}
    columns = {entry.object for entry in plan.not_carried if entry.kind == "column"}
    there = {
        (table.name, column.name)
        for table in described
        for column in table.columns
        if table.name not in left_out and f"{table.name}.{column.name}" not in columns
    }
    planned = {(table.name, column.name) for table in plan.tables for column in table.columns}
    changed = sorted({table for table, _ in there ^ planned})
    if changed:
        raise Refused(
            f"the source's structure changed after the plan was made: table {', '.join(changed[:5])} was created, "
            "dropped or altered. Stop what changes it (the application's schema migrations) and run again: the plan is made anew."
        )


def _named(table: PlanTable) -> list[PlanColumn]:
    """The columns that hold keys of another table although no foreign key says so."""
    declared = {name for key in table.foreign_keys for name in key.columns}
    return [c for c in table.columns if c.key_of is not None and c != table.uuid_key and c.name not in declared]


def check_references(source_path: str, plan: Plan) -> list[Finding]:
    """A finding for each foreign key and CHECK constraint of the plan that rows of the source violate.

    A warning for each reference to a key that becomes UUIDs which the source does not declare, but the plan names.
    """
    found: list[Finding] = []
    connection = open_readonly(source_path, bytearray)
    try:
        names = open_readonly(source_path)
        described = {table.name: table for table in describe(names, source_path).tables}
        names.close()
        for table in plan.tables:
            for check in table.checks:
                wrong = contradictions(connection, described[table.name], check.source) if check.validate else None
                if wrong is not None:
                    message = (
                        f"{wrong.count} rows contradict CHECK ({' '.join(check.source.split())}); mend them, or let the "
                        "constraint hold for new rows only"
                    )
                    decide = {"tables": {table.name: {"checks": {check.target: {"validate": False}}}}}
                    found.append(Finding("error", message, table.name, None, wrong.first, None, decide))
            for key in table.foreign_keys:
                if not key.validate:
                    continue
                orphan = orphans(connection, described[table.name], key.columns, key.parent, key.parent_columns)
                if orphan is None:
                    continue
                decide = {"tables": {table.name: {"foreign_keys": {key.target: {"validate": False}}}}}
                values = ", ".join(sample(value) for value in orphan.values)
                message = (
                    f"{orphan.count} rows refer to rows of {key.parent} that do not exist (or only in another case); "
                    "mend them, or let the foreign key hold for new rows only"
                )
                columns = ", ".join(key.columns)
                found.append(Finding("error", message, table.name, columns, orphan.first, values, decide))
            for column in _named(table):
                parent = plan.table(str(column.key_of))
                orphan = orphans(connection, described[table.name], (column.name,), parent.name, parent.primary_key)
                if orphan is not None:
                    message = (
                        f"{orphan.count} rows refer to rows of {parent.name} that do not exist; they get UUIDs that no row "
                        "has"
                    )
                    value = sample(orphan.values[0])
                    found.append(Finding("warning", message, table.name, column.name, orphan.first, value))
    except ERRORS as error:
        raise explain(source_path, error) from None
    finally:
        connection.close()
    return found
