# SPDX-License-Identifier: GPL-3.0-or-later
"""What a translated expression is: its SQL in PostgreSQL, and what SQLite would compute there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Union

from ...codecs import base_type
from ...source.profile import ColumnProfile
from ..literals import literal
from ..model import PlanColumn

Constant = Union[int, float, str, bytes, None]

#: Kinds whose values are numbers in SQLite and that arithmetic may use as they are.
NUMBERS = frozenset({"integer", "real", "numeric"})
#: Beyond this an integer is not a double, so comparing the two would round.
EXACT_IN_DOUBLE = 2**53


class Untranslatable(Exception):
    """An expression has no counterpart that means exactly the same; the message says which part, as a clause."""


@dataclass(frozen=True)
class Value:
    """An expression.

    kind: integer, real, numeric, boolean, text, blob, date, instant:CODEC, key:TABLE, null, or opaque (stored in
    several forms, so that only NULL or not is known). affinity, collation: SQLite's, of a bare column. explicit: the
    expression names the collation; bearing: it has that of its column. constant: of a literal.
    in_c: the text sorts and folds by bytes in PostgreSQL already. why: what an opaque value cannot be used for.
    """

    sql: str
    kind: str
    affinity: str = ""
    collation: str = "BINARY"
    explicit: bool = False
    bearing: bool = False
    constant: Constant = None
    literal: bool = False
    in_c: bool = False
    wide: bool = True
    why: str = ""
    raw: str = ""
    column: PlanColumn | None = None
    #: The column may be NULL: an outer join, or no NOT NULL.
    nullable: bool = True

    @property
    def is_null(self) -> bool:
        """True for the constant NULL."""
        return self.kind == "null"

    def known(self) -> Value:
        """The value itself. Raises Untranslatable when it is opaque."""
        if self.kind == "opaque":
            raise Untranslatable(self.why)
        return self

    def bytewise(self) -> str:
        """The SQL of a text that sorts and folds by bytes."""
        return self.sql if self.in_c else f'({self.sql} COLLATE "C")'

    def bigint(self) -> str:
        """The SQL of an integer with 64 bits."""
        return self.sql if self.wide else f"({self.sql})::bigint"


def integer(number: int) -> Value:
    """An integer constant. Raises Untranslatable beyond 64 bits, where SQLite makes it a real."""
    if not -(2**63) <= number < 2**63:
        raise Untranslatable(f"the integer {number} has more than 64 bits")
    wide = not -(2**31) < number < 2**31
    return Value(str(number) if number >= 0 else f"({number})", "integer", constant=number, literal=True, wide=wide)


def real(text: str) -> Value:
    """A real constant. Raises Untranslatable for one whose digits do not name one double in both."""
    number = float(text)
    digits = text.lower().partition("e")[0].replace(".", "").strip("0")
    if len(digits) > 15 or not (number == 0 or 1e-20 < abs(number) < 1e20):
        raise Untranslatable(f"the number {text} is rounded")
    return Value(f"'{number!r}'::double precision", "real", constant=number, literal=True)


def text(content: str) -> Value:
    """A text constant."""
    if "\0" in content:
        raise Untranslatable("a text holds a NUL character")
    return Value(literal(content), "text", constant=content, literal=True)


def blob(content: bytes) -> Value:
    """A constant of bytes."""
    return Value(f"'\\x{content.hex()}'::bytea", "blob", constant=content, literal=True)


NULL = Value("NULL", "null", literal=True)


def boolean(sql: str) -> Value:
    """The result of a comparison: a boolean in PostgreSQL, 1 or 0 in SQLite."""
    return Value(sql, "boolean")


def as_integer(value: Value) -> Value:
    """A boolean as the 1 or 0 that it is in SQLite; integers stay."""
    if value.kind == "boolean":
        return Value(f"({value.sql})::integer", "integer", affinity=value.affinity, wide=False, nullable=value.nullable)
    return value


def truth(value: Value) -> str:
    """The SQL condition of a value that SQLite takes for true, false or NULL."""
    value = value.known()
    if value.is_null:
        return "NULL::boolean"
    if value.kind == "boolean":
        return value.sql
    if value.literal and isinstance(value.constant, (int, float)):
        return "true" if value.constant else "false"
    if value.kind in NUMBERS:
        return f"({value.sql} <> 0)"
    raise Untranslatable(f"{value.kind} is used as a condition")


def number_text(constant: Constant) -> int | None:
    """The integer that numeric affinity makes of a text constant; None when it stays text."""
    if not isinstance(constant, str):
        return None
    stripped = constant.strip(" \t\n\r\f\v")
    try:
        number = int(stripped) if stripped.lstrip("+-").isdigit() and stripped.isascii() else None
    except ValueError:
        return None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def unify(values: list[Value]) -> tuple[str, list[Value]]:
    """One kind for all values (of CASE, coalesce …). Raises Untranslatable when PostgreSQL has no common type."""
    values = [value.known() for value in values]
    kinds = {value.kind for value in values if not value.is_null}
    if not kinds:
        return "null", values
    if "boolean" in kinds and kinds <= {"boolean", "integer"}:
        if all(v.kind != "integer" or (v.literal and v.constant in (0, 1)) for v in values):
            return "boolean", [_as_boolean(v) for v in values]
        values = [as_integer(v) for v in values]
        kinds = {"integer"}
    if len(kinds) > 1:
        raise Untranslatable(f"mixes {' and '.join(sorted(k.split(':')[0] for k in kinds))} in one place")
    [kind] = kinds
    return kind, values


def _as_boolean(value: Value) -> Value:
    if value.literal and not value.is_null:
        return replace(value, sql="true" if value.constant else "false", kind="boolean")
    return value


def type_of(kind: str) -> str:
    """PostgreSQL's type of a kind, for a NULL that has none of its own."""
    known = {"integer": "bigint", "real": "double precision", "blob": "bytea"}
    return known.get(kind, kind.split(":")[0])


def of_column(sql: str, column: PlanColumn, affinity: str, collation: str, in_c: bool, profile: ColumnProfile) -> Value:
    """A column of the plan. What is stored decides whether decimals are all numbers and timestamps of one form."""
    codec, nullable = column.codec, not column.not_null
    made = Value(sql, "opaque", affinity, collation, bearing=True, raw=sql, column=column, nullable=nullable)

    def opaque(why: str) -> Value:
        return replace(made, why=f"column {column.name} {why}")

    if column.rules:
        return opaque("is converted by a rule")
    if codec == "integer":
        return replace(made, kind="integer", wide=base_type(column.type) == "bigint")
    if codec == "boolean":
        return replace(made, kind="boolean")
    if codec == "real":
        return replace(made, kind="real") if affinity == "REAL" else opaque("may hold integers and reals")
    if codec == "decimal":
        if profile.texts or affinity != "NUMERIC":
            return opaque("holds numbers as text, or without a numeric affinity")
        return replace(made, kind="numeric")
    if codec == "text":
        if affinity not in ("TEXT", "BLOB"):
            return opaque(f"is declared {column.declared} but holds text")
        if column.collation:
            return replace(made, kind="text", sql=f'({sql} COLLATE "C")', in_c=True)
        return replace(made, kind="text", in_c=in_c)
    if codec == "blob":
        return replace(made, kind="blob") if affinity in ("TEXT", "BLOB") else opaque("is declared as a number")
    if codec == "uuid":
        return replace(made, kind="text", sql=f'({sql}::text COLLATE "C")', in_c=True)
    if codec == "date":
        return replace(made, kind="date")
    if codec in ("epoch_s", "epoch_ms", "epoch_us"):
        return replace(made, kind=f"instant:{codec}")
    if codec in ("iso_timestamp", "utc_timestamp") and profile.forms == 1 and profile.shape != "?":
        # All texts are as long and alike, so that they sort and are equal as the moments are.
        return replace(made, kind=f"instant:{codec}:{profile.shape}")
    if codec in ("jsonb", "json"):
        return opaque("is JSON, no text, in PostgreSQL")
    if codec == "uuid_key":
        # Keys of one table stay equal or different; that is all that is known of them.
        return replace(made, kind=f"key:{getattr(column, 'key_of', None) or column.name}")
    return opaque(f"is {column.type} in PostgreSQL, but text of several forms in SQLite")
