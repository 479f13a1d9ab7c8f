# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan may say instead when a codec refuses a value: other ways to carry the whole column.

Each alternative accepts what the codec in question accepts, and more. Rare exceptions (bytes for a column that holds
numbers as well, infinity as a decimal) come out at the next check, which then proposes another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import Unfit
from . import CODECS
from .base import Rules, Stored, base_type
from .fills import fillers
from .narrow import narrowed
from .ruled import Ruled

#: (codec, type, rules)
Choice = tuple[str, str, Rules]

_AS_TEXT: tuple[Choice, ...] = (
    ("text", "text", ()),
    ("text", "text", ("as_text",)),
    ("blob", "bytea", ("text_as_bytes",)),
)
_NUMBERS: tuple[Choice, ...] = (("decimal", "numeric", ()), ("text", "text", ("as_text",)))
_MIXED: Choice = ("mixed_timestamp", "timestamptz", ("per_value",))

_REAL: Choice = ("real", "double precision", ())

_WIDER: dict[str, tuple[Choice, ...]] = {
    "integer": (("integer", "bigint", ()), *_NUMBERS),
    "boolean": (("boolean", "boolean", ("spelled",)), ("integer", "bigint", ()), *_NUMBERS),
    "real": _NUMBERS,
    "decimal": _NUMBERS,
    "text": _AS_TEXT,
    "blob": (("blob", "bytea", ("text_as_bytes",)),),
    "uuid": _AS_TEXT,
    "epoch_s": (("integer", "bigint", ()), *_NUMBERS),
    "epoch_ms": (_MIXED, ("integer", "bigint", ()), *_NUMBERS),
    "epoch_us": (("integer", "bigint", ()), *_NUMBERS),
    "iso_timestamp": (
        ("iso_timestamp", "timestamp", ("date_as_midnight",)),
        ("iso_timestamp", "timestamp", ("truncate_to_us",)),
        ("iso_timestamp", "timestamp", ("date_as_midnight", "truncate_to_us")),
        _MIXED,
        *_AS_TEXT,
    ),
    "iso_timestamptz": (
        ("iso_timestamptz", "timestamptz", ("to_utc",)),
        ("iso_timestamptz", "timestamptz", ("truncate_to_us",)),
        ("iso_timestamptz", "timestamptz", ("to_utc", "truncate_to_us")),
        _MIXED,
        *_AS_TEXT,
    ),
    "mixed_timestamp": _AS_TEXT[1:2],
    "date": (("date", "date", ("midnight_as_date",)), ("iso_timestamp", "timestamp", ("date_as_midnight",)), *_AS_TEXT),
    "time": (("time", "time", ("truncate_to_us",)), *_AS_TEXT),
    "epoch_real": (("epoch_real", "timestamptz", ("round_to_us",)), _REAL, *_NUMBERS),
    "julian": (("julian", "timestamp", ("round_to_ms",)), _REAL, *_NUMBERS),
    "date_days": (("integer", "bigint", ()), *_NUMBERS),
    "interval_us": (("integer", "bigint", ()), *_NUMBERS),
    "interval_since_epoch": (("iso_timestamp", "timestamp", ()), *_AS_TEXT),
    # A bare number may be JSON, stored as an integer or real.
    "jsonb": (("json", "json", ()), *_AS_TEXT[1:]),
    "json": _AS_TEXT[1:],
    "enum": _AS_TEXT,
    "float4": (("real", "double precision", ()), *_NUMBERS),
    "char": _AS_TEXT,
    "uuid_hex": _AS_TEXT,
    "inet": _AS_TEXT,
    "uuid_bytes": (("blob", "bytea", ()),),
    "utc_timestamp": (("utc_timestamp", "timestamptz", ("date_as_midnight",)), _MIXED, *_AS_TEXT),
}


_SPELLED: tuple[Choice, ...] = (("boolean", "boolean", ("spelled",)), *_AS_TEXT)


class Alternatives:
    """The choices that accept every value refused so far in one column."""

    def __init__(self, codec: str, type_name: str, rules: Rules, fixed: bool = False) -> None:
        """fixed: the type is that of a table that exists; only codecs that fill it are proposed."""
        known = _SPELLED if codec.startswith("boolean_") else _WIDER.get(codec, ())
        wider: Sequence[Choice] = known
        if fixed:
            # Those first that take what the codec takes as well: else the next check refuses the values that fit now.
            more = [(choice[0], choice[2]) for choice in known]
            wider = sorted(
                fillers(type_name), key=lambda c: more.index((c[0], c[2])) if (c[0], c[2]) in more else len(more)
            )
        # A codec that stays keeps the rules that it has.
        kept = [(c[0], c[1], tuple(dict.fromkeys((*rules, *c[2]))) if c[0] == codec else c[2]) for c in wider]
        choices = [c for c in kept if c[0] != codec or (c[1], set(c[2])) != (type_name, set(rules))]
        if codec == "text" and "as_text" in rules:
            choices = [c for c in choices if c[::2] != ("text", ())]
        if codec == "integer" and not fixed and base_type(type_name) == "bigint":
            choices = [c for c in choices if c[0] != "integer"]
        self._left: list[Choice] = choices

    def refused(self, value: Stored) -> None:
        """Drop the choices that do not accept ``value`` either."""
        self._left = [choice for choice in self._left if _accepts(choice, value)]

    def merge(self, other: Alternatives) -> None:
        """Drop the choices that refuse what ``other`` has seen of the same column."""
        self._left = [choice for choice in self._left if choice in other._left]

    def best(self) -> dict[str, Any] | None:
        """The entry for the column in the plan's overrides, or None when no codec takes all values."""
        if not self._left:
            return None
        codec, type_name, rules = self._left[0]
        entry: dict[str, Any] = {"codec": codec, "type": type_name}
        if len(rules) == 1:
            entry["rule"] = rules[0]
        elif rules:
            entry["rules"] = list(rules)
        return entry


def _accepts(choice: Choice, value: Stored) -> bool:
    codec, type_name, rules = choice
    try:
        Ruled(narrowed(CODECS[codec].exact, type_name)).wire(type_name, rules)(value)
        CODECS[codec].canonical(type_name, rules)(value)
    except Unfit:
        return False
    return True
