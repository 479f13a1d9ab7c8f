# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec together with the conversions that a plan may allow before it, and the last one: what is refused becomes NULL."""

from __future__ import annotations

from ..errors import Unfit
from .base import NULL, Canonical, Codec, Rules, Stored, Touched, Wire
from .conversions import CONVERSIONS, Convert

TO_NULL = "to_null"
#: Rules that put NULL where a value was.
NULLING = frozenset({"empty_to_null", TO_NULL})
#: Rules that no finding proposes, because a value is another or gone afterwards.
LOSING = NULLING | {
    "strip_nul",
    "replace_invalid",
    "escape_invalid",
    "truncate",
    "clamp",
    "round_to_scale",
    "last_key_wins",
}


class Ruled(Codec):
    """A codec with its own rules and the conversions that are made for it.

    Both sides of the proof apply the same conversions; the canonical text of a value that became NULL is empty.
    """

    def __init__(self, exact: Codec) -> None:
        self.exact = exact
        self.name, self.types, self.ordered = exact.name, exact.types, exact.ordered
        self._conversions = {
            name: conversion for name, conversion in CONVERSIONS if exact.name in (conversion.codecs or {exact.name})
        }
        self.rules = {
            **exact.rules,
            **{name: conversion.meaning for name, conversion in self._conversions.items()},
            TO_NULL: "what is still refused becomes NULL",
        }

    def _converts(self, type_name: str, rules: Rules) -> list[tuple[str, Convert]]:
        return [(name, c.make(type_name)) for name, c in self._conversions.items() if name in rules]

    def _own(self, rules: Rules) -> Rules:
        return tuple(rule for rule in rules if rule in self.exact.rules)

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        """See Codec."""
        own = self._own(rules)
        exact = self.exact.wire(type_name, own)
        if own == rules:
            return exact
        converts = [convert for _, convert in self._converts(type_name, rules)]
        nulling = TO_NULL in rules

        def field(value: Stored) -> bytes:
            converted = _through(converts, value)
            if converted is None:
                return NULL
            try:
                return exact(converted)
            except Unfit:
                if nulling:
                    return NULL
                raise

        return field

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        """See Codec. Empty for what became NULL."""
        own = self._own(rules)
        exact = self.exact.canonical(type_name, own)
        if own == rules:
            return exact
        converts = [convert for _, convert in self._converts(type_name, rules)]
        accepts = self.exact.wire(type_name, own) if TO_NULL in rules else None

        def text(value: Stored) -> bytes:
            converted = _through(converts, value)
            if converted is None or (accepts is not None and _refuses(accepts, converted)):
                return b""
            return exact(converted)

        return text

    def canonical_sql(self, column: str, type_name: str) -> str:
        """See Codec."""
        return self.exact.canonical_sql(column, type_name)

    def restore_sql(self, column: str, type_name: str) -> str:
        """See Codec."""
        return self.exact.restore_sql(column, type_name)

    def restore(self, text: str, type_name: str) -> int | float | str | bytes:
        """See Codec."""
        return self.exact.restore(text, type_name)

    def touched(self, type_name: str, rules: Rules) -> Touched:
        """See Codec."""
        own = self._own(rules)
        exact = self.exact.touched(type_name, own)
        if own == rules:
            return exact
        converts = self._converts(type_name, rules)
        accepts = self.exact.wire(type_name, own)

        def names(value: Stored) -> Rules:
            found: list[str] = []
            for name, convert in converts:
                converted = convert(value)
                if converted is not value:
                    found.append(name)
                if converted is None:
                    return tuple(found)
                value = converted
            if TO_NULL in rules and _refuses(accepts, value):
                return (*found, TO_NULL)
            return (*found, *(exact(value) if own else ()))

        return names


def _through(converts: list[Convert], value: Stored) -> Stored | None:
    for convert in converts:
        converted = convert(value)
        if converted is None:
            return None
        value = converted
    return value


def _refuses(wire: Wire, value: Stored) -> bool:
    try:
        wire(value)
    except Unfit:
        return True
    return False
