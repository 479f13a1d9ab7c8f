# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is changed in PostgreSQL behind the engine's back, verify names it by row and column, and nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeSqlite
from cutover import compare, ranges
from cutover.errors import CutoverError, Refused
from cutover.plan.model import Plan
from cutover.target import rows
from support.engine import migrate, verify
from support.independent import execute

#: Column, declared type, value of row n, and an SQL expression that changes it in PostgreSQL.
COLUMNS: list[tuple[str, str, Any, str]] = [
    ("an integer", "INT", lambda n: n * 7, '"an integer" + 1'),
    ("a b%c", "TEXT", lambda n: f"text {n} %s", "\"a b%c\" || ' '"),
    ("text", "TEXT", lambda n: f"Ä{n}", '"text" || chr(65533)'),
    ("digest", "BLOB", lambda n: bytes([n, 0, 255]), "digest || '\\x00'::bytea"),
    ("row", "REAL", lambda n: n / 3, '"row" * 1.0000000000000002'),
    ("decimal", "DECIMAL", lambda n: n + 0.25, '"decimal" + 1e-30'),
    ("boolean", "BOOLEAN", lambda n: n % 2, "NOT boolean"),
    ("uuid", "UUID", lambda n: f"00000000-0000-0000-0000-{n:012}", "'ffffffff-0000-0000-0000-000000000000'"),
    ("ms", "DATETIME", lambda n: 1_700_000_000_000 + n, "ms + interval '1 microsecond'"),
    ("seconds", "DATETIME", lambda n: 1_700_000_000 + n, "seconds + interval '1 second'"),
    ("iso", "DATETIME", lambda n: f"2024-01-31 10:00:{n % 60:02}.5", "iso - interval '1 microsecond'"),
    ("utc", "DATETIME", lambda n: f"2024-01-31T10:00:{n % 60:02}Z", "utc + interval '1 hour'"),
    ("date", "DATE", lambda n: f"2024-01-{n % 28 + 1:02}", '"date" + 1'),
    ("time", "TIME", lambda n: f"10:{n % 60:02}:00", "\"time\" + interval '1 microsecond'"),
    ("json", "JSON", lambda n: f'{{"n": {n}.0}}', "jsonb_set(json, '{n}', '0')"),
    ("long", "TEXT", lambda n: "x" * 9000 + str(n), "overlay(long placing 'y' from 4500)"),
    ("nothing", "TEXT", lambda n: None, "''"),
    ("emptied", "TEXT", lambda n: "", "NULL"),
]
ROWS = 120
#: Key → (declaration of the key, way of comparing, how a row is named).
KEYS = {
    "ordered": ('"the key" INTEGER PRIMARY KEY', "ordered", "the key={}"),
    "multiset": ('"the key" INT NOT NULL PRIMARY KEY', "multiset", "the key={}"),
    "without rowid": ('"the key" INT NOT NULL PRIMARY KEY) WITHOUT ROWID --', "multiset", "the key={}"),
}
TABLE = 'public."order"'


def fill(key: str) -> Any:
    declaration, _, _ = KEYS[key]

    def make(connection: sqlite3.Connection) -> None:
        columns = ", ".join(f'"{name}" {declared}' for name, declared, _, _ in COLUMNS)
        head, _, tail = declaration.partition(")")
        connection.execute(f'CREATE TABLE "order" ({head}, {columns}){tail}')
        connection.execute("CREATE TABLE untouched (id INTEGER PRIMARY KEY, x); ")
        connection.execute("INSERT INTO untouched VALUES (1, 'x')")
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        for n in range(1, ROWS + 1):
            connection.execute(f'INSERT INTO "order" VALUES ({marks})', (n, *(value(n) for _, _, value, _ in COLUMNS)))

    return make


@pytest.fixture(params=KEYS)
def migrated(
    request: pytest.FixtureRequest, make_sqlite: MakeSqlite, database: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Path, Plan, str]:
    """(kind of key, source, plan, target) of a finished migration that was cut into several ranges."""
    monkeypatch.setattr(ranges.plan_ranges, "__defaults__", (100_000,))
    path = make_sqlite(fill(request.param))
    result = migrate(path, database)
    assert result.verified["ok"]
    assert result.plan.table("order").compare == KEYS[request.param][1]
    return request.param, path, result.plan, database


Migration = tuple[str, Path, Plan, str]


def counts(found: dict[str, Any], name: str = "order") -> tuple[int, int, int, int, int]:
    line = next(line for line in found["tables"] if line["name"] == name)
    return tuple(line[f"rows_{part}"] for part in ("source", "target", "different", "only_source", "only_target"))  # type: ignore[return-value]


def places(found: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return sorted(((d["table"], d["key"], d["column"]) for d in found["differences"]), key=str)


def test_one_changed_value_of_each_type_is_named(migrated: Migration) -> None:
    key, path, plan, url = migrated
    # A row a column, so that each change stands alone.
    changes = [
        f'UPDATE {TABLE} SET "{name}" = {change} WHERE "the key" = {5 * n + 3}'.replace("%%", "%")
        for n, (name, _, _, change) in enumerate(COLUMNS)
    ]
    assert execute(url, *changes) == [1] * len(COLUMNS)
    found = verify(path, url, plan)
    assert not found["ok"]
    assert places(found) == sorted(
        (("order", KEYS[key][2].format(5 * n + 3), name) for n, (name, *_) in enumerate(COLUMNS)), key=str
    )
    assert counts(found) == (ROWS, ROWS, len(COLUMNS), 0, 0)
    assert counts(found, "untouched") == (1, 1, 0, 0, 0)
    for difference in found["differences"]:
        assert difference["source"] != difference["target"]
    null = {
        d["column"]: (d["source"], d["target"]) for d in found["differences"] if d["column"] in ("nothing", "emptied")
    }
    assert null["nothing"][0] == null["emptied"][1] == "NULL"


def test_several_columns_of_one_row_are_one_row(migrated: Migration) -> None:
    key, path, plan, url = migrated
    execute(url, f"UPDATE {TABLE} SET boolean = NOT boolean, digest = NULL, long = 'short' WHERE \"the key\" = 77")
    found = verify(path, url, plan)
    assert places(found) == [("order", KEYS[key][2].format(77), name) for name in ("boolean", "digest", "long")]
    assert counts(found) == (ROWS, ROWS, 1, 0, 0)


def test_missing_and_added_rows_are_named(migrated: Migration) -> None:
    key, path, plan, url = migrated
    execute(
        url,
        f'DELETE FROM {TABLE} WHERE "the key" IN (1, 60, {ROWS})',
        f"INSERT INTO {TABLE} (\"the key\", text) VALUES (0, 'before'), (5000, 'behind')",
        f"UPDATE {TABLE} SET text = 'changed' WHERE \"the key\" = 61",
    )
    found = verify(path, url, plan)
    name = KEYS[key][2].format
    assert [(d["key"], d["column"], d["source"], d["target"]) for d in found["differences"] if d["column"] is None and d["target"] == "missing"] == [
        (name(n), None, "present", "missing") for n in (1, 60, ROWS)
    ]  # fmt: skip
    assert sorted((d["key"], d["source"], d["target"]) for d in found["differences"] if d["source"] == "missing") == [
        (name(n) if key == "ordered" else f"(the key)=({n})", "missing", "present") for n in (0, 5000)
    ]
    assert [(d["key"], d["column"]) for d in found["differences"] if d["column"]] == [(name(61), "text")]
    assert counts(found) == (ROWS, ROWS - 1, 1, 3, 2)


def test_moved_key_is_a_missing_and_an_added_row(migrated: Migration) -> None:
    _, path, plan, url = migrated
    execute(url, f'UPDATE {TABLE} SET "the key" = 999 WHERE "the key" = 50')
    found = verify(path, url, plan)
    assert counts(found) == (ROWS, ROWS, 0, 1, 1)
    assert len(found["differences"]) == 2


def test_values_swapped_between_rows_are_found(migrated: Migration) -> None:
    _, path, plan, url = migrated
    execute(
        url,
        f'UPDATE {TABLE} a SET text = b.text FROM {TABLE} b WHERE (a."the key", b."the key") IN ((10, 90), (90, 10))',
    )
    assert counts(verify(path, url, plan)) == (ROWS, ROWS, 2, 0, 0)


def test_empty_target_is_every_row_missing(migrated: Migration) -> None:
    _, path, plan, url = migrated
    execute(url, f"TRUNCATE {TABLE}")
    found = verify(path, url, plan)
    assert counts(found) == (ROWS, 0, 0, ROWS, 0)
    assert len(found["differences"]) == compare.CAP


def test_change_of_the_source_is_a_difference_too(migrated: Migration) -> None:
    _, path, plan, url = migrated
    with closing(sqlite3.connect(path)) as source, source:
        source.execute('UPDATE "order" SET text = \'late\' WHERE "the key" = 9')
        source.execute('DELETE FROM "order" WHERE "the key" = 10')
        source.execute('INSERT INTO "order" ("the key", text) VALUES (700, \'late\')')
    assert counts(verify(path, url, plan)) == (ROWS, ROWS, 1, 1, 1)


def test_value_of_the_source_that_no_longer_fits_is_refused(migrated: Migration) -> None:
    _, path, plan, url = migrated
    with closing(sqlite3.connect(path)) as source, source:
        source.execute('UPDATE "order" SET boolean = \'maybe\' WHERE "the key" = 9')
    with pytest.raises(Refused, match="table order: a row of the source can no longer be read as the plan says"):
        verify(path, url, plan)


def test_checksum_is_that_of_the_rows_wherever_they_lie(migrated: Migration) -> None:
    _, path, plan, url = migrated
    before = verify(path, url, plan)
    # Every row moves to another page, and one is another row for a moment.
    execute(url, f'UPDATE {TABLE} SET "the key" = "the key" + 1000', f'UPDATE {TABLE} SET "the key" = "the key" - 1000')
    again = verify(path, url, plan, workers=1)
    assert again["ok"]
    assert [line["checksum"] for line in again["tables"]] == [line["checksum"] for line in before["tables"]]


# ---------------------------------------------------------------- tables without any key


@pytest.fixture
def bag(make_sqlite: MakeSqlite, database: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Plan, str]:
    """A table without a key in which every row is there twice."""
    monkeypatch.setattr(rows, "_BLOCKS", 1)
    values = ", ".join(f"({n // 2}, '{'x' * 100}{n // 2}')" for n in range(400))
    path = make_sqlite(f"CREATE TABLE bag (n INT, x TEXT); INSERT INTO bag VALUES {values}, (NULL, NULL), (NULL, NULL)")
    result = migrate(path, database)
    assert result.verified["ok"]
    return path, result.plan, database


def test_rows_that_are_there_twice_are_counted(bag: tuple[Path, Plan, str]) -> None:
    path, plan, url = bag
    one = "WHERE ctid = (SELECT min(ctid) FROM bag WHERE n = 7)"
    execute(
        url,
        f"DELETE FROM bag {one}",
        "INSERT INTO bag SELECT * FROM bag WHERE n = 9 LIMIT 1",
        "INSERT INTO bag VALUES (NULL, NULL)",
    )
    found = verify(path, url, plan)
    assert counts(found, "bag") == (402, 403, 0, 1, 2)
    assert [(d["source"], d["target"]) for d in found["differences"]].count(("present", "missing")) == 1
    assert [(d["source"], d["target"]) for d in found["differences"]].count(("missing", "present")) == 2


def test_changed_row_without_key_is_missing_and_added(bag: tuple[Path, Plan, str]) -> None:
    path, plan, url = bag
    execute(url, "UPDATE bag SET x = 'changed' WHERE ctid = (SELECT min(ctid) FROM bag WHERE n = 3)")
    found = verify(path, url, plan)
    assert counts(found, "bag") == (402, 402, 0, 1, 1)
    [missing, added] = sorted(found["differences"], key=lambda d: str(d["source"]), reverse=True)
    # Of two equal rows either may be the one that is gone.
    assert missing["key"] in ("rowid 7", "rowid 8")
    assert "changed" in added["key"]


# ---------------------------------------------------------------- more than can be shown


def test_all_differences_are_counted_and_the_first_are_shown(make_sqlite: MakeSqlite, database: str) -> None:
    values = ", ".join(f"({n}, {n})" for n in range(1, 1001))
    path = make_sqlite(
        f"CREATE TABLE o (id INTEGER PRIMARY KEY, x INT); INSERT INTO o VALUES {values}; CREATE TABLE m (id INT PRIMARY KEY, x INT); INSERT INTO m VALUES {values}"
    )
    plan = migrate(path, database).plan
    execute(database, "UPDATE o SET x = -x", "UPDATE m SET x = -x WHERE id > 10", "DELETE FROM m WHERE id = 5")
    found = verify(path, database, plan)
    assert counts(found, "o") == (1000, 1000, 1000, 0, 0)
    assert counts(found, "m") == (1000, 999, 990, 1, 0)
    shown = [d["table"] for d in found["differences"]]
    assert (shown.count("o"), shown.count("m")) == (compare.CAP, compare.CAP)


def test_digests_that_differ_for_no_visible_reason_are_never_called_equal(
    migrated: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, path, plan, url = migrated
    honest = rows.row_form
    # As if an expression gave one thing in the row and another by itself.
    monkeypatch.setattr(rows, "row_form", lambda table: f"{honest(table)} || {'' if table.name != 'order' else ' '!r}")
    if key == "ordered":
        with pytest.raises(CutoverError, match=r"table order: .*digests differ"):
            verify(path, url, plan)
    else:
        found = verify(path, url, plan)
        assert not found["ok"]
        assert counts(found) == (ROWS, ROWS, ROWS, 0, 0)


def test_source_that_is_written_while_it_is_compared_is_never_called_equal(
    migrated: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, path, plan, url = migrated
    if key == "ordered":
        return
    execute(url, f"UPDATE {TABLE} SET text = 'late' WHERE \"the key\" = 9")
    resolve = compare._resolve

    def late(*arguments: Any) -> compare.Counts:
        # Between the digests and the search for the row the source gets what the target has.
        with closing(sqlite3.connect(path)) as source, source:
            source.execute('UPDATE "order" SET text = \'late\' WHERE "the key" = 9')
        return resolve(*arguments)

    monkeypatch.setattr(compare, "_resolve", late)
    with pytest.raises(CutoverError, match=r"written to meanwhile\? Compare again"):
        verify(path, url, plan)
