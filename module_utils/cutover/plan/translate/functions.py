# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of one row that give the same in both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .compare import compare
from .values import NULL, Untranslatable, Value, text, type_of, unify

_STORED = {
    "integer": "integer",
    "boolean": "integer",
    "real": "real",
    "text": "text",
    "blob": "blob",
    "date": "text",
    "iso_timestamp": "text",
    "iso_timestamptz": "text",
    "time": "text",
    "uuid": "text",
    "epoch_s": "integer",
    "epoch_ms": "integer",
    "epoch_us": "integer",
}


def a_text(value: Value, function: str) -> Value:
    """The value where it is a text. Raises Untranslatable."""
    value = value.known()
    if value.is_null:
        return replace(value, sql="NULL::text", kind="text", in_c=True)
    if value.kind != "text":
        raise Untranslatable(f"gives {function}() {value.kind.split(':')[0]}, no text")
    return value


def _same_collation(sql: str, value: Value) -> Value:
    # A function's result has no collation of its own in SQLite.
    return Value(sql, "text", in_c=value.in_c, nullable=value.nullable)


def folded(value: Value, function: str) -> Value:
    """lower() and upper(), which change ASCII letters only."""
    value = a_text(value, function)
    return replace(_same_collation(f"{function}({value.bytewise()})", value), in_c=True)


def trimmed(value: Value, characters: Value | None, function: str) -> Value:
    """trim(), ltrim(), rtrim(): blanks, or a set of characters."""
    value = a_text(value, function)
    name = {"trim": "btrim"}.get(function, function)
    if characters is None:
        return _same_collation(f"{name}({value.sql})", value)
    return _same_collation(f"{name}({value.sql}, {a_text(characters, function).sql})", value)


def length(value: Value) -> Value:
    """length(): characters of a text, bytes of a blob."""
    value = value.known()
    if value.kind == "blob":
        return Value(f"octet_length({value.sql})", "integer", wide=False)
    return Value(f"length({a_text(value, 'length').sql})", "integer", wide=False)


def part(value: Value, start: Value, size: Value | None) -> Value:
    """substr() from a constant place on; SQLite counts a negative one from the end."""
    value = a_text(value, "substr")
    numbers = [start] if size is None else [start, size]
    if not all(isinstance(n.constant, int) and n.literal for n in numbers):
        raise Untranslatable("uses substr() with places that are no constants")
    assert isinstance(start.constant, int)
    if start.constant < 1 or (size is not None and isinstance(size.constant, int) and size.constant < 0):
        raise Untranslatable("uses substr() from the end of a text")
    places = ", ".join(n.sql for n in numbers)
    return _same_collation(f"substr({value.sql}, {places})", value)


def position(value: Value, wanted: Value) -> Value:
    """instr() of texts."""
    return Value(f"strpos({a_text(value, 'instr').bytewise()}, {a_text(wanted, 'instr').sql})", "integer", wide=False)


def replaced(value: Value, old: Value, new: Value) -> Value:
    """replace() of texts."""
    texts = [a_text(v, "replace") for v in (value, old, new)]
    sql = f"replace({texts[0].bytewise()}, {texts[1].sql}, {texts[2].sql})"
    if not (texts[1].literal and texts[1].constant):
        # Nothing to look for leaves the text as it is, even where the replacement is NULL.
        sql = f"(CASE WHEN {texts[1].sql} = '' THEN {texts[0].sql} ELSE {sql} END)"
    return _same_collation(sql, replace(texts[0], in_c=True))


def absolute(value: Value) -> Value:
    """abs() of integers and reals."""
    value = value.known()
    if value.kind not in ("integer", "real"):
        raise Untranslatable(f"uses abs() of {value.kind}")
    return Value(f"abs({value.bigint() if value.kind == 'integer' else value.sql})", value.kind)


def first_present(values: list[Value]) -> Value:
    """coalesce() and ifnull()."""
    return joined(values, lambda parts: f"COALESCE({', '.join(parts)})")


def joined(values: list[Value], build: Callable[[list[str]], str]) -> Value:
    """One value of several of one kind. ``build`` makes its SQL of theirs."""
    kind, same = unify(values)
    if kind == "null":
        return NULL
    typed = kind == "date" or kind.startswith(("instant:", "key:"))
    column = next((v.column for v in same if v.column), None) if typed else None
    sql = build([f"NULL::{_type(kind, same)}" if v.is_null else v.sql for v in same])
    present = [v for v in same if not v.is_null]
    in_c = all(v.in_c or v.literal for v in present) and any(v.in_c for v in present)
    return Value(sql, kind, column=column, in_c=in_c, wide=all(v.wide for v in present))


def _type(kind: str, values: list[Value]) -> str:
    column = next((v.column for v in values if v.column), None)
    return column.type if column is not None and kind.startswith(("instant:", "key:")) else type_of(kind)


def nothing_if_equal(left: Value, right: Value) -> Value:
    """nullif()."""
    left = left.known()
    condition = compare(left, "=", right)
    kind, in_c, wide = left.kind, left.in_c, left.wide
    return Value(f"(CASE WHEN {condition.sql} THEN NULL ELSE {left.sql} END)", kind, in_c=in_c, wide=wide)


def most(values: list[Value], function: str) -> Value:
    """max() and min() of several arguments, which are NULL when one of them is; PostgreSQL's leave NULLs out."""
    kind, same = unify(values)
    if kind not in ("integer", "real", "date") and not kind.startswith("instant:"):
        raise Untranslatable(f"uses {function}() of {kind}")
    name = {"max": "GREATEST", "min": "LEAST"}[function]
    missing = " OR ".join(f"{v.sql} IS NULL" for v in same)
    value = joined(same, lambda parts: f"CASE WHEN {missing} THEN NULL ELSE {name}({', '.join(parts)}) END")
    return replace(value, sql=f"({value.sql})")


def storage(value: Value) -> Value:
    """typeof(): what the codec of a column says is stored there."""
    column = value.column
    if column is None or not value.raw or column.rules or column.codec not in _STORED:
        raise Untranslatable("uses typeof() of something that may be stored in several ways")
    if column.codec == "real" and value.affinity != "REAL":
        raise Untranslatable("uses typeof() of something that may be stored in several ways")
    stored = text(_STORED[column.codec]).sql
    return Value(f"(CASE WHEN {value.raw} IS NULL THEN 'null' ELSE {stored} END)", "text")
