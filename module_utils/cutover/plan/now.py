# SPDX-License-Identifier: GPL-3.0-or-later
"""Defaults that mean the current time, in the many ways in which SQLite can say it.

Source: https://www.sqlite.org/lang_datefunc.html. SQLite means the time of the statement, in UTC; PostgreSQL that of
the transaction.
"""

from __future__ import annotations

import re

from ..source.sqltokens import tokens
from .literals import literal

_UTC = "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"
_EPOCH = "extract(epoch FROM CURRENT_TIMESTAMP)"
_SECONDS = re.compile(r"strftime\('%s'(,'now')?\)|unixepoch\(('now')?\)")
#: Milliseconds since 1970, as people write them; a part of a second may be cut off.
_MILLISECONDS = re.compile(
    r"cast\(unixepoch\(('now',)?'subsec(ond)?'\)\*1000(\.0)?as (integer|int|bigint)\)"
    r"|cast\((round\()?\(julianday\('now'\)-2440587\.5\)\*86400000(\.0)?\)?as (integer|int|bigint)\)"
    r"|cast\(strftime\('%s','now'\)\|\|substr\(strftime\('%f','now'\),4\)as (integer|int|bigint)\)"
)
_FORMAT = re.compile(r"strftime\('([^']*)'(?:,'now')?\)")
_PLAIN = {
    "current_timestamp": "%Y-%m-%d %H:%M:%S",
    "datetime('now')": "%Y-%m-%d %H:%M:%S",
    "datetime()": "%Y-%m-%d %H:%M:%S",
    "current_date": "%Y-%m-%d",
    "date('now')": "%Y-%m-%d",
    "date()": "%Y-%m-%d",
    "current_time": "%H:%M:%S",
    "time('now')": "%H:%M:%S",
    "time()": "%H:%M:%S",
}
_PARTS = {
    "Y": "YYYY",
    "m": "MM",
    "d": "DD",
    "H": "HH24",
    "M": "MI",
    "S": "SS",
    "f": "SS.MS",
    "j": "DDD",
    "F": "YYYY-MM-DD",
    "T": "HH24:MI:SS",
    "R": "HH24:MI",
}
_TIMESTAMP = re.compile(r"%Y-%m-%d[ T]%H:%M(:(%S|%f))?(Z|\+00:00)?")
_TIME = re.compile(r"%H:%M(:(%S|%f))?")
_TYPES = {"text": "text", "varchar": "text"}


def squeezed(sql: str) -> str:
    """An expression without white space and outer parentheses, words in lower case."""
    parts: list[str] = []
    found = tokens(sql)
    while len(found) > 1 and found[0].text == "(" and found[-1].text == ")":
        closing = next(t for t in found if t.text == ")" and t.depth == found[0].depth)
        if closing is not found[-1]:
            break
        found = found[1:-1]
    for before, token in zip([None, *found], found):
        if before is not None and before.kind == token.kind == "word":
            parts.append(" ")
        folded = token.kind == "word" or token.text.lower() == "'now'"
        parts.append(token.text.lower() if folded else token.text)
    return "".join(parts)


def now(default: str, codec: str, base: str) -> str | bool | None:
    """The SQL for a column of type ``base``; False when it means the time but not for this column; None otherwise."""
    text = squeezed(default)
    cast = re.fullmatch(r"cast\((.*)as (integer|int|bigint)\)", text)
    # In an integer column the digits that strftime() gives become an integer without a cast.
    inner = squeezed(cast[1]) if cast else text
    if _SECONDS.fullmatch(inner):
        return _number(codec, base, 1)
    product = re.fullmatch(r"(.*)\*1000", inner)
    if product and _is_seconds(product[1]):
        return _number(codec, base, 1000, whole=True)
    product = re.fullmatch(r"1000\*(.*)", inner)
    if (product and _is_seconds(product[1])) or _MILLISECONDS.fullmatch(text):
        return _number(codec, base, 1000)
    pattern = _PLAIN.get(text)
    if pattern is None:
        named = _FORMAT.fullmatch(text)
        if named is None:
            return None
        pattern = named[1]
    return _text(pattern, codec, base)


def _is_seconds(text: str) -> bool:
    inner = squeezed(text)
    cast = re.fullmatch(r"cast\((.*)as (integer|int|bigint)\)", inner)
    return bool(_SECONDS.fullmatch(squeezed(cast[1]) if cast else inner))


def _number(codec: str, base: str, unit: int, whole: bool = False) -> str | bool:
    if codec == {1: "epoch_s", 1000: "epoch_ms"}[unit]:
        part = "second" if unit == 1 or whole else "milliseconds"
        moment = f"date_trunc('{part}', CURRENT_TIMESTAMP)"
        return moment if base == "timestamptz" else f"({moment} AT TIME ZONE 'UTC')"
    number = f"floor({_EPOCH})" if unit == 1 or whole else f"floor({_EPOCH} * {unit})"
    number = f"({number} * {unit})" if whole else number
    if codec == "integer":
        return f"{number}::{base}"
    return f"{number}::bigint::text" if codec == "text" else False


def _text(pattern: str, codec: str, base: str) -> str | bool:
    if codec == "text":
        shown = _to_char(pattern)
        return False if shown is None else f"to_char({_UTC[1:-1]}, {literal(shown)})"
    if base == "date" and (pattern == "%Y-%m-%d" or _TIMESTAMP.fullmatch(pattern)):
        return f"{_UTC}::date"
    if base == "time" and _TIME.fullmatch(pattern):
        return f"{_UTC}::time"
    if _TIMESTAMP.fullmatch(pattern) and base in ("timestamp", "timestamptz"):
        if "%f" in pattern:
            moment = _UTC[1:-1] if base == "timestamp" else "CURRENT_TIMESTAMP"
            return f"date_trunc('milliseconds', {moment})"
        return _UTC if base == "timestamp" else "CURRENT_TIMESTAMP"
    return False


def _to_char(pattern: str) -> str | None:
    """A format of strftime() as one of to_char(); None when a part has none."""
    made, at = "", 0
    while at < len(pattern):
        if pattern[at] != "%":
            # Everything else stands between quotes, so that no letter is read as a part.
            made += f'"{pattern[at]}"' if pattern[at].isalpha() else pattern[at]
            if pattern[at] in '"\\':
                return None
            at += 1
            continue
        part = _PARTS.get(pattern[at + 1 : at + 2])
        if part is None:
            return None
        made, at = made + part, at + 2
    return made
