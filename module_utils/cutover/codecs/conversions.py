# SPDX-License-Identifier: GPL-3.0-or-later
"""Named conversions of stored values, which a plan may allow for a column before its codec sees them.

A conversion gives back the very object that it leaves alone, so that what it touched can be counted.
"""

from __future__ import annotations

import codecs
import datetime as dt
import re
from decimal import ROUND_HALF_UP, Context, Decimal, Overflow
from typing import Callable, NamedTuple, Optional

from .base import Stored, base_type, modifiers
from .documents import last_keys
from .texts import characters

Convert = Callable[[Stored], Optional[Stored]]

#: Text is converted in slices of so many bytes.
_SLICE = 1 << 20
_TEXTS = frozenset({"text", "char", "enum"})
_JSON = frozenset({"json", "jsonb"})
_INTEGERS = frozenset({"integer", "epoch_s", "epoch_ms", "epoch_us", "interval_us", "date_days", "boolean"})
_STAMPS = frozenset({"iso_timestamp", "iso_timestamptz", "utc_timestamp", "mixed_timestamp", "interval_since_epoch"})
_FRACTIONS = _STAMPS | {"time"}

#: The least and the greatest number of each type.
_RANGES = {"bigint": (-(2**63), 2**63 - 1), "integer": (-(2**31), 2**31 - 1), "smallint": (-(2**15), 2**15 - 1)}
_SPELLINGS = {
    **dict.fromkeys((b"t", b"true", b"y", b"yes", b"on", b"1"), 1),
    **dict.fromkeys((b"f", b"false", b"n", b"no", b"off", b"0"), 0),
}
_DECIMAL = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_FINE = re.compile(rb"(.*:\d\d)\.(\d{6})(\d+)(.*)", re.DOTALL)
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\d)([ T])(\d\d:\d\d:\d\d)")
_NUL_ESCAPE = re.compile(rb"(\\[^u])|\\u0000", re.DOTALL)
_SURROGATES = re.compile(
    rb"(\\[^u])|(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}", re.DOTALL
)


class Conversion(NamedTuple):
    """A rule: what it does, for which codecs (None: all), and the function for a type."""

    meaning: str
    codecs: frozenset[str] | None
    make: Callable[[str], Convert]


def _strip_nul(_type: str) -> Convert:
    return lambda value: value.replace(b"\0", b"") if isinstance(value, bytearray) and 0 in value else value


def _strip_nul_of_json(_type: str) -> Convert:
    def convert(value: Stored) -> Stored:
        if not isinstance(value, bytearray):
            return value
        found = bytearray(_NUL_ESCAPE.sub(rb"\1", value.replace(b"\0", b"")))
        return value if found == value else found

    return convert


def _invalid(errors: str) -> Callable[[str], Convert]:
    def make(_type: str) -> Convert:
        def convert(value: Stored) -> Stored:
            if not isinstance(value, bytearray) or value.isascii():
                return value
            # In slices: a decoded copy can be four times as large.
            decoder = codecs.getincrementaldecoder("utf-8")(errors)
            found = bytearray()
            for at in range(0, len(value), _SLICE):
                found += decoder.decode(value[at : at + _SLICE]).encode()
            found += decoder.decode(b"", final=True).encode()
            return value if found == value else found

        return convert

    return make


def _replace_in_json(type_name: str) -> Convert:
    text = _invalid("replace")(type_name)

    def escape(match: re.Match[bytes]) -> bytes:
        return match[0] if match[1] or match[2] else rb"\ufffd"

    def convert(value: Stored) -> Stored | None:
        valid = text(value)
        if not isinstance(valid, bytearray):
            return valid
        found = bytearray(_SURROGATES.sub(escape, valid))
        return valid if found == valid else found

    return convert


def _truncate(type_name: str) -> Convert:
    limit = (modifiers(type_name) or (1 if base_type(type_name) == "char" else 0,))[0]

    def convert(value: Stored) -> Stored:
        if not limit or not isinstance(value, bytearray) or len(value) <= limit or characters(value) <= limit:
            return value
        try:
            # A character has four bytes at most; one that is cut by the end of the slice is left to the decoder.
            text = codecs.getincrementaldecoder("utf-8")().decode(value[: limit * 4])
        except UnicodeDecodeError:
            return value
        return bytearray(text[:limit].encode())

    return convert


def _spelled(_type: str) -> Convert:
    def convert(value: Stored) -> Stored:
        if isinstance(value, float) and value in (0.0, 1.0):
            return int(value)
        if isinstance(value, bytearray) and len(value) <= 5:
            return _SPELLINGS.get(bytes(value).lower(), value)
        return value

    return convert


def _whole_reals(_type: str) -> Convert:
    def convert(value: Stored) -> Stored:
        if isinstance(value, float) and value.is_integer() and -(2.0**63) <= value < 2.0**63:
            return int(value)
        return value

    return convert


def _numeric_text(type_name: str) -> Convert:
    real = base_type(type_name) in ("double precision", "real")

    def convert(value: Stored) -> Stored:
        if not isinstance(value, bytearray) or len(value) > 400 or not _DECIMAL.fullmatch(value):
            return value
        number = Decimal(value.decode())
        if not real and number.adjusted() < 19 and number == number.to_integral_value():
            whole = int(number)
            return whole if -(2**63) <= whole < 2**63 else value
        if real and Decimal(repr(float(number))) == number:
            return float(number)
        return value

    return convert


def _clamp(type_name: str) -> Convert:
    least, most = _RANGES[type_name]
    return lambda value: min(max(value, least), most) if isinstance(value, int) else value


def _round_to_scale(type_name: str) -> Convert:
    limits = modifiers(type_name)
    if not limits:
        return lambda value: value
    unit = Decimal(1).scaleb(-(limits[1] if len(limits) > 1 else 0))
    # As PostgreSQL rounds numeric: half away from zero.
    context = Context(prec=150_000, rounding=ROUND_HALF_UP, Emin=-200_000, Emax=200_000, traps=[Overflow])

    def convert(value: Stored) -> Stored:
        if isinstance(value, bytearray):
            if not _DECIMAL.fullmatch(value):
                return value
            number = Decimal(value.decode())
        elif isinstance(value, (int, float)):
            number = Decimal(repr(value))
        else:
            return value
        if not number.is_finite() or number.adjusted() > 1_000:
            return value
        rounded = number.quantize(unit, context=context)
        return value if rounded == number else bytearray(format(rounded, "f").encode())

    return convert


def _fraction(rounding: bool) -> Callable[[str], Convert]:
    def make(_type: str) -> Convert:
        def convert(value: Stored) -> Stored:
            match = _FINE.fullmatch(value) if isinstance(value, bytearray) and len(value) < 64 else None
            if match is None:
                return value
            before, micros, finer, after = match.groups()
            if rounding and finer[:1] >= b"5":
                return _carried(before, int(micros) + 1, after) or value
            return bytearray(before + b"." + micros + after)

        return convert

    return make


def _carried(before: bytes, micros: int, after: bytes) -> bytearray | None:
    """The text with one microsecond more; None where that would leave the day of a time or the years of a stamp."""
    if micros < 1_000_000:
        return bytearray(before + b".%06d" % micros + after)
    stamp = _STAMP.fullmatch(before)
    try:
        if stamp is None:
            later = dt.datetime.combine(dt.date(2000, 1, 1), dt.time.fromisoformat(before.decode()))
            later += dt.timedelta(seconds=1)
            return bytearray(later.strftime("%H:%M:%S").encode() + b".000000") if later.day == 1 else None
        later = dt.datetime.fromisoformat(f"{stamp[1].decode()} {stamp[3].decode()}") + dt.timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return bytearray(later.isoformat(stamp[2].decode(), "seconds").encode() + b".000000" + after)


def _midnight_as_date(_type: str) -> Convert:
    midnight = re.compile(rb"(\d{4}-\d\d-\d\d)[ T]00:00(:00(\.0+)?)?")

    def convert(value: Stored) -> Stored:
        match = midnight.fullmatch(value) if isinstance(value, bytearray) and len(value) < 64 else None
        return value if match is None else bytearray(match[1])

    return convert


def _empty_to_null(_type: str) -> Convert:
    return lambda value: None if isinstance(value, bytearray) and not value else value


#: In the order in which they work. A name may stand twice, for different codecs.
CONVERSIONS: tuple[tuple[str, Conversion], ...] = (
    ("strip_nul", Conversion("NUL characters are left out of text", _TEXTS, _strip_nul)),
    ("strip_nul", Conversion("NUL characters and \\u0000 are left out", _JSON, _strip_nul_of_json)),
    ("replace_invalid", Conversion("invalid UTF-8 becomes U+FFFD", _TEXTS, _invalid("replace"))),
    (
        "replace_invalid",
        Conversion("invalid UTF-8 and halves of surrogate pairs become U+FFFD", _JSON, _replace_in_json),
    ),
    ("escape_invalid", Conversion("bytes that are no UTF-8 become \\xNN", _TEXTS, _invalid("backslashreplace"))),
    (
        "last_key_wins",
        Conversion("of a key that an object names twice the last is kept", frozenset({"jsonb"}), lambda _: last_keys),
    ),
    ("truncate", Conversion("longer text is cut to the length of the type", frozenset({"text", "char"}), _truncate)),
    ("empty_to_null", Conversion("the empty string becomes NULL", None, _empty_to_null)),
    (
        "spelled",
        Conversion(
            "t, true, y, yes, on, 1 and f, false, n, no, off, 0, in any case, become booleans",
            frozenset({"boolean"}),
            _spelled,
        ),
    ),
    (
        "numeric_text",
        Conversion("text that is exactly a number becomes it", _INTEGERS | {"real"}, _numeric_text),
    ),
    ("whole_reals", Conversion("reals without a fraction become integers", _INTEGERS, _whole_reals)),
    (
        "clamp",
        Conversion("integers outside the type become its least or greatest", frozenset({"integer"}), _clamp),
    ),
    (
        "round_to_scale",
        Conversion("decimals are rounded, half away from zero, to the type", frozenset({"decimal"}), _round_to_scale),
    ),
    ("truncate_to_us", Conversion("digits behind the microsecond are cut off", _FRACTIONS, _fraction(False))),
    ("round_to_us", Conversion("a finer fraction is rounded to microseconds, half up", _FRACTIONS, _fraction(True))),
    (
        "midnight_as_date",
        Conversion("a time of midnight behind a date is left out", frozenset({"date"}), _midnight_as_date),
    ),
)
