# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions generated from the plan, one per table, that turn rows of SQLite into binary COPY or canonical text."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from .codecs.alternatives import Alternatives
from .codecs.base import NULL
from .errors import Refusal, Refused, Unfit, sample
from .inline import LARGE, SMALL, Inline, inline
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
        scope: dict[str, Any] = {"H": self._head, "N": NULL, "join": b"".join, "large": is_large}
        scope.update(exactly=self._exactly, pieces=self._pieces, count_rules=self._count)
        self._pack = _generate(self, scope)

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


class _Whole:
    """The code that packs a row without NULL: a struct for each run of fixed-width fields, and what follows them."""

    def __init__(self, columns: int) -> None:
        self.structs: list[str] = []
        self._pieces: list[str] = []
        self._letters, self._values = "h", [str(columns)]

    def add(self, way: Inline, values: str, tail: str) -> None:
        """Add a column's field."""
        self._letters += way.letters
        self._values += [values] if values else []
        if tail:
            self._close()
            self._pieces.append(tail)

    def _close(self) -> None:
        if self._letters:
            self._pieces.append(f"s{len(self.structs)}({', '.join(self._values)})")
            self.structs.append(self._letters)
            self._letters, self._values = "", []

    def code(self) -> str:
        """The expression."""
        self._close()
        return self._pieces[0] if len(self._pieces) == 1 else f"join(({', '.join(self._pieces)}))"


def _generate(packer: Packer, scope: dict[str, Any]) -> Callable[[Iterable[Row], OnRefused], Iterator[Chunk]]:
    """Compile the loop over rows. Only numbers made here enter the code, never a name or value from outside.

    A row takes the shortest way that it fits: without NULL as few structs as possible; with NULL, or where a guard does
    not hold, field by field; whatever goes wrong in these, the codecs' own functions decide.
    """
    columns = packer.table.columns
    whole = _Whole(len(columns))
    guards: list[str] = []
    fields: list[str] = []
    for i, (column, wire) in enumerate(zip(columns, packer.exact)):
        scope[f"w{i}"] = wire
        way = inline(column, wire) or Inline(guard=SMALL, tail="w{i}({v})")
        scope[f"f{i}"] = way.function
        values, guard, tail = (code.format(v=f"c{i}", i=i) for code in (way.values, way.guard, way.tail))
        guards += [code for code in ("" if column.not_null else f"c{i} is not None", guard) if code]
        whole.add(way, values, tail)
        field = " + ".join(part for part in (f"x{i}({values})" if values else "", tail) if part)
        scope[f"x{i}"] = struct.Struct(">" + way.letters).pack
        fields.append(f"(N if c{i} is None else {field}" + (f" if {guard} else w{i}(c{i}))" if guard else ")"))
    best = f"packed = {whole.code()}"
    scope.update({f"s{i}": struct.Struct(">" + letters).pack for i, letters in enumerate(whole.structs)})
    names = "".join(f"c{i}, " for i in range(len(columns)))
    counting = f"count_rules(({names}))" if any(column.rules for column in columns) else "pass"
    code = f"""
def pack(rows, refused):
    out = []; size = 0; count = 0
    for {names}in rows:
        try:
            if {" and ".join(guards) or "True"}:
                {best}
            elif large(({names})):
                packed = None
            else:
                packed = join((H, {", ".join(fields)}))
        except Exception:
            packed = None
        if packed is None:
            row = ({names})
            fields = exactly(row)
            if fields is None:
                refused(row)
                continue
            if not fields:
                if count:
                    yield join(out), count
                    out = []; size = 0; count = 0
                {counting}
                row = list(row)
                {" = ".join(names.rstrip(", ").split(", "))} = None
                yield from pieces(row)
                continue
            packed = join(fields)
        {counting}
        out.append(packed)
        size += len(packed)
        count += 1
        if size >= {CHUNK_BYTES}:
            yield join(out), count
            out = []; size = 0; count = 0
    if count:
        yield join(out), count
"""
    exec(compile(code, f"<packer of {packer.table.name!r}>", "exec"), scope)  # noqa: S102 - made of numbers only, never of outside text
    pack: Callable[[Iterable[Row], OnRefused], Iterator[Chunk]] = scope["pack"]
    return pack


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
