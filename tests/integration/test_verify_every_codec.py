# SPDX-License-Identifier: GPL-3.0-or-later
"""One corrupted value of every codec, type and rule in PostgreSQL is found by verify and named down to the column.

The columns are made from the table of codecs: a codec, type or rule that has no sample or no change here fails.
"""

from __future__ import annotations

import sqlite3

from conftest import MakeSqlite
from cutover.codecs import base_type
from cutover.compare import CAP
from support.engine import migrate, verify
from support.independent import execute
from support.samples import COLUMNS, SAMPLES, USED, decided, tables
from support.samples import fill as fill_tables

#: Type of PostgreSQL → the smallest changes that its values can suffer, as SQL of the column {}.
CHANGES: dict[str, list[str]] = {
    "bigint": ["{} + 1", "-{} - 1"],
    "integer": ["{} + 1", "-{} - 1"],
    "smallint": ["{} + 1"],
    "double precision": ["CASE WHEN abs({}) < 1e-300 THEN {} * 2 ELSE {} * 1.0000000000000002 END", "-{}", "'NaN'"],
    "numeric": ["{} + 1e-40", "-{}", "'NaN'"],
    "boolean": ["NOT {}"],
    "text": ["{} || ' '", "{} || chr(8203)", "'\\N'"],
    "varchar": ["{} || ' '"],
    "bytea": ["{} || '\\x00'", "'\\x00'::bytea || {}"],
    "inet": ["{} + 1", "set_masklen({}, 31)"],
    "uuid": ["'6f9619ff-8b86-d011-b42d-00cf4fc964fe'"],
    "timestamptz": ["{} + interval '1 microsecond'", "{} - interval '1 hour'", "'infinity'"],
    "timestamp": ["{} + interval '1 microsecond'", "{} - interval '1 hour'", "'-infinity'"],
    "date": ["{} + 1", "'infinity'"],
    "time": ["{} + interval '1 microsecond'"],
    "interval": ["{} + interval '1 microsecond'", "{} + interval '1 month'"],
    "jsonb": ["{} || '{{\"new\": null}}'", "jsonb_build_array({})"],
    "json": ["({}::text || ' ')::json"],
    "real": ["CASE WHEN abs({}) < 1e-30 THEN {} * 2 ELSE {} * 1.0000002 END", "-{}", "'Infinity'"],
    "char": ["chr(ascii({}) + 1)"],
}


def corruptions(columns: list[str]) -> list[tuple[str, str]]:
    """(column, SQL of the wrong value), each for a row of its own; every column also loses its value."""
    found: list[tuple[str, str]] = []
    for column in columns:
        name = '"' + column + '"'
        for change in CHANGES[base_type(COLUMNS[column].type)]:
            found.append((column, change.format(*[name] * change.count("{}"))))
        found.append((column, "NULL"))
    assert len(found) <= CAP
    return found


def test_every_codec_type_and_rule_has_a_sample_and_a_change() -> None:
    wanted = {(name, rule) for name, codec in USED.items() for rule in (None, *codec.exact.rules)}
    assert wanted - set(SAMPLES) <= {("mixed_timestamp", None)}, "a codec or rule without a sample here"
    assert {base_type(t) for codec in USED.values() for t in codec.types} <= set(CHANGES), "a type without a change"
    there = {(way.name, way.type) for way in COLUMNS.values()}
    assert there == {(name, type_name) for name, codec in USED.items() for type_name in codec.types}


def fill(connection: sqlite3.Connection) -> None:
    """Tables with a row for each corruption."""
    fill_tables(connection, lambda columns: len(corruptions(columns)) + 3)


def test_one_corrupted_value_of_every_codec_type_and_rule_is_named(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(fill)
    overrides = {table: {"columns": {c: decided(c) for c in columns}} for table, (_, columns) in tables().items()}
    plan = migrate(path, database, {"tables": overrides}).plan
    assert {table.name: table.compare for table in plan.tables} == {name: key for name, (key, _) in tables().items()}
    assert verify(path, database, plan)["ok"]
    broken = {table: list(enumerate(corruptions(columns))) for table, (_, columns) in tables().items()}
    for table, changes in broken.items():
        statements = [f'UPDATE "{table}" SET "{column}" = {wrong} WHERE k = {n}' for n, (column, wrong) in changes]
        assert execute(database, *statements) == [1] * len(changes)
    found = verify(path, database, plan)
    assert not found["ok"]
    named = sorted((d["table"], d["key"], d["column"]) for d in found["differences"])
    wanted = sorted((table, f"k={n}", column) for table in broken for n, (column, _) in broken[table])
    missing = [broken[table][int(key[2:])] for table, key, _ in set(wanted) - set(named)]
    extra = sorted(set(named) - set(wanted))
    assert (missing, extra) == ([], [])
    assert named == wanted
    for line in found["tables"]:
        counted = (line["rows_different"], line["rows_only_source"], line["rows_only_target"])
        assert counted == (len(broken[line["name"]]), 0, 0)
    assert not [d for d in found["differences"] if d["source"] == d["target"]]


def test_moments_that_only_postgresql_knows_are_not_taken_for_others(make_sqlite: MakeSqlite, database: str) -> None:
    """Infinity is not NULL, and a day BC is not that day AD, whatever to_char() says of them."""
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a DATETIME, b DATETIME, c DATE, d DATETIME);"
        "INSERT INTO t VALUES (1, NULL, NULL, NULL, NULL),"
        " (2, '0044-03-15 00:00:00', '0044-03-15 00:00:00Z', '0044-03-15', 1700000000)"
    )
    plan = migrate(path, database).plan
    assert [column.type for column in plan.table("t").columns[1:]] == [
        "timestamp",
        "timestamptz",
        "date",
        "timestamptz",
    ]
    execute(
        database,
        "UPDATE t SET a = 'infinity', b = '-infinity', c = 'infinity', d = 'infinity' WHERE id = 1",
        "UPDATE t SET a = '0044-03-15 BC', b = '0044-03-15 00:00:00+00 BC', c = '0044-03-15 BC', d = '-infinity' WHERE id = 2",
    )
    found = verify(path, database, plan)
    named = [(d["key"], d["column"]) for d in found["differences"]]
    assert sorted(named) == [(f"id={n}", column) for n in (1, 2) for column in "abcd"]
