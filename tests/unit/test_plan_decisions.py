# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding that offers a decision is gone once that decision is in the overrides, and nothing new appears."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import MakeSqlite
from cutover.errors import Finding
from support.engine import checked, errors, merged, planned
from support.stored import text

#: What preflight finds in each of these files, by the start of the message and the place.
CASES: dict[str, tuple[str, list[tuple[str, str | None, str | None]]]] = {
    "NULL in a NOT NULL column": (
        (
            "CREATE TABLE t (x INT); INSERT INTO t VALUES (NULL), (1); PRAGMA writable_schema = 1;"
            "UPDATE sqlite_master SET sql = 'CREATE TABLE t (x INT NOT NULL)'"
        ),
        [("1 rows hold NULL in a column declared NOT NULL", "t", "x")],
    ),
    "NULL in a primary key": (
        "CREATE TABLE t (x TEXT PRIMARY KEY); INSERT INTO t VALUES (NULL), (NULL), ('a')",
        [("2 rows hold NULL in the primary key", "t", "x")],
    ),
    "NULL in a key of two columns": (
        "CREATE TABLE t (a, b, PRIMARY KEY (a, b)); INSERT INTO t VALUES (NULL, 1), (1, NULL), (1, 1)",
        [("1 rows hold NULL in the primary key", "t", "a"), ("1 rows hold NULL in the primary key", "t", "b")],
    ),
    "value too long for an index": (
        "CREATE TABLE t (x TEXT, y TEXT); CREATE INDEX i ON t (x, y); INSERT INTO t VALUES (hex(zeroblob(700)), hex(randomblob(700)))",
        [("index i covers values of up to 2800 bytes", "t", "x")],
    ),
    "characters of several bytes are too long for an index": (
        "CREATE TABLE t (x TEXT UNIQUE); INSERT INTO t VALUES (replace(hex(zeroblob(500)), '0', '€'))",
        [("index t_x_key covers values of up to 3000 bytes", "t", "x")],
    ),
    "seconds and milliseconds": (
        "CREATE TABLE t (at DATETIME); INSERT INTO t VALUES (1700000000), (1700000000000)",
        [("some integers look like seconds", "t", "at")],
    ),
    "integers too small to be times": ("CREATE TABLE t (on_day DATE); INSERT INTO t VALUES (20240131)", [("the integers are too small", "t", "on_day")]),
    "Julian days": ("CREATE TABLE t (at DATETIME); INSERT INTO t VALUES (2460000.123)", [("has a fraction finer than a microsecond", "t", "at")]),
    "orphans": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p); INSERT INTO c VALUES (7, 1)",
        [("1 rows refer to rows of p that do not exist", "c", "p")],
    ),
    "foreign key that matches in another case only": (
        (
            "CREATE TABLE p (k TEXT COLLATE NOCASE PRIMARY KEY); CREATE TABLE c (p TEXT REFERENCES p); INSERT INTO p VALUES ('Bob');"
            "INSERT INTO c VALUES ('bob'), ('Bob')"
        ),
        [("1 rows refer to rows of p that do not exist", "c", "p")],
    ),
    "values of another kind": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, b BOOLEAN, d DECIMAL(4,2), v VARCHAR(3), j JSON, u UUID, w BLOB);"
            "INSERT INTO t VALUES (1, 'many', 2, 3.125, 'long', '{', 'no', 'text')"
        ),
        [("holds text where the codec takes integers", "t", "n"), ("holds integer that is neither", "t", "b"), ("does not fit numeric(4,2)", "t", "d"),
         ("has 4 characters", "t", "v"), ("text is no valid JSON", "t", "j"), ("text is no UUID", "t", "u"), ("holds text where the codec takes blobs", "t", "w")],
    ),
    "times of several shapes": (
        (
            "CREATE TABLE t (a DATETIME, b DATETIME, c DATETIME); INSERT INTO t VALUES ('2024-01-01', '2024-01-01 00:00:00+02:00', 1700000000000),"
            "('2024-01-01 10:00:00', '2024-01-01 00:00:00Z', '2024-01-01 00:00:00'), (NULL, NULL, 1700000000000)"
        ),
        [("text is no ISO 8601 timestamp", "t", "a"), ("text has an offset from UTC", "t", "b"), ("holds text where the codec takes integers", "t", "c")],
    ),
}  # fmt: skip

#: Names that PostgreSQL cannot have: changed, listed, and the plan may choose another.
RENAMED: dict[str, tuple[str, list[tuple[str, str | None, str | None]]]] = {
    "name of a table too long": (f"CREATE TABLE {'t' * 64} (x)", [("the name has 64 bytes", "t" * 64, None)]),
    "names of tables that collide when cut": (
        "".join(f"CREATE TABLE {'é' * 32}{n} (x);" for n in "123"),
        [("the name has 65 bytes", f"{'é' * 32}{n}", None) for n in "123"],
    ),
    "names of columns that collide when cut": (
        f"CREATE TABLE t ({', '.join('c' * 63 + n for n in 'abc')}, {'c' * 62}_)",
        [("the name has 64 bytes", "t", "c" * 63 + n) for n in "abc"],
    ),
    "system columns": (
        "CREATE TABLE t (ctid INT, xmin INT, ctid_ INT, XMAX INT)",
        [("'ctid' is a system column", "t", "ctid"), ("'xmin' is a system column", "t", "xmin")],
    ),
    "empty names": ('CREATE TABLE "" ("" INT, "column" INT)', [("the name is empty", "", None), ("the name is empty", "", "")]),
}  # fmt: skip


def found(path: Path, overrides: Mapping[str, Any] | None = None) -> list[Finding]:
    plan, findings = planned(path, overrides)
    # Where the plan itself is in doubt, as in preflight, the values are looked at all the same.
    return errors(findings + checked(path, plan))


@pytest.mark.parametrize("name", CASES)
def test_preflight_finds_it_and_its_decision_settles_it(make_sqlite: MakeSqlite, name: str) -> None:
    sql, expected = CASES[name]
    path = make_sqlite(sql)
    findings = found(path)
    places = [(f.table, f.column) for f in findings]
    assert sorted(places, key=str) == sorted([place[1:] for place in expected], key=str)
    for start, table, column in expected:
        [finding] = [f for f in findings if (f.table, f.column) == (table, column)]
        assert finding.message.startswith(start)
        assert finding.decide is not None
        # One decision alone settles its own finding.
        assert (table, column) not in {(f.table, f.column) for f in found(path, finding.decide)} or len(findings) > 1
    assert found(path, merged(*(f.decide for f in findings if f.decide))) == []


@pytest.mark.parametrize("name", RENAMED)
def test_name_that_postgresql_cannot_have_is_changed_and_listed(make_sqlite: MakeSqlite, name: str) -> None:
    sql, expected = RENAMED[name]
    path = make_sqlite(sql)
    plan, findings = planned(path)
    assert errors(findings) == []
    listed = [f for f in findings if f.severity == "warning" and f.decide]
    assert sorted([(f.table, f.column) for f in listed], key=str) == sorted([p[1:] for p in expected], key=str)
    for start, table, column in expected:
        [finding] = [f for f in listed if (f.table, f.column) == (table, column)]
        assert finding.message.startswith(start)
        name_there = plan.table(table).target if column is None else plan.table(table).column(column).target
        assert f"it is called {name_there!r} there" in finding.message
    names = [table.target for table in plan.tables]
    assert len(set(names)) == len(names)
    # Said in the plan it is the same, and nothing is left to list.
    again, left = planned(path, merged(*(f.decide for f in listed if f.decide)))
    assert again.tables == plan.tables
    assert [f for f in left if f.severity == "warning" and f.decide] == []


def test_name_of_the_first_of_two_stays(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite("CREATE TABLE a (x, y); CREATE TABLE b (x)")
    overrides = {"tables": {"a": {"columns": {"y": {"target": "x"}}}, "b": {"target": "a"}}}
    findings = found(path, overrides)
    assert [(f.table, f.column, f.message) for f in findings] == [
        ("b", None, "two tables would be called 'a' in PostgreSQL"),
        ("a", "y", "two columns would be called 'x' in PostgreSQL"),
    ]
    assert found(path, merged(overrides, *(f.decide for f in findings if f.decide))) == []


def test_table_with_too_many_columns_is_found(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(f"CREATE TABLE t ({', '.join(f'c{n}' for n in range(1601))})")
    assert [f.message for f in found(path)] == ["has 1601 columns, a table of PostgreSQL at most 1600"]


def test_what_no_codec_takes_can_be_set_aside(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, x'ff'), (2, 5), (3, CAST(x'ff' AS TEXT))"
    )
    plan, _ = planned(path, {"tables": {"t": {"columns": {"x": {"codec": "blob"}}}}})
    [finding] = errors(checked(path, plan))
    assert (finding.key, finding.decide) == (
        "id=2",
        {"tables": {"t": {"columns": {"x": {"codec": "blob", "type": "bytea", "rule": "text_as_bytes"}}}}},
    )
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB); INSERT INTO t VALUES (1, x'ff'), (2, 5)")
    [finding] = found(path)
    assert finding.decide == {"tables": {"t": {"columns": {"x": {"refused": "quarantine"}}}}}
    assert "no codec takes all of these values" in finding.message
    assert found(path, finding.decide) == []


_VALUES = st.one_of(
    st.none(),
    st.integers(-5, 5),
    st.sampled_from([1_700_000_000, 1_700_000_000_000, 2**62, -(2**63)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "x", "2024-01-01", "2024-01-01 10:00:00", "2024-01-01T10:00:00Z", "12:30", "{}", "1.50", "é" * 9, "a\0b"]
    ).map(text),
    st.sampled_from([b"", b"\xff"]),
)
_TYPES = st.sampled_from(
    [
        "",
        "INT",
        "TEXT",
        "VARCHAR(3)",
        "BLOB",
        "REAL",
        "DECIMAL(4,2)",
        "NUMERIC",
        "BOOLEAN",
        "DATETIME",
        "DATE",
        "TIME",
        "JSON",
        "UUID",
    ]
)


@settings(max_examples=40)
@given(types=st.lists(_TYPES, min_size=1, max_size=4), data=st.data())
def test_decisions_lead_to_an_end(make_sqlite: MakeSqlite, types: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(*[_VALUES] * len(types)), max_size=6))

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute(
            f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(f'c{n} {t}' for n, t in enumerate(types))})"
        )
        for row in rows:
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(v, bytearray) else "?" for v in row)
            bound = [bytes(v) if isinstance(v, bytearray) else v for v in row]
            connection.execute(f"INSERT INTO t VALUES (NULL, {marks})", bound)

    path = make_sqlite(fill)
    overrides: dict[str, Any] = {}
    seen: list[tuple[str | None, str]] = []
    for _ in range(4):
        findings = found(path, overrides)
        assert not {(f.column, f.message) for f in findings if f.decide} & set(seen)
        seen += [(f.column, f.message) for f in findings]
        if not findings:
            break
        assert all(f.decide for f in findings)
        overrides = merged(overrides, *(f.decide for f in findings if f.decide))
    else:
        pytest.fail(f"no end: {seen}")


def test_null_by_a_rule_for_a_declared_type_is_found(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x VARCHAR(9) NOT NULL, y VARCHAR(9)); INSERT INTO t VALUES (1, '', '')"
    )
    rule = {"declared": {"varchar(9)": {"codec": "text", "rule": "empty_to_null"}}}
    [wrong] = found(path, rule)
    assert (wrong.column, wrong.message[:29]) == ("x", "empty_to_null would put NULL ")
    assert wrong.decide is not None
    assert found(path, merged(rule, wrong.decide)) == []
