# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole databases, made at random, arrive: rows by an independent reader, keys and indexes by PostgreSQL's catalog."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from conftest import MakeSqlite
from cutover import ranges
from support.engine import Migrated, migrate
from support.independent import emptied, fetch, in_postgresql, in_sqlite
from support.random_schemas import RandomTable, fill, tables


def assert_arrived(made: list[RandomTable], result: Migrated) -> None:
    """What the engine says of itself."""
    assert result.verified["ok"]
    assert result.verified["differences"] == []
    lines = {line["name"]: (line["rows_source"], line["rows_target"]) for line in result.verified["tables"]}
    assert lines == {table.name: (len(table.rows), len(table.rows)) for table in made}
    assert {name: entry["rows"] for name, entry in result.copied["tables"].items()} == {
        t.name: len(t.rows) for t in made
    }


def assert_constraints(url: str, made: list[RandomTable]) -> None:
    """Primary keys with their columns in order, foreign keys validated, as many indexes as there were."""
    found = fetch(
        url,
        "SELECT r.relname, c.contype, c.convalidated, (SELECT array_agg(a.attname ORDER BY k.n) FROM unnest(c.conkey)"
        " WITH ORDINALITY k (num, n) JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.num)::text[]"
        " FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid WHERE c.connamespace = 'public'::regnamespace",
    )
    keys = {name: columns for name, kind, _, columns in found if kind == "p"}
    expected = {
        t.name: t.keys[::-1] if t.key == "composite" else t.keys for t in made if t.key not in ("none", "unique")
    }
    assert keys == expected
    foreign = sorted((name, columns[0]) for name, kind, valid, columns in found if kind == "f" and valid)
    assert foreign == sorted((t.name, list(t.kinds)[-1]) for t in made if t.refers)
    indexes = dict(
        fetch(
            url,
            "SELECT r.relname, count(*) FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid"
            " WHERE r.relnamespace = 'public'::regnamespace AND NOT indisprimary GROUP BY 1",
        )
    )
    extra = {"unique": 1, "nocase": 1}
    assert indexes == {t.name: n for t in made if (n := len(t.indexes) + extra.get(t.key, 0))}


@settings(max_examples=25)
@given(made=tables())
def test_random_database_arrives_whole(
    make_sqlite: MakeSqlite, database: str, monkeypatch: pytest.MonkeyPatch, made: list[RandomTable]
) -> None:
    # Ranges of a row or two, so that small tables are cut as large ones are.
    monkeypatch.setattr(ranges.plan_ranges, "__defaults__", (100,))
    arrives(make_sqlite, database, made)


@settings(max_examples=8)
@given(made=tables(many=400))
def test_thousands_of_random_rows_arrive(
    make_sqlite: MakeSqlite, database: str, monkeypatch: pytest.MonkeyPatch, made: list[RandomTable]
) -> None:
    monkeypatch.setattr(ranges.plan_ranges, "__defaults__", (4_000,))
    arrives(make_sqlite, database, made)


def arrives(make_sqlite: MakeSqlite, database: str, made: list[RandomTable]) -> None:
    """Migrate the tables and compare them."""
    emptied(database)
    path = make_sqlite(lambda connection: fill(connection, made))
    # Without those that foreign keys get, there are as many indexes as in the source.
    assert_arrived(made, migrate(path, database, {"foreign_key_indexes": False}))
    for table in made:
        assert in_postgresql(database, table.name, table.kinds) == in_sqlite(path, table.name, table.kinds)
    assert_constraints(database, made)
