# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of a SQLite file says what is there, also where SQLite itself is silent or odd."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from conftest import MakeSqlite
from cutover.errors import SourceError
from cutover.source.model import Check, Table, from_dict
from support.engine import described, described_table

NAMES = [
    'a"b',
    "a'b",
    "a`b",
    "a]b",
    "a[b",
    "a b%c",
    "%s",
    "{x}",
    "a.b",
    "a;b",
    "ünï 🐘",
    "order",
    "user",
    "a--b",
    "a/*b",
    "naïve\nline",
    "\t",
]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_read_as_it_is(make_sqlite: MakeSqlite, name: str) -> None:
    q = quoted(name)
    path = make_sqlite(
        f"CREATE TABLE {q} ({q} TEXT PRIMARY KEY REFERENCES {q} DEFERRABLE INITIALLY DEFERRED, "
        f"{quoted(name + '2')} INT CHECK ({quoted(name + '2')} > 0), g AS (1 + 1));"
        f"CREATE INDEX {quoted('i' + name)} ON {q} ({quoted(name + '2')} DESC);"
    )
    table = described_table(path)
    assert table.name == name
    assert [column.name for column in table.columns] == [name, name + "2", "g"]
    assert table.primary_key == (name,)
    [key] = table.foreign_keys
    assert (key.columns, key.parent, key.deferrable, key.deferred) == ((name,), name, True, True)
    index = next(index for index in table.indexes if index.origin == "c")
    assert (index.name, index.columns[0].name, index.columns[0].descending) == ("i" + name, name + "2", True)
    assert table.checks == (Check(None, f"{quoted(name + '2')} > 0"),)
    assert table.columns[2].generated == "1 + 1"


def test_description_survives_its_way_to_the_controller(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE p (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID; CREATE TABLE c (id INTEGER PRIMARY KEY AUTOINCREMENT, "
        "a, b, UNIQUE (a, b), FOREIGN KEY (a, b) REFERENCES p); CREATE VIEW v AS SELECT 1; INSERT INTO c VALUES (9, 1, 2)"
    )
    description = described(path)
    assert from_dict(description.as_dict()) == description
    assert description.size_bytes == path.stat().st_size
    assert (description.encoding, description.journal_mode) == ("UTF-8", "delete")


def alias(make_sqlite: MakeSqlite, columns: str, options: str = "") -> tuple[str | None, str | None, tuple[str, ...]]:
    table = described_table(make_sqlite(f"CREATE TABLE t ({columns}) {options}"))
    return table.rowid_alias, table.rowid, table.primary_key


@pytest.mark.parametrize(
    ("columns", "is_alias"),
    [
        ("k INTEGER PRIMARY KEY", True),
        ("k integer PRIMARY KEY ASC", True),
        ("k INTEGER PRIMARY KEY AUTOINCREMENT", True),
        ("k INTEGER, x, PRIMARY KEY (k)", True),
        # With the quirk: the key clause of a table may say DESC and still name the rowid.
        ("k INTEGER, PRIMARY KEY (k DESC)", True),
        # The quirk the other way round: DESC on the column makes an ordinary column of it.
        ("k INTEGER PRIMARY KEY DESC", False),
        ("k INT PRIMARY KEY", False),
        ("k BIGINT PRIMARY KEY", False),
        ("k INTEGER(8) PRIMARY KEY", False),
        ("k TEXT PRIMARY KEY", False),
        ("k INTEGER, x, PRIMARY KEY (k, x)", False),
        ("k INTEGER UNIQUE NOT NULL", False),
        ("k INTEGER UNIQUE PRIMARY KEY", True),
    ],
)
def test_rowid_alias_is_told_from_other_keys(make_sqlite: MakeSqlite, columns: str, is_alias: bool) -> None:
    path = make_sqlite(f"CREATE TABLE t ({columns})")
    with closing(sqlite3.connect(path)) as connection:
        # SQLite's own word: the key is the rowid or it is another number.
        connection.execute("INSERT INTO t (_rowid_) VALUES (7)" if is_alias else "INSERT INTO t (k) VALUES (8)")
        assert connection.execute("SELECT k = 7, k = _rowid_ FROM t").fetchone() == (is_alias, is_alias)
    table = described_table(path)
    assert table.rowid_alias == ("k" if is_alias else None)
    assert table.rowid == ("k" if is_alias else "rowid")


def test_table_without_rowid_has_none(make_sqlite: MakeSqlite) -> None:
    assert alias(make_sqlite, "k INTEGER PRIMARY KEY", "WITHOUT ROWID") == (None, None, ("k",))
    assert alias(make_sqlite, "b, a, PRIMARY KEY (a, b)", "without/* */rowid") == (None, None, ("a", "b"))


def test_rowid_goes_by_a_name_that_no_column_has(make_sqlite: MakeSqlite) -> None:
    assert alias(make_sqlite, "RowId TEXT")[1] == "_rowid_"
    assert alias(make_sqlite, "rowid, _ROWID_")[1] == "oid"
    assert alias(make_sqlite, "rowid, _rowid_, oid, k INTEGER PRIMARY KEY")[1] == "k"
    with pytest.raises(SourceError, match=r"table t: has columns called rowid, _rowid_ and oid"):
        alias(make_sqlite, "rowid, _rowid_, oid")


def test_options_are_read_behind_the_columns_only(make_sqlite: MakeSqlite) -> None:
    def options(sql: str) -> tuple[bool, bool]:
        table = described_table(make_sqlite(sql))
        return table.strict, table.rowid is None

    assert options("CREATE TABLE t (k INT PRIMARY KEY) STRICT") == (True, False)
    assert options("CREATE TABLE t (k INT PRIMARY KEY) WITHOUT ROWID, STRICT") == (True, True)
    assert options("CREATE TABLE t (strict INT, without TEXT DEFAULT 'WITHOUT ROWID)')") == (False, False)
    assert options("CREATE TABLE t (k INT) -- STRICT\n") == (False, False)
    assert options("CREATE TABLE t AS SELECT 1 AS a") == (False, False)


def test_generated_columns_keep_their_expressions_apart(make_sqlite: MakeSqlite) -> None:
    table = described_table(
        make_sqlite(
            "CREATE TABLE t (a INT, b INT AS (a * (2 + 1)) VIRTUAL, c TEXT GENERATED ALWAYS AS (a || ')') STORED, "
            "d CHECK (d <> CAST(a AS TEXT)), e AS (CAST(b AS REAL)))"
        )
    )
    assert [column.generated for column in table.columns] == [None, "a * (2 + 1)", "a || ')'", None, "CAST(b AS REAL)"]
    assert [check.sql for check in table.checks] == ["d <> CAST(a AS TEXT)"]


def test_indexes_tell_what_they_are(make_sqlite: MakeSqlite) -> None:
    table = described_table(
        make_sqlite(
            "CREATE TABLE t (a TEXT COLLATE NOCASE, b, c UNIQUE, PRIMARY KEY (b, a));"
            "CREATE INDEX e ON t (lower(a), b); CREATE INDEX p ON t (c) WHERE c > 0; CREATE INDEX r ON t (b COLLATE RTRIM);"
            "CREATE UNIQUE INDEX n ON t (a)"
        )
    )
    found = {index.name: index for index in table.indexes}
    assert {name: (i.unique, i.origin, i.partial) for name, i in found.items()} == {
        "e": (False, "c", False),
        "n": (True, "c", False),
        "p": (False, "c", True),
        "r": (False, "c", False),
        "sqlite_autoindex_t_1": (True, "u", False),
        "sqlite_autoindex_t_2": (True, "pk", False),
    }
    assert [(c.name, c.collation) for c in found["e"].columns] == [(None, "BINARY"), ("b", "BINARY")]
    assert [(c.name, c.collation) for c in found["r"].columns] == [("b", "RTRIM")]
    assert found["n"].columns[0].collation == "NOCASE"


def test_foreign_keys_come_in_the_order_of_the_text_with_their_deferral(make_sqlite: MakeSqlite) -> None:
    table = described_table(
        make_sqlite(
            "CREATE TABLE p (a, b, c UNIQUE, PRIMARY KEY (a, b)); CREATE TABLE t (x REFERENCES p (c) ON DELETE CASCADE, "
            "y REFERENCES p (c) DEFERRABLE INITIALLY DEFERRED, z REFERENCES p (c) NOT DEFERRABLE INITIALLY DEFERRED, "
            "w REFERENCES p (c) DEFERRABLE INITIALLY IMMEDIATE CHECK (w <> ')'), "
            "FOREIGN KEY (x, y) REFERENCES p ON UPDATE SET NULL DEFERRABLE)"
        ),
        "t",
    )
    assert [
        (k.columns, k.parent_columns, k.on_update, k.on_delete, k.deferrable, k.deferred) for k in table.foreign_keys
    ] == [
        (("x",), ("c",), "NO ACTION", "CASCADE", False, False),
        (("y",), ("c",), "NO ACTION", "NO ACTION", True, True),
        (("z",), ("c",), "NO ACTION", "NO ACTION", False, False),
        (("w",), ("c",), "NO ACTION", "NO ACTION", True, False),
        (("x", "y"), (), "SET NULL", "NO ACTION", True, False),
    ]


def test_full_text_search_is_one_virtual_table_and_its_shadows(make_sqlite: MakeSqlite) -> None:
    description = described(
        make_sqlite(
            "CREATE VIRTUAL TABLE f USING fts5(x); CREATE VIRTUAL TABLE r USING rtree(id, a, b); CREATE TABLE f_mine (x);"
            "CREATE TABLE real (x); CREATE VIEW v AS SELECT x FROM real; CREATE TRIGGER g AFTER INSERT ON real BEGIN SELECT 1; END"
        )
    )
    # A table that is only called like a shadow is the application's own.
    assert [table.name for table in description.tables] == ["f_mine", "real"]
    kinds = {other.name: (other.kind, other.table) for other in description.others}
    assert kinds["f"] == ("virtual table", "f")
    assert kinds["f_data"] == ("shadow table", "f")
    assert kinds["r_node"] == ("shadow table", "r")
    assert kinds["v"] == ("view", "v")
    assert kinds["g"] == ("trigger", "real")


def test_sequence_is_the_highest_number_ever_given_out(make_sqlite: MakeSqlite) -> None:
    def sequences(sql: str) -> list[tuple[bool, int | None]]:
        return [(table.autoincrement, table.sequence) for table in described(make_sqlite(sql)).tables]

    assert sequences("CREATE TABLE t (k INTEGER PRIMARY KEY AUTOINCREMENT)") == [(True, None)]
    made = "CREATE TABLE t (k INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (70); DELETE FROM t;"
    assert sequences(made) == [(True, 70)]
    # The application may write the table of sequences itself.
    assert sequences(made + "INSERT INTO sqlite_sequence VALUES ('t', 90), ('t', 'many')") == [(True, 90)]
    assert sequences("CREATE TABLE \"autoincrement\" (k INTEGER PRIMARY KEY, x DEFAULT 'AUTOINCREMENT')") == [
        (False, None)
    ]


def test_name_that_is_no_utf8_is_refused_with_what_to_do(make_sqlite: MakeSqlite) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.executescript("CREATE TABLE t (x); CREATE TABLE txxt (y); PRAGMA writable_schema = ON;")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'txxt', CAST(x'74ffff74' AS TEXT)), "
                           "name = CAST(x'74ffff74' AS TEXT), tbl_name = CAST(x'74ffff74' AS TEXT) WHERE name = 'txxt'")  # fmt: skip

    with pytest.raises(SourceError, match=r"not valid UTF-8.*[Rr]ename"):
        described(make_sqlite(fill))


def test_column_is_found_in_whatever_case(make_sqlite: MakeSqlite) -> None:
    table: Table = described_table(make_sqlite("CREATE TABLE t (Name)"))
    assert table.column("nAME").name == "Name"
    with pytest.raises(KeyError):
        table.column("other")
