# SPDX-License-Identifier: GPL-3.0-or-later
"""What each named conversion makes of a value, that it is counted, and that nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest

from cutover.codecs import CODECS
from cutover.codecs.base import NULL
from cutover.errors import Unfit
from support.stored import text
from support.ways import Way


def canonical(content: str) -> str:
    return f"{len(content.encode())}:{content}"


#: Codec, type, rules, stored value, canonical text (None: NULL), rules that touched it.
EXAMPLES: list[tuple[str, str, tuple[str, ...], Any, str | None, tuple[str, ...]]] = [
    ("text", "text", ("strip_nul",), text("a\0b\0"), canonical("ab"), ("strip_nul",)),
    ("text", "text", ("strip_nul",), text("ab"), canonical("ab"), ()),
    ("text", "text", ("replace_invalid",), text(b"caf\xc3"), canonical("caf\ufffd"), ("replace_invalid",)),
    ("text", "text", ("replace_invalid",), text("café"), canonical("café"), ()),
    ("text", "text", ("replace_invalid",), text(b"\xed\xa0\x80"), canonical("\ufffd" * 3), ("replace_invalid",)),
    ("text", "text", ("escape_invalid",), text(b"a\xff"), canonical("a\\xff"), ("escape_invalid",)),
    ("text", "text", ("strip_nul", "as_text"), 5, canonical("5"), ("as_text",)),
    ("text", "text", ("replace_invalid", "strip_nul"), text(b"\0\xff"), canonical("\ufffd"), ("strip_nul", "replace_invalid")),
    ("text", "varchar(3)", ("truncate",), text("éééé"), canonical("ééé"), ("truncate",)),
    ("text", "varchar(3)", ("truncate",), text("ééé"), canonical("ééé"), ()),
    ("text", "varchar(3)", ("to_null",), text("four"), None, ("to_null",)),
    ("text", "varchar(3)", ("truncate", "to_null"), 4, None, ("to_null",)),
    ("text", "text", ("empty_to_null",), text(""), None, ("empty_to_null",)),
    ("date", "date", ("empty_to_null",), text(""), None, ("empty_to_null",)),
    ("date", "date", ("midnight_as_date",), text("2024-02-29 00:00:00.000"), "2024-02-29", ("midnight_as_date",)),
    ("date", "date", ("midnight_as_date",), text("2024-02-29"), "2024-02-29", ()),
    ("boolean", "boolean", ("spelled",), text("Yes"), "1", ("spelled",)),
    ("boolean", "boolean", ("spelled",), text("f"), "0", ("spelled",)),
    ("boolean", "boolean", ("spelled",), 1.0, "1", ("spelled",)),
    ("boolean", "boolean", ("spelled",), 0, "0", ()),
    ("integer", "bigint", ("whole_reals",), 1.0, "1", ("whole_reals",)),
    ("integer", "bigint", ("whole_reals",), -(2.0**63), str(-(2**63)), ("whole_reals",)),
    ("integer", "bigint", ("numeric_text",), text("12"), "12", ("numeric_text",)),
    ("integer", "bigint", ("numeric_text",), text("1e3"), "1000", ("numeric_text",)),
    ("integer", "smallint", ("clamp",), 70_000, "32767", ("clamp",)),
    ("integer", "smallint", ("clamp",), -70_000, "-32768", ("clamp",)),
    ("integer", "integer", ("to_null",), 2**31, None, ("to_null",)),
    ("integer", "integer", ("to_null",), b"x", None, ("to_null",)),
    ("integer", "integer", ("to_null",), 5, "5", ()),
    ("real", "double precision", ("numeric_text",), text("0.1"), "3fb999999999999a", ("numeric_text",)),
    ("decimal", "numeric(5,2)", ("round_to_scale",), text("1.005"), "1.01", ("round_to_scale",)),
    ("decimal", "numeric(5,2)", ("round_to_scale",), -1.125, "-1.13", ("round_to_scale",)),
    ("decimal", "numeric(5,2)", ("round_to_scale",), text("1.50"), "1.5", ()),
    ("decimal", "numeric(5)", ("round_to_scale",), 0.5, "1", ("round_to_scale",)),
    ("iso_timestamp", "timestamp", ("truncate_to_us",), text("2024-02-29 10:00:00.123456789"), "2024-02-29 10:00:00.123456", ("truncate_to_us",)),
    ("iso_timestamp", "timestamp", ("round_to_us",), text("2024-02-29T10:00:00.1234565"), "2024-02-29 10:00:00.123457", ("round_to_us",)),
    ("iso_timestamp", "timestamp", ("round_to_us",), text("2023-12-31 23:59:59.9999999"), "2024-01-01 00:00:00.000000", ("round_to_us",)),
    ("iso_timestamptz", "timestamptz", ("round_to_us",), text("2023-12-31T23:59:59.9999999Z"), "2024-01-01 00:00:00.000000", ("round_to_us",)),
    ("time", "time", ("round_to_us",), text("10:59:59.9999996"), "11:00:00.000000", ("round_to_us",)),
    ("time", "time", ("truncate_to_us",), text("23:59:59.9999999"), "23:59:59.999999", ("truncate_to_us",)),
    ("jsonb", "jsonb", ("strip_nul",), text('{"a\\u0000": "\\\\u0000"}'), canonical('{"a": "\\\\u0000"}'), ("strip_nul",)),
    ("jsonb", "jsonb", ("replace_invalid",), text('"\\ud800x\\ud83d\\ude00"'), canonical('"\ufffdx😀"'), ("replace_invalid",)),
    ("jsonb", "jsonb", ("replace_invalid",), text('"\\\\ud800"'), canonical('"\\\\ud800"'), ()),
    ("jsonb", "jsonb", ("last_key_wins",), text('{"a": 1, "b": {"c": 1, "c": 2.0}, "a": 3}'), canonical('{"a": 3, "b": {"c": 2.0}}'), ("last_key_wins",)),
    ("jsonb", "jsonb", ("last_key_wins",), text('{"b":1, "a":2}'), canonical('{"a": 2, "b": 1}'), ()),
    ("json", "json", ("strip_nul",), text('["\\u0000\\u0000"]'), canonical('[""]'), ("strip_nul",)),
    ("json", "json", ("to_null",), text("{"), None, ("to_null",)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "type_name", "rules", "value", "wanted", "touched"), EXAMPLES)
def test_value_becomes_what_the_rule_says(
    name: str, type_name: str, rules: tuple[str, ...], value: Any, wanted: str | None, touched: tuple[str, ...]
) -> None:
    way = Way(name, type_name, rules)
    assert way.canonical(value).decode() == (wanted or "")
    assert (way.wire(value) == NULL) == (wanted is None)
    assert way.codec.touched(type_name, rules)(value) == touched


@pytest.mark.parametrize(
    ("name", "type_name", "rules", "value"),
    [
        ("text", "text", ("strip_nul",), text(b"\xff")),
        ("text", "text", ("replace_invalid",), text("\0")),
        ("text", "varchar(3)", ("truncate",), text(b"\xff\xff\xff\xff")),
        ("integer", "bigint", ("whole_reals",), 1.5),
        ("integer", "bigint", ("whole_reals",), 2.0**63),
        ("integer", "bigint", ("numeric_text",), text("1.5")),
        ("integer", "bigint", ("numeric_text",), text(" 1")),
        ("integer", "bigint", ("numeric_text",), text("9" * 19)),
        # A double would not be that number.
        ("real", "double precision", ("numeric_text",), text("0.1000000000000000000001")),
        ("decimal", "numeric(3,2)", ("round_to_scale",), text("9.995")),
        ("decimal", "numeric(3,2)", ("round_to_scale",), float("inf")),
        ("boolean", "boolean", ("spelled",), text("maybe")),
        ("date", "date", ("midnight_as_date",), text("2024-02-29 00:00:01")),
        # It would be the next day.
        ("time", "time", ("round_to_us",), text("23:59:59.9999999")),
        ("iso_timestamp", "timestamp", ("round_to_us",), text("9999-12-31 23:59:59.9999999")),
        ("date", "date", ("empty_to_null",), text(" ")),
    ],
)
def test_what_the_rule_does_not_cover_is_still_refused(
    name: str, type_name: str, rules: tuple[str, ...], value: Any
) -> None:
    with pytest.raises(Unfit):
        Way(name, type_name, rules).wire(value)


def test_every_conversion_has_an_example() -> None:
    shown = {(name, rule) for name, _, rules, *_ in EXAMPLES for rule in rules}
    generic = {(codec.name, rule) for codec in CODECS.values() for rule in codec.rules if rule not in codec.exact.rules}
    assert {rule for _, rule in generic} <= {rule for _, rule in shown}


def test_large_text_is_mended_across_the_slices() -> None:
    way = Way("text", "text", ("replace_invalid",))
    size = 1 << 20
    for shift in range(5):
        whole = b"a" * (size - shift) + "é€🐘".encode() + b"\xff" + b"b" * size
        value = text(whole)
        assert way.canonical(value) == Way("text", "text").canonical(text(whole.decode("utf-8", "replace")))
        sound = text(whole.replace(b"\xff", b""))
        assert way.codec.touched("text", way.rules)(sound) == ()
