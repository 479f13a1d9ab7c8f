# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that a rule of the plan converts, by name, and rows that it sets aside: what is there afterwards, and how many."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from corpus.case import Case, column, one

_UTC = dt.timezone.utc


def ruled(
    name: str,
    declared: str,
    pairs: list[tuple[Any, Any]],
    touched: int,
    codec: str,
    rules: list[str],
    **more: Any,
) -> Case:
    """A case of one column: (what SQLite holds, what PostgreSQL must hold), and how many values the rules touch."""
    entry = {"codec": codec, "rules": rules, **({"type": more.pop("type")} if "type" in more else {})}
    return one(
        name,
        {"v": (declared, None)},
        [(stored,) for stored, _ in pairs],
        becomes=[(number, wanted) for number, (_, wanted) in enumerate(pairs, 1)],
        decided=column("v", **entry),
        touched={"v": touched},
        **more,
    )


def _moment(*parts: int) -> dt.datetime:
    return dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


TEXTS = [
    ruled("rule strip_nul", "TEXT", [(bytearray(b"a\0b\0"), "ab"), (bytearray(b"\0"), ""), ("c", "c")], 2, "text", ["strip_nul"]),
    ruled("rule replace_invalid", "TEXT", [(bytearray(b"caf\xe9!"), "caf\ufffd!"), ("café", "café"), (bytearray(b"\xed\xa0\x80"), "\ufffd\ufffd\ufffd")], 2, "text", ["replace_invalid"]),
    ruled("rule escape_invalid", "TEXT", [(bytearray(b"caf\xe9!"), "caf\\xe9!"), ("\\xe9", "\\xe9")], 1, "text", ["escape_invalid"]),
    ruled("rule truncate", "VARCHAR(4)", [("ééééé", "éééé"), ("🐘" * 5, "🐘" * 4), ("abcd", "abcd"), ("", "")], 2, "text", ["truncate"], type="varchar(4)"),
    ruled("rule empty_to_null", "TEXT", [("", None), (" ", " "), (None, None)], 1, "text", ["empty_to_null"]),
    ruled("rule to_null", "TEXT", [(bytearray(b"a\0"), None), (b"blob", None), ("", ""), ("a", "a")], 2, "text", ["to_null"]),
    ruled("rule as_text", "", [(5, "5"), (0.1, "0.1"), (-0.0, "-0.0"), ("a", "a"), (1e22, "1e+22")], 4, "text", ["as_text"]),
    ruled("two rules for one column", "VARCHAR(2)", [(bytearray(b"\0a\0bc"), "ab"), (bytearray(b"\xff\0\xfe\xfd"), "\ufffd\ufffd"), ("ok", "ok")], 5, "text",
          ["strip_nul", "replace_invalid", "truncate"], type="varchar(2)"),
]  # fmt: skip

NUMBERS = [
    ruled("rule spelled", "BOOLEAN", [(v, True) for v in ("t", "TRUE", "Yes", "on", "y", 1)] + [(v, False) for v in ("f", "false", "NO", "off", "n", 0)], 10, "boolean", ["spelled"]),
    ruled("rule numeric_text", "", [("12", 12), ("-7.0", -7), ("1e3", 1000), (5, 5)], 3, "integer", ["numeric_text"]),
    ruled("rule whole_reals", "", [(2.0, 2), (-0.0, 0), (-9007199254740992.0, -(2**53)), (5, 5)], 3, "integer", ["whole_reals"]),
    ruled("rule clamp", "INT", [(2**31, 2**31 - 1), (-(2**63), -(2**31)), (7, 7)], 2, "integer", ["clamp"], type="integer"),
    ruled("rule round_to_scale", "DECIMAL(9,2)", [(0.125, Decimal("0.13")), (-0.125, Decimal("-0.13")), (0.115, Decimal("0.12")), (1.5, Decimal("1.50")), (3, Decimal(3))], 3,
          "decimal", ["round_to_scale"], type="numeric(9,2)"),
    ruled("rule to_null for numbers", "INT", [("many", None), (0.5, None), (5, 5), (None, None)], 2, "integer", ["to_null"]),
]  # fmt: skip

OTHERS = [
    ruled("rule text_as_bytes", "BLOB", [("é", b"\xc3\xa9"), (bytearray(b"\xff\0"), b"\xff\0"), (b"\x01", b"\x01")], 2, "blob", ["text_as_bytes"]),
    ruled("rule strip_nul for JSON", "JSON", [('{"a": "x\\u0000y"}', {"a": "xy"}), ('"\\\\u0000"', "\\u0000"), ("[1]", [1])], 1, "jsonb", ["strip_nul"]),
    ruled("rule last_key_wins", "JSON", [('{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}', {"a": 3, "b": {"c": 2}}), ('{"a": [1]}', {"a": [1]})], 1, "jsonb",
          ["last_key_wins"]),
    ruled("rule replace_invalid for JSON", "JSON", [('["\\ud800", "\\ud83d\\ude00"]', ["\ufffd", "😀"]), (bytearray(b'"\xff"'), "\ufffd"), ("{}", {})], 2, "jsonb", ["replace_invalid"]),
    ruled("rule last_key_wins", "JSON", [('{"a": 1, "b": 0, "a": 2}', {"a": 2, "b": 0}), ('[{"z": {"k": 1, "k": []}}]', [{"z": {"k": []}}]), ("{}", {})], 2, "jsonb", ["last_key_wins"]),
    ruled("rule date_as_midnight", "DATETIME", [("2024-02-29", _moment(2024, 2, 29)), ("2024-02-29 00:00:01", _moment(2024, 2, 29, 0, 0, 1))], 1, "iso_timestamp", ["date_as_midnight"]),
    ruled("rule to_utc", "DATETIME", [("2024-02-29 12:00:00+05:45", dt.datetime(2024, 2, 29, 6, 15, tzinfo=_UTC)), ("2024-02-29 12:00:00Z", dt.datetime(2024, 2, 29, 12, tzinfo=_UTC))], 1,
          "iso_timestamptz", ["to_utc"]),
    ruled("rule per_value", "DATETIME", [(0, dt.datetime(1970, 1, 1, tzinfo=_UTC)), ("1970-01-01 01:00:00+01:00", dt.datetime(1970, 1, 1, tzinfo=_UTC))], 2, "mixed_timestamp", ["per_value"]),
    ruled("rule truncate_to_us", "DATETIME", [("2024-02-29 12:00:00.123456999", _moment(2024, 2, 29, 12, 0, 0, 123456)), ("2024-02-29 12:00:00", _moment(2024, 2, 29, 12))], 1,
          "iso_timestamp", ["truncate_to_us"]),
    ruled("rule round_to_us", "DATETIME", [("2023-12-31 23:59:59.9999995", _moment(2024, 1, 1)), ("2024-02-29 12:00:00.1234564", _moment(2024, 2, 29, 12, 0, 0, 123456))], 2,
          "iso_timestamp", ["round_to_us"]),
    ruled("rule round_to_us for times", "TIME", [("12:59:59.9999999", dt.time(13)), ("12:00", dt.time(12))], 1, "time", ["round_to_us"]),
    ruled("rule midnight_as_date", "DATE", [("2024-02-29 00:00:00", dt.date(2024, 2, 29)), ("2024-02-28T00:00:00.000", dt.date(2024, 2, 28)), ("2024-02-27", dt.date(2024, 2, 27))], 2,
          "date", ["midnight_as_date"]),
    ruled("rule to_null for times", "DATETIME", [("0000-00-00 00:00:00", None), ("now", None), ("2024-02-29 12:00:00", _moment(2024, 2, 29, 12))], 2, "iso_timestamp", ["to_null"]),
]  # fmt: skip

#: The spellings of a boolean that have a codec of their own: no, yes.
_SPELLED = [
    ("f", "t"),
    ("false", "true"),
    ("False", "True"),
    ("FALSE", "TRUE"),
    ("F", "T"),
    ("no", "yes"),
    ("n", "y"),
    ("N", "Y"),
    ("off", "on"),
    ("0", "1"),
]
_HEX = "6f9619ff8b86d011b42d00cf4fc964ff"
_UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"


def _read(name: str, declared: str, codec: str, pairs: list[tuple[Any, Any]], type_name: str, **more: Any) -> Case:
    """A case of a codec that the plan names: (what SQLite holds, what PostgreSQL must hold)."""
    rows = [(number, wanted) for number, (_, wanted) in enumerate(pairs, 1)]
    return one(
        name,
        {"v": (declared, None)},
        [(v,) for v, _ in pairs],
        becomes=rows,
        decided=column("v", codec=codec),
        types={"v": type_name},
        **more,
    )


CODECS = [
    *(_read(f"booleans spelled {no} and {yes}, {number}", "TEXT", f"boolean_{yes}_{no}", [(yes, True), (no, False), (None, None)], "boolean") for number, (no, yes) in enumerate(_SPELLED)),
    _read("UUIDs of 32 digits", "CHAR(32)", "uuid_hex", [(_HEX, _UUID), (None, None)], "uuid"),
    _read("UUIDs as bytes by the plan", "BLOB", "uuid_bytes", [(bytes.fromhex(_HEX), _UUID), (None, None)], "uuid"),
    _read("addresses", "TEXT", "inet", [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")], "inet"),
    _read("times meant as UTC", "DATETIME", "utc_timestamp", [("2024-02-29 12:00:00.5", dt.datetime(2024, 2, 29, 12, 0, 0, 500_000, tzinfo=_UTC))], "timestamp with time zone"),
    _read("seconds with a fraction", "REAL", "epoch_real", [(1700000000.5, dt.datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=_UTC)), (-0.25, dt.datetime(1969, 12, 31, 23, 59, 59, 750_000, tzinfo=_UTC))],
          "timestamp with time zone"),
]  # fmt: skip

_STORED = '{"n": {"integer": 2}, "v": {"text": "many"}, "w": {"blob_hex": "00ff"}}'
QUARANTINE = [
    Case(
        "rows in quarantine",
        'CREATE TABLE "rows in quarantine" (n INTEGER PRIMARY KEY, v INT, w BLOB)',
        [(1, 1, b"kept"), (2, "many", b"\x00\xff"), (3, None, None), (4, 0.5, b"")],
        becomes=[(1, 1, b"kept"), (3, None, None)],
        decided={"columns": {"v": {"refused": "quarantine"}}},
        holds=[
            (
                "SELECT key, rowid, reasons ? 'v' FROM pgcutover.quarantine WHERE table_name = 'rows in quarantine' ORDER BY key",
                [("n=2", 2, True), ("n=4", 4, True)],
            ),
            (
                f"SELECT stored = '{_STORED}' FROM pgcutover.quarantine WHERE table_name = 'rows in quarantine' AND rowid = 2",
                [(True,)],
            ),
        ],
    ),
]

CASES = [*TEXTS, *NUMBERS, *OTHERS, *CODECS, *QUARANTINE]
