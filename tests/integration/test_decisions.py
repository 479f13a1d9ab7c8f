# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is stored where: taking the decisions that preflight offers leads to a migration that is proven."""

from __future__ import annotations

import sqlite3
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from conftest import MakeSqlite
from support import engine, stored
from support.postgres import Cluster

DECLARED = (
    "", "INT", "REAL", "TEXT", "VARCHAR(3)", "BLOB", "BOOLEAN", "DECIMAL(4,2)", "NUMERIC", "DATETIME", "DATE", "TIME", "JSON", "UUID",
)  # fmt: skip
_SMALL = [v for v in stored.TEMPTING if not isinstance(v, bytearray) or len(v) < 400]
_STAMPS = st.one_of(
    stored.ISO_TEXTS,
    stored.ZONED_TEXTS,
    stored.DATES,
    stored.TIMES,
    st.floats(2.4e6, 2.5e6),
    st.integers(10**9, 2 * 10**9),
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.integers(-2, 2),
    stored.INT64,
    stored.REALS,
    stored.BLOBS,
    st.sampled_from(_SMALL),
    _STAMPS,
    stored.JSON_TEXTS,
)
#: A column of one kind with a few others among them is what is met most.
COLUMNS = st.one_of(
    st.lists(VALUES, min_size=1, max_size=8),
    st.tuples(st.lists(_STAMPS, min_size=3, max_size=6), st.lists(VALUES, max_size=2)).map(
        lambda both: both[0] + both[1]
    ),
)


def fill(connection: sqlite3.Connection, columns: list[list[Any]]) -> None:
    """A table for each declared type."""
    for number, (declared, values) in enumerate(zip(DECLARED, columns)):
        connection.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, v {declared})")
        for value in values:
            mark = "CAST(? AS TEXT)" if isinstance(value, bytearray) else "?"
            bound = bytes(value) if isinstance(value, bytearray) else value
            connection.execute(f"INSERT INTO t{number} (v) VALUES ({mark})", (bound,))


def test_decisions_that_are_offered_end_in_a_proof(postgres: Cluster, make_sqlite: MakeSqlite) -> None:
    # Each example is a whole migration: a smaller one is not worth the minutes that its search takes.
    @settings(max_examples=4, phases=[Phase.generate])
    @given(st.lists(COLUMNS, min_size=len(DECLARED), max_size=len(DECLARED)))
    def run(columns: list[list[Any]]) -> None:
        path = make_sqlite(lambda connection: fill(connection, columns))
        overrides: dict[str, Any] = {}
        for _ in range(6):
            plan, findings = engine.planned(path, overrides)
            found = engine.errors(findings + engine.checked(path, plan))
            if not found:
                break
            assert all(finding.decide for finding in found)
            overrides = engine.merged(overrides, *(finding.decide for finding in found if finding.decide))
        assert not found, "the decisions come to no end"
        database = postgres.create_database()
        try:
            done = engine.migrate(path, database.url, overrides)
        finally:
            postgres.drop_database(database)
        assert done.verified["ok"]
        for line in done.verified["tables"]:
            rows = len(columns[int(line["name"][1:])])
            assert line["rows_source"] == rows == line["rows_target"] + line["rows_quarantined"]

    run()


def test_any_in_a_strict_table_takes_what_is_stored(database: str, make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE s (id INTEGER PRIMARY KEY, i ANY, t ANY, b ANY, r ANY, n INT) STRICT;"
        "INSERT INTO s VALUES (1, 5, 'x', x'00', 0.5, 1), (2, NULL, '', x'', -0.0, 2)"
    )
    done = engine.migrate(path, database)
    assert done.verified["ok"]
    assert [column.type for column in done.plan.table("s").columns[1:]] == [
        "bigint", "text", "bytea", "double precision", "bigint",
    ]  # fmt: skip
