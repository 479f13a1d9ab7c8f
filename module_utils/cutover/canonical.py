# SPDX-License-Identifier: GPL-3.0-or-later
"""The canonical form of a row, which both sides compute for themselves and whose digests are compared.

It is what PostgreSQL's record_send() gives for a ROW of the columns: the number of entries, then for each the OID of its
type, its length (-1 for NULL) and its bytes. So numbers and text need no conversion on either side; other types are
carried as their canonical text. Nothing here is shared with the packing for COPY but the codecs' canonical functions.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Callable, NamedTuple
from uuid import UUID

from .codecs.base import base_type, modifiers
from .codecs.keys import UuidKey
from .codecs.numbers import counted
from .codecs.texts import LONG
from .errors import Unfit
from .generate import Code, Field, hundredths
from .plan.codec import codec_of
from .plan.model import PlanColumn, PlanTable

Row = tuple[Any, ...]
_Exact = Callable[[Any], bytes]

_BOOL, _BYTEA, _INT8, _TEXT, _FLOAT8, _UUID = 16, 17, 20, 25, 701, 2950
_STAMPS = {"timestamp": 1114, "timestamptz": 1184}
_UNITS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
#: Microseconds from 1970 to 2000, where PostgreSQL begins to count.
_SHIFT = (dt.date(2000, 1, 1) - dt.date(1970, 1, 1)) // dt.timedelta(microseconds=1)
#: A ROW has at most 1,664 entries; in wider tables text takes one entry, not two.
_TWO_ENTRIES = 800
_REMEMBERED = 40_000
#: Rows that are handed to a digest at once.
_BATCH = 256


class Form(NamedTuple):
    """A column: the entries of PostgreSQL's ROW, the same in Python's code, and by a function for values without it."""

    sql: tuple[str, ...]
    field: Field
    exact: _Exact


def forms(table: PlanTable) -> list[Form]:
    """The form of every column."""
    narrow = len(table.columns) > _TWO_ENTRIES
    return [_form(column, narrow) for column in table.columns]


def _entry(oid: int, raw: bytes | None) -> bytes:
    return struct.pack(">Ii", oid, -1) if raw is None else struct.pack(">Ii", oid, len(raw)) + raw


def _start(oid: int, size: int) -> int:
    """Type and length of an entry as one number of 64 bits."""
    return oid << 32 | (size & 0xFFFFFFFF)


def _form(column: PlanColumn, narrow: bool) -> Form:
    name = '"' + column.target.replace('"', '""') + '"'
    kind, codec = base_type(column.type), codec_of(column)
    text = codec.canonical(column.type, column.rules)

    def fixed(oid: int, sql: str, letter: str, value: str, guard: str, exact: Callable[[bytes], bytes]) -> Form:
        size = struct.calcsize(">" + letter)
        field = Field("q" + letter, f"{_start(oid, size)}, {value}", "", guard, ("q", str(_start(oid, -1))))
        return Form((sql,), field, lambda stored: _entry(oid, exact(text(stored))))

    if not column.rules and codec.name == "integer":
        return fixed(_INT8, f"{name}::bigint", "q", "{v}", "", lambda raw: struct.pack(">q", int(raw)))
    if not column.rules and codec.name == "real" and kind == "double precision":
        return fixed(_FLOAT8, name, "d", "{v}", "type({v}) is float", lambda raw: bytes.fromhex(raw.decode()))
    if not column.rules and codec.name == "boolean":
        return fixed(_BOOL, name, "B", "{v}", "0 <= {v} <= 1", lambda raw: struct.pack(">B", int(raw)))
    if not column.rules and codec.name in _UNITS and kind in _STAMPS:
        value = f"{{v}} * {_UNITS[codec.name]} - {_SHIFT}"
        return fixed(
            _STAMPS[kind], name, "q", value, "type({v}) is int", lambda raw: struct.pack(">q", int(raw) - _SHIFT)
        )
    if not column.rules and codec.name == "text" and kind in ("text", "varchar") and not narrow:
        return _bytes(
            _TEXT, name, f"convert_to({name}, 'UTF8')", bytearray, text, (modifiers(column.type) or (LONG,))[0]
        )
    if isinstance(codec, UuidKey) and kind == "uuid" and not codec.of_text:
        field = Field("q", str(_start(_UUID, 16)), "f{i}[{v}]", "type({v}) is int", ("q", str(_start(_UUID, -1))))
        own = _Uuids(codec)
        return Form(
            (name,), field._replace(function=own), lambda stored: _entry(_UUID, UUID(text(stored).decode()).bytes)
        )
    if not column.rules and codec.name == "blob" and not narrow:
        return _bytes(_BYTEA, name, name, bytes, text, LONG)
    limits = counted(column.type) if not column.rules and codec.name == "decimal" else None
    if limits is not None and sum(limits) <= 18:
        return _counted(name, *limits, fixed)
    # Where a rule says NULL, the canonical text is empty; no value's is.
    sql, quick = f"NULLIF(({codec.canonical_sql(name, column.type)})::text, '')", text
    if not column.rules and codec.name == "decimal":
        quick = _decimal(text)
    elif not column.rules and codec.name == "date":
        sql, quick = f"{name}::text", _Remembered(text).of
    field = Field(
        "Ii", f"{_TEXT}, len(t{{i}} := f{{i}}({{v}})) or -1", "t{i}", "", ("q", str(_start(_TEXT, -1))), quick
    )
    return Form((sql,), field, lambda stored: _entry(_TEXT, text(stored) or None))


def _bytes(oid: int, name: str, raw: str, kind: type, text: Callable[[Any], bytes], most: int) -> Form:
    """Text and blobs as they are; long ones only as their SHA-256, in an entry of their own so that none looks like it."""
    cast = f"{name}::text" if oid == _TEXT else name
    guard = f"type({{v}}) is {kind.__name__} and (n{{i}} := len({{v}})) <= {LONG}"
    if most * 4 <= LONG:
        field = Field("Ii", f"{oid}, n{{i}}", "{v}", guard, ("q", str(_start(oid, -1))))

        def short(value: Any) -> bytes:
            text(value)
            return _entry(oid, value)

        return Form((cast,), field, short)
    absent = _start(_BYTEA, -1)
    field = Field("qIi", f"{absent}, {oid}, n{{i}}", "{v}", guard, ("qq", f"{absent}, {_start(oid, -1)}"))

    def exact(value: Any) -> bytes:
        text(value)
        if len(value) > LONG:
            return _entry(_BYTEA, hashlib.sha256(value).digest()) + _entry(oid, None)
        return _entry(_BYTEA, None) + _entry(oid, value)

    size = f"octet_length({name})"
    sql = (f"CASE WHEN {size} > {LONG} THEN sha256({raw}) END", f"CASE WHEN {size} <= {LONG} THEN {cast} END")
    return Form(sql, field, exact)


def _counted(name: str, whole: int, scale: int, fixed: Callable[..., Form]) -> Form:
    """Decimals of few digits: how many hundredths (by ``scale``) they are. What is not their type's has a number of its own."""
    sql = (
        f"CASE WHEN {name} IS NULL THEN NULL WHEN scale({name}) <= {scale} AND abs({name}) < {10**whole}"
        f" THEN ({name} * {10**scale})::bigint ELSE {-(2**63)} END"
    )

    def exact(raw: bytes) -> bytes:
        number = Decimal(raw.decode()).scaleb(scale)
        if number != int(number) or abs(number) >= 10 ** (whole + scale):
            raise Unfit(f"does not fit numeric({whole + scale},{scale})")
        return struct.pack(">q", int(number))

    return fixed(_INT8, sql, "q", "d{i}", hundredths(10 ** min(whole, 15 - scale), scale), exact)


def _decimal(text: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """The canonical text of decimals; of reals in the common range it is their shortest form."""

    def quick(value: Any) -> bytes:
        if type(value) is float and (1e-4 <= value < 1e15 or -1e15 < value <= -1e-4):
            shortest = repr(value)
            return (shortest[:-2] if shortest[-2:] == ".0" else shortest).encode()
        return text(value)

    return quick


class _Remembered(dict[bytes, bytes]):
    """The canonical texts of values met before."""

    def __init__(self, text: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._text = text

    def __missing__(self, value: bytes) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        found = self[value] = self._text(bytearray(value))
        return found

    def of(self, value: Any) -> bytes:
        """The canonical text of a value; only text is remembered."""
        return self[bytes(value)] if type(value) is bytearray else self._text(value)


class _Uuids(dict[int, bytes]):
    """The UUIDs of integer keys, byte by byte as RFC 4122 tells; those met last are remembered."""

    def __init__(self, codec: UuidKey) -> None:
        super().__init__()
        self._start = codec.hashed()
        self._given = codec.given

    def __missing__(self, value: int) -> bytes:
        if value in self._given:
            return UUID(self._given[value]).bytes
        sha1 = self._start.copy()
        sha1.update(b"%d" % value)
        whole = bytearray(sha1.digest()[:16])
        whole[6] = whole[6] & 0x0F | 0x50
        whole[8] = whole[8] & 0x3F | 0x80
        if len(self) >= _REMEMBERED:
            self.clear()
        found = self[value] = bytes(whole)
        return found


class Canonical:
    """The canonical form of the rows of one table, from values as SQLite stores them."""

    def __init__(self, table: PlanTable) -> None:
        self._texts = [codec_of(column).canonical(column.type, column.rules) for column in table.columns]
        self._forms = forms(table)
        self._entries = sum(len(form.sql) for form in self._forms)
        optional = [i for i, column in enumerate(table.columns) if not column.not_null]
        scope: dict[str, Any] = {"exact": self.exact}
        fields = [form.field for form in self._forms]
        code = Code(f"<canonical rows of {table.name!r}>", ("i", str(self._entries)), fields, optional, scope)
        # Whatever goes wrong on the quick way, the codecs' own functions decide: they give the form, or refuse.
        tries = f"""
        try:
            found = {code.row()} if {code.condition()} else {code.with_null()}
        except Exception:
            found = None
        if found is None:
            found = exact(({code.names}))
"""
        one = tries.replace("\n    ", "\n")
        self._one: Callable[..., bytes] = code.compile(f"def one({code.names}):{one}    return found\n", "one")
        self._all: Callable[..., tuple[int, int]] = code.compile(
            f"""
def every(rows, update):
    out = []; count = size = 0
    for {code.names}in rows:{tries}
        out.append(found)
        if len(out) == {_BATCH}:
            whole = join(out)
            update(whole)
            count += len(out)
            size += len(whole)
            out.clear()
    whole = join(out)
    update(whole)
    return count + len(out), size + len(whole)
""",
            "every",
        )

    def exact(self, row: Row) -> bytes:
        """A row by the codecs' own functions. Raises Unfit."""
        entries = [struct.pack(">i", self._entries)]
        for form, value in zip(self._forms, row):
            if value is None:
                entries.append(struct.pack(">" + form.field.null[0], *map(int, form.field.null[1].split(", "))))
            else:
                entries.append(form.exact(value))
        return b"".join(entries)

    def row(self, row: Row) -> bytes:
        """The canonical form of a row. Raises Unfit."""
        return self._one(*row)

    def digest(self, rows: Iterable[Row], update: Callable[[bytes], object]) -> tuple[int, int]:
        """Hand the canonical form of all rows to ``update`` in their order; returns rows and bytes. Raises Unfit."""
        return self._all(rows, update)

    def values(self, row: Row) -> list[str | None]:
        """The canonical texts of a row one by one, for the naming of differences. None for NULL, by a rule too."""
        texts = [b"" if value is None else text(value) for text, value in zip(self._texts, row)]
        return [text.decode("utf-8", "backslashreplace") if text else None for text in texts]
