# SPDX-License-Identifier: GPL-3.0-or-later
"""Integers, floating point, decimals and booleans."""

from __future__ import annotations

import re
import struct
from decimal import Decimal

from ..errors import Unfit
from .base import Canonical, Codec, Rules, Stored, Wire, decode, kind, modifiers, unfit

_WIDTHS = {"bigint": (8, "q"), "integer": (4, "i"), "smallint": (2, "h")}
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,5})?", re.ASCII)


class Integer(Codec):
    """Integers of up to 64 bits."""

    name = "integer"
    types = ("bigint", "integer", "smallint")
    ordered = True

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        size, letter = _WIDTHS[type_name]
        pack = struct.Struct(">i" + letter).pack

        def field(value: Stored) -> bytes:
            if type(value) is not int:
                raise unfit(value, "integers")
            try:
                return pack(size, value)
            except struct.error:
                raise Unfit(f"is outside the range of {type_name}") from None

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            if type(value) is not int:
                raise unfit(value, "integers")
            return b"%d" % value

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        return column

    def restore(self, text: str, type_name: str) -> int:
        return int(text)


class Real(Codec):
    """IEEE 754 double precision, bit by bit."""

    name = "real"
    types = ("double precision",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        pack = struct.Struct(">id").pack

        def field(value: Stored) -> bytes:
            return pack(8, _double(value))

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            return struct.pack(">d", _double(value)).hex().encode()

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        # The bits, not the digits: float8send is the value itself, whatever extra_float_digits says.
        return f"encode(float8send({column}), 'hex')"

    def restore(self, text: str, type_name: str) -> float:
        value: float = struct.unpack(">d", bytes.fromhex(text))[0]
        return value


def _double(value: Stored) -> float:
    """A real, or an integer that is one exactly."""
    if type(value) is float:
        return value
    if type(value) is not int:
        raise unfit(value, "reals")
    try:
        number = float(value)
    except OverflowError:
        number = 0.0
    if int(number) != value:
        raise Unfit("is an integer that double precision cannot hold exactly")
    return number


def as_decimal(value: Stored) -> Decimal:
    """The decimal number that a stored value means. A real means its shortest decimal form that reads back as itself."""
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        number = Decimal(repr(value))
        if not number.is_finite():
            raise Unfit("is infinite: no decimal number")
        return number
    if type(value) is bytearray:
        text = decode(value)
        if not _DECIMAL.fullmatch(text):
            raise Unfit("text is no decimal number")
        return Decimal(text)
    raise unfit(value, "numbers")


def plain(number: Decimal) -> str:
    """A decimal without exponent, without trailing zeros behind the point, without negative zero."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def pack_numeric(number: Decimal) -> bytes:
    """A number in the wire format of numeric: base 10000 digits with weight, sign and display scale."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    scale = max(0, -exponent)
    if scale > 16383 or number.adjusted() > 131071:
        raise Unfit("has more digits than numeric holds")
    text = "".join(map(str, digits)) + "0" * max(0, exponent)
    whole, fraction = (text[:-scale], text[-scale:].rjust(scale, "0")) if scale else (text, "")
    whole = whole.lstrip("0")
    whole = whole.rjust((len(whole) + 3) // 4 * 4, "0")
    fraction = fraction.ljust((len(fraction) + 3) // 4 * 4, "0")
    groups = [int((whole + fraction)[at : at + 4]) for at in range(0, len(whole) + len(fraction), 4)]
    weight = len(whole) // 4 - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    if not groups:
        weight, sign = 0, 0
    return struct.pack(f">iHhHH{len(groups)}H", 8 + 2 * len(groups), len(groups), weight, sign * 0x4000, scale, *groups)


#: Below this, numbers of a type that ``counted`` knows are sent as three groups of four digits, zeros included.
FIXED_END = 10**8
_FIXED = struct.Struct(">iHhHHHHH").pack


def counted(type_name: str) -> tuple[int, int] | None:
    """(digits before the point, behind it) of a numeric with at most four behind it, None for other types.

    PostgreSQL shows all numbers of such a type with as many decimals, and takes zeros at both ends off what it receives:
    so all can be sent in one form. Source: numeric_recv(), make_result() in src/backend/utils/adt/numeric.c.
    """
    limits = modifiers(type_name)
    if not limits:
        return None
    scale = limits[1] if len(limits) > 1 else 0
    return (limits[0] - scale, scale) if 0 <= scale <= 4 and scale < limits[0] else None


def pack_fixed(number: Decimal, scale: int) -> bytes:
    """A number below FIXED_END with at most ``scale`` (0 to 4) decimals in the wire format of numeric, in three groups."""
    size = abs(int(number.scaleb(scale)))
    whole, rest = divmod(size, 10**scale)
    sign = 0x4000 if number < 0 else 0
    return _FIXED(14, 3, 1, sign, scale, whole // 10_000, whole % 10_000, rest * 10 ** (4 - scale))


class DecimalNumber(Codec):
    """Exact decimals, stored as integer, real or text."""

    name = "decimal"
    types = ("numeric",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        limits = modifiers(type_name)
        scale = limits[1] if len(limits) > 1 else 0
        # The first number that is too large; a scale above the precision asks for zeros behind the point.
        end = Decimal((0, (1,), limits[0] - scale)) if limits else None
        fixed_end = FIXED_END if counted(type_name) else 0

        def field(value: Stored) -> bytes:
            number = as_decimal(value)
            if end is not None and (number.copy_abs() >= end or len(plain(number).partition(".")[2]) > scale):
                raise Unfit(f"does not fit {type_name}")
            return pack_fixed(number, scale) if number.copy_abs() < fixed_end else pack_numeric(number)

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: plain(as_decimal(value)).encode()

    def canonical_sql(self, column: str, type_name: str) -> str:
        return f"trim_scale({column})"

    def restore(self, text: str, type_name: str) -> int | float | str:
        # As NUMERIC affinity would store it: an integer, a real when that is exact, else the digits.
        if "." not in text and len(text) <= 20 and -(2**63) <= int(text) < 2**63:
            return int(text)
        return float(text) if plain(Decimal(repr(float(text)))) == text else text


class Boolean(Codec):
    """The integers 0 and 1."""

    name = "boolean"
    types = ("boolean",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        fields = {0: b"\x00\x00\x00\x01\x00", 1: b"\x00\x00\x00\x01\x01"}

        def field(value: Stored) -> bytes:
            if type(value) is int and value in fields:
                return fields[value]
            raise _no_boolean(value)

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            if type(value) is not int or value not in (0, 1):
                raise _no_boolean(value)
            return b"%d" % value

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        # As a number: the text of a boolean is t or true, depending on how it is asked for.
        return f"{column}::integer"

    def restore(self, text: str, type_name: str) -> int:
        return int(text)


class SpelledBoolean(Codec):
    """Text of two spellings, letter by letter."""

    types = ("boolean",)

    def __init__(self, true: str, false: str) -> None:
        self.name = f"boolean_{true}_{false}"
        self.spellings = (true, false)
        self._values = {true.encode(): 1, false.encode(): 0}

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        return lambda value: b"\x00\x00\x00\x01" + bytes([self._value(value)])

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: b"%d" % self._value(value)

    def canonical_sql(self, column: str, type_name: str) -> str:
        return f"{column}::integer"

    def restore(self, text: str, type_name: str) -> str:
        return self.spellings[0] if text == "1" else self.spellings[1]

    def _value(self, value: Stored) -> int:
        found = self._values.get(bytes(value)) if isinstance(value, bytearray) and len(value) < 6 else None
        if found is None:
            raise Unfit(f"is neither {self.spellings[0]!r} nor {self.spellings[1]!r}")
        return found


#: The pairs of spellings that have a codec each. They keep which text stood in SQLite.
SPELLINGS = tuple(
    SpelledBoolean(*pair)
    for pair in (
        ("t", "f"),
        ("true", "false"),
        ("True", "False"),
        ("TRUE", "FALSE"),
        ("T", "F"),
        ("yes", "no"),
        ("y", "n"),
        ("Y", "N"),
        ("on", "off"),
        ("1", "0"),
    )
)


def _no_boolean(value: Stored) -> Unfit:
    return Unfit(f"holds {kind(value)} that is neither 0 nor 1: no boolean")
