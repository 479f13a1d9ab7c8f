# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time and days as numbers: seconds with a fraction, Julian days, days since 1970."""

from __future__ import annotations

import math
import struct
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from ..errors import Unfit
from .base import Canonical, Codec, Rules, Stored, Touched, Wire, unfit
from .temporal import Epoch, pack_instant

_DAY_US = 86_400_000_000
#: The Julian day of 1970-01-01 00:00, and the same in milliseconds.
_JULIAN_1970, _JULIAN_1970_MS = Fraction(4881175, 2), 210_866_760_000_000
#: The days that PostgreSQL's date holds, counted from 1970-01-01: 4713 BC to 5874897 AD.
_LEAST_DAY, _END_DAY = -2_440_588, 2_145_042_906
_DAYS_TO_2000 = 10_957
_FINER = "has a fraction finer than a microsecond"


class EpochReal(Epoch):
    """Seconds from 1970-01-01 UTC as reals, as time.time() gives them: their shortest decimal form is what counts."""

    name = "epoch_real"
    rules = {
        "round_to_us": "a fraction finer than a microsecond is rounded, half to even",
        "truncate_to_us": "a fraction finer than a microsecond is cut off",
    }

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        how = _rounding(rules)

        def field(value: Stored) -> bytes:
            exact = _seconds(value).scaleb(6)
            whole = exact.to_integral_value(how or ROUND_DOWN)
            if how is None and whole != exact:
                raise Unfit(_FINER)
            return pack_instant(int(whole))

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        how = _rounding(rules)

        def text(value: Stored) -> bytes:
            exact = Fraction(repr(_number(value))) * 1_000_000
            if how is None and exact.denominator != 1:
                raise Unfit(_FINER)
            return b"%d" % (round(exact) if how == ROUND_HALF_EVEN else math.trunc(exact))

        return text

    def restore(self, text: str, type_name: str) -> float:  # type: ignore[override]  # Epoch's own are integers
        return float(Decimal(text).scaleb(-6))

    def touched(self, type_name: str, rules: Rules) -> Touched:
        decides = tuple(rule for rule in rules if rule in self.rules)[:1]
        return lambda value: decides if (Fraction(repr(_number(value))) * 1_000_000).denominator != 1 else ()


def _rounding(rules: Rules) -> str | None:
    if "round_to_us" in rules:
        return ROUND_HALF_EVEN
    return ROUND_DOWN if "truncate_to_us" in rules else None


def _number(value: Stored) -> int | float:
    if not isinstance(value, (int, float)):
        raise unfit(value, "numbers")
    if isinstance(value, float) and not math.isfinite(value):
        raise Unfit("is infinite: no point in time")
    return value


def _seconds(value: Stored) -> Decimal:
    number = Decimal(repr(_number(value)))
    if number.adjusted() > 15:
        raise Unfit("is outside the range of PostgreSQL's timestamps")
    return number


class Julian(Epoch):
    """Julian days as reals, as julianday() gives them; mostly between microseconds, so that a rule must say how to round."""

    name = "julian"
    types = ("timestamp", "timestamptz")
    rules = {
        "round_to_ms": "rounded to milliseconds, as SQLite's own functions for dates do",
        "round_to_us": "rounded to the nearest microsecond",
    }

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        def field(value: Stored) -> bytes:
            if "round_to_ms" in rules:
                return pack_instant((int(_julian(value) * 86_400_000.0 + 0.5) - _JULIAN_1970_MS) * 1000)
            exact = (Fraction(_julian(value)) - _JULIAN_1970) * _DAY_US
            if exact.denominator != 1 and "round_to_us" not in rules:
                raise Unfit(_FINER)
            return pack_instant(round(exact))

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            days = _julian(value)
            if "round_to_ms" in rules:
                return b"%d" % (math.floor(days * 86400000 + 0.5) * 1000 - _JULIAN_1970_MS * 1000)
            upper, lower = days.as_integer_ratio()
            count, rest = divmod((upper * 2 - 4_881_175 * lower) * (_DAY_US // 2), lower)
            if rest and "round_to_us" not in rules:
                raise Unfit(_FINER)
            half = rest * 2 - lower
            return b"%d" % (count + (half > 0 or (half == 0 and count % 2)))

        return text

    def restore(self, text: str, type_name: str) -> float:  # type: ignore[override]  # Epoch's own are integers
        return float(Fraction(int(text), _DAY_US) + _JULIAN_1970)

    def touched(self, type_name: str, rules: Rules) -> Touched:
        first = "round_to_ms" if "round_to_ms" in rules else "round_to_us"
        decides = (first,) if first in rules else ()
        unit = _DAY_US // 1000 if first == "round_to_ms" else _DAY_US
        return lambda value: decides if ((Fraction(_julian(value)) - _JULIAN_1970) * unit).denominator != 1 else ()


def _julian(value: Stored) -> float:
    number = _number(value)
    if not 0 <= number < 5_373_484.5:
        raise Unfit("is no Julian day of the years that SQLite knows (4714 BC to 9999 AD)")
    return float(number)


class DateDays(Codec):
    """Integers that count days from 1970-01-01."""

    name = "date_days"
    types = ("date",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        pack = struct.Struct(">ii").pack
        return lambda value: pack(4, _days(value) - _DAYS_TO_2000)

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: b"%d" % _days(value)

    def canonical_sql(self, column: str, type_name: str) -> str:
        return f"CASE WHEN isfinite({column}) THEN ({column} - date '1970-01-01')::text ELSE {column}::text END"

    def restore(self, text: str, type_name: str) -> int:
        return int(text)


def _days(value: Stored) -> int:
    if type(value) is not int:
        raise unfit(value, "integers")
    if not _LEAST_DAY <= value < _END_DAY:
        raise Unfit("is outside the range of PostgreSQL's dates")
    return value
