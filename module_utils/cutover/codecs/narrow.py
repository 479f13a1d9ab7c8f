# SPDX-License-Identifier: GPL-3.0-or-later
"""Codecs for the narrower types that an application's own schema may have: enum, real, char(n), timestamp(p)."""

from __future__ import annotations

import struct

from ..errors import Unfit
from .base import Canonical, Codec, Rules, Stored, Touched, Wire, base_type, length, modifiers, unfit
from .texts import characters, check_text

#: Types whose number in parentheses says how many digits of a second they hold; a COPY would round the others away.
FRACTIONS = frozenset({"timestamp", "timestamptz", "time", "interval"})


class Enum(Codec):
    """Text that is a label of an enum."""

    name = "enum"
    types = ("enum",)

    def __init__(self, labels: tuple[str, ...] = ()) -> None:
        self._labels = frozenset(label.encode() for label in labels)
        self._shown = ", ".join(labels[:8]) + ("…" if len(labels) > 8 else "")

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        def field(value: Stored) -> bytes:
            if type(value) is not bytearray:
                raise unfit(value, "text")
            if bytes(value) not in self._labels:
                raise Unfit(f"is no label of the enum ({self._shown})")
            return length(len(value)) + value

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            if type(value) is not bytearray:
                raise unfit(value, "text")
            return b"%d:" % len(value) + value

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        return f"octet_length({column}::text) || ':' || {column}::text"

    def restore_sql(self, column: str, type_name: str) -> str:
        return f"{column}::text"

    def restore(self, text: str, type_name: str) -> str:
        return text


class Float4(Codec):
    """Reals that single precision holds exactly, bit by bit; the others only by a rule."""

    name = "float4"
    types = ("real",)
    rules = {"round_to_real": "reals are rounded to the nearest single precision number"}

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        rounding = "round_to_real" in rules

        def field(value: Stored) -> bytes:
            packed = _single(value)
            if not rounding and struct.unpack(">f", packed)[0] != value:
                raise Unfit("is a number that real (single precision) cannot hold exactly")
            return length(4) + packed

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: _single(value).hex().encode()

    def canonical_sql(self, column: str, type_name: str) -> str:
        return f"encode(float4send({column}), 'hex')"

    def restore(self, text: str, type_name: str) -> float:
        value: float = struct.unpack(">f", bytes.fromhex(text))[0]
        return value

    def touched(self, type_name: str, rules: Rules) -> Touched:
        def by(value: Stored) -> Rules:
            return rules if struct.unpack(">f", _single(value))[0] != value else ()

        return by


def _single(value: Stored) -> bytes:
    """The four bytes of the nearest single precision number."""
    if type(value) not in (int, float):
        raise unfit(value, "reals")
    try:
        return struct.pack(">f", value)
    except (OverflowError, struct.error):
        raise Unfit("is outside the range of real (single precision)") from None


class Char(Codec):
    """Text of exactly n characters for char(n), which fills shorter text up with blanks; shorter only by a rule."""

    name = "char"
    types = ("char",)
    rules = {"pad": "shorter text is filled up with blanks to the length of the type, as PostgreSQL stores it"}

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        size = (modifiers(type_name) or (1,))[0]

        def field(value: Stored) -> bytes:
            padded = _padded(value, size, "pad" in rules)
            check_text(padded)
            return length(len(padded)) + padded

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        size = (modifiers(type_name) or (1,))[0]

        def text(value: Stored) -> bytes:
            padded = _padded(value, size, "pad" in rules)
            return b"%d:" % len(padded) + padded

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        # concat() shows the blanks at the end, a cast to text takes them off.
        return f"concat(octet_length({column}), ':' || NULLIF(concat({column}), ''))"

    def restore_sql(self, column: str, type_name: str) -> str:
        return f"CASE WHEN {column} IS NOT NULL THEN concat({column}) END"

    def restore(self, text: str, type_name: str) -> str:
        return text

    def touched(self, type_name: str, rules: Rules) -> Touched:
        size = (modifiers(type_name) or (1,))[0]
        return lambda value: rules if isinstance(value, bytearray) and characters(value) < size else ()


def _padded(value: Stored, size: int, pad: bool) -> bytearray:
    if type(value) is not bytearray:
        raise unfit(value, "text")
    count = characters(value)
    if count > size:
        raise Unfit(f"has {count} characters, more than char({size}) holds")
    if count < size and not pad:
        raise Unfit(f"has {count} characters; char({size}) would fill it up with blanks")
    return value + b" " * (size - count)


class Fraction(Codec):
    """Another codec for a type such as timestamp(3): values with a finer fraction of a second are refused."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.name, self.types, self.rules, self.ordered = codec.name, codec.types, codec.rules, codec.ordered

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        inner = self._codec.wire(type_name, rules)
        step = 10 ** (6 - min(6, modifiers(type_name)[0]))
        read = struct.Struct(">q").unpack_from

        def field(value: Stored) -> bytes:
            packed = inner(value)
            # Microseconds from a whole second on.
            if read(packed, 4)[0] % step:
                raise Unfit(f"has a finer fraction of a second than {type_name} holds")
            return packed

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return self._codec.canonical(type_name, rules)

    def canonical_sql(self, column: str, type_name: str) -> str:
        return self._codec.canonical_sql(column, type_name)

    def restore_sql(self, column: str, type_name: str) -> str:
        return self._codec.restore_sql(column, type_name)

    def restore(self, text: str, type_name: str) -> int | float | str | bytes:
        return self._codec.restore(text, type_name)

    def touched(self, type_name: str, rules: Rules) -> Touched:
        return self._codec.touched(type_name, rules)


def narrowed(codec: Codec, type_name: str) -> Codec:
    """The codec for a type that holds fewer digits of a second than PostgreSQL could; else the codec itself."""
    return Fraction(codec) if base_type(type_name) in FRACTIONS and modifiers(type_name) else codec
