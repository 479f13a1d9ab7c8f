# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions generated from the plan, one per table, that turn rows of SQLite into binary COPY or canonical text."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from .codecs.alternatives import Alternatives
from .codecs.base import NULL, length
from .codecs.keys import Fields, UuidKey
from .errors import Refusal, Refused, Unfit, sample
from .plan.codec import codec_of, deciding
from .plan.model import PlanColumn, PlanTable

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)
#: A chunk handed to libpq; one value may make it larger.
CHUNK_BYTES = 1 << 18

Row = tuple[Any, ...]
OnRefused = Callable[[Row], None]
Chunk = tuple[bytes, int]

#: How the commonest values are packed without a call; everything else, and every refusal, goes through ``wire``.
_INLINE = {
    ("integer", "bigint"): "q(8, {v}) if {v}.__class__ is int else w{i}({v})",
    ("real", "double precision"): "d(8, {v}) if {v}.__class__ is float else w{i}({v})",
    (
        "text",
        "text",
    ): "n(len({v})) + {v} if {v}.__class__ is bytearray and {v}.isascii() and 0 not in {v} else w{i}({v})",
    ("blob", "bytea"): "n(len({v})) + {v} if {v}.__class__ is bytes else w{i}({v})",
    ("uuid_key", "uuid"): "k{i}[{v}] if {v}.__class__ is int else w{i}({v})",
}


class Packer:
    """Packs the rows of one table for binary COPY and counts the values that a rule touched."""

    def __init__(self, table: PlanTable) -> None:
        self.table = table
        self.touched: dict[tuple[str, str], int] = {
            (column.name, rule): 0 for column in table.columns for rule in column.rules
        }
        #: The functions that only pack, without counting.
        self.exact = [codec_of(column).wire(column.type, column.rules) for column in table.columns]
        self.wires = [self._wire(column, wire) for column, wire in zip(table.columns, self.exact)]
        self._pack = _generate(table, self.wires)

    def _wire(self, column: PlanColumn, wire: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        codec = codec_of(column)
        if not column.rules:
            return wire
        name, counts, touched = column.name, self.touched, codec.touched(column.type, column.rules)

        def counting(value: Any) -> bytes:
            field = wire(value)
            for rule in touched(value):
                counts[name, rule] += 1
            return field

        return counting

    def chunks(self, rows: Iterable[Row], refused: OnRefused) -> Iterator[Chunk]:
        """Chunks of binary COPY (without header and trailer) with their number of rows.

        refused: called for a row that a codec does not take; the row is left out unless it raises.
        """
        return self._pack(rows, refused)

    def refusals(self, row: Row) -> list[tuple[PlanColumn, Any, str]]:
        """The columns of a row that are refused, with value and reason."""
        found: list[tuple[PlanColumn, Any, str]] = []
        for column, wire, value in zip(self.table.columns, self.exact, row):
            if value is None:
                continue
            try:
                wire(value)
            except Unfit as reason:
                found.append((column, value, str(reason)))
        return found

    @staticmethod
    def refuses(wire: Callable[[Any], bytes], value: Any) -> bool:
        """Whether a value that is not NULL is refused."""
        try:
            wire(value)
        except Unfit:
            return True
        return False

    def forget(self, row: Row) -> None:
        """Take back the counts of a row that was refused: of its values up to the first refused one."""
        for column, wire, value in zip(self.table.columns, self.exact, row):
            if value is None:
                continue
            if self.refuses(wire, value):
                return
            for rule in codec_of(column).touched(column.type, column.rules)(value) if column.rules else ():
                self.touched[column.name, rule] -= 1


def _generate(
    table: PlanTable, wires: list[Callable[[Any], bytes]]
) -> Callable[[Iterable[Row], OnRefused], Iterator[Chunk]]:
    """Compile the loop over rows. Only numbers made here enter the code, never a name or value from outside."""
    names = [f"c{i}" for i in range(len(table.columns))]
    fields: list[str] = []
    for i, column in enumerate(table.columns):
        template = _INLINE.get((column.codec, column.type), "w{i}({v})") if not column.rules else "w{i}({v})"
        fields.append(f"N if {names[i]} is None else " + template.format(v=names[i], i=i))
    body = "".join(f"                ({field}),\n" for field in fields)
    code = (
        "def pack(rows, refused):\n"
        "    out = []; size = 0; count = 0\n"
        "    for row in rows:\n"
        f"        {', '.join(names)}, = row\n"
        "        try:\n"
        "            packed = b''.join((\n"
        "                H,\n"
        f"{body}"
        "            ))\n"
        "        except Unfit:\n"
        "            refused(row)\n"
        "            continue\n"
        "        out.append(packed)\n"
        "        size += len(packed)\n"
        "        count += 1\n"
        f"        if size >= {CHUNK_BYTES}:\n"
        "            # A lone large row is handed on without another copy.\n"
        "            yield (packed if count == 1 else b''.join(out)), count\n"
        "            out = []; size = 0; count = 0\n"
        "    if count:\n"
        "        yield b''.join(out), count\n"
    )
    scope: dict[str, Any] = {
        "H": struct.pack(">h", len(table.columns)),
        "N": NULL,
        "n": length,
        "q": struct.Struct(">iq").pack,
        "d": struct.Struct(">id").pack,
        "Unfit": Unfit,
        **{f"w{i}": wire for i, wire in enumerate(wires)},
        **{f"k{i}": _fields(column) for i, column in enumerate(table.columns)},
    }
    exec(compile(code, f"<packer of {table.name!r}>", "exec"), scope)  # noqa: S102 - made of numbers only, never of outside text
    pack: Callable[[Iterable[Row], OnRefused], Iterator[Chunk]] = scope["pack"]
    return pack


def _fields(column: PlanColumn) -> Fields | None:
    """The fields of integer keys that become UUIDs, by the integer."""
    codec = codec_of(column)
    return codec.fields(column.type) if isinstance(codec, UuidKey) else None


class Canonical:
    """Canonical text of the rows of one table, computed apart from what is sent."""

    def __init__(self, table: PlanTable) -> None:
        self._of = [codec_of(column).canonical(column.type, column.rules) for column in table.columns]

    def row(self, row: Row) -> bytes:
        """The canonical text of a row: its values joined by ``|``, nothing for NULL, and a line feed."""
        return b"|".join([b"" if value is None else text(value) for text, value in zip(self._of, row)]) + b"\n"

    def values(self, row: Row) -> list[str | None]:
        """The canonical texts of a row one by one, for the naming of differences."""
        return [
            None if value is None else text(value).decode("utf-8", "backslashreplace")
            for text, value in zip(self._of, row)
        ]


def row_name(table: PlanTable, row: Row, rowid: Any = None) -> str:
    """The key of a row for a person: ``id=7``, ``(a, b)=(1, 'x')`` or ``rowid 12``."""
    key = table.key
    if not key:
        return f"rowid {rowid}" if rowid is not None else "no key"
    values = {column.name: value for column, value in zip(table.columns, row)}
    shown = ", ".join(sample(values[name]) for name in key)
    return f"{key[0]}={shown}" if len(key) == 1 else f"({', '.join(key)})=({shown})"


def refuse_row(packer: Packer, row: Row) -> None:
    """Raise Refused for a row that a codec does not take, naming table, column, key and value."""
    every = packer.refusals(row)
    # Where the plan sets rows aside for some columns, the others are what stops the run.
    found = [one for one in every if one[0].refused != "quarantine"] or every
    refusals: list[Refusal] = []
    for column, value, reason in found:
        others = Alternatives(column.codec, column.type, column.rules)
        others.refused(value)
        decide = deciding(packer.table.name, column, others.best())
        refusals.append(
            Refusal(packer.table.name, column.name, row_name(packer.table, row), sample(value), reason, decide)
        )
    first = refusals[0]
    raise Refused(
        f"table {first.table}, column {first.column}, row {first.key}: {first.reason}. Value: {first.value}.",
        [refusal.as_finding() for refusal in refusals],
    )
