# SPDX-License-Identifier: GPL-3.0-or-later
"""How the commonest values are packed for binary COPY without the codec's own function, for speed only.

An entry gives, byte by byte, what the codec's ``wire`` gives, for the values that its guard lets through; struct itself
refuses whatever is no integer of the right size. For everything else the packer asks the codec.
"""

from __future__ import annotations

import struct
from typing import Any

from .codecs.base import Wire, base_type, modifiers
from .codecs.keys import UuidKey
from .codecs.numbers import FIXED_END, counted
from .codecs.temporal import END_US, EPOCH_2000_US, MIN_US
from .generate import Field, hundredths
from .plan.codec import codec_of
from .plan.model import PlanColumn

#: Cells from this size on are sent by themselves, without being joined to their row.
LARGE = 1 << 18
#: Entries of a cache of days; a column of dates seldom has more.
_DAYS = 40_000


#: A column that only its codec can pack: large cells take a way of their own.
LONE = Field(
    tail="w{i}({v})", guard=f"(type({{v}}) is not bytearray and type({{v}}) is not bytes or len({{v}}) < {LARGE})"
)

_EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
_INTEGERS = {"bigint": ("iq", 8), "integer": ("ii", 4), "smallint": ("ih", 2)}


def inline(column: PlanColumn, wire: Wire) -> Field | None:
    """How values of the column are packed quickly; None when only its codec can. wire: the codec's own function."""
    codec, kind = column.codec, base_type(column.type)
    if column.rules or ("(" in column.type and codec not in ("text", "decimal")):
        return None
    if codec == "integer" and kind in _INTEGERS:
        letters, size = _INTEGERS[kind]
        return Field(letters, f"{size}, {{v}}")
    if codec == "real" and kind == "double precision":
        return Field("id", "8, {v}", guard="type({v}) is float")
    if codec == "boolean" and kind == "boolean":
        # 0.0 and 1.0 pass the comparison; the letter B refuses them.
        return Field("iB", "1, {v}", guard="0 <= {v} <= 1")
    if codec in _EPOCHS and kind in ("timestamp", "timestamptz"):
        unit = _EPOCHS[codec]
        low, high = -(-MIN_US // unit), (END_US - 1) // unit
        return Field("iq", f"8, {{v}} * {unit} - {EPOCH_2000_US}", guard=f"{low} <= {{v}} <= {high}")
    if codec == "text" and kind in ("text", "varchar"):
        # No more bytes than characters are allowed: no need to count them.
        most = min([LARGE - 1, *modifiers(column.type)])
        guard = f"type({{v}}) is bytearray and (n{{i}} := len({{v}})) <= {most} and 0 not in {{v}} and "
        return Field("i", "n{i}", "{v}", guard + "({v}.isascii() or {v}.decode() is not None)")
    if codec == "blob" and kind == "bytea":
        return Field("i", "n{i}", "{v}", f"type({{v}}) is bytes and (n{{i}} := len({{v}})) < {LARGE}")
    if codec == "date" and kind == "date":
        return Field(guard="type({v}) is bytearray", tail="f{i}[bytes({v})]", function=_Cache(wire))
    if codec == "uuid_key":
        coded = codec_of(column)
        assert isinstance(coded, UuidKey)
        if coded.of_text:
            return None
        return Field(guard="type({v}) is int", tail="f{i}[{v}]", function=coded.fields(column.type))
    if codec == "decimal" and kind == "numeric":
        return _decimal(column.type, wire)
    return None


def _decimal(type_name: str, wire: Wire) -> Field | None:
    if "(" not in type_name:
        return Field(tail="f{i}({v})", function=decimal_field(wire))
    limits = counted(type_name)
    if limits is None:
        return None
    whole, scale = limits
    sign = "0 if (a{i} := d{i}) >= 0 else 16384 + 0 * (a{i} := -d{i})"
    size = "a{i}"
    groups = f"{size} // {10 ** (4 + scale)}, {size} // {10**scale} % 10000, {size} % {10**scale} * {10 ** (4 - scale)}"
    guard = hundredths(min(10**whole, FIXED_END), scale)
    return Field("iHhHHHHH", f"14, 3, 1, {sign}, {scale}, {groups}", guard=guard)


class _Cache(dict[bytes, bytes]):
    """The fields of texts met before."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def __missing__(self, text: bytes) -> bytes:
        if len(self) >= _DAYS:
            self.clear()
        field = self[text] = self._wire(bytearray(text))
        return field


#: Heads of numeric fields: by number of groups and weight, then by sign and number of decimals shown.
_HEADS = {
    (groups, weight): tuple(
        struct.pack(">iHhHH", 8 + 2 * groups, groups, weight, sign, shown) for sign in (0, 0x4000) for shown in range(5)
    )
    for groups, weight in ((0, 0), (1, -1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 1))
}
_ONE, _TWO, _THREE = (struct.Struct(f">12s{n}H").pack for n in (1, 2, 3))


def decimal_field(wire: Wire) -> Wire:
    """The codec's function for numeric, with a short way for integers and for reals of at most four decimals below 10^8."""
    parts = 10**4
    end = 10**8
    low_end, high_end = -float(end), float(end)
    # By what is behind the point: the number of decimals shown.
    behind = [len(f"{n / parts:.4f}".rstrip("0")) - 2 for n in range(parts)]
    zero, rest_only, small, round_high, mixed, high_low, full = _HEADS.values()

    def field(value: Any) -> bytes:
        if type(value) is float and low_end < value < high_end:
            number = round(value * 10000.0)
            if number / 10000.0 != value:
                return wire(value)
            shown = 1
        elif type(value) is int and -end < value < end:
            number = value * parts
            shown = 0
        else:
            return wire(value)
        sign = 0
        if number < 0:
            number, sign = -number, 5
        low = number // parts
        rest = number - low * parts
        if rest:
            shown = behind[rest]
            if low >= 10000:
                high = low // 10000
                return _THREE(full[sign + shown], high, low - high * 10000, rest)
            if low:
                return _TWO(mixed[sign + shown], low, rest)
            return _ONE(rest_only[sign + shown], rest)
        if low >= 10000:
            high = low // 10000
            if low != high * 10000:
                return _TWO(high_low[sign + shown], high, low - high * 10000)
            return _ONE(round_high[sign + shown], high)
        if low:
            return _ONE(small[sign + shown], low)
        return zero[shown]

    return field
