# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight says of rows that will go to quarantine, and of the rows that would refer to them in vain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import Finding, sample
from .packer import row_name
from .plan.model import Plan, PlanForeignKey, PlanTable
from .quarantine import SHOWN, Held, Sieve
from .ranges import Range, Rows
from .source.connect import ERRORS, explain, open_readonly

Key = tuple[Any, ...]


@dataclass
class Aside:
    """The rows of a table that go to quarantine: how many, the first keys, why, and what others may refer to them by."""

    count: int = 0
    keys: list[str] = field(default_factory=list)
    #: (column, value, reason) of the first row.
    first: tuple[str, str, str] | None = None
    #: By the columns that foreign keys refer to, their values in these rows.
    referred: dict[tuple[str, ...], set[Key]] = field(default_factory=dict)

    def note(self, plan: Plan, table: PlanTable, held: Held) -> None:
        """Count a row."""
        values = {column.name: value for column, value in zip(table.columns, held.row)}
        self.count += 1
        if len(self.keys) < SHOWN:
            self.keys.append(held.key)
        if self.first is None:
            column, reason = next(iter(held.reasons.items()))
            self.first = (column, sample(values[column]), reason)
        for names in {key.parent_columns for _, key in _references(plan, table.name)}:
            self.referred.setdefault(names, set()).add(_key(values[name] for name in names))

    def add(self, other: Aside) -> None:
        """Take in what was counted in another range of the table."""
        self.count += other.count
        self.keys += other.keys[: SHOWN - len(self.keys)]
        self.first = self.first or other.first
        for names, keys in other.referred.items():
            self.referred.setdefault(names, set()).update(keys)


def _key(values: Any) -> Key:
    """Values that compare in Python as SQLite and PostgreSQL compare them."""
    return tuple(bytes(value) + b"t" if isinstance(value, bytearray) else value for value in values)


def _references(plan: Plan, parent: str) -> list[tuple[PlanTable, PlanForeignKey]]:
    return [
        (table, key) for table in plan.tables for key in table.foreign_keys if key.parent == parent and key.validate
    ]


def set_aside(source_path: str, plan: Plan, found: Mapping[str, Aside]) -> list[Finding]:
    """A warning for each table with rows for the quarantine; an error for each foreign key that points at them."""
    findings: list[Finding] = []
    for table in plan.tables:
        aside = found.get(table.name)
        if aside is None or aside.first is None:
            continue
        column, value, reason = aside.first
        more = f" and {aside.count - len(aside.keys)} more" if aside.count > len(aside.keys) else ""
        message = f"{aside.count} rows go to quarantine, as the plan says ({', '.join(aside.keys)}{more}): {reason}"
        findings.append(Finding("warning", message, table.name, column, aside.keys[0], value))
        for child, key in _references(plan, table.name):
            findings += _dangling(source_path, child, key, aside.referred.get(key.parent_columns, set()))
    return findings


def _dangling(source_path: str, table: PlanTable, key: PlanForeignKey, parents: set[Key]) -> list[Finding]:
    """Rows that stay and refer to rows in quarantine."""
    at = [index for name in key.columns for index, column in enumerate(table.columns) if column.name == name]
    connection = open_readonly(source_path, bytearray)
    sieve = Sieve(table)
    count, first, value = 0, "", ""
    try:
        rows = Rows(connection, table, Range(table.name, 0, None, None))
        for row in rows:
            values = [row[index] for index in at]
            if None in values or _key(values) not in parents or sieve.holds(row):
                continue
            if not count:
                first, value = row_name(table, row, rows.rowid), ", ".join(sample(one) for one in values)
            count += 1
    except ERRORS as error:
        raise explain(source_path, error) from None
    finally:
        connection.close()
    if not count:
        return []
    message = (
        f"{count} rows refer to rows of {key.parent} that go to quarantine; send them there too, mend the rows they "
        "refer to, or let the foreign key hold for new rows only"
    )
    decide = {"tables": {table.name: {"foreign_keys": {key.target: {"validate": False}}}}}
    return [Finding("error", message, table.name, ", ".join(key.columns), first, value, decide)]
