# SPDX-License-Identifier: GPL-3.0-or-later
"""How numbers, times and stored values are written for a person. None is written as a dash."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .attempts import instant

NOTHING = "–"

#: Characters that would act instead of being seen: controls, lone surrogates, changes of direction.
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def visible(value: object, longest: int = 0) -> str:
    """A value as one line that does nothing to a terminal or a page; cut with … when longer than asked."""
    text = NOTHING if value is None else value if isinstance(value, str) else str(value)
    if longest and len(text) > longest:
        text = text[: longest - 1] + "…"
    return _ACTING.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def describe(value: object) -> str:
    """A database as the report names it, whether it was given as a text or as its parts."""
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(key)} {visible(item)}" for key, item in value.items() if item is not None)
    return visible(value or None)


def is_number(value: object) -> bool:
    """True for integers and floats, false for everything else (true and false too)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number(value: object) -> str:
    """1234567 → 1,234,567."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.1f}"
    return f"{value:,.0f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else visible(value)


def plural(count: int, one: str, many: str = "") -> str:
    """1 table, 12 tables."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def duration(value: object) -> str:
    """72.3 → 1 min 12 s; two units are enough."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return NOTHING
    if value < 0.9995:
        return f"{value * 1000:.0f} ms" if value >= 0.0005 else "0 s"
    if value < 9.95:
        return f"{value:.1f} s"
    seconds = round(value)
    for size, unit, part, part_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{seconds} s"


def size(value: object) -> str:
    """Bytes with a unit: 543210000 → 543.2 MB."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return NOTHING
    amount = float(value)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 999.95:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def rate(amount: object, seconds: object) -> str:
    """Bytes in seconds as MB/s."""
    if not isinstance(amount, (int, float)) or not isinstance(seconds, (int, float)) or seconds <= 0:
        return NOTHING
    return f"{amount / seconds / 1e6:,.1f}"


def milliseconds(value: object) -> str:
    """12.34 → 12.3 ms."""
    return f"{value:,.1f} ms" if isinstance(value, (int, float)) and not isinstance(value, bool) else NOTHING


def when(value: object) -> str:
    """A time stamp to the second, in UTC: 2026-11-22 15:30:00 UTC."""
    moment = instant(value)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else visible(value or None)


def clock(value: object) -> str:
    """The time of day of a time stamp, in UTC."""
    moment = instant(value)
    return f"{moment:%H:%M:%S}" if moment is not None else NOTHING


def place(item: Mapping[str, Any]) -> str:
    """Where in the data something is: table.column, key."""
    names = ".".join(visible(item[key]) for key in ("table", "column") if item.get(key) is not None)
    key = item.get("key")
    return ", ".join(filter(None, [names, "" if key is None else f"key {visible(key, 80)}"]))
