# SPDX-License-Identifier: GPL-3.0-or-later
"""LIKE and GLOB."""

from __future__ import annotations

from .compare import ascii_lower
from .values import Untranslatable, Value, boolean, text


def like(value: Value, pattern: Value, escape: str | None) -> Value:
    """SQLite's LIKE, which ignores the case of ASCII letters only, and knows no escape unless it names one."""
    value, pattern = _text(value), _text(pattern)
    if escape is not None:
        if len(escape) != 1 or escape.isalpha() or escape in "%_":
            raise Untranslatable(f"uses LIKE with the escape {escape!r}")
        if not isinstance(pattern.constant, str):
            raise Untranslatable("uses LIKE with an escape and a pattern that is no constant")
        rest = pattern.constant.replace(escape * 2, "")
        if rest.endswith(escape):
            raise Untranslatable("uses LIKE with a pattern that ends in its escape")
    known = pattern.constant
    shown = text(ascii_lower(known)).sql if isinstance(known, str) else f"lower({pattern.bytewise()})"
    end = text(escape or "").sql
    return boolean(f"(lower({value.bytewise()}) LIKE {shown} ESCAPE {end})")


def glob(value: Value, pattern: Value) -> Value:
    """SQLite's GLOB as a regular expression over the same bytes."""
    value = _text(value)
    if not isinstance(pattern.constant, str):
        raise Untranslatable("uses GLOB with a pattern that is no constant")
    return boolean(f"({value.bytewise()} ~ {text('^' + _regular(pattern.constant) + '$').sql})")


def _text(value: Value) -> Value:
    value = value.known()
    if value.kind != "text":
        raise Untranslatable(f"matches a pattern against {value.kind.split(':')[0]}")
    return value


def _escaped(character: str) -> str:
    """A character that means itself, in a regular expression or between its brackets."""
    return character if character.isalnum() or ord(character) > 127 else "\\" + character


def _regular(pattern: str) -> str:
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            parts.append(".*")
        elif character == "?":
            parts.append(".")
        elif character == "[":
            part, at = _class(pattern, at)
            parts.append(part)
        else:
            parts.append(_escaped(character))
    return "".join(parts)


def _class(pattern: str, at: int) -> tuple[str, int]:
    """The set after ``[``: a ``]`` that comes first stands for itself, ``^`` in front negates."""
    begin = at
    negated = at < len(pattern) and pattern[at] == "^"
    at += negated
    items: list[str] = []
    first = True
    while True:
        if at >= len(pattern):
            raise Untranslatable(f"uses GLOB with a set that does not end: {pattern[begin - 1 :]}")
        character = pattern[at]
        at += 1
        if character == "]" and not first:
            break
        first = False
        if at + 1 < len(pattern) and pattern[at] == "-" and pattern[at + 1] != "]":
            last = pattern[at + 1]
            at += 2
            if last < character:
                raise Untranslatable(f"uses GLOB with the empty range {character}-{last}")
            items.append(f"{_escaped(character)}-{_escaped(last)}")
        else:
            items.append(_escaped(character))
    return f"[{'^' if negated else ''}{''.join(items)}]", at
