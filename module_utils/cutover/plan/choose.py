# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec of a column, from its declared type and from what is stored in it."""

from __future__ import annotations

import re

from ..codecs.numbers import SPELLINGS
from ..errors import Finding
from ..source.model import Column
from ..source.profile import ColumnProfile

#: (codec, type)
Chosen = tuple[str, str]

_NUMBERS = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_TEMPORAL = re.compile(r"DATE|TIME")
#: Integers below are no seconds since 1970 (all before March 1973); from here on they count microseconds.
_LEAST_SECONDS, _LEAST_US = 10**8, 10**14
_EPOCHS = {"seconds": "epoch_s", "milliseconds": "epoch_ms", "microseconds": "epoch_us"}
_BY_STORAGE: dict[str, Chosen] = {
    "integers": ("integer", "bigint"),
    "reals": ("real", "double precision"),
    "texts": ("text", "text"),
    "blobs": ("blob", "bytea"),
}


def is_temporal(declared: str) -> bool:
    """True when a declared type speaks of dates or times."""
    return bool(_TEMPORAL.search(declared.upper()))


def family(declared: str) -> str:
    """What a declared type means to the people who write it; ``stored`` when it says nothing."""
    name = re.sub(r"\(.*", "", declared.upper()).strip()
    if name.startswith("BOOL"):
        return "boolean"
    if is_temporal(name):
        if "DATETIME" in name or "TIMESTAMP" in name:
            return "timestamp"
        return "date" if name == "DATE" else "time" if name.startswith("TIME") else "timestamp"
    for words, meaning in (
        (("JSON",), "json"),
        (("UUID", "GUID"), "uuid"),
        (("BLOB", "BYTEA", "BINARY"), "blob"),
        (("CHAR", "CLOB", "TEXT", "STRING"), "text"),
        (("INT", "SERIAL"), "integer"),
        (("REAL", "FLOA", "DOUB"), "real"),
        (("DECIMAL", "NUMERIC", "MONEY", "NUMBER"), "decimal"),
    ):
        if any(word in name for word in words):
            return meaning
    return "stored"


def choose(table: str, column: Column, stored: ColumnProfile, usual_time: str) -> tuple[Chosen, tuple[Finding, ...]]:
    """The codec and type of a column, and what only the profile can tell of it.

    usual_time: the temporal codec that most of the database uses, for columns that are empty.
    Values that the codec will not take are found by the check of every value, not here.
    """
    meaning = family(column.declared)
    numbers = _NUMBERS.search(column.declared)
    if meaning in ("timestamp", "date", "time"):
        return _temporal(table, column, stored, meaning, usual_time)
    if meaning == "stored":
        return _by_storage(stored), ()
    if meaning == "integer":
        return ("integer", "bigint"), ()
    if meaning == "decimal":
        return ("decimal", _decimal_type(numbers)), ()
    if meaning == "text":
        limited = numbers is not None and "CHAR" in column.declared.upper() and 0 < int(numbers[1]) <= 10_485_760
        return ("text", f"varchar({int(numbers[1])})" if limited and numbers else "text"), ()
    if meaning == "boolean":
        return (_boolean(stored), "boolean"), ()
    simple: dict[str, Chosen] = {
        "json": ("jsonb", "jsonb"),
        "uuid": ("uuid", "uuid"),
        "blob": ("blob", "bytea"),
        "real": ("real", "double precision"),
    }
    return simple[meaning], ()


def _boolean(stored: ColumnProfile) -> str:
    """The codec of booleans: of the one pair of spellings in which all values stand, else of 0 and 1."""
    if stored.spelled and stored.spelled == stored.values and stored.spellings <= 2:
        found = {stored.first_spelling, stored.last_spelling}
        for codec in SPELLINGS:
            if found <= set(codec.spellings):
                return codec.name
    return "boolean"


def _decimal_type(numbers: re.Match[str] | None) -> str:
    if numbers is None:
        return "numeric"
    precision, scale = int(numbers[1]), int(numbers[2] or 0)
    return f"numeric({precision},{scale})" if 0 < precision <= 1000 and scale <= precision else "numeric"


def _by_storage(stored: ColumnProfile) -> Chosen:
    """Without a declared type the storage classes decide; a mix is refused by the check, at the rarer class."""
    counts = {name: getattr(stored, name) for name in _BY_STORAGE}
    if stored.integers and stored.reals and not stored.texts and not stored.blobs:
        return "decimal", "numeric"
    most = max(counts, key=lambda name: counts[name])
    return _BY_STORAGE[most] if counts[most] else ("text", "text")


def _temporal(
    table: str, column: Column, stored: ColumnProfile, meaning: str, usual_time: str
) -> tuple[Chosen, tuple[Finding, ...]]:
    if not stored.values:
        return _empty(meaning, usual_time), ()
    if stored.reals >= max(1, stored.texts, stored.integers):
        if stored.julians == stored.reals:
            return ("julian", "timestamp"), ()
        if stored.clocks == stored.reals:
            return ("epoch_real", "timestamptz"), ()
        return ("real", "double precision"), (_reals(table, column, stored),)
    if stored.texts >= stored.integers and stored.texts:
        chosen = _text_shape(stored)
        if chosen[0] == "iso_timestamp" and stored.seventies == stored.texts:
            return chosen, (_since_epoch(table, column),)
        return chosen, ()
    return _epoch(table, column, stored)


def _empty(meaning: str, usual_time: str) -> Chosen:
    if meaning in ("date", "time"):
        return meaning, meaning
    return usual_time, "timestamptz" if usual_time != "iso_timestamp" else "timestamp"


def _text_shape(stored: ColumnProfile) -> Chosen:
    if stored.dates == stored.texts:
        return "date", "date"
    if stored.times == stored.texts:
        return "time", "time"
    # The majority decides; what deviates is refused with its key, and the plan may name a rule.
    if stored.zoned * 2 > stored.texts:
        return "iso_timestamptz", "timestamptz"
    return "iso_timestamp", "timestamp"


def _epoch(table: str, column: Column, stored: ColumnProfile) -> tuple[Chosen, tuple[Finding, ...]]:
    largest = max(-(stored.minimum or 0), stored.maximum or 0)
    present = {
        "seconds": stored.seconds > 0,
        "milliseconds": stored.milliseconds > 0,
        "microseconds": largest >= _LEAST_US,
    }
    units = [unit for unit in present if present[unit]]
    chosen, problem = ("epoch_ms", "timestamptz"), None
    if len(units) > 1:
        problem = (
            f"some integers look like {units[0]} since 1970 and some like {units[-1]}; which they are cannot be told "
            "from the values"
        )
    elif units == ["seconds"] and largest < _LEAST_SECONDS:
        chosen = ("integer", "bigint")
        problem = (
            "the integers are too small for seconds or milliseconds since 1970 as applications store them (years, "
            "YYYYMMDD, durations?); they stay integers unless the plan names epoch_s or epoch_ms"
        )
    elif units:
        chosen = (_EPOCHS[units[0]], "timestamptz")
    if problem is None:
        return chosen, ()
    decide = column_decision(table, column.name, {"codec": chosen[0], "type": chosen[1]})
    return chosen, (
        Finding("error", problem, table, column.name, None, f"{stored.minimum} … {stored.maximum}", decide),
    )


def _since_epoch(table: str, column: Column) -> Finding:
    return Finding(
        "info",
        "all values lie in the 1960s and 1970s; if they are intervals, which SQLAlchemy stores as instants after 1970-01-01, "
        "the plan may say so",
        table,
        column.name,
        decide=column_decision(table, column.name, {"codec": "interval_since_epoch", "type": "interval"}),
    )


def _reals(table: str, column: Column, stored: ColumnProfile) -> Finding:
    return Finding(
        "error",
        f"{stored.reals} values of a column declared {column.declared} are reals (Julian days or seconds with a "
        "fraction); they are carried as double precision only when the plan says so",
        table,
        column.name,
        decide=column_decision(table, column.name, {"codec": "real", "type": "double precision"}),
    )


def column_decision(table: str, column: str, entry: dict[str, str]) -> dict[str, object]:
    """An entry for a column, nested as ``cutover_plan_overrides`` wants it."""
    return {"tables": {table: {"columns": {column: entry}}}}
