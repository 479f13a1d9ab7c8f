# SPDX-License-Identifier: GPL-3.0-or-later
"""A default is carried when it means the same in PostgreSQL, and is listed as left out otherwise."""

from __future__ import annotations

import pytest

from cutover.plan.defaults import translate
from cutover.plan.literals import literal


@pytest.mark.parametrize(
    ("default", "codec", "type_name", "wanted"),
    [
        (None, "text", "text", None),
        ("NULL", "text", "text", None),
        ("null", "integer", "bigint", None),
        ("5", "integer", "bigint", "5"),
        ("-5", "integer", "bigint", "-5"),
        ("+5", "integer", "bigint", "5"),
        ("(5)", "integer", "bigint", "5"),
        ("'5'", "integer", "bigint", "5"),
        ("5.5", "integer", "bigint", False),
        ("70000", "integer", "smallint", False),
        ("TRUE", "integer", "bigint", "1"),
        ("true", "boolean", "boolean", "true"),
        ("0", "boolean", "boolean", "false"),
        ("2", "boolean", "boolean", False),
        ("'t'", "boolean", "boolean", False),
        ("1.50", "decimal", "numeric(10,2)", "1.5"),
        ("1.505", "decimal", "numeric(10,2)", False),
        ("'1.50'", "decimal", "numeric", "1.5"),
        ("1e3", "decimal", "numeric", "1000"),
        ("0.1", "real", "double precision", "0.1"),
        ("5", "real", "double precision", "5"),
        ("''", "text", "text", "''"),
        ("'it''s'", "text", "text", "'it''s'"),
        ('"it""s"', "text", "text", "'it\"s'"),
        ("'a\\b'", "text", "text", "E'a\\\\b'"),
        ("'%s'", "text", "text", "'%s'"),
        ("007", "text", "text", "'7'"),
        ("1.5", "text", "text", False),
        ("'longer'", "text", "varchar(3)", False),
        ("'{}'", "jsonb", "jsonb", "'{}'::jsonb"),
        ("'{'", "jsonb", "jsonb", False),
        ("'2024-01-31'", "date", "date", "'2024-01-31'::date"),
        ("'today'", "date", "date", False),
        ("'2024-01-31 10:00:00'", "iso_timestamp", "timestamp", "'2024-01-31 10:00:00'::timestamp"),
        ("'10:00'", "time", "time", "'10:00'::time"),
        ("0", "epoch_ms", "timestamptz", "'1970-01-01 00:00:00+00'::timestamptz"),
        ("1700000000123", "epoch_ms", "timestamp", "'2023-11-14 22:13:20.123000'::timestamp"),
        ("CURRENT_TIMESTAMP", "epoch_ms", "timestamptz", "CURRENT_TIMESTAMP"),
        ("(current_timestamp)", "iso_timestamp", "timestamp", "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"),
        ("CURRENT_TIMESTAMP", "integer", "bigint", False),
        ("CURRENT_TIMESTAMP", "uuid", "uuid", False),
        ("CURRENT_DATE", "date", "date", "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')::date"),
        ("CURRENT_DATE", "time", "time", False),
        ("datetime('now')", "text", "text", "to_char(CURRENT_TIMESTAMP AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"),
        ("(datetime( 'NOW' ))", "epoch_ms", "timestamptz", "CURRENT_TIMESTAMP"),
        ("DATETIME('now')", "utc_timestamp", "timestamptz", "CURRENT_TIMESTAMP"),
        ("date()", "date", "date", "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')::date"),
        (
            "STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')",
            "utc_timestamp",
            "timestamptz",
            "date_trunc('milliseconds', CURRENT_TIMESTAMP)",
        ),
        ("strftime('%Y-%m-%d %H:%m:%f', 'now')", "utc_timestamp", "timestamptz", False),
        ("datetime('now', 'localtime')", "text", "text", False),
        (
            "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
            "iso_timestamptz",
            "timestamptz",
            "date_trunc('milliseconds', CURRENT_TIMESTAMP)",
        ),
        ("strftime('%W', 'now')", "text", "text", False),
        ("strftime('%s', 'now')", "integer", "bigint", "floor(extract(epoch FROM CURRENT_TIMESTAMP))::bigint"),
        ("(unixepoch())", "epoch_s", "timestamptz", "date_trunc('second', CURRENT_TIMESTAMP)"),
        ("(unixepoch() * 1000)", "real", "double precision", False),
        ("lower(hex(randomblob(16)))", "text", "text", False),
        ("(random())", "integer", "bigint", False),
        ("(1 + 1)", "integer", "bigint", False),
        ("(1) + (2)", "integer", "bigint", False),
        ("x'00'", "blob", "bytea", "'\\x00'::bytea"),
        ("x'00'", "text", "text", False),
        ("'x' || 'y'", "text", "text", False),
        ("'a' 'b'", "text", "text", False),
        ("''''", "text", "text", "''''"),
        ("'''", "text", "text", False),
        ("word", "text", "text", False),
        ("'\0'", "text", "text", False),
    ],
)
def test_default_is_carried_when_it_means_the_same(
    default: str | None, codec: str, type_name: str, wanted: str | bool | None
) -> None:
    assert translate(default, codec, type_name) == wanted


def test_literal_reads_alike_whatever_the_server_thinks_of_backslashes() -> None:
    assert literal("a'b") == "'a''b'"
    assert literal("a\\'b") == "E'a\\\\''b'"
