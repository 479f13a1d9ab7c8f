# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates, times of day and points in time, as integers or ISO text.

PostgreSQL counts microseconds (timestamps, time) and days (date) from 2000-01-01.
"""

from __future__ import annotations

import datetime as dt
import re
import struct

from ..errors import Unfit
from .base import Canonical, Codec, Rules, Stored, Touched, Wire, decode, unfit

#: Microseconds from 1970-01-01 to 2000-01-01.
EPOCH_2000_US = 946_684_800_000_000
#: The range of timestamptz in microseconds from 1970-01-01, from 4713 BC on. PostgreSQL holds some thirty years more,
#: to the end of 294276 AD, but from here on its extract() is no longer exact and the number does not fit 64 bits.
MIN_US, END_US = -210_866_803_200_000_000, 2**63 - 1
#: The years 1 to 9999 in milliseconds from 1970-01-01.
_MIN_ISO_MS, _MAX_ISO_MS = -62_135_596_800_000, 253_402_300_799_999
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - zones are added and taken off explicitly
_PACK_US = struct.Struct(">iq").pack

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?"
    r"(?P<zone>[ ]?[Zz]|[ ]?[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,6}))?)?", re.ASCII)


class Epoch(Codec):
    """Integers that count seconds, milliseconds or microseconds from 1970-01-01 UTC."""

    types = ("timestamptz", "timestamp")
    unit = 1

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        unit = self.unit

        def field(value: Stored) -> bytes:
            if type(value) is not int:
                raise unfit(value, "integers")
            return pack_instant(value * unit)

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        unit = self.unit

        def text(value: Stored) -> bytes:
            if type(value) is not int:
                raise unfit(value, "integers")
            return b"%d" % (value * unit)

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        # extract() is exact (numeric) from PostgreSQL 14 on; infinity, which no source holds, stays one.
        return f"trim_scale(extract(epoch FROM {column}) * 1000000)"

    def restore(self, text: str, type_name: str) -> int:
        value, rest = divmod(int(text), self.unit)
        if rest:
            raise Unfit(f"has a finer fraction than the source's unit of {self.unit} microseconds")
        return value


class EpochSeconds(Epoch):
    """Seconds, as time() and unixepoch() give them."""

    name = "epoch_s"
    unit = 1_000_000


class EpochMilliseconds(Epoch):
    """Milliseconds, as Prisma and JavaScript store them."""

    name = "epoch_ms"
    unit = 1_000


class EpochMicroseconds(Epoch):
    """Microseconds."""

    name = "epoch_us"
    unit = 1


def pack_instant(microseconds: int) -> bytes:
    """Microseconds from 1970-01-01 as a field of timestamp or timestamptz. Raises Unfit."""
    if not MIN_US <= microseconds < END_US:
        raise Unfit("is outside the range of PostgreSQL's timestamps")
    return _PACK_US(8, microseconds - EPOCH_2000_US)


def shown_sql(column: str, moment: str, form: str) -> str:
    """The text of a moment. to_char() says nothing of infinity and does not say BC: no source holds these, but verify
    must tell them from NULL and from the same day AD."""
    held = f"{column} >= '0001-01-01 00:00:00+00' AND {column} < 'infinity'"
    return f"CASE WHEN {held} THEN to_char({moment}, '{form}') ELSE {column}::text END"


def _parts(value: Stored) -> re.Match[str]:
    if type(value) is not bytearray:
        raise unfit(value, "ISO 8601 text")
    match = _TIMESTAMP.fullmatch(decode(value))
    if match is None:
        raise Unfit("text is no ISO 8601 timestamp (YYYY-MM-DD HH:MM:SS with at most 6 decimals)")
    return match


def _moment(match: re.Match[str]) -> dt.datetime:
    year, month, day, hour, minute, second, fraction = match.groups()[:7]
    try:
        return dt.datetime(  # noqa: DTZ001 - zones are added and taken off explicitly
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")),
        )
    except ValueError as error:
        raise Unfit(f"text is no valid timestamp: {error}") from None


def _offset(zone: str) -> dt.timedelta:
    zone = zone.strip().upper()
    if zone == "Z":
        return dt.timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    if digits[:2] > "15" or digits[2:] > "59":
        raise Unfit("text has an offset from UTC that is no time zone's: at most 15:59")
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset


def _instant(moment: dt.datetime) -> bytes:
    delta = moment - _EPOCH
    return pack_instant((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)


def _padded(match: re.Match[str]) -> str:
    """The text with six decimals, made of its own digits."""
    year, month, day, hour, minute, second, fraction = match.groups()[:7]
    return f"{year}-{month}-{day} {hour}:{minute}:{second or '00'}.{(fraction or '').ljust(6, '0')}"


def _trimmed(text: str) -> str:
    """``YYYY-MM-DD HH:MM:SS.ffffff`` without a fraction of zero."""
    return text[:-7] if text.endswith(".000000") else text


class IsoTimestamp(Codec):
    """ISO text without a zone."""

    name = "iso_timestamp"
    types = ("timestamp",)
    rules = {"date_as_midnight": "text that is a date only becomes midnight of that day"}

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        def field(value: Stored) -> bytes:
            return _instant(_moment(_zoneless(value, rules)))

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        return lambda value: _padded(_zoneless(value, rules)).encode()

    def canonical_sql(self, column: str, type_name: str) -> str:
        return shown_sql(column, column, "YYYY-MM-DD HH24:MI:SS.US")

    def restore(self, text: str, type_name: str) -> str:
        return _trimmed(text)

    def touched(self, type_name: str, rules: Rules) -> Touched:
        return lambda value: rules if isinstance(value, bytearray) and len(value) == 10 else ()


def _zoneless(value: Stored, rules: Rules) -> re.Match[str]:
    if "date_as_midnight" in rules and type(value) is bytearray and _DATE.fullmatch(decode(value)):
        value = value + b" 00:00:00"
    match = _parts(value)
    if match["zone"]:
        raise Unfit("text has a zone where the column's other values have none")
    return match


class IsoTimestampTz(Codec):
    """ISO text with a zone. Without a rule the zone must be UTC, for PostgreSQL keeps the instant, not the zone."""

    name = "iso_timestamptz"
    types = ("timestamptz",)
    rules = {"to_utc": "the instant is kept, the stored offset from UTC is not"}

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        def field(value: Stored) -> bytes:
            match = _zoned(value, rules)
            return _instant(_shift(_moment(match), _offset(match["zone"])))

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            match = _zoned(value, rules)
            if not _offset(match["zone"]):
                return _padded(match).encode()
            zone = match["zone"].strip().replace(":", "").ljust(5, "0")
            try:
                read = dt.datetime.strptime(_padded(match) + zone, "%Y-%m-%d %H:%M:%S.%f%z").astimezone(dt.timezone.utc)
            except OverflowError:
                raise Unfit("is outside the years 1 to 9999 in UTC") from None
            except ValueError as error:
                raise Unfit(f"text is no valid timestamp: {error}") from None
            return read.replace(tzinfo=None).isoformat(" ", "microseconds").encode()

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        return shown_sql(column, f"{column} AT TIME ZONE 'UTC'", "YYYY-MM-DD HH24:MI:SS.US")

    def restore(self, text: str, type_name: str) -> str:
        return _trimmed(text) + "+00:00"

    def touched(self, type_name: str, rules: Rules) -> Touched:
        return lambda value: rules if _offset(_parts(value)["zone"] or "Z") else ()


def _shift(moment: dt.datetime, offset: dt.timedelta) -> dt.datetime:
    try:
        return moment - offset
    except OverflowError:
        raise Unfit("is outside the years 1 to 9999 in UTC") from None


def _zoned(value: Stored, rules: Rules) -> re.Match[str]:
    match = _parts(value)
    if not match["zone"]:
        raise Unfit("text has no zone where the column's other values have one")
    if "to_utc" not in rules and _offset(match["zone"]):
        raise Unfit("text has an offset from UTC, which timestamptz does not keep")
    return match


class MixedTimestamp(Codec):
    """A mix of milliseconds and ISO text in one column, as Prisma leaves it. Only by its rule, never by default."""

    name = "mixed_timestamp"
    types = ("timestamptz",)
    rules = {
        "per_value": "integers are milliseconds from 1970, text without zone is UTC, text with a zone is converted"
    }

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        zoned = IsoTimestampTz().wire(type_name, ("to_utc",))
        plain = IsoTimestamp().wire("timestamp", ("date_as_midnight",))
        number = EpochMilliseconds().wire(type_name)

        def field(value: Stored) -> bytes:
            if type(value) is int:
                if not _MIN_ISO_MS <= value <= _MAX_ISO_MS:
                    # PostgreSQL holds more, but not as text that the other values of the column are like.
                    raise Unfit("is outside the years 1 to 9999")
                return number(value)
            return zoned(value) if _has_zone(value) else plain(value)

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        zoned = IsoTimestampTz().canonical(type_name, ("to_utc",))
        plain = IsoTimestamp().canonical("timestamp", ("date_as_midnight",))

        def text(value: Stored) -> bytes:
            if type(value) is int:
                try:
                    moment = _EPOCH + dt.timedelta(milliseconds=value)
                except OverflowError:
                    raise Unfit("is outside the years 1 to 9999") from None
                return moment.isoformat(" ", "microseconds").encode()
            return zoned(value) if _has_zone(value) else plain(value)

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        return IsoTimestampTz().canonical_sql(column, type_name)

    def restore(self, text: str, type_name: str) -> str:
        return IsoTimestampTz().restore(text, type_name)

    def touched(self, type_name: str, rules: Rules) -> Touched:
        return lambda value: rules


def _has_zone(value: Stored) -> bool:
    if type(value) is bytearray and len(value) == 10:
        return False
    return bool(_parts(value)["zone"])


class Date(Codec):
    """ISO dates as text."""

    name = "date"
    types = ("date",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        pack = struct.Struct(">ii").pack
        base = dt.date(2000, 1, 1).toordinal()
        return lambda value: pack(4, _day(value).toordinal() - base)

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            _day(value)
            assert isinstance(value, bytearray)
            return bytes(value)

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        return shown_sql(column, column, "YYYY-MM-DD")

    def restore(self, text: str, type_name: str) -> str:
        return text


def _day(value: Stored) -> dt.date:
    if type(value) is not bytearray:
        raise unfit(value, "ISO 8601 dates as text")
    text = decode(value)
    if not _DATE.fullmatch(text):
        raise Unfit("text is no date (YYYY-MM-DD)")
    try:
        return dt.date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError as error:
        raise Unfit(f"text is no valid date: {error}") from None


class Time(Codec):
    """Times of day as text."""

    name = "time"
    types = ("time",)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        def field(value: Stored) -> bytes:
            hour, minute, second, fraction = _clock(value).groups()
            seconds = (int(hour) * 60 + int(minute)) * 60 + int(second or 0)
            return _PACK_US(8, seconds * 1_000_000 + int((fraction or "").ljust(6, "0")))

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        def text(value: Stored) -> bytes:
            hour, minute, second, fraction = _clock(value).groups()
            return f"{hour}:{minute}:{second or '00'}.{(fraction or '').ljust(6, '0')}".encode()

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        return f"to_char({column}, 'HH24:MI:SS.US')"

    def restore(self, text: str, type_name: str) -> int | str:
        return _trimmed(text)


def _clock(value: Stored) -> re.Match[str]:
    if type(value) is not bytearray:
        raise unfit(value, "times of day as text")
    match = _TIME.fullmatch(decode(value))
    if match is None:
        raise Unfit("text is no time of day (HH:MM:SS with at most 6 decimals)")
    return match
