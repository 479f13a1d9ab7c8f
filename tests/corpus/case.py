# SPDX-License-Identifier: GPL-3.0-or-later
"""What a case of the corpus is, and how it gets into a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: As the decision of a refusal: there must be one, whichever.
ANY: Mapping[str, Any] = {"any": None}


@dataclass(frozen=True)
class Refusal:
    """What preflight must say of a column (of the table itself where column is None).

    says: how the message begins. decide: the entry that it must offer for the column (or the table: primary_key,
    indexes, foreign_keys, columns), or ANY; None when only the data can settle it.
    """

    column: str | None
    says: str
    decide: Mapping[str, Any] | None = None
    table: str | None = None
    #: How many values it must count.
    count: int = 1


@dataclass(frozen=True)
class Case:
    """Tables with their rows, and what must become of them.

    Exactly one of these holds for each value: it is carried exactly (``reads``), converted by a rule that ``decided``
    names (``becomes`` or ``reads``, and ``touched``), refused with a message (``refused``), or listed as not carried
    (``listed``). After a refusal its decision, or ``decided_then``, is taken, and ``reads`` or ``becomes`` say what
    must be in PostgreSQL then.

    name: of the first table. sql: makes the tables. rows: of the first table; TEXT as bytearray need not be UTF-8.
    reads: table → column → kind, see support.independent.MEANINGS. types: column of the first table → its type in
    PostgreSQL. becomes: rows of the first table as Python reads them from PostgreSQL. touched: column → number of
    values that its rule must count. listed: (kind, how the reason begins). holds: statement → its rows in PostgreSQL,
    or the SQLSTATE with which it must fail; in order, all in one transaction for each.
    mended: the case leaves the migration because only the data can settle it.
    """

    name: str
    sql: str
    rows: Sequence[tuple[Any, ...]] = ()
    reads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    becomes: Sequence[tuple[Any, ...]] | None = None
    decided: Mapping[str, Any] = field(default_factory=dict)
    decided_then: Mapping[str, Any] = field(default_factory=dict)
    touched: Mapping[str, int] = field(default_factory=dict)
    refused: Sequence[Refusal] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    listed: Sequence[tuple[str, str]] = ()
    holds: Sequence[tuple[str, Any]] = ()
    mended: bool = False

    @property
    def overrides(self) -> dict[str, Any]:
        """What an operator wrote before preflight."""
        return {"tables": {self.name: self.decided}} if self.decided else {}

    def tables(self) -> list[str]:
        """The names of the case's tables, the first one first."""
        return [self.name, *(table for table in self.reads if table != self.name)]


def one(
    name: str,
    columns: Mapping[str, tuple[str, str | None]],
    rows: Sequence[tuple[Any, ...]],
    option: str = "",
    **more: Any,
) -> Case:
    """A case of one table with an INTEGER PRIMARY KEY ``n``: columns as name → (declared type, kind or None).

    rows are without the key, which counts from 1.
    """
    declared = ", ".join(f"{quoted(column)} {kind[0]}" for column, kind in columns.items())
    reads = {"n": "integer", **{column: kind[1] for column, kind in columns.items() if kind[1] is not None}}
    numbered = [(number, *row) for number, row in enumerate(rows, 1)]
    sql = f"CREATE TABLE {quoted(name)} (n INTEGER PRIMARY KEY, {declared}) {option}"
    return Case(name, sql, numbered, reads={name: reads} if "becomes" not in more else {}, **more)


def column(name: str, **entry: Any) -> dict[str, Any]:
    """A table's entry of the overrides that decides one column."""
    return {"columns": {name: entry}}


def quoted(name: str) -> str:
    """A name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def fill(connection: sqlite3.Connection, cases: Iterable[Case]) -> None:
    """Write the cases into a database."""
    for case in cases:
        connection.executescript(case.sql)
        for row in case.rows:
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(value, bytearray) else "?" for value in row)
            bound = [bytes(value) if isinstance(value, bytearray) else value for value in row]
            connection.execute(f"INSERT INTO {quoted(case.name)} VALUES ({marks})", bound)
    connection.commit()
