# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not known to mean the same is not translated, and the reason names it."""

from __future__ import annotations

import pytest

from conftest import MakeSqlite
from cutover.plan.translate import Expressions, Untranslatable, scope_of
from cutover.source.profile import ColumnProfile, TableProfile
from support.engine import described_table, planned

SCHEMA = (
    'CREATE TABLE t (i INTEGER, b BOOLEAN, r REAL, s TEXT, n TEXT COLLATE NOCASE, x TEXT COLLATE RTRIM, d DATE, e DATETIME, m DECIMAL, j JSON, o, u UUID, "true" INT);'
    "INSERT INTO t VALUES (1, 1, 1.0, 'a', 'b', 'c', '2024-01-01', 1700000000000, 1.5, '{}', 1, NULL, 0), (1, 1, 1.0, 'a', 'b', 'c', '2024-01-01', 1, 1.5, '{}', 1, NULL, 0)"
)


@pytest.fixture
def expressions(make_sqlite: MakeSqlite) -> Expressions:
    path = make_sqlite(SCHEMA)
    table = described_table(path)
    decided = {"tables": {"t": {"columns": {"e": {"codec": "epoch_ms"}}}}}
    profile = TableProfile(1, {column.name: ColumnProfile() for column in table.columns})
    return Expressions(scope_of(table, planned(path, decided)[0].tables[0].columns, profile, True))


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("my_function(s) = 1", "uses the function my_function()"),
        # The parser knows it by another name; SQLite does not, so it is the application's.
        ("len(s) = 1", "uses the function len()"),
        ("\"lower\"(s) = 'a'", 'uses the function "lower"()'),
        ("+i = '1'", "uses a unary plus"),
        ("i = + s", "uses a unary plus"),
        ("i = s", "compares integer (i) with text (s)"),
        ("s = 1.5", "compares text with a real"),
        ("i = 'a'", "compares a number with the text 'a'"),
        ("i = r", "compares integer (i) with real (r)"),
        ("m + 1 > 2", "calculates with numeric"),
        ("m = 0.1000000000000000055", "the number 0.1000000000000000055 is rounded"),
        ("i = 9223372036854775808", "the integer 9223372036854775808 has more than 64 bits"),
        ("r = 9007199254740993", "compares with 9007199254740993, which not every number type holds exactly"),
        ("d = '2024'", "compares date (d) with integer"),
        ("d > '2024-13-01'", "compares a date with '2024-13-01', which is none"),
        ("e > s", "compares a point in time (e) with text (s)"),
        ("e + 1 > 2", "calculates with instant"),
        ("e > 999999999999999999", "compares a point in time with 999999999999999999, which is none"),
        ("u < s", "compares text (u) with a text by order, some of which SQLite reads as numbers"),
        ("u < '1.5'", "compares text (u) with a text by order, some of which SQLite reads as numbers"),
        ("x = 'a'", "compares by the collation RTRIM"),
        ("j = '{}'", "column j is JSON, no text, in PostgreSQL"),
        ("json_valid(j)", "uses json_valid() of a column that may be NULL, which SQLite's versions see differently"),
        ("json_valid(s)", "uses json_valid() of something that is no JSON column in PostgreSQL"),
        ("s", "text is used as a condition"),
        ("s LIKE 'a' ESCAPE 'x'", "uses LIKE with the escape 'x'"),
        ("s GLOB '[a'", "uses GLOB with a set that does not end: [a"),
        ("s GLOB n", "uses GLOB with a pattern that is no constant"),
        ("substr(s, -1) = 'a'", "uses substr() from the end of a text"),
        ("(i, s) = (1, 'a')", "holds (i, s), which has no exact counterpart"),
        ("i IN (SELECT 1)", "uses IN with something else than a list of constants"),
        ("EXISTS (SELECT 1)", "holds EXISTS(SELECT 1), which has no exact counterpart"),
        ("r % 2 = 0", "uses % of reals, which SQLite cuts to integers"),
        ("i & 1", "holds i & 1, which has no exact counterpart"),
        ("CASE i WHEN 1 THEN 'a' ELSE 2 END = 'a'", "mixes integer and text in one place"),
        ("i = 1 AND", "cannot be parsed"),
        ("rowid > 1", "names rowid, which is no column"),
        ("other.i > 1", "names other.i, which is no column"),
        ("s = 'a\0b'", "a text holds a NUL character"),
    ],
)
def test_refusal_says_what_is_in_the_way(expressions: Expressions, sql: str, reason: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        expressions.condition(sql)
    assert str(caught.value) == reason


def test_column_called_true_is_no_constant(expressions: Expressions) -> None:
    assert expressions.condition("true") == '("true" <> 0)'
    assert expressions.condition("i > 0 OR false") == '(("i" > 0) OR false)'
