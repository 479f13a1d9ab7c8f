# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions generated from the plan, one per table, that turn rows of SQLite into binary COPY."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from .codecs.alternatives import Alternatives
from .codecs.base import NULL
from .codecs.keys import Fields
from .errors import Refusal, Refused, Unfit, sample
from .generate import Code
from .inline import LARGE, LONE, inline
from .plan.codec import codec_of, deciding
from .plan.model import PlanColumn, PlanTable

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)
#: A chunk handed to libpq; one value may make it larger.
CHUNK_BYTES = 1 << 18

Row = tuple[Any, ...]
OnRefused = Callable[[Row], None]
Chunk = tuple[bytes, int]


class Packer:
    """Packs the rows of one table for binary COPY and counts the values that a rule touched."""

    def __init__(self, table: PlanTable) -> None:
        self.table = table
        self.touched: dict[tuple[str, str], int] = {
            (column.name, rule): 0 for column in table.columns for rule in column.rules
        }
        #: The codecs' own functions.
        self.exact = [codec_of(column).wire(column.type, column.rules) for column in table.columns]
        self._counters = [(i, self._counter(c)) for i, c in enumerate(table.columns) if c.rules]
        self._head = struct.pack(">h", len(table.columns))
        scope: dict[str, Any] = {"H": self._head, "N": NULL, "large": is_large}
        scope.update(exactly=self._exactly, pieces=self._pieces, count_rules=self._count)
        self._pack = _generate(self, scope)
        made = {column.name: scope[f"f{i}"] for i, column in enumerate(table.columns)}
        #: The fields of integer keys that become UUIDs, by column and integer: those met last are remembered.
        self.fields = {name: fields for name, fields in made.items() if isinstance(fields, Fields)}

    def _counter(self, column: PlanColumn) -> Callable[[Any], None]:
        name, counts = column.name, self.touched
        touched = codec_of(column).touched(column.type, column.rules)

        def count(value: Any) -> None:
            for rule in touched(value):
                counts[name, rule] += 1

        return count

    def _count(self, row: Row) -> None:
        """Count what rules decided in a row that was packed."""
        for i, counter in self._counters:
            if row[i] is not None:
                counter(row[i])

    def _exactly(self, row: Row) -> list[bytes] | None:
        """The fields of a row by the codecs' own functions; None when one refuses, none when it is to go in pieces."""
        try:
            if is_large(row):
                for wire, value in zip(self.exact, row):
                    if value is not None:
                        wire(value)
                return []
            return [self._head, *[NULL if value is None else wire(value) for wire, value in zip(self.exact, row)]]
        except Unfit:
            return None

    def _pieces(self, values: list[Any]) -> Iterator[Chunk]:
        """A row with large cells field by field; ``values`` is emptied meanwhile."""
        yield self._head, 0
        for i, wire in enumerate(self.exact):
            value, values[i] = values[i], None
            yield (NULL if value is None else wire(value)), 0
        yield b"", 1

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


def is_large(row: Row) -> bool:
    """Whether a cell of the row is to be sent by itself."""
    return any((value.__class__ is bytearray or value.__class__ is bytes) and len(value) >= LARGE for value in row)


def _generate(packer: Packer, scope: dict[str, Any]) -> Callable[[Iterable[Row], OnRefused], Iterator[Chunk]]:
    """The loop over rows, compiled.

    A row takes the shortest way that it fits: without NULL as few structs as possible; with NULL the same by a function
    for its pattern of NULLs; where a guard does not hold, field by field; whatever goes wrong in these, the codecs' own
    functions decide.
    """
    columns = packer.table.columns
    fields = [inline(column, wire) or LONE for column, wire in zip(columns, packer.exact)]
    optional = [i for i, column in enumerate(columns) if not column.not_null]
    code = Code(f"<packer of {packer.table.name!r}>", ("h", str(len(columns))), fields, optional, scope)
    singles: list[str] = []
    for i, (field, wire) in enumerate(zip(code.fields, packer.exact)):
        scope.update({f"w{i}": wire, f"x{i}": struct.Struct(">" + field.letters).pack})
        packed = " + ".join(part for part in (f"x{i}({field.values})" if field.values else "", field.tail) if part)
        guard = f" if {field.guard} else w{i}(c{i})" if field.guard else ""
        singles.append(f"(N if c{i} is None else {packed}{guard})")
    names = code.names
    counting = f"count_rules(({names}))" if any(column.rules for column in columns) else "pass"
    # Whatever goes wrong on the quick way, the codecs' own functions decide: they pack the row, or refuse it.
    return code.compile(
        f"""
def pack(rows, refused):
    out = []; size = 0
    for {names}in rows:
        try:
            packed = {code.row()} if {code.condition()} else {code.with_null()}
            if packed is None and not large(({names})):
                packed = join((H, {", ".join(singles)}))
        except Exception:
            packed = None
        if packed is None:
            row = ({names})
            fields = exactly(row)
            if fields is None:
                refused(row)
                continue
            if not fields:
                if out:
                    yield join(out), len(out)
                    out = []; size = 0
                {counting}
                row = list(row)
                {" = ".join(names.rstrip(", ").split(", "))} = None
                yield from pieces(row)
                continue
            packed = join(fields)
        {counting}
        out.append(packed)
        size += len(packed)
        if size >= {CHUNK_BYTES}:
            yield join(out), len(out)
            out = []; size = 0
    if out:
        yield join(out), len(out)
""",
        "pack",
    )


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
        others = Alternatives(column.codec, column.type, column.rules, packer.table.seeded is not None)
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
