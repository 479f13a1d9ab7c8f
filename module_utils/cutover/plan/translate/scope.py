# SPDX-License-Identifier: GPL-3.0-or-later
"""What the names in an expression mean: the columns of a table, or of everything in a FROM clause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import expressions as exp

from ...source.model import Table
from ...source.profile import TableProfile
from ..literals import quote
from ..model import PlanColumn
from .values import Untranslatable, Value, of_column, text


@dataclass(frozen=True)
class Source:
    """Something in FROM: the name that qualifies its columns, and its columns by their names in the source, in order."""

    name: str
    columns: tuple[tuple[str, Value], ...]
    nullable: bool = False
    #: The columns of its primary key; empty when it is no table.
    key: tuple[str, ...] = ()


class Scope:
    """Resolves column names as SQLite does: without case, inner queries first."""

    def __init__(self, sources: Sequence[Source], outer: Scope | None = None, texts: bool = True) -> None:
        self.sources = tuple(sources)
        self._outer = outer
        self._texts = texts
        #: The columns that were asked for, by their names in the source.
        self.used: list[str] = []

    def column(self, node: exp.Column) -> Value:
        """The value of a column; a text where SQLite takes "…" for a string. Raises Untranslatable."""
        identifier = node.this
        if not isinstance(identifier, exp.Identifier) or node.args.get("db") or node.args.get("catalog"):
            raise Untranslatable(f"names {node.sql('sqlite')}")
        table = node.args.get("table")
        name = str(identifier.this)
        found = self._find(name, str(table.this) if table is not None else None)
        if found is not None:
            return found
        if table is None and identifier.args.get("quoted") and self._texts:
            # SQLite reads a name in double quotes that is no column as a string.
            return text(name)
        raise Untranslatable(f"names {node.sql('sqlite')}, which is no column")

    def named(self, name: str) -> Value | None:
        """The column of that name, if there is one."""
        return self._find(name, None)

    def inner(self, sources: Sequence[Source]) -> Scope:
        """The scope of a query inside of this one."""
        return Scope(sources, self, self._texts)

    def _find(self, name: str, table: str | None) -> Value | None:
        found: list[tuple[str, Value]] = [
            (column, replace(value, nullable=True) if source.nullable else value)
            for source in self.sources
            if table is None or source.name.lower() == table.lower()
            for column, value in source.columns
            if column.lower() == name.lower()
        ]
        if len(found) > 1:
            raise Untranslatable(f"the name {name} is ambiguous")
        if found:
            self.used.append(found[0][0])
            return found[0][1]
        return self._outer._find(name, table) if self._outer else None


def affinity(declared: str, strict: bool = False) -> str:
    """The affinity that SQLite gives a column by its declared type."""
    name = declared.upper()
    if strict and name == "ANY":
        return "BLOB"
    if "INT" in name:
        return "INTEGER"
    if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in name or not name.strip():
        return "BLOB"
    return "REAL" if any(word in name for word in ("REAL", "FLOA", "DOUB")) else "NUMERIC"


def values_of(
    table: Table,
    columns: Sequence[PlanColumn],
    profile: TableProfile,
    in_c: bool,
    qualifier: str = "",
    inlined: Mapping[str, Value] | None = None,
) -> tuple[tuple[str, Value], ...]:
    """The columns of a planned table as values. ``inlined``: values that stand for a column, by its name."""
    made: list[tuple[str, Value]] = []
    front = f"{quote(qualifier)}." if qualifier else ""
    for planned in columns:
        source = table.column(planned.name)
        kind = affinity(source.declared, table.strict)
        sql = front + quote(planned.target)
        collation = (source.collation or "BINARY").upper()
        value = of_column(sql, planned, kind, collation, in_c, profile.columns[planned.name])
        if inlined and planned.name in inlined:
            value = replace(value, sql=inlined[planned.name].sql, raw=inlined[planned.name].sql)
        made.append((planned.name, value))
    return tuple(made)


def scope_of(table: Table, columns: Sequence[PlanColumn], profile: TableProfile, in_c: bool) -> Scope:
    """The scope of a CHECK, an index or a generated column: the columns of one table, not qualified."""
    return Scope([Source(table.name, values_of(table, columns, profile, in_c))])
