# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite databases made by hypothesis: tables with keys of all kinds, names of all kinds, rows of all types."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from support import stored
from support.independent import quoted

_NAMES = [
    "user", "order", "group", "select", "text", "digest", "row", "oid", "rowid", "ordered", "digests", "value", "a b%c", "%s", "100%",
    'quo"ted', "apos'trophe", "back`tick", "bra]cket", "semi;colon", "dash--dash", "ünï", "名前", "🐘", "Mixed Case", "UPPER", "tab\there",
    "pg-cutover row", "{braces}", "a.b", "\\back", "$1", "x" * 63, "é" * 31,
]  # fmt: skip
_WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
_RESERVED = ("sqlite_", "pg_cutover_")
_SYSTEM = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}


def _usable(name: str) -> bool:
    return not name.lower().startswith(_RESERVED) and name not in _SYSTEM and len(name.encode()) <= 63


NAMES = st.one_of(st.sampled_from(_NAMES), _WORDS.filter(_usable))


def _folded(name: str) -> str:
    """As SQLite tells names apart: by ASCII letters without case."""
    return "".join(c.lower() if c.isascii() else c for c in name)


_PLAIN_TEXT = stored.CLEAN
_JSON: st.SearchStrategy[str] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _PLAIN_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_PLAIN_TEXT, inner, max_size=3),
    max_leaves=5,
).map(json.dumps)


def _decoded(strategy: st.SearchStrategy[bytearray]) -> st.SearchStrategy[str]:
    return strategy.map(lambda value: value.decode())


#: Kind → declared types and values. The kinds are those of support.independent.MEANINGS.
KINDS: dict[str, tuple[list[str], st.SearchStrategy[Any]]] = {
    "integer": (["INT", "INTEGER", "BIGINT"], stored.INT64),
    "boolean": (["BOOLEAN"], st.sampled_from([0, 1])),
    "real": (["REAL", "DOUBLE", "FLOAT"], stored.REALS),
    "decimal": (["DECIMAL", "NUMERIC"], st.one_of(stored.INT64, st.floats(allow_nan=False, allow_infinity=False), st.decimals(-(10**25), 10**25, places=4).map(str))),
    "text": (["TEXT", "VARCHAR(40)", "CLOB"], _PLAIN_TEXT),
    "blob": (["BLOB"], stored.BLOBS),
    "uuid": (["UUID"], st.uuids().map(str)),
    "seconds": (["DATETIME", "TIMESTAMP"], st.integers(10**8, 4 * 10**9)),
    "milliseconds": (["DATETIME"], st.integers(10**11, 4 * 10**12)),
    "iso": (["DATETIME", "TIMESTAMP"], _decoded(stored.ISO_TEXTS)),
    "utc": (["DATETIME"], _decoded(stored.UTC_TEXTS)),
    "date": (["DATE"], _decoded(stored.DATES)),
    "time": (["TIME"], _decoded(stored.TIMES)),
    "json": (["JSON"], _JSON),
}  # fmt: skip

#: Kind of key → (declarations of its columns with their kinds, table constraint, table option).
KEYS: dict[str, tuple[list[tuple[str, str]], str, str]] = {
    "rowid": ([("INTEGER PRIMARY KEY", "integer")], "", ""),
    "autoincrement": ([("INTEGER PRIMARY KEY AUTOINCREMENT", "integer")], "", ""),
    "integer": ([("INT PRIMARY KEY", "integer")], "", ""),
    "descending": ([("INTEGER PRIMARY KEY DESC", "integer")], "", ""),
    "text": ([("TEXT NOT NULL PRIMARY KEY", "text")], "", ""),
    "nocase": ([("TEXT COLLATE NOCASE NOT NULL PRIMARY KEY", "text")], "", ""),
    "text without rowid": ([("TEXT PRIMARY KEY", "text")], "", "WITHOUT ROWID"),
    "blob without rowid": ([("BLOB PRIMARY KEY", "blob")], "", "WITHOUT ROWID"),
    "integer without rowid": ([("INT PRIMARY KEY", "integer")], "", "WITHOUT ROWID"),
    "composite": ([("INT NOT NULL", "integer"), ("TEXT NOT NULL", "text")], "PRIMARY KEY ({1}, {0})", ""),
    "composite without rowid": ([("INT", "integer"), ("TEXT", "text")], "PRIMARY KEY ({0}, {1})", "WITHOUT ROWID"),
    "unique": ([("TEXT NOT NULL", "text")], "UNIQUE ({0})", ""),
    "none": ([], "", ""),
}
#: Keys that another table may refer to.
_REFERABLE = {"rowid", "autoincrement", "integer", "text", "text without rowid", "integer without rowid", "unique"}


@dataclass
class RandomTable:
    """A table: its SQL, what its columns mean, its rows."""

    name: str
    key: str
    kinds: dict[str, str]
    sql: str
    keys: list[str]
    rows: list[tuple[Any, ...]]
    indexes: list[str] = field(default_factory=list)
    refers: str | None = None


def _distinct(key: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The key of a row as the table tells rows apart."""
    return tuple(_folded(part) if key == "nocase" and isinstance(part, str) else part for part in row)


@st.composite
def tables(draw: st.DrawFn, many: int = 0) -> list[RandomTable]:
    """One to three tables, the later ones perhaps with a foreign key to an earlier one.

    Each has up to eight rows, or ``many``, whose values are drawn from a few.
    """
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique_by=_folded))
    made: list[RandomTable] = []
    for name in names:
        made.append(draw(_table(name, made, many)))
    return made


@st.composite
def _table(draw: st.DrawFn, name: str, earlier: list[RandomTable], many: int) -> RandomTable:
    key = draw(st.sampled_from(sorted(KEYS)))
    parts, constraint, option = KEYS[key]
    others = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=0 if parts else 1, max_size=5))
    parents = [table for table in earlier if table.key in _REFERABLE]
    parent = draw(st.none() | st.sampled_from(parents)) if parents else None
    count = len(parts) + len(others) + (1 if parent else 0)
    columns = draw(st.lists(NAMES, min_size=count, max_size=count, unique_by=_folded))
    declared = [declaration for declaration, _ in parts]
    kinds = [kind for _, kind in parts]
    for kind in others:
        required = draw(st.booleans())
        declared.append(draw(st.sampled_from(KINDS[kind][0])) + (" NOT NULL" if required else ""))
        kinds.append(kind)
    if parent:
        parent_key, parent_kind = next(iter(parent.kinds.items()))
        declared.append(
            f"{'TEXT' if parent_kind == 'text' else 'INT'} REFERENCES {quoted(parent.name)} ({quoted(parent_key)})"
        )
        kinds.append(parent_kind)
    lines = [f"{quoted(column)} {declaration}" for column, declaration in zip(columns, declared)]
    if constraint:
        lines.append(constraint.format(*(quoted(column) for column in columns)))
    sql = f"CREATE TABLE {quoted(name)} ({', '.join(lines)}) {option}"
    values: list[st.SearchStrategy[Any]] = [KINDS[kind][1] for kind in kinds[: len(parts)]]
    for declaration, kind in zip(declared[len(parts) :], others):
        strategy = KINDS[kind][1]
        values.append(strategy if declaration.endswith("NOT NULL") else st.none() | strategy)
    if parent:
        there = [row[0] for row in parent.rows]
        values.append(st.none() | st.sampled_from(there) if there else st.none())
    rows = draw(_rows(key, values, many))
    indexed = draw(st.lists(st.sampled_from(columns), max_size=2, unique=True))
    texts = {column for column, kind in zip(columns, kinds) if kind == "text"}
    indexes = [
        f"CREATE INDEX {quoted(f'i{n} {name}'[:40])} ON {quoted(name)} ({quoted(column)}"
        + (" COLLATE NOCASE" if column in texts and draw(st.booleans()) else "")
        + (" DESC)" if draw(st.booleans()) else ")")
        for n, column in enumerate(indexed)
    ]
    keys = [column for column, _ in zip(columns, parts)]
    return RandomTable(name, key, dict(zip(columns, kinds)), sql, keys, rows, indexes, parent.name if parent else None)


@st.composite
def _rows(draw: st.DrawFn, key: str, values: list[st.SearchStrategy[Any]], many: int) -> list[tuple[Any, ...]]:
    size = len(KEYS[key][0])
    if not many:
        unique = (lambda row: _distinct(key, row[:size])) if size else None
        return draw(st.lists(st.tuples(*values), max_size=8, unique_by=unique))
    pools = [draw(st.lists(strategy, min_size=1, max_size=6)) for strategy in values]
    chance = draw(st.randoms(use_true_random=False))
    return [
        tuple(_numbered(pool, n) if at < size else chance.choice(pool) for at, pool in enumerate(pools))
        for n in range(many)
    ]


def _numbered(pool: list[Any], number: int) -> Any:
    """A key that is like one of the pool, and another one for each number."""
    like = pool[number % len(pool)]
    if isinstance(like, int):
        return number * 7 - 50
    return like + (f"#{number}" if isinstance(like, str) else b"#%d" % number)


def fill(connection: sqlite3.Connection, made: list[RandomTable]) -> None:
    """Write the tables into a database."""
    for table in made:
        connection.execute(table.sql)
        for statement in table.indexes:
            connection.execute(statement)
        marks = ", ".join("?" * len(table.kinds))
        connection.executemany(f"INSERT INTO {quoted(table.name)} VALUES ({marks})", table.rows)
