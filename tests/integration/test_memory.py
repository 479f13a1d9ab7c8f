# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory does not grow with the table: no process of check, copy or verify takes more than 150 MB."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from conftest import MakeSqlite
from support.engine import POSITION, create, planned
from support.steps import answer, started

LIMIT_MB = 150


def peaks(path: Path, url: str) -> dict[str, int]:
    """The largest process of each step, in MB."""
    plan, _ = planned(path)
    create(url, plan)
    found: dict[str, int] = {}
    for step in ("check", "copy", "verify"):
        said = answer(started(step, path, url, plan, position=POSITION))
        assert "error" not in said
        if step == "check":
            assert said["result"] == []
        if step == "verify":
            assert said["result"]["ok"]
        found[step] = max(said["peak_mb"].values())
    return found


#: Declared type and a value of twenty million bytes.
CELLS = {
    "blob": ("BLOB", "zeroblob(20000000)"),
    "ascii": ("TEXT", "hex(zeroblob(10000000))"),
    "wide": ("TEXT", "replace(hex(zeroblob(3333333)), '0', '€')"),
    "limited": ("VARCHAR(9999999)", "replace(hex(zeroblob(3333333)), '0', '€')"),
    "string": ("JSON", "json_quote(hex(zeroblob(10000000)))"),
    "numbers": ("JSON", "'[' || replace(hex(zeroblob(450000)), '0', '12345678901234567890, ') || '1]'"),
}


@pytest.mark.slow
def test_cells_of_twenty_megabytes_fit(make_sqlite: MakeSqlite, database: str) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        for name, (declared, value) in CELLS.items():
            connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, x {declared})")
            for _ in range(1 if name == "numbers" else 2):
                connection.execute(f"INSERT INTO {name} (x) VALUES ({value})")
                connection.commit()

    found = peaks(make_sqlite(fill), database)
    assert max(found.values()) <= LIMIT_MB, found


@pytest.mark.slow
def test_several_cells_of_twenty_megabytes_in_one_row_fit(make_sqlite: MakeSqlite, database: str) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, y BLOB, z JSON)")
        for _ in range(2):
            connection.execute(
                "INSERT INTO t (x, y, z) VALUES (hex(zeroblob(10000000)), zeroblob(20000000), json_quote(hex(zeroblob(10000000))))"
            )
            connection.commit()

    found = peaks(make_sqlite(fill), database)
    assert max(found.values()) <= LIMIT_MB, found


def test_refused_cells_of_twenty_megabytes_fit(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (x TEXT); INSERT INTO t VALUES (zeroblob(20000000)), (x'00' || hex(zeroblob(10000000)))"
    )
    plan, _ = planned(path, {"tables": {"t": {"columns": {"x": {"codec": "text"}}}}})
    said = answer(started("check", path, database, plan))
    [finding] = said["result"]
    assert finding["decide"]["tables"]["t"]["columns"]["x"] == {
        "codec": "blob",
        "type": "bytea",
        "rule": "text_as_bytes",
    }
    assert max(said["peak_mb"].values()) <= LIMIT_MB, said["peak_mb"]


@pytest.mark.slow
def test_cells_of_twenty_megabytes_fit_into_the_quarantine_and_through_rules(
    make_sqlite: MakeSqlite, database: str
) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, y TEXT);"
        "INSERT INTO t VALUES (1, hex(zeroblob(10000000)), NULL), (2, zeroblob(20000000), NULL),"
        " (3, 'short', CAST(x'ff00' || replace(hex(zeroblob(3333333)), '0', '€') AS TEXT)),"
        " (4, NULL, replace(hex(zeroblob(3333333)), '0', '€'))"
    )
    x = {"codec": "text", "type": "varchar(9)", "refused": "quarantine"}
    y = {"codec": "text", "rules": ["strip_nul", "replace_invalid"]}
    plan, _ = planned(path, {"tables": {"t": {"columns": {"x": x, "y": y}}}})
    create(database, plan)
    found: dict[str, int] = {}
    for step in ("check", "copy", "verify"):
        said = answer(started(step, path, database, plan, position=POSITION))
        assert "error" not in said
        found[step] = max(said["peak_mb"].values())
    [line] = said["result"]["tables"]
    assert (said["result"]["ok"], line["rows_target"], line["rows_quarantined"]) == (True, 2, 2)
    assert max(found.values()) <= LIMIT_MB, found


@pytest.mark.slow
def test_file_of_two_hundred_megabytes_fits(make_sqlite: MakeSqlite, database: str) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, x TEXT, y BLOB)")
        connection.execute("CREATE TABLE k (a TEXT, b INT, x TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID")
        rows = "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT {})"
        connection.execute(
            f"{rows.format(100_000)} INSERT INTO t SELECT n, 1700000000000 + n, hex(randomblob(350)), randomblob(700) FROM n"
        )
        connection.execute(f"{rows.format(300_000)} INSERT INTO k SELECT hex(n % 1000), n, hex(randomblob(80)) FROM n")

    path = make_sqlite(fill)
    assert path.stat().st_size > 200_000_000
    found = peaks(path, database)
    assert max(found.values()) <= LIMIT_MB, found
