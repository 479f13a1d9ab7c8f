# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as SQLite hands them to the engine, and hypothesis strategies for what a codec may meet."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Iterable
from typing import Any, Union

from hypothesis import strategies as st

Stored = Union[int, float, bytes, bytearray]


def text(value: str | bytes) -> bytearray:
    """TEXT as the engine reads it."""
    return bytearray(value.encode() if isinstance(value, str) else value)


def sent_through_sqlite(values: Iterable[Any]) -> list[Any]:
    """The values as a column without a declared type gives them back: int, float, bytearray (TEXT), bytes (BLOB)."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.text_factory = bytearray
        connection.execute("CREATE TABLE v (n INTEGER PRIMARY KEY, v)")
        for value in values:
            # Bound as bytes and cast: TEXT need not be valid UTF-8.
            if isinstance(value, bytearray):
                connection.execute("INSERT INTO v (v) VALUES (CAST(? AS TEXT))", (bytes(value),))
            else:
                connection.execute("INSERT INTO v (v) VALUES (?)", (value,))
        return [row[0] for row in connection.execute("SELECT v FROM v ORDER BY n")]
    finally:
        connection.close()


INT64 = st.integers(-(2**63), 2**63 - 1)
REALS = st.floats(allow_nan=False)
#: Everything that PostgreSQL can hold as text: no NUL, no surrogates.
CLEAN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
BLOBS = st.binary(max_size=60)

LONG_TEXTS = st.builds(
    lambda unit, size: unit * size, st.sampled_from(["a", "é", "€", "🐘", "|\n"]), st.integers(1, 9000)
)

_DECIMAL_TEXTS = st.one_of(
    st.from_regex(r"[+-]?(0|[1-9][0-9]{0,30})(\.[0-9]{0,30})?", fullmatch=True),
    st.from_regex(r"[+-]?\.[0-9]{1,20}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,5})?[eE][+-]?[0-9]{1,3}", fullmatch=True),
    st.from_regex(r"0*(\.0*)?[1-9]?0*", fullmatch=True),
)
DECIMALS = st.one_of(INT64, REALS, _DECIMAL_TEXTS.map(text))

_SEPARATORS = st.sampled_from([" ", "T"])
_ZONES = st.one_of(
    st.sampled_from(["Z", "z", " Z", "+00:00", "-00:00", "+0000", "+00"]),
    st.builds(
        lambda sign, hours, minutes, form: f"{sign}{hours:02}" + form.format(minutes),
        st.sampled_from("+-"),
        st.integers(0, 15),
        st.integers(0, 59),
        st.sampled_from([":{:02}", "{:02}"]),
    ),
)


def _clock(moment: dt.datetime | dt.time, digits: int, seconds: bool) -> str:
    if not seconds:
        return f"{moment:%H:%M}"
    fraction = f".{moment.microsecond:06}"[: digits + 1] if digits else ""
    return f"{moment:%H:%M:%S}{fraction}"


def _iso(moment: dt.datetime, separator: str, digits: int, seconds: bool, zone: str) -> bytearray:
    # Not strftime: it does not pad the years before 1000.
    return text(f"{moment.date().isoformat()}{separator}{_clock(moment, digits, seconds)}{zone}")


_DIGITS = st.integers(0, 6)
_SECONDS = st.sampled_from([True, True, True, False])
ISO_TEXTS = st.builds(_iso, st.datetimes(), _SEPARATORS, _DIGITS, _SECONDS, st.just(""))
ZONED_TEXTS = st.builds(_iso, st.datetimes(), _SEPARATORS, _DIGITS, _SECONDS, _ZONES)
UTC_TEXTS = st.builds(_iso, st.datetimes(), _SEPARATORS, _DIGITS, _SECONDS, st.sampled_from(["Z", "+00:00", "-0000"]))
DATES = st.dates().map(lambda day: text(day.isoformat()))
TIMES = st.builds(lambda t, digits, seconds: text(_clock(t, digits, seconds)), st.times(), _DIGITS, _SECONDS)

_JSON_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
_JSON_STRINGS = st.one_of(
    CLEAN.map(lambda s: json.dumps(s, ensure_ascii=False)),
    CLEAN.map(lambda s: json.dumps(s, ensure_ascii=True)),
    st.sampled_from(['"\\/"', '"\\u0041"', '"\\ud83d\\ude00"', '"\\u001f\\u007f"', '"\x7f"', '"\\\\u0000"']),
)
_SPACE = st.sampled_from(["", "", "", " ", "\n\t", "\r "])


def _array(items: list[str], space: str) -> str:
    return "[" + space + ("," + space).join(items) + space + "]"


def _object(items: list[tuple[str, str]], space: str) -> str:
    return "{" + space + ",".join(f"{key}{space}:{value}" for key, value in items) + "}"


_JSON = st.recursive(
    st.one_of(
        st.sampled_from(["null", "true", "false", "[]", "{}", "-0", "-0.0", "1e5", "0e9"]), _JSON_NUMBERS, _JSON_STRINGS
    ),
    lambda inner: st.one_of(
        st.builds(_array, st.lists(inner, max_size=4), _SPACE),
        st.builds(_object, st.lists(st.tuples(_JSON_STRINGS, inner), max_size=4), _SPACE),
    ),
    max_leaves=8,
)
#: Duplicate keys and escapes of NUL occur among them: the codecs decide.
JSON_TEXTS = st.builds(lambda before, value, after: text(before + value + after), _SPACE, _JSON, _SPACE)

#: What tempts a codec into accepting, or into an exception of another kind than Unfit.
TEMPTING: tuple[Any, ...] = (
    0, 1, 2, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 10**11, 10**14, 253402300800, -62135596801,
    0.0, -0.0, 1.0, 0.1, 5e-324, 1.7976931348623157e308, -1e308, 1e22, float("inf"), float("-inf"), 2460000.5,
    b"", b"\x00", b"\xff\xfe", b"1", bytes(range(256)),
    *(
        text(raw)
        for raw in (
            "", " ", "\0", "a\0b", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"caf\xc3", b"\xf4\x90\x80\x80", "\ufeff1", "é",
            "0", "1", "-1", "+1", "01", " 12", "12 ", "1_000", "١٢٣", "１２", "²", "1,5", "1.", ".5", ".", "-", "+", "e5", "1e", "1e5",
            "1e400", "1e-400", "1e99999", "1e100000", "-1e-99999", "0e99999", "1e16383", "1e-16383", "1e-16384", "1e131071",
            "1e131072", "1e9999999999999999999", "9" * 20_000, "0." + "9" * 16_383, "0." + "9" * 16_384,
            "7" * 131_072 + "." + "7" * 16_383, "0x10", "0b1", "0o7", "Infinity", "-inf", "inf", "NaN", "nan", "sNaN", "true", "TRUE", "t", "null",
            "2024-02-29", "2023-02-29", "0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "-0044-03-15", "2024-1-1", "20240101",
            "2024-13-01", "2024-00-10", "2024-01-32", "2024-W01-1", "２０２４-01-01", "0044-03-15 BC", "today", "now", "epoch",
            "2024-01-01 24:00:00", "2024-01-01 23:59:60", "2024-01-01 00:00", "2024-01-01T00:00:00", "2024-01-01  00:00:00",
            "2024-01-01 00:00:00.1234567", "2024-01-01 00:00:00.", "2024-01-01 00:00:00,5", "2024-01-01 00:00:00.000001",
            "2024-01-01 00:00:00Z", "2024-01-01 00:00:00 z", "2024-01-01 00:00:00+14:00", "2024-01-01 00:00:00+15:59",
            "2024-01-01 00:00:00+16:00", "2024-01-01 00:00:00-16", "2024-01-01 00:00:00+23:59", "2024-01-01 00:00:00+24:00",
            "2024-01-01 00:00:00+99:99", "2024-01-01 00:00:00+05:60", "2024-01-01 00:00:00+5", "2024-01-01 00:00:00 UTC",
            "2024-01-01 00:00:00+00:00:01", "0001-01-01 00:00:00+14:00", "9999-12-31 23:59:59-14:00", "0000-01-01 00:00:00Z",
            "2024-01-01\n", "2024-01-01 00:00:00\n", "12:34:56\n", "1\n",
            "00:00", "23:59:59.999999", "24:00", "24:00:00", "12:60", "12:34:60", "1:23", "12:34:56Z", "12:34:56+01", "１２:00",
            "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "6F9619FF-8B86-D011-B42D-00CF4FC964FF", "6f9619ff8b86d011b42d00cf4fc964ff",
            "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}", "6f9619ff-8b86-d011-b42d-00cf4fc964fg", "6f9619ff-8b86-d011-b42d-00cf4fc964ff\n",
            '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\\\u0000"', '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"\\u0000":1}', '{"\\ud800":1}',
            "[1,]", "{}x", "[1 2]", "'a'", '"\t"', '"\x1f"', '"\x7f"', "NaN", "-Infinity", "[NaN]", "[" * 5000 + "]" * 5000, "[" * 400 + "]" * 400,
            "[" * 100_000, '{"a":' * 3000 + "1" + "}" * 3000, "-", "-01", "1.e5", "1e+", '"\\x"', '"\\u12"', '"unfinished', "[", "\v1", "\u00a01",
            "-0", "-0.0", "-0e5", "0.00e2", "1.50e1", "1E5", "[1e131071]", "[1e131072]", "[1e-16383]", "[1e-16384]", "[0e200000]",
        )
    ),
)  # fmt: skip
