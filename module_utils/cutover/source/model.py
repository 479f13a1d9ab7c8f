# SPDX-License-Identifier: GPL-3.0-or-later
"""What a SQLite database consists of, as plain frozen data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """A column. primary_key: position in the primary key, from 1; 0 when it is not part of it.

    generated: None, or the expression of a generated column. collation: None unless the column names one.
    constant: what a default that is an expression of constants only gives, as a literal of SQLite.
    """

    name: str
    declared: str
    not_null: bool
    default: str | None
    primary_key: int
    generated: str | None
    collation: str | None = None
    constant: str | None = None


@dataclass(frozen=True)
class IndexColumn:
    """A column of an index; name is None for an expression, whose text is ``expression``."""

    name: str | None
    descending: bool
    collation: str
    expression: str | None = None


@dataclass(frozen=True)
class Index:
    """origin: c (CREATE INDEX), u (UNIQUE constraint) or pk, as SQLite tells it.

    constraint: the name of a named one. where: the condition of a partial one.
    """

    name: str
    unique: bool
    origin: str
    partial: bool
    columns: tuple[IndexColumn, ...]
    sql: str | None
    constraint: str | None = None
    where: str | None = None


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key. parent_columns is empty when it refers to the parent's primary key."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_update: str
    on_delete: str
    deferrable: bool
    deferred: bool
    name: str | None = None


@dataclass(frozen=True)
class Check:
    """A CHECK constraint; most have no name."""

    name: str | None
    sql: str


@dataclass(frozen=True)
class Table:
    """An ordinary table.

    rowid: the name by which its rowid can be addressed, None for WITHOUT ROWID tables.
    rowid_alias: the INTEGER PRIMARY KEY column, if there is one.
    sequence: the value of sqlite_sequence, None without AUTOINCREMENT or before the first row.
    """

    name: str
    sql: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    rowid: str | None
    rowid_alias: str | None
    strict: bool
    autoincrement: bool
    sequence: int | None
    indexes: tuple[Index, ...]
    foreign_keys: tuple[ForeignKey, ...]
    checks: tuple[Check, ...]
    primary_key_name: str | None = None

    def column(self, name: str) -> Column:
        """The column called ``name``, in whatever case, as SQLite matches names. Raises KeyError."""
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column
        raise KeyError(name)


@dataclass(frozen=True)
class OtherObject:
    """A view, trigger or virtual table, or a shadow table of one. kind says which. columns: those of a view."""

    name: str
    kind: str
    table: str
    sql: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """A whole database file. size_bytes includes the write-ahead log."""

    path: str
    size_bytes: int
    page_size: int
    encoding: str
    journal_mode: str
    schema_version: int
    sqlite_version: str
    tables: tuple[Table, ...]
    others: tuple[OtherObject, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the way to the controller."""
        return asdict(self)

    def facts(self, tables: int, rows: int) -> dict[str, Any]:
        """What the plan and the report say of the file, of which so many tables and rows are carried."""
        return {
            "path": self.path,
            "size_bytes": self.size_bytes,
            "tables": tables,
            "rows": rows,
            "sqlite_version": self.sqlite_version,
            "journal_mode": self.journal_mode,
            "encoding": self.encoding,
        }


def from_dict(data: dict[str, Any]) -> Description:
    """The Description that ``as_dict`` made the data of."""
    tables = tuple(
        Table(
            **{
                **table,
                "columns": tuple(Column(**column) for column in table["columns"]),
                "primary_key": tuple(table["primary_key"]),
                "indexes": tuple(
                    Index(**{**index, "columns": tuple(IndexColumn(**c) for c in index["columns"])})
                    for index in table["indexes"]
                ),
                "foreign_keys": tuple(
                    ForeignKey(
                        **{
                            **key,
                            "columns": tuple(key["columns"]),
                            "parent_columns": tuple(key["parent_columns"]),
                        }
                    )
                    for key in table["foreign_keys"]
                ),
                "checks": tuple(Check(**check) for check in table["checks"]),
            }
        )
        for table in data["tables"]
    )
    others = tuple(OtherObject(**{**o, "columns": tuple(o.get("columns", ()))}) for o in data["others"])
    return Description(**{**data, "tables": tables, "others": others})
