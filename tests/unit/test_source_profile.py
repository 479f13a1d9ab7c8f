# SPDX-License-Identifier: GPL-3.0-or-later
"""The profile counts what is really stored, whatever a column was declared as."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import MakeSqlite
from cutover.plan.choose import is_temporal
from cutover.source import profile as source_profile
from cutover.source.connect import open_readonly
from cutover.source.describe import describe
from cutover.source.profile import ColumnProfile
from cutover.source.survey import survey
from support import stored
from support.stored import text


def profiled(make_sqlite: MakeSqlite, content: Any) -> source_profile.TableProfile:
    path = make_sqlite(content)
    with closing(open_readonly(str(path))) as connection:
        [table] = describe(connection, str(path)).tables
    with closing(open_readonly(str(path), bytearray)) as connection:
        result = source_profile.profile(connection, table, is_temporal)
    assert source_profile.from_dict(result.as_dict()) == result
    return result


def filled(declared: str, values: list[Any]) -> Any:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute(f"CREATE TABLE t (c {declared})")
        for value in values:
            cast = isinstance(value, bytearray)
            bound = bytes(value) if cast else value
            connection.execute(f"INSERT INTO t VALUES ({'CAST(? AS TEXT)' if cast else '?'})", (bound,))

    return fill


def column(make_sqlite: MakeSqlite, declared: str, values: list[Any]) -> ColumnProfile:
    return profiled(make_sqlite, filled(declared, values)).columns["c"]


@settings(max_examples=30)
@given(
    values=st.lists(st.one_of(st.none(), stored.INT64, stored.REALS, stored.CLEAN.map(text), stored.BLOBS), max_size=30)
)
def test_storage_classes_are_counted(make_sqlite: MakeSqlite, values: list[Any]) -> None:
    profile = profiled(make_sqlite, filled("BLOB", values))
    found = profile.columns["c"]
    kinds = Counter(type(value) for value in values)
    numbers = [value for value in values if isinstance(value, int)]
    lengths = [len(value) for value in values if isinstance(value, (bytes, bytearray))]
    assert profile.rows == len(values)
    assert (found.integers, found.reals, found.texts, found.blobs) == tuple(
        kinds[k] for k in (int, float, bytearray, bytes)
    )
    assert found.values == len(values) - kinds[type(None)]
    assert (found.minimum, found.maximum) == (min(numbers, default=None), max(numbers, default=None))
    assert found.longest == max(lengths, default=None)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("2024-01-31", "dates"),
        ("2024-01-31 10:00:00", None),
        ("10:00", "times"),
        ("10:00:00.123456", "times"),
        ("2024-01-31T10:00:00Z", "zoned"),
        ("2024-01-31 10:00:00+02:00", "zoned"),
        ("2024-01-31 10:00:00.5-0230", "zoned"),
        ("", None),
        (1, "seconds"),
        (-1, "seconds"),
        (1_700_000_000, "seconds"),
        (99_999_999_999, "seconds"),
        (100_000_000_000, "milliseconds"),
        (-100_000_000_000, "milliseconds"),
        (1_700_000_000_000, "milliseconds"),
        (100_000_000_000_000, None),
        (0, None),
        (2**63 - 1, None),
        (-(2**63), None),
        (1.5, None),
        (b"2024-01-31", None),
    ],
)  # fmt: skip
def test_shapes_of_dates_and_times_are_told_apart(make_sqlite: MakeSqlite, value: Any, shape: str | None) -> None:
    found = column(make_sqlite, "DATETIME", [text(value) if isinstance(value, str) else value])
    shapes = ("dates", "times", "zoned", "seconds", "milliseconds")
    assert [name for name in shapes if getattr(found, name)] == ([shape] if shape else [])


def test_shapes_are_not_looked_for_where_nothing_speaks_of_time(make_sqlite: MakeSqlite) -> None:
    assert column(make_sqlite, "TEXT", [text("2024-01-31")]).dates == 0


def test_text_that_is_no_utf8_is_measured_like_any_other(make_sqlite: MakeSqlite) -> None:
    found = column(make_sqlite, "TEXT", [text(b"\xff\xfe\x00x"), text("é")])
    assert (found.texts, found.longest, found.length) == (2, 4, 6.0)


def test_table_with_more_columns_than_one_statement_measures(make_sqlite: MakeSqlite) -> None:
    names = [f"c{n}" for n in range(1000)]
    profile = profiled(
        make_sqlite,
        f"CREATE TABLE t ({', '.join(f'{name} DATETIME' for name in names)});"
        f"INSERT INTO t VALUES ({', '.join(str(n + 1) for n in range(1000))})",
    )
    assert [profile.columns[name].maximum for name in names] == list(range(1, 1001))
    assert profile.bytes == 8000


def test_empty_table_has_an_empty_profile(make_sqlite: MakeSqlite) -> None:
    profile = profiled(make_sqlite, "CREATE TABLE t (a DATETIME, b)")
    assert (profile.rows, profile.bytes, profile.columns) == (0, 0, {"a": ColumnProfile(), "b": ColumnProfile()})


def test_survey_tells_of_an_empty_file_and_of_another_encoding(make_sqlite: MakeSqlite) -> None:
    facts = survey(str(make_sqlite("CREATE VIEW v AS SELECT 1")), is_temporal, 1)
    assert [(f["severity"], "holds no table" in f["message"]) for f in facts["findings"]] == [("error", True)]
    facts = survey(str(make_sqlite("PRAGMA encoding = 'UTF-16'; CREATE TABLE t (x)")), is_temporal, 1)
    assert [(f["severity"], "UTF-16le" in f["message"]) for f in facts["findings"]] == [("info", True)]
    assert facts["fence"] is None
    assert list(facts["profiles"]) == ["t"]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 40), st.sampled_from([*stored.TEMPTING, text("TRUE"), text("true"), text("2024-01-05")])), unique_by=lambda row: row[0], max_size=30),
    st.sampled_from(["BOOLEAN", "DATETIME", ""]),
)  # fmt: skip
def test_profile_in_spans_is_that_of_the_whole_table(rows: list[tuple[int, Any]], declared: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection, pytest.MonkeyPatch.context() as patch:
        connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})")
        for key, value in rows:
            cast = "CAST(? AS TEXT)" if isinstance(value, bytearray) else "?"
            connection.execute(
                f"INSERT INTO t VALUES (?, {cast})", (key, bytes(value) if isinstance(value, bytearray) else value)
            )
        [table] = describe(connection, ":memory:").tables
        connection.text_factory = bytearray
        patch.setattr(source_profile, "_SPAN_ROWS", 3)
        patch.setattr(source_profile, "_MOST_SPANS", 7)
        spans = source_profile.spans(connection, table)
        assert 1 <= len(spans) <= 8
        parts = [source_profile.profile(connection, table, is_temporal, span) for span in spans]
        assert source_profile.merged(connection, table, parts) == source_profile.profile(connection, table, is_temporal)


def test_profile_is_of_one_moment_although_rows_are_added(make_sqlite: MakeSqlite) -> None:
    columns = ", ".join(f"c{number} INTEGER NOT NULL DEFAULT 1" for number in range(300))
    path = make_sqlite(
        f"PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, {columns}); INSERT INTO t (id) VALUES (1)"
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as writer, closing(open_readonly(str(path))) as reader:
        [table] = describe(reader, str(path)).tables
        # Before each statement of the profile the application adds a row.
        reader.set_trace_callback(lambda _: writer.execute("INSERT INTO t (id) VALUES (NULL)") and None)
        found = source_profile.profile(reader, table, is_temporal)
        reader.set_trace_callback(None)
        assert writer.execute("SELECT count(*) FROM t").fetchone()[0] > found.rows + 2
    assert {column.values for column in found.columns.values()} == {found.rows}
