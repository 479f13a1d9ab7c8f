# SPDX-License-Identifier: GPL-3.0-or-later
"""A table is cut into ranges that together hold every row once, whatever its key is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import MakeSqlite
from cutover.ranges import Bound, Range, dump, key_columns, load, plan_ranges, read
from cutover.source.connect import open_readonly
from support import stored
from support.engine import only_table
from support.stored import text


def cut(path: Path, rows_each: int) -> list[list[tuple[Any, ...]]]:
    """The rows of the only table, range by range, each of about ``rows_each`` rows."""
    table = only_table(path)
    with closing(open_readonly(str(path), bytearray)) as source:
        size = int(rows_each * table.bytes / table.rows) + 1
        pieces = plan_ranges(source, table, size)
        assert (pieces[0].low, pieces[-1].high) == (None, None)
        assert [piece.high for piece in pieces[:-1]] == [piece.low for piece in pieces[1:]]
        # As the record of ranges keeps them.
        again = [Range(p.table, p.number, load(dump(p.low)), load(dump(p.high))) for p in pieces]
        assert again == pieces
        return [list(read(source, table, piece)) for piece in again]


def everything(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as source:
        source.text_factory = bytearray
        [(name,)] = source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return source.execute(f'SELECT * FROM "{bytes(name).decode()}"').fetchall()


def insert(statement: str, rows: list[tuple[Any, ...]]) -> Any:
    """A filler for make_sqlite: a table and its rows."""

    def fill(connection: sqlite3.Connection) -> None:
        connection.executescript(statement)
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO t VALUES ({marks})", rows)

    return fill


TABLES: dict[str, Any] = {
    "rowid alias": insert("CREATE TABLE t (id INTEGER PRIMARY KEY, x)", [(n * 3 - 50, "x") for n in range(100)]),
    "plain rowid": insert("CREATE TABLE t (x)", [(n % 5,) for n in range(100)]),
    "column called rowid": insert("CREATE TABLE t (rowid TEXT, x)", [(str(n % 7), n) for n in range(100)]),
    "integer key without rowid": insert("CREATE TABLE t (k INT PRIMARY KEY, x) WITHOUT ROWID", [(n * 7 % 101, 0) for n in range(100)]),
    "text key without rowid": insert("CREATE TABLE t (k TEXT PRIMARY KEY) WITHOUT ROWID", [(f"é{n:x}",) for n in range(100)]),
    "key without case": insert("CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID", [(("aB"[n % 2]) + f"{n:x}",) for n in range(100)]),
    "descending key": insert("CREATE TABLE t (k TEXT, PRIMARY KEY (k DESC)) WITHOUT ROWID", [(f"{n:x}",) for n in range(100)]),
    "blob key": insert("CREATE TABLE t (k BLOB PRIMARY KEY) WITHOUT ROWID", [(bytes([n, 255 - n]),) for n in range(100)]),
    "real key": insert("CREATE TABLE t (k REAL PRIMARY KEY) WITHOUT ROWID", [(n / 7 - 5,) for n in range(100)]),
    "composite key": insert("CREATE TABLE t (a TEXT, b INT, c BLOB, PRIMARY KEY (b, a, c)) WITHOUT ROWID", [(f"{n % 3}", n % 4, bytes([n])) for n in range(100)]),
    "key of all storage classes": insert("CREATE TABLE t (k PRIMARY KEY) WITHOUT ROWID", [v for n in range(25) for v in ((n,), (n + 0.5,), (f"{n}",), (bytes([n]),))]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_ranges_hold_every_row_once(make_sqlite: MakeSqlite, name: str) -> None:
    path = make_sqlite(TABLES[name])
    parts = cut(path, 10)
    assert sorted(map(repr, (row for part in parts for row in part))) == sorted(map(repr, everything(path)))
    assert 9 <= len(parts) <= 12
    assert max(map(len, parts)) <= 11


def test_key_that_is_no_utf8_is_cut_along(make_sqlite: MakeSqlite) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE t (k TEXT PRIMARY KEY, n) WITHOUT ROWID")
        for n in range(60):
            connection.execute("INSERT INTO t VALUES (CAST(? AS TEXT), ?)", (bytes([0xC0 + n, 0x20]), n))

    parts = cut(make_sqlite(fill), 10)
    assert [row[1] for part in parts for row in part] == list(range(60))
    assert len(parts) >= 6


def test_text_key_of_a_utf16_database_is_cut_along(make_sqlite: MakeSqlite) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.executescript("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (k TEXT PRIMARY KEY) WITHOUT ROWID")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"ключ €{n:03}",) for n in range(60)])

    parts = cut(make_sqlite(fill), 10)
    assert [row[0].decode() for part in parts for row in part] == [f"ключ €{n:03}" for n in range(60)]
    assert len(parts) >= 6


def test_rows_written_after_the_cut_are_in_a_range_too(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(TABLES["rowid alias"])
    table = only_table(path)
    with closing(open_readonly(str(path), bytearray)) as source:
        pieces = plan_ranges(source, table, table.bytes // 5)
        with closing(sqlite3.connect(path)) as writer, writer:
            writer.executemany("INSERT INTO t VALUES (?, 'new')", [(-(2**63),), (2,), (2**63 - 1,)])
        found = [row[0] for piece in pieces for row in read(source, table, piece)]
    assert len(found) == len(set(found)) == 103


def test_key_can_be_put_in_front_of_a_row(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite("CREATE TABLE t (x, rowid TEXT); INSERT INTO t (_rowid_, x, rowid) VALUES (5, 'a', 'b');")
    table = only_table(path)
    assert key_columns(table) == ("_rowid_",)
    with closing(open_readonly(str(path), bytearray)) as source:
        [piece] = plan_ranges(source, table)
        assert list(read(source, table, piece, with_key=True)) == [(5, text("a"), text("b"))]


def test_empty_table_is_one_range_and_a_huge_row_is_a_range_of_its_own(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite("CREATE TABLE t (x)")
    table = only_table(path)
    with closing(open_readonly(str(path), bytearray)) as source:
        assert plan_ranges(source, table) == [Range("t", 0, None, None)]
    path = make_sqlite("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(1000)), (zeroblob(1000)), (zeroblob(1000))")
    table = only_table(path)
    with closing(open_readonly(str(path), bytearray)) as source:
        assert [piece.low for piece in plan_ranges(source, table, 100)] == [None, (2,), (3,)]


BOUNDS: st.SearchStrategy[Bound] = st.none() | st.lists(
    st.one_of(stored.INT64, stored.REALS, stored.BLOBS, st.binary().map(bytearray)), min_size=1, max_size=4
).map(tuple)


@settings(max_examples=50)
@given(BOUNDS)
def test_bounds_survive_the_record_of_ranges(bound: Bound) -> None:
    again = load(dump(bound))
    assert again == bound
    assert [type(value) for value in again or ()] == [type(value) for value in bound or ()]
