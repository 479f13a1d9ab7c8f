# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec takes a value or refuses it with Unfit and a reason; nothing else ever comes out of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutover.codecs import CODECS
from cutover.codecs.base import NULL
from cutover.errors import Unfit
from support import stored
from support.stored import text
from support.ways import MADE_FOR, WAYS, Way

ANYTHING: st.SearchStrategy[Any] = st.one_of(
    stored.INT64,
    stored.REALS,
    stored.BLOBS,
    st.binary(max_size=30).map(bytearray),
    st.text(max_size=30).map(lambda s: text(s.encode("utf-8", "surrogatepass"))),
    st.text("0123456789-+:. TZe_", max_size=26).map(text),
    stored.JSON_TEXTS,
    st.sampled_from(stored.TEMPTING),
)


def takes_or_refuses(way: Way, value: stored.Stored) -> None:
    """Both functions of a codec agree about a value, and refuse it in one way only."""
    try:
        field = way.wire(value)
    except Unfit as reason:
        assert str(reason)
        # Canonical text of what is refused may exist; it is of no consequence then.
        with suppress(Unfit):
            way.canonical(value)
        return
    assert field == NULL or len(field) == 4 + int.from_bytes(field[:4], "big")
    assert bool(way.canonical(value)) == (field != NULL)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_tempting_values_are_taken_or_refused(way: Way) -> None:
    for value in stored.TEMPTING:
        takes_or_refuses(way, value)


@pytest.mark.parametrize("name", CODECS)
def test_any_value_is_taken_or_refused(name: str) -> None:
    ways = [way for way in WAYS if way.name == name]

    @settings(max_examples=25)
    @given(st.lists(st.one_of(MADE_FOR[name], ANYTHING), min_size=1, max_size=20))
    def run(values: list[Any]) -> None:
        for value in values:
            for way in ways:
                takes_or_refuses(way, value)

    run()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_integers_that_no_database_stores_are_refused_not_crashed_on(way: Way) -> None:
    for huge in (2**63, -(2**63) - 1, 10**400, -(10**400)):
        takes_or_refuses(way, huge)


REFUSED: list[tuple[str, str, str | None, Any, str]] = [
    ("integer", "bigint", None, 1.0, "real"),
    ("integer", "integer", None, 2**31, "range of integer"),
    ("integer", "smallint", None, -32769, "range of smallint"),
    ("integer", "bigint", None, text("12"), "text"),
    ("real", "double precision", None, 2**53 + 1, "exactly"),
    ("real", "double precision", None, text("1.5"), "text"),
    ("decimal", "numeric", None, text("1_000"), "no decimal"),
    ("decimal", "numeric", None, text(" 12"), "no decimal"),
    ("decimal", "numeric", None, text("Infinity"), "no decimal"),
    ("decimal", "numeric", None, text("0x10"), "no decimal"),
    ("decimal", "numeric", None, text("١٢٣"), "no decimal"),
    ("decimal", "numeric", None, text(""), "no decimal"),
    ("decimal", "numeric", None, text("9" * 131_073), "digits"),
    ("decimal", "numeric", None, text("1e-16384"), "digits"),
    ("decimal", "numeric", None, float("inf"), "infinite"),
    ("decimal", "numeric(10,2)", None, text("1.005"), "does not fit"),
    ("decimal", "numeric(5)", None, 100_000, "does not fit"),
    ("boolean", "boolean", None, 2, "neither 0 nor 1"),
    ("boolean", "boolean", None, text("true"), "neither 0 nor 1"),
    ("text", "text", None, text("a\0b"), "NUL"),
    ("text", "text", None, text(b"caf\xc3"), "UTF-8 at byte 3"),
    ("text", "text", None, text(b"\xed\xa0\x80"), "UTF-8"),
    ("text", "text", None, 5, "integer"),
    ("text", "text", "as_text", b"x", "blob"),
    ("text", "varchar(5)", None, text("éééééé"), "6 characters"),
    ("blob", "bytea", None, text("x"), "text"),
    ("inet", "inet", None, text("192.0.2.0/24"), "no address of a host"),
    ("inet", "inet", None, text("2001:DB8::1"), "would give back as 2001:db8::1"),
    ("inet", "inet", None, text("::ffff:c000:201"), "would give back as ::ffff:192.0.2.1"),
    ("uuid", "uuid", None, text("6F9619FF-8B86-D011-B42D-00CF4FC964FF"), "lower case"),
    ("epoch_s", "timestamptz", None, 2**62, "range"),
    ("epoch_ms", "timestamptz", None, 1.5, "real"),
    ("iso_timestamp", "timestamp", None, text("2023-02-29 00:00:00"), "no valid timestamp"),
    ("iso_timestamp", "timestamp", None, text("0000-01-01 00:00:00"), "no valid timestamp"),
    ("iso_timestamp", "timestamp", None, text("2024-01-01 24:00:00"), "no valid timestamp"),
    ("iso_timestamp", "timestamp", None, text("2024-01-01 00:00:00.1234567"), "at most 6 decimals"),
    ("iso_timestamp", "timestamp", None, text("2024-01-01 00:00:00Z"), "zone"),
    ("iso_timestamp", "timestamp", None, text("2024-01-01"), "no ISO 8601"),
    ("iso_timestamptz", "timestamptz", None, text("2024-01-01 00:00:00"), "no zone"),
    ("iso_timestamptz", "timestamptz", None, text("2024-01-01 00:00:00+01:00"), "offset"),
    ("iso_timestamptz", "timestamptz", "to_utc", text("2024-01-01 00:00:00+16:00"), "offset"),
    ("iso_timestamptz", "timestamptz", "to_utc", text("2024-01-01 00:00:00+05:60"), "offset"),
    ("iso_timestamptz", "timestamptz", "to_utc", text("0001-01-01 00:00:00+14:00"), "years 1 to 9999"),
    ("mixed_timestamp", "timestamptz", "per_value", 253_402_300_800_000, "years 1 to 9999"),
    ("mixed_timestamp", "timestamptz", "per_value", 2**62, "years 1 to 9999"),
    ("mixed_timestamp", "timestamptz", "per_value", 1.5, "real"),
    ("date", "date", None, text("0000-01-01"), "no valid date"),
    ("date", "date", None, text("-0044-03-15"), "no date"),
    ("date", "date", None, text("２０２４-01-01"), "no date"),
    ("time", "time", None, text("24:00:00"), "no time"),
    ("jsonb", "jsonb", None, text(""), "no valid JSON"),
    ("jsonb", "jsonb", None, text("[NaN]"), "no valid JSON: NaN"),
    ("jsonb", "jsonb", None, text('{"a":1,"a":2}'), "twice"),
    ("jsonb", "jsonb", None, text('"\\ud800"'), "surrogate"),
    ("jsonb", "jsonb", None, text('{"\\ud800": 1}'), "surrogate"),
    ("jsonb", "jsonb", None, text('"\\u0000"'), "u0000"),
    ("jsonb", "jsonb", None, text("1e9999999999999999999"), "digits"),
    ("jsonb", "jsonb", None, text("[" * 5000 + "]" * 5000), "nested"),
    ("json", "json", None, text("[" * 5000 + "]" * 5000), "nested"),
    ("json", "json", None, text("[1,]"), "no valid JSON"),
    ("json", "json", None, text('"\t"'), "no valid JSON"),
]


@pytest.mark.parametrize(("name", "type_name", "rule", "value", "reason"), REFUSED)
def test_refusal_says_why(name: str, type_name: str, rule: str | None, value: Any, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        CODECS[name].wire(type_name, (rule,) if rule else ())(value)


def test_json_may_be_nested_as_deeply_as_people_do() -> None:
    for name in ("json", "jsonb"):
        way = Way(name, name)
        for depth in (1, 100, 500):
            assert way.accepts(text("[" * depth + "1" + "]" * depth))
            assert way.accepts(text("[" * depth + "]" * depth))
        for depth in (501, 800, 3000):
            assert not way.accepts(text("[" * depth + "1" + "]" * depth))
            assert not way.accepts(text("[" * depth + "]" * depth))
            assert not way.accepts(text('{"[":' * depth + "{}" + "}" * depth))


def test_brackets_inside_strings_are_no_depth() -> None:
    for name in ("json", "jsonb"):
        assert Way(name, name).accepts(text('["' + "[{" * 5000 + '\\"[[", "\\\\"]'))
