# SPDX-License-Identifier: GPL-3.0-or-later
"""Intervals, as Django and SQLAlchemy keep them in SQLite."""

from __future__ import annotations

import datetime as dt
import struct

from ..errors import Unfit
from .base import Canonical, Codec, Rules, Stored, Wire, unfit
from .temporal import IsoTimestamp

_DAY_US = 86_400_000_000
_PACK = struct.Struct(">iqii").pack
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - stands for no point in time


class IntervalMicroseconds(Codec):
    """Integers that count microseconds, as Django's DurationField does."""

    name = "interval_us"
    types = ("interval",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        return lambda value: _pack(self._microseconds(value))

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: _shown(self._microseconds(value))

    def canonical_sql(self, column: str, type_name: str) -> str:
        # The parts themselves: to PostgreSQL a month equals thirty days.
        return f"encode(interval_send({column}), 'hex')"

    def restore(self, text: str, type_name: str) -> int | str:
        return _read(text)

    def _microseconds(self, value: Stored) -> int:
        if type(value) is not int:
            raise unfit(value, "integers")
        if not -(2**63) <= value < 2**63:
            raise Unfit("is outside the range of 64 bits")
        return value


class IntervalSinceEpoch(IntervalMicroseconds):
    """Text of the instant that lies an interval after 1970-01-01, as SQLAlchemy's Interval does."""

    name = "interval_since_epoch"

    def restore(self, text: str, type_name: str) -> str:
        try:
            return (_EPOCH + dt.timedelta(microseconds=_read(text))).isoformat(" ", "microseconds")
        except OverflowError:
            raise Unfit("is an interval that ends outside the years 1 to 9999") from None

    def _microseconds(self, value: Stored) -> int:
        text = IsoTimestamp().canonical("timestamp")(value).decode()
        try:
            past = dt.datetime.fromisoformat(text) - _EPOCH
        except ValueError as error:
            raise Unfit(f"text is no valid timestamp: {error}") from None
        return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


def _pack(microseconds: int) -> bytes:
    """Days and the rest of one sign, as people write an interval."""
    days, rest = divmod(abs(microseconds), _DAY_US)
    return _PACK(16, -rest, -days, 0) if microseconds < 0 else _PACK(16, rest, days, 0)


def _shown(microseconds: int) -> bytes:
    days = microseconds // _DAY_US
    if days < 0 and microseconds % _DAY_US:
        days += 1
    rest = microseconds - days * _DAY_US
    return (rest.to_bytes(8, "big", signed=True) + days.to_bytes(4, "big", signed=True) + bytes(4)).hex().encode()


def _read(text: str) -> int:
    rest, days, months = struct.unpack(">qii", bytes.fromhex(text))
    if months:
        raise Unfit("has months, whose length is not known")
    return int(days * _DAY_US + rest)
