# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time, dates, times of day and intervals, in all the ways in which software stores them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from corpus.case import ANY, Refusal, column, one

UTC = dt.timezone.utc
_TEXT = {"codec": "text", "type": "text"}
_BIGINT = {"codec": "integer", "type": "bigint"}
_DOUBLE = {"codec": "real", "type": "double precision"}
_MIXED = {"codec": "mixed_timestamp", "type": "timestamptz", "rule": "per_value"}
_TO_UTC = {"codec": "iso_timestamptz", "type": "timestamptz", "rule": "to_utc"}
_MIDNIGHT = {"codec": "iso_timestamp", "type": "timestamp", "rule": "date_as_midnight"}


def _utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def _numbered(*values: Any) -> list[tuple[Any, ...]]:
    return [(number, value) for number, value in enumerate(values, 1)]


EPOCHS = [
    one("seconds since 1970", {"v": ("DATETIME", "seconds")}, [(1_700_000_000,), (0,), (-1,), (2**31,), (99_999_999_999,)], types={"v": "timestamp with time zone"}),
    one("milliseconds since 1970", {"v": ("TIMESTAMP", "milliseconds")}, [(1_700_000_000_001,), (-1_700_000_000_999,), (0,)], types={"v": "timestamp with time zone"}),
    one("microseconds since 1970", {"v": ("DATETIME", "microseconds")}, [(1_700_000_000_000_001,), (0,)], types={"v": "timestamp with time zone"}),
    one("seconds that the plan wants without a zone", {"v": ("INTEGER", "seconds without zone")}, [(1_700_000_000,), (0,)],
        decided=column("v", codec="epoch_s", type="timestamp"), types={"v": "timestamp without time zone"}),
    one(
        "seconds and milliseconds in one column",
        {"v": ("DATETIME", "integer")},
        [(1_700_000_000,), (1_700_000_000_000,)],
        refused=[Refusal("v", "some integers look like seconds since 1970 and some like milliseconds", ANY)],
        decided_then=column("v", codec="integer", type="bigint"),
    ),
    one("integers that are years", {"v": ("DATE", "integer")}, [(2024,), (1999,)], refused=[Refusal("v", "the integers are too small for seconds", _BIGINT)]),
    one(
        "seconds beyond what PostgreSQL holds",
        {"v": ("INTEGER", "integer")},
        [(9_224_318_015_999,), (9_223_372_036_855,), (0,)],
        decided=column("v", codec="epoch_s"),
        refused=[Refusal("v", "is outside the range of PostgreSQL's timestamps", _BIGINT, count=2)],
    ),
]  # fmt: skip

ISO = [
    one(
        "ISO text without a zone",
        {"v": ("DATETIME", "iso"), "w": ("TIMESTAMP", "iso")},
        [("2024-02-29 23:59:59", "2024-02-29T23:59:59"), ("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"), ("2024-01-01 00:00", "2024-01-01 00:00:00.100")],
        types={"v": "timestamp without time zone", "w": "timestamp without time zone"},
    ),
    one(
        "ISO text in UTC",
        {"v": ("DATETIME", "utc")},
        [("2024-02-29 23:59:59Z",), ("2024-02-29T23:59:59.123456+00:00",), ("2024-02-29T23:59:59.5 +00:00",), ("1969-12-31T23:59:59-00:00",)],
        types={"v": "timestamp with time zone"},
    ),
    one(
        "ISO text with offsets",
        {"v": ("DATETIME", "utc")},
        [("2024-02-29 12:00:00+05:45",), ("2024-02-29T12:00:00-03:30",), ("2024-02-29T12:00:00Z",)],
        refused=[Refusal("v", "text has an offset from UTC, which timestamptz does not keep", _TO_UTC, count=2)],
        touched={"v": 2},
    ),
    one(
        "ISO text with and without a zone",
        {"v": ("DATETIME", None)},
        [("2024-02-29 12:00:00",), ("2024-02-29 12:00:00Z",), ("2024-02-29 12:00:00+01:00",), ("2024-02-28T12:00:00Z",)],
        refused=[Refusal("v", "text has no zone where the column's other values have one", _MIXED, count=2)],
        touched={"v": 4},
        becomes=_numbered(_utc(2024, 2, 29, 12), _utc(2024, 2, 29, 12), _utc(2024, 2, 29, 11), _utc(2024, 2, 28, 12)),
    ),
    one(
        "milliseconds and ISO text, as Prisma leaves them",
        {"v": ("DATETIME", None)},
        [(1_700_000_000_123,), ("2024-02-29T12:00:00.500+00:00",), ("2024-02-29 12:00:00",), (0,), (1_700_000_000_999,)],
        refused=[Refusal("v", "holds text where the codec takes integers", _MIXED, count=2)],
        touched={"v": 5},
        becomes=_numbered(
            _utc(2023, 11, 14, 22, 13, 20, 123_000), _utc(2024, 2, 29, 12, 0, 0, 500_000), _utc(2024, 2, 29, 12),
            _utc(1970, 1, 1), _utc(2023, 11, 14, 22, 13, 20, 999_000),
        ),
        types={"v": "timestamp with time zone"},
    ),
    one(
        "dates among timestamps",
        {"v": ("DATETIME", None)},
        [("2024-02-29 12:00:00",), ("2024-02-28",)],
        refused=[Refusal("v", "text is no ISO 8601 timestamp", _MIDNIGHT)],
        touched={"v": 1},
        becomes=_numbered(dt.datetime(2024, 2, 29, 12), dt.datetime(2024, 2, 28)),  # noqa: DTZ001
    ),
    one(
        "fractions finer than a microsecond",
        {"v": ("DATETIME", None)},
        [("2024-02-29 12:00:00.123456789",), ("2024-02-29 12:00:00",)],
        refused=[Refusal(
            "v",
            "text is no ISO 8601 timestamp (YYYY-MM-DD HH:MM:SS with at most 6 decimals)",
            {"codec": "iso_timestamp", "type": "timestamp", "rule": "truncate_to_us"},
        )],
        touched={"v": 1},
        becomes=_numbered(dt.datetime(2024, 2, 29, 12, 0, 0, 123456), dt.datetime(2024, 2, 29, 12)),  # noqa: DTZ001
    ),
    one(
        "moments that no calendar has",
        {"v": ("DATETIME", "text")},
        [(v,) for v in ("2023-02-29 00:00:00", "2024-01-01 24:00:00", "2024-01-01 23:59:60", "0000-01-01 00:00:00", "2024-13-01 00:00:00", "2024-01-01 00:00:00")],
        refused=[Refusal("v", "text is no valid timestamp", _TEXT, count=5)],
    ),
    one(
        "words and other formats among timestamps",
        {"v": ("DATETIME", "text")},
        [(v,) for v in ("now", "", "infinity", "29/02/2024 10:00", "20240229T100000", "10000-01-01 00:00:00", "-0044-03-15 00:00:00", "2024-02-29 10:00:00 Europe/Berlin")],
        refused=[Refusal("v", "text is no ISO 8601 timestamp", _TEXT, count=8)],
    ),
    one(
        "Julian days",
        {"v": ("DATETIME", "julian")},
        [(2460370.25,), (2440587.5,)],
        types={"v": "timestamp without time zone"},
    ),
    one(
        "Julian days between microseconds",
        {"v": ("DATETIME", None)},
        [(2460370.123,), (2440587.5,)],
        refused=[Refusal("v", "has a fraction finer than a microsecond", {"codec": "julian", "type": "timestamp", "rule": "round_to_ms"})],
        touched={"v": 1},
        # As SELECT strftime('%f', 2460370.123) says.
        becomes=_numbered(dt.datetime(2024, 2, 29, 14, 57, 7, 200000), dt.datetime(1970, 1, 1)),  # noqa: DTZ001
    ),
    one(
        "seconds with a fraction",
        {"v": ("DATETIME", "instant of a real")},
        [(1700000000.5,), (1700000000.123456,), (1700000001,)],
        types={"v": "timestamp with time zone"},
    ),
    one(
        "reals that are no points in time",
        {"v": ("DATETIME", "real")},
        [(45123.25,), (2440587.5,)],
        refused=[Refusal("v", "2 values of a column declared DATETIME are reals (Julian days or seconds with a fraction)", _DOUBLE)],
    ),
]  # fmt: skip

DAYS = [
    one("dates", {"v": ("DATE", "date"), "w": ("DATETIME", "date")}, [("2024-02-29", "0001-01-01"), ("9999-12-31", "1582-10-10")], types={"v": "date", "w": "date"}),
    one(
        "dates that no calendar has",
        {"v": ("DATE", "text")},
        [("2024-02-29",), ("2023-02-29",), ("0000-00-00",)],
        refused=[Refusal("v", "text is no valid date", _TEXT, count=2)],
    ),
    one("times of day", {"v": ("TIME", "time"), "w": ("DATETIME", "time")}, [("23:59:59.999999", "00:00"), ("00:00:00", "12:30:00.5")],
        types={"v": "time without time zone", "w": "time without time zone"}),
    one(
        "times that no clock shows",
        {"v": ("TIME", "text")},
        [("12:00:00",), ("24:00:00",), ("12:60",), ("23:59:60",)],
        refused=[Refusal("v", "text is no time of day (HH:MM:SS with at most 6 decimals)", _TEXT, count=3)],
    ),
    one(
        "times with a zone",
        {"v": ("TIME", "text")},
        [("12:00:00+02",), ("12:00:00",)],
        refused=[Refusal("v", "text is no time of day", _TEXT)],
    ),
]  # fmt: skip

INTERVALS = [
    one("intervals in microseconds, as Django stores them", {"v": ("bigint", "integer")}, [(1,), (-86_400_000_000,), (10**15,)], types={"v": "bigint"}),
    one("intervals as an instant after 1970, as SQLAlchemy stores them", {"v": ("DATETIME", "iso")}, [("1970-01-01 00:00:01.500000",), ("1970-02-10 03:00:00.000000",)],
        types={"v": "timestamp without time zone"}),
]  # fmt: skip

INTERVALS += [
    one("intervals in microseconds by the plan", {"v": ("bigint", "interval")}, [(1,), (-86_400_000_000,), (-1,), (10**15,)],
        decided=column("v", codec="interval_us"), types={"v": "interval"}),
    one("intervals after 1970 by the plan", {"v": ("DATETIME", "interval since 1970")}, [("1970-01-01 00:00:01.500000",), ("1969-12-31 22:00:00.000000",)],
        decided=column("v", codec="interval_since_epoch"), types={"v": "interval"}),
    one("days since 1970 by the plan", {"v": ("DATE", "days")}, [(0,), (19_000,), (-1,)], decided=column("v", codec="date_days"), types={"v": "date"}),
]  # fmt: skip

CASES = [*EPOCHS, *ISO, *DAYS, *INTERVALS]
