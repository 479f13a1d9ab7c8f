# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application's own tables in PostgreSQL consist of, as plain frozen data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TargetColumn:
    """A column.

    type: as the plan writes types (``varchar(20)``, ``timestamp(3)``), of a domain its base type, of an enum ``enum``.
    labels: of an enum. domain: the qualified name of the domain or enum. identity: ``always``, ``by default`` or None.
    default: an expression, also that of a serial column; generated: the expression of a generated column.
    sequence: the qualified name of the sequence that the column's new values come from, owned by it or not.
    """

    name: str
    type: str
    labels: tuple[str, ...]
    domain: str | None
    not_null: bool
    default: str | None
    identity: str | None
    generated: str | None
    sequence: str | None


@dataclass(frozen=True)
class TargetKey:
    """A primary key, unique constraint or unique index over plain columns that holds for all rows."""

    name: str
    primary: bool
    columns: tuple[str, ...]
    nulls_equal: bool = False


@dataclass(frozen=True)
class TargetForeignKey:
    """A foreign key as pg_get_constraintdef tells it; parent is a qualified name."""

    name: str
    columns: tuple[str, ...]
    parent: tuple[str, str]
    parent_columns: tuple[str, ...]
    definition: str


@dataclass(frozen=True)
class TargetTable:
    """A table as the application's migrations made it, whatever a load has taken off it for the time being.

    kind: ``table``, ``partitioned table``, ``partition`` or ``child table`` (of INHERITS). owned: whether the role that asked
    may alter it. forced: row level security holds for the owner too. rows: those that were there before any load.
    checks, triggers, indexes: (name, definition); triggers only those of users.
    """

    schema: str
    name: str
    kind: str
    owned: bool
    forced: bool
    rows: int
    columns: tuple[TargetColumn, ...]
    keys: tuple[TargetKey, ...]
    foreign_keys: tuple[TargetForeignKey, ...]
    checks: tuple[tuple[str, str], ...]
    triggers: tuple[tuple[str, str], ...]
    indexes: tuple[tuple[str, str], ...]

    def column(self, name: str) -> TargetColumn:
        """The column called ``name``. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True)
class TargetDescription:
    """The tables of one schema. created: those that pg-cutover itself made there (``cutover_schema: derive``)."""

    schema: str
    tables: tuple[TargetTable, ...]
    created: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the way to the controller."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def structure(self, names: Iterable[str]) -> str:
        """SHA-256 of what decides how rows of the named tables are stored: not of how many there are."""
        wanted = set(names)
        plain = [asdict(table) for table in sorted(self.tables, key=lambda table: table.name) if table.name in wanted]
        for table in plain:
            del table["rows"], table["owned"]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def from_dict(data: dict[str, Any]) -> TargetDescription:
    """The TargetDescription that ``as_dict`` made the data of."""
    tables = tuple(
        TargetTable(
            **{
                **table,
                "columns": tuple(TargetColumn(**{**c, "labels": tuple(c["labels"])}) for c in table["columns"]),
                "keys": tuple(TargetKey(**{**key, "columns": tuple(key["columns"])}) for key in table["keys"]),
                "foreign_keys": tuple(
                    TargetForeignKey(
                        **{
                            **key,
                            "columns": tuple(key["columns"]),
                            "parent": tuple(key["parent"]),
                            "parent_columns": tuple(key["parent_columns"]),
                        }
                    )
                    for key in table["foreign_keys"]
                ),
                **{part: tuple((n, d) for n, d in table[part]) for part in ("checks", "triggers", "indexes")},
            }
        )
        for table in data["tables"]
    )
    return TargetDescription(data["schema"], tables, tuple(data["created"]))
