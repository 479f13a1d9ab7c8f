# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparisons: what SQLite's affinity and collation make of two operands, and the same in PostgreSQL's types."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

from ...codecs import base_type
from .values import (
    EXACT_IN_DOUBLE,
    NUMBERS,
    Untranslatable,
    Value,
    as_integer,
    boolean,
    integer,
    number_text,
    real,
    text,
)

_NUMERIC_AFFINITIES = frozenset({"INTEGER", "REAL", "NUMERIC"})
_NUMBER = re.compile(r"\s*[+-]?\.?\d+[\d.eE+-]*\s*$", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d{3}|\.\d{6})?)?", re.ASCII)
_UNITS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
#: Operators for which only being equal matters, not the order.
_EQUALITY = frozenset({"=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"})


def compare(left: Value, operator: str, right: Value) -> Value:
    """``left operator right`` as a boolean. Raises Untranslatable where the two sides would compare otherwise."""
    if left.is_null or right.is_null:
        return _with_null(left, operator, right)
    left, right = _affinity(left.known(), right), _affinity(right.known(), left)
    if "boolean" in (left.kind, right.kind):
        short = _boolean(left, operator, right)
        if short is not None:
            return short
        left, right = as_integer(left), as_integer(right)
    left, right = _instants(left, right), _instants(right, left)
    left, right = _moments(left, right), _moments(right, left)
    left, right = _dates(left, right), _dates(right, left)
    left, right = _numbers(left, right), _numbers(right, left)
    if left.kind != right.kind:
        raise Untranslatable(f"compares {_said(left)} with {_said(right)}")
    if left.kind == "text":
        if operator not in _EQUALITY:
            _check_order(left, right)
        return _texts(left, operator, right)
    if left.kind.startswith("key:") and operator not in _EQUALITY:
        raise Untranslatable("compares keys that become UUIDs by their order")
    return boolean(f"({left.sql} {operator} {right.sql})")


def _check_order(left: Value, right: Value) -> None:
    """Raise Untranslatable where SQLite would sort a text that looks like a number as that number.

    It does so with what is compared with a column of numeric affinity, as one declared UUID is.
    """
    for one, other in ((left, right), (right, left)):
        if one.affinity not in _NUMERIC_AFFINITIES or other.affinity in _NUMERIC_AFFINITIES:
            continue
        if not other.literal or _NUMBER.match(str(other.constant)):
            raise Untranslatable(f"compares {_said(one)} with a text by order, some of which SQLite reads as numbers")


def _said(value: Value) -> str:
    shown = value.kind.split(":")[0].replace("instant", "a point in time").replace("key", "a key that becomes a UUID")
    return f"{shown} ({value.column.name})" if value.column else shown


def _with_null(left: Value, operator: str, right: Value) -> Value:
    other = right if left.is_null else left
    if operator == "IS NOT DISTINCT FROM":
        return boolean(f"({other.raw or other.sql} IS NULL)")
    if operator == "IS DISTINCT FROM":
        return boolean(f"({other.raw or other.sql} IS NOT NULL)")
    return boolean("NULL::boolean")


def _affinity(value: Value, other: Value) -> Value:
    """A constant as the affinity of the column on the other side makes it. Expressions have no affinity."""
    if not value.literal:
        return value
    if other.affinity in _NUMERIC_AFFINITIES and isinstance(value.constant, str):
        number = number_text(value.constant)
        if number is None and other.kind in NUMBERS | {"boolean"}:
            raise Untranslatable(f"compares a number with the text {value.sql}")
        return integer(number) if number is not None else value
    if other.affinity == "TEXT" and isinstance(value.constant, (int, float)):
        if isinstance(value.constant, float):
            raise Untranslatable("compares text with a real")
        return text(str(value.constant))
    return value


def _boolean(left: Value, operator: str, right: Value) -> Value | None:
    if left.kind == right.kind:
        return boolean(f"({left.sql} {operator} {right.sql})")
    if left.kind != "boolean":
        left, right = right, left
    if not (right.literal and right.kind == "integer" and right.constant in (0, 1)) or operator not in _EQUALITY:
        return None
    truth = right.constant == 1
    if operator in ("=", "<>"):
        return boolean(left.sql if truth == (operator == "=") else f"(NOT {left.sql})")
    return boolean(f"({left.sql} {operator} {'true' if truth else 'false'})")


def _instants(value: Value, other: Value) -> Value:
    """An integer compared with a point in time: the same instant."""
    if not (other.kind.startswith("instant:") and value.kind == "integer" and value.literal and other.column):
        return value
    assert isinstance(value.constant, int)
    if other.column.codec not in _UNITS:
        raise Untranslatable(f"compares {_said(other)} with an integer")
    sql = instant(other.column.codec, base_type(other.column.type), value.constant)
    if sql is None:
        raise Untranslatable(f"compares a point in time with {value.constant}, which is none")
    return replace(value, sql=sql, kind=other.kind)


def instant(codec: str, base: str, number: int) -> str | None:
    """The constant of PostgreSQL for an integer that means a point in time; None beyond the years 1 to 9999."""
    unit = _UNITS[codec]
    try:
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(
            seconds=number // unit, microseconds=number % unit * (10**6 // unit)
        )
    except OverflowError:
        return None
    shown = moment.replace(tzinfo=None).isoformat(" ")
    return f"'{shown}+00'::timestamptz" if base == "timestamptz" else f"'{shown}'::timestamp"


def _moments(value: Value, other: Value) -> Value:
    """A text compared with timestamps of one form: the same moment, if the text has that form."""
    if not (other.kind.startswith("instant:iso") or other.kind.startswith("instant:utc")) or not other.column:
        return value
    if not value.literal or not isinstance(value.constant, str):
        return value
    shape = f"{len(value.constant)}{value.constant[10:11]}"
    try:
        fits = other.kind.endswith(f":{shape}") and bool(dt.datetime.fromisoformat(value.constant))
    except ValueError:
        fits = False
    if not fits or not _MOMENT.fullmatch(value.constant):
        raise Untranslatable(f"compares {_said(other)} with {value.sql}, which has another form")
    zoned = base_type(other.column.type) == "timestamptz"
    sql = f"'{value.constant}+00'::timestamptz" if zoned else f"'{value.constant}'::timestamp"
    return replace(value, sql=sql, kind=other.kind)


def _dates(value: Value, other: Value) -> Value:
    if other.kind != "date" or not value.literal or not isinstance(value.constant, str):
        return value
    try:
        fits = bool(_DAY.fullmatch(value.constant)) and bool(dt.date.fromisoformat(value.constant))
    except ValueError:
        fits = False
    if not fits:
        raise Untranslatable(f"compares a date with {value.sql}, which is none")
    return replace(value, sql=f"'{value.constant}'::date", kind="date")


def _numbers(value: Value, other: Value) -> Value:
    """A number as its neighbour's type, where the two compare as in SQLite."""
    if value.kind == other.kind or value.kind not in NUMBERS or other.kind not in NUMBERS:
        return value
    if value.literal:
        number = value.constant
        assert isinstance(number, (int, float))
        if abs(number) > EXACT_IN_DOUBLE:
            raise Untranslatable(f"compares with {number}, which not every number type holds exactly")
        if other.kind == "real":
            return real(repr(float(number)))
        # Between a number and a short decimal there is no other double: exact digits compare as the double does.
        return replace(value, sql=str(number) if number >= 0 else f"({number})", kind=other.kind)
    if value.kind == "integer" and other.kind == "numeric":
        return replace(value, kind="numeric")
    return value


def _texts(left: Value, operator: str, right: Value) -> Value:
    collation = _collation(left, right)
    if collation == "NOCASE":
        return boolean(f"({_folded(left)} {operator} {_folded(right)})")
    if collation != "BINARY":
        raise Untranslatable(f"compares by the collation {collation}")
    if operator in _EQUALITY:
        if (
            left.raw
            and right.raw
            and left.column
            and right.column
            and left.column.codec == right.column.codec == "uuid"
        ):
            return boolean(f"({left.raw} {operator} {right.raw})")
        return boolean(f"({left.sql} {operator} {right.sql})")
    return boolean(f"({left.bytewise()} {operator} {right.sql})")


def _folded(value: Value) -> str:
    """The ASCII lower case, which is what NOCASE compares."""
    if value.literal and isinstance(value.constant, str):
        return text(ascii_lower(value.constant)).sql
    return f"lower({value.bytewise()})"


def ascii_lower(content: str) -> str:
    """The text with A-Z in lower case and everything else as it is."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in content)


def _collation(left: Value, right: Value) -> str:
    """The collation by which SQLite compares: an explicit one, else that of the left column, else of the right."""
    for value in (left, right):
        if value.explicit:
            return value.collation
    for value in (left, right):
        if value.bearing:
            return value.collation
    return "BINARY"
