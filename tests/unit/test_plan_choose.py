# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec of a column follows what is stored; the declared type is a hint; what cannot be told is asked."""

from __future__ import annotations

import pytest

from cutover.plan.choose import choose, family, is_temporal
from cutover.source.model import Column
from cutover.source.profile import ColumnProfile


def chosen(declared: str, stored: dict[str, int], usual: str = "iso_timestamp") -> tuple[str, str]:
    found, findings = choose("t", Column("c", declared, False, None, 0, None), ColumnProfile(**stored), usual)
    assert findings == ()
    return found


@pytest.mark.parametrize(
    ("declared", "meaning"),
    [
        ("BOOLEAN", "boolean"), ("bool", "boolean"), ("INTEGER", "integer"), ("UNSIGNED BIG INT", "integer"), ("BIGSERIAL", "integer"),
        ("REAL", "real"), ("FLOAT", "real"), ("DOUBLE PRECISION", "real"), ("DECIMAL(10,2)", "decimal"), ("NUMERIC", "decimal"),
        ("MONEY", "decimal"), ("NUMBER(5)", "decimal"), ("VARCHAR(20)", "text"), ("NVARCHAR", "text"), ("CLOB", "text"), ("TEXT", "text"),
        ("STRING", "text"), ("BLOB", "blob"), ("VARBINARY(8)", "blob"), ("BYTEA", "blob"), ("UUID", "uuid"), ("uniqueidentifier", "stored"),
        ("GUID", "uuid"), ("JSON", "json"), ("JSONB", "json"), ("JSON_TEXT", "json"), ("DATETIME", "timestamp"), ("timestamp", "timestamp"),
        ("TIMESTAMPTZ", "timestamp"), ("DATE", "date"), ("TIME", "time"), ("TIME WITH TIME ZONE", "time"), ("DATETIME2(7)", "timestamp"),
        ("", "stored"), ("ANY", "stored"), ("GEOMETRY", "stored"),
    ],
)  # fmt: skip
def test_declared_type_means_what_people_mean_by_it(declared: str, meaning: str) -> None:
    assert family(declared) == meaning


def test_declared_type_of_a_time_is_recognised_in_any_case() -> None:
    assert is_temporal("DateTime")
    assert is_temporal("timestamp(3)")
    assert not is_temporal("TEXT")


@pytest.mark.parametrize(
    ("declared", "stored", "wanted"),
    [
        ("INT", {"integers": 1}, ("integer", "bigint")),
        ("BOOLEAN", {"integers": 1}, ("boolean", "boolean")),
        ("VARCHAR(20)", {}, ("text", "varchar(20)")),
        ("NVARCHAR ( 20 )", {}, ("text", "varchar(20)")),
        ("VARCHAR(0)", {}, ("text", "text")),
        ("VARCHAR(99999999)", {}, ("text", "text")),
        ("TEXT(20)", {}, ("text", "text")),
        ("CLOB", {}, ("text", "text")),
        ("DECIMAL(10,2)", {}, ("decimal", "numeric(10,2)")),
        ("DECIMAL(10)", {}, ("decimal", "numeric(10,0)")),
        ("DECIMAL(2,5)", {}, ("decimal", "numeric")),
        ("NUMERIC(2000)", {}, ("decimal", "numeric")),
        ("NUMERIC", {}, ("decimal", "numeric")),
        # Without a declared type the storage classes decide.
        ("", {}, ("text", "text")),
        ("", {"integers": 3}, ("integer", "bigint")),
        ("", {"integers": 3, "reals": 1}, ("decimal", "numeric")),
        ("", {"reals": 1}, ("real", "double precision")),
        ("", {"texts": 5, "integers": 1}, ("text", "text")),
        ("", {"blobs": 1}, ("blob", "bytea")),
        # Dates and times by what they look like.
        ("DATE", {"texts": 9, "dates": 9}, ("date", "date")),
        ("DATETIME", {"texts": 9, "dates": 9}, ("date", "date")),
        ("DATE", {"texts": 9, "dates": 8}, ("iso_timestamp", "timestamp")),
        ("DATETIME", {"texts": 9}, ("iso_timestamp", "timestamp")),
        ("DATETIME", {"texts": 9, "zoned": 5}, ("iso_timestamptz", "timestamptz")),
        ("DATETIME", {"texts": 9, "zoned": 4}, ("iso_timestamp", "timestamp")),
        ("TIME", {"texts": 9, "times": 9}, ("time", "time")),
        ("DATETIME", {"texts": 9, "integers": 3, "milliseconds": 3}, ("iso_timestamp", "timestamp")),
        ("DATETIME", {"integers": 2, "seconds": 2, "minimum": -5, "maximum": 1_700_000_000}, ("epoch_s", "timestamptz")),
        ("DATETIME", {"integers": 2, "seconds": 1, "minimum": -900_000_000, "maximum": 0}, ("epoch_s", "timestamptz")),
        ("DATETIME", {"integers": 2, "milliseconds": 2, "minimum": 0, "maximum": 1_700_000_000_000}, ("epoch_ms", "timestamptz")),
        ("DATETIME", {"integers": 2, "minimum": 10**15, "maximum": 10**15}, ("epoch_us", "timestamptz")),
        ("DATETIME", {"integers": 2, "minimum": 0, "maximum": 0}, ("epoch_ms", "timestamptz")),
    ],
)  # fmt: skip
def test_codec_follows_what_is_stored(declared: str, stored: dict[str, int], wanted: tuple[str, str]) -> None:
    assert chosen(declared, stored) == wanted


@pytest.mark.parametrize(
    ("usual", "type_name"),
    [("iso_timestamp", "timestamp"), ("iso_timestamptz", "timestamptz"), ("epoch_ms", "timestamptz")],
)
def test_empty_column_is_like_the_rest_of_the_database(usual: str, type_name: str) -> None:
    assert chosen("DATETIME", {}, usual) == (usual, type_name)
    assert chosen("DATE", {}, usual) == ("date", "date")
    assert chosen("TIME", {}, usual) == ("time", "time")


@pytest.mark.parametrize(
    ("stored", "message", "decision"),
    [
        (
            {"integers": 9, "seconds": 4, "milliseconds": 5, "minimum": 1_700_000_000, "maximum": 1_700_000_000_000},
            "some integers look like seconds since 1970 and some like milliseconds",
            {"codec": "epoch_ms", "type": "timestamptz"},
        ),
        (
            {"integers": 9, "milliseconds": 5, "minimum": 1_700_000_000_000, "maximum": 1_700_000_000_000_000},
            "some integers look like milliseconds since 1970 and some like microseconds",
            {"codec": "epoch_ms", "type": "timestamptz"},
        ),
        (
            {"integers": 9, "seconds": 5, "minimum": -(10**15), "maximum": 1_700_000_000},
            "some integers look like seconds since 1970 and some like microseconds",
            {"codec": "epoch_ms", "type": "timestamptz"},
        ),
        (
            {"integers": 9, "seconds": 9, "minimum": 20_231_231, "maximum": 20_240_101},
            "too small for seconds or milliseconds",
            {"codec": "integer", "type": "bigint"},
        ),
        (
            {"integers": 9, "seconds": 9, "minimum": -3600, "maximum": 86_400},
            "too small for seconds or milliseconds",
            {"codec": "integer", "type": "bigint"},
        ),
        ({"reals": 9}, "are reals (Julian days", {"codec": "real", "type": "double precision"}),
        (
            {"reals": 5, "integers": 5, "seconds": 5, "maximum": 10**9},
            "are reals",
            {"codec": "real", "type": "double precision"},
        ),
    ],
)
def test_what_cannot_be_told_is_an_error_with_a_decision(
    stored: dict[str, int], message: str, decision: dict[str, str]
) -> None:
    found, findings = choose(
        "t", Column("c", "DATETIME", False, None, 0, None), ColumnProfile(**stored), "iso_timestamp"
    )
    [finding] = findings
    assert (finding.severity, finding.table, finding.column) == ("error", "t", "c")
    assert message in finding.message
    assert finding.decide == {"tables": {"t": {"columns": {"c": decision}}}}
    assert found == (decision["codec"], decision["type"])
