# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as frozen data, with its way to and from plain dictionaries (YAML for people, JSON for hosts)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..own import own_schema

VERSION = 1


@dataclass(frozen=True)
class PlanColumn:
    """A column. codec, type and rules say how its values travel; default is an SQL expression of PostgreSQL.

    refused: what becomes of a row whose value the codec does not take: ``fail`` or ``quarantine``.
    key_of: the table of the source whose integer key this column holds, where that becomes a UUID (codec ``uuid_key``);
    key_namespace: the UUID from which those of that table are made.
    labels: of an enum that the target has.
    generated: an SQL expression of PostgreSQL, from which PostgreSQL computes the column itself.
    collation: ``case_insensitive`` where the plan chose that for this column; None for that of all text columns.
    """

    name: str
    target: str
    declared: str
    codec: str
    type: str
    rules: tuple[str, ...] = ()
    not_null: bool = False
    default: str | None = None
    identity: bool = False
    refused: str = "fail"
    key_of: str | None = None
    key_namespace: str | None = None
    labels: tuple[str, ...] = ()
    generated: str | None = None
    collation: str | None = None


@dataclass(frozen=True)
class PlanIndexColumn:
    """A column of an index. nocase: the index is on the ASCII lower case of the column, as NOCASE compares.

    expression: an SQL expression of PostgreSQL instead of a column, which is empty then.
    """

    column: str
    descending: bool = False
    nocase: bool = False
    expression: str | None = None


@dataclass(frozen=True)
class PlanIndex:
    """An index by the names of the source's columns. constraint: a UNIQUE constraint of PostgreSQL owns it.

    where: the condition of a partial one, in PostgreSQL's SQL.
    """

    target: str
    unique: bool
    columns: tuple[PlanIndexColumn, ...]
    constraint: bool = False
    where: str | None = None

    def keeps_apart(self, names: Iterable[str]) -> bool:
        """True when no two rows can have the same values in these columns, because of this index."""
        plain = not self.where and not any(part.nocase or part.expression for part in self.columns)
        return self.unique and plain and sorted(part.column for part in self.columns) == sorted(names)


@dataclass(frozen=True)
class PlanForeignKey:
    """A foreign key by the names of the source. validate: check the rows that are there already."""

    target: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    deferrable: bool = False
    deferred: bool = False
    validate: bool = True


@dataclass(frozen=True)
class PlanCheck:
    """A CHECK constraint: the condition in PostgreSQL's SQL and in SQLite's. validate: check the rows that are there."""

    target: str
    condition: str
    source: str
    validate: bool = True


@dataclass(frozen=True)
class PlanView:
    """A view: the names of its columns in PostgreSQL and its SELECT there."""

    name: str
    target: str
    columns: tuple[str, ...]
    select: str


@dataclass(frozen=True)
class PlanTable:
    """A table.

    rowid: the name that addresses the source's rowid, None for WITHOUT ROWID tables, which travel by primary key.
    compare: ``ordered`` by an integer key, ``mapped`` by one that became UUIDs, in the order of the integers in its map,
    or ``multiset`` where no key sorts alike on both sides.
    sequence_last: the highest value that the identity column ever had; rows, bytes: as profiled, for the planning of ranges.
    seeded: in tables that exist, what becomes of rows that the application's migrations put there: ``empty``, ``replace``,
    ``keep`` or ``fail``; None in a derived plan.
    """

    name: str
    target: str
    rows: int
    bytes: int
    rowid: str | None
    compare: str
    columns: tuple[PlanColumn, ...]
    primary_key: tuple[str, ...]
    primary_key_name: str | None
    indexes: tuple[PlanIndex, ...]
    foreign_keys: tuple[PlanForeignKey, ...]
    sequence_last: int | None = None
    note: str | None = None
    seeded: str | None = None
    checks: tuple[PlanCheck, ...] = ()

    @property
    def constraints(self) -> tuple[PlanCheck | PlanForeignKey, ...]:
        """What is added NOT VALID first, and validated when all rows are there."""
        return (*self.checks, *self.foreign_keys)

    @property
    def sent(self) -> PlanTable:
        """The table with the columns that travel: those that PostgreSQL computes itself are compared, not copied."""
        if not any(column.generated for column in self.columns):
            return self
        return replace(self, columns=tuple(column for column in self.columns if not column.generated))

    @property
    def uuid_key(self) -> PlanColumn | None:
        """The key of this table that becomes UUIDs, unless it is the key of another table at the same time."""
        if len(self.primary_key) != 1:
            return None
        column = self.column(self.primary_key[0])
        return column if column.key_of == self.name else None

    def column(self, name: str) -> PlanColumn:
        """The column called ``name`` in the source. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def key(self) -> tuple[str, ...]:
        """The source's columns that name a row: the primary key, else a unique index over columns without NULL.

        Empty when only the rowid names it.
        """
        if self.primary_key:
            return self.primary_key
        required = {column.name for column in self.columns if column.not_null}
        for index in self.indexes:
            names = tuple(part.column for part in index.columns)
            if required.issuperset(names) and index.keeps_apart(names):
                return names
        return ()


@dataclass(frozen=True)
class NotCarried:
    """An object that PostgreSQL does not get, why, and what to do instead."""

    object: str
    kind: str
    reason: str
    hint: str


@dataclass(frozen=True)
class Plan:
    """The whole plan. source: facts about the file for the report. schema: the target's schema.

    views: in an order in which each finds what it needs.
    ids: what becomes of integer keys, ``keep`` or ``uuid``; namespace: the UUID from which those of all tables are made.
    mode: ``derive`` or ``existing``; structure: in the latter, a digest of the target's tables as the plan was made for.
    """

    version: int
    name: str
    ids: str
    schema: str
    collation: str | None
    source: dict[str, Any]
    tables: tuple[PlanTable, ...]
    not_carried: tuple[NotCarried, ...]
    namespace: str | None = None
    mode: str = "derive"
    structure: str | None = None
    views: tuple[PlanView, ...] = ()

    @property
    def own(self) -> str:
        """The schema of the migration's own tables."""
        return own_schema(self.schema)

    def table(self, name: str) -> PlanTable:
        """The table called ``name`` in the source. Raises KeyError."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, keys in the order of the fields."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def fingerprint(self) -> str:
        """SHA-256 of what decides the target's structure and contents: not of row counts or sizes."""
        decisive = self.as_dict()
        del decisive["source"], decisive["not_carried"]
        for table in decisive["tables"]:
            del table["rows"], table["bytes"], table["note"], table["sequence_last"]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _column(data: dict[str, Any]) -> PlanColumn:
    return PlanColumn(**{**data, "rules": tuple(data.get("rules", ())), "labels": tuple(data.get("labels", ()))})


def from_dict(data: dict[str, Any]) -> Plan:
    """The Plan that ``as_dict`` made the data of."""
    tables: list[PlanTable] = []
    for table in data["tables"]:
        tables.append(
            PlanTable(
                **{
                    **table,
                    "columns": tuple(_column(column) for column in table["columns"]),
                    "primary_key": tuple(table["primary_key"]),
                    "indexes": tuple(
                        PlanIndex(**{**index, "columns": tuple(PlanIndexColumn(**c) for c in index["columns"])})
                        for index in table["indexes"]
                    ),
                    "foreign_keys": tuple(
                        PlanForeignKey(
                            **{
                                **key,
                                "columns": tuple(key["columns"]),
                                "parent_columns": tuple(key["parent_columns"]),
                            }
                        )
                        for key in table["foreign_keys"]
                    ),
                    "checks": tuple(PlanCheck(**check) for check in table.get("checks", ())),
                }
            )
        )
    return Plan(
        **{
            **data,
            "tables": tuple(tables),
            "views": tuple(PlanView(**{**view, "columns": tuple(view["columns"])}) for view in data.get("views", ())),
            "not_carried": tuple(NotCarried(**n) for n in data["not_carried"]),
        }
    )
