# SPDX-License-Identifier: GPL-3.0-or-later
"""What a codec is: one entry per way in which a column's values travel.

Stored values arrive from SQLite as ``None``, ``int``, ``float``, ``bytearray`` (TEXT, undecoded) or ``bytes`` (BLOB).
A field of PostgreSQL's binary COPY is a 4-byte length followed by the data.
Source of the wire formats: src/backend/utils/adt/*.c, the ``*_recv`` functions of PostgreSQL.
"""

from __future__ import annotations

import struct
from typing import Callable, Union

from ..errors import Unfit

Stored = Union[int, float, bytes, bytearray]
Wire = Callable[[Stored], bytes]
Canonical = Callable[[Stored], bytes]
Rules = tuple[str, ...]
#: The names of the rules that decided what became of a value.
Touched = Callable[[Stored], Rules]

length = struct.Struct(">i").pack
NULL = length(-1)


class Codec:
    """How the values of one column travel. NULL is handled by the callers; a codec sees only values.

    name: as the plan writes it. types: PostgreSQL types that it can fill, the default first, without modifiers.
    rules: named conversions that the plan may allow; without a rule a codec takes only what it can carry exactly.
    """

    name = ""
    types: tuple[str, ...] = ()
    rules: dict[str, str] = {}
    #: True when values of the target type sort on both sides in the same order (integers).
    ordered = False

    def wire(self, type_name: str, rules: Rules = ()) -> Wire:
        """A function from a stored value to its field in binary COPY. The function raises Unfit."""
        raise NotImplementedError  # pragma: no cover - every codec has its own

    def canonical(self, type_name: str, rules: Rules = ()) -> Canonical:
        """A function from a stored value to its canonical text, computed apart from ``wire``. May raise Unfit."""
        raise NotImplementedError  # pragma: no cover - every codec has its own

    def canonical_sql(self, column: str, type_name: str) -> str:
        """The SQL expression that gives the canonical text of the quoted ``column`` in PostgreSQL, or NULL."""
        raise NotImplementedError  # pragma: no cover - every codec has its own

    def restore_sql(self, column: str, type_name: str) -> str:
        """The SQL expression whose text ``restore`` understands; the canonical one where that holds the value."""
        return self.canonical_sql(column, type_name)

    def restore(self, text: str, type_name: str) -> int | float | str | bytes:
        """A value of PostgreSQL, read by ``restore_sql``, as SQLite stores it."""
        raise NotImplementedError  # pragma: no cover - every codec has its own

    def touched(self, type_name: str, rules: Rules) -> Touched:
        """A function from a value to those of ``rules`` that, not exact carriage, decided what became of it."""
        return lambda value: ()


def kind(value: Stored) -> str:
    """SQLite's name of the storage class of a value."""
    if isinstance(value, bool) or not isinstance(value, (int, float, bytes, bytearray)):
        raise TypeError(type(value))
    return {int: "integer", float: "real", bytes: "blob", bytearray: "text"}[type(value)]


def unfit(value: Stored, wanted: str) -> Unfit:
    """The refusal of a value because of its storage class."""
    return Unfit(f"holds {kind(value)} where the codec takes {wanted}")


def decode(value: bytearray) -> str:
    """TEXT as str. Raises Unfit for invalid UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Unfit(f"text is not valid UTF-8 at byte {error.start}: PostgreSQL cannot hold it as text") from None


def modifiers(type_name: str) -> tuple[int, ...]:
    """The numbers in the parentheses of a type: ``numeric(10,2)`` → (10, 2)."""
    if "(" not in type_name:
        return ()
    return tuple(int(part) for part in type_name[type_name.index("(") + 1 : type_name.rindex(")")].split(","))


def base_type(type_name: str) -> str:
    """The type without its modifiers: ``numeric(10,2)`` → ``numeric``."""
    return type_name.split("(")[0].strip().lower()
