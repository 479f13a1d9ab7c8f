# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of one column on their way back, and the keys that they make up."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Callable, Optional

from ..errors import Unfit
from ..plan.codec import codec_of
from ..plan.model import PlanColumn
from .fetch import Field
from .held import Held, as_read

Canon = Optional[bytes]
_Own = Callable[[Any], bytes]
#: What a codec may raise for a text that is none of its own: infinity, NaN, years that Python does not know.
UNREADABLE = (ValueError, ArithmeticError, LookupError, TypeError)


@dataclass
class Wanted:
    """A row of PostgreSQL as the source is to have it. canon: canonical texts of its columns, None for NULL."""

    key: tuple[Any, ...]
    fields: tuple[Field, ...]
    canon: list[Canon]


class Column:
    """How one column's values come back."""

    def __init__(self, column: PlanColumn) -> None:
        self.plan = column
        self.name = column.name
        codec = codec_of(column)
        self._codec = codec
        #: The canonical text of what is stored.
        self.stored: _Own = codec.canonical(column.type, column.rules)
        # Without the rules: they say what became of the source's values, not what PostgreSQL may hold.
        self._plain: _Own = codec.canonical(column.type)
        self.same = column.key_of is None and codec.canonical_sql("x", column.type) == codec.restore_sql(
            "x", column.type
        )

    def restore(self, text: str) -> Any:
        """The value to be bound. Raises one of UNREADABLE."""
        return self._codec.restore(text, self.plan.type)

    def canon(self, one: Field) -> Canon:
        """The canonical text of PostgreSQL's value, empty when it has none that can be told without asking again."""
        if self.plan.key_of is not None:
            return None if one.uuid is None else one.uuid.encode()
        if one.text is None:
            return None
        if self.same:
            return one.text.encode() or None
        try:
            return self._plain(as_read(self.restore(one.text)))
        except UNREADABLE:
            return b""

    def mine(self, value: Any) -> Canon:
        """The canonical text of a stored value; None for NULL, by a rule too."""
        if value is None:
            return None
        try:
            return self.stored(value) or None
        except Unfit:
            return b"?"

    def is_(self, stored: Any, canon: Canon) -> bool:
        """Whether a stored value has this canonical text, by the plan's rules or as it is."""
        if self.mine(stored) == canon:
            return True
        try:
            return stored is not None and self._plain(stored) == canon
        except Unfit:
            return False


class LooseKeys:
    """Keys that the source stores in another form than the one that comes back: their canonical texts tell them.

    Only columns whose codec takes several forms of the same value can hold such keys; they are looked through once.
    """

    _EXACT = frozenset(
        {"integer", "uuid_key", "boolean", "uuid", "text", "blob", "epoch_s", "epoch_ms", "epoch_us", "real"}
    )

    def __init__(self, keys: list[Column], held: Held) -> None:
        self._keys = keys
        self._held = held
        self._needed = any(column.plan.codec not in self._EXACT or column.plan.rules for column in keys)
        #: Canonical texts → the key as it is stored.
        self._other: dict[tuple[Canon, ...], tuple[Any, ...]] | None = None

    def look(self, source: sqlite3.Connection) -> None:
        """Look through the source's keys, the first time."""
        if not self._needed or self._other is not None:
            return
        names = [column.name for column in self._keys]
        at = [[c.name for c in self._held.columns].index(name) for name in names]
        self._other = {}
        for found in self._held.rows(source):
            stored = tuple(found.values[i] for i in at)
            self._other[tuple(map(Column.mine, self._keys, stored))] = stored

    def stored(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """The key as the source stores it, of one that came back."""
        if not self._other:
            return key
        canon = tuple(c.mine(as_read(value)) for c, value in zip(self._keys, key))
        return self._other.get(canon, key)

    def drop(self, key: tuple[Any, ...]) -> None:
        """Forget a key whose row is gone."""
        if self._other:
            self._other.pop(tuple(c.mine(as_read(value)) for c, value in zip(self._keys, key)), None)
