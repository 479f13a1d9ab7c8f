# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions generated from the plan, one per table, that turn rows of SQLite into binary COPY or canonical text."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, Callable, NamedTuple

from .codecs.alternatives import Alternatives
from .codecs.base import NULL
from .codecs.keys import Fields
from .errors import Refusal, Refused, Unfit, sample
from .inline import LARGE, SMALL, Inline, inline
from .plan.codec import codec_of, deciding
from .plan.model import PlanColumn, PlanTable

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)
#: A chunk handed to libpq; one value may make it larger.
CHUNK_BYTES = 1 << 18

#: Patterns of NULLs in a row for which a function is kept.
_PATTERNS = 256

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
        self._pack = _Generator(self, scope).packer()
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


class _Field(NamedTuple):
    """Code for one column: struct letters, their arguments, bytes that follow, and when that holds."""

    letters: str
    values: str
    tail: str
    guard: str


class _Generator:
    """Writes and compiles the functions of one table. Only numbers made here enter the code, no name or value from outside.

    A row takes the shortest way that it fits: without NULL as few structs as possible; with NULL the same by a function
    for its pattern of NULLs, made when the pattern is met first; where a guard does not hold, field by field; whatever
    goes wrong in these, the codecs' own functions decide.
    """

    def __init__(self, packer: Packer, scope: dict[str, Any]) -> None:
        self._name = f"<packer of {packer.table.name!r}>"
        self._columns = packer.table.columns
        self._scope = scope
        self._fields: list[_Field] = []
        for i, (column, wire) in enumerate(zip(self._columns, packer.exact)):
            way = inline(column, wire) or Inline(guard=SMALL, tail="w{i}({v})")
            code = (part.format(v=f"c{i}", i=i) for part in (way.letters, way.values, way.tail, way.guard))
            self._fields.append(_Field(*code))
            scope.update({f"w{i}": wire, f"f{i}": way.function, f"x{i}": struct.Struct(">" + way.letters).pack})
        self._names = "".join(f"c{i}, " for i in range(len(self._columns)))
        self._optional = [i for i, column in enumerate(self._columns) if not column.not_null]
        self._patterns: dict[int, Callable[..., bytes | None]] = {}
        scope["pattern"] = self._pattern

    def _whole(self, null: frozenset[int]) -> tuple[str, str]:
        """The condition and the expression for rows in which just these columns are NULL."""
        letters, values = "h", [str(len(self._columns))]
        pieces: list[str] = []
        guards: list[str] = []

        def close() -> None:
            if letters:
                name = f"s{letters}"
                self._scope[name] = struct.Struct(">" + letters).pack
                pieces.append(f"{name}({', '.join(values)})")

        for i, field in enumerate(self._fields):
            if i in null:
                letters += "i"
                values.append("-1")
                continue
            guards += [field.guard] if field.guard else []
            letters += field.letters
            values += [field.values] if field.values else []
            if field.tail:
                close()
                letters, values = "", []
                pieces.append(field.tail)
        close()
        return " and ".join(guards) or "True", pieces[0] if len(pieces) == 1 else f"join(({', '.join(pieces)}))"

    def _pattern(self, number: int) -> Callable[..., bytes | None]:
        """The function that packs rows with one pattern of NULLs, a bit for each column that may be NULL."""
        if len(self._patterns) >= _PATTERNS:
            self._patterns.clear()
        null = frozenset(column for bit, column in enumerate(self._optional) if number >> bit & 1)
        guard, best = self._whole(null)
        made = self._compile(f"def pack({self._names}):\n    if {guard}:\n        return {best}\n", "pack")
        self._patterns[number] = made
        return made

    def _compile(self, code: str, name: str) -> Callable[..., Any]:
        local: dict[str, Any] = {}
        exec(compile(code, self._name, "exec"), self._scope, local)  # noqa: S102 - made of numbers only, never of outside text
        made: Callable[..., Any] = local[name]
        return made

    def _one(self, i: int) -> str:
        field = self._fields[i]
        packed = " + ".join(part for part in (f"x{i}({field.values})" if field.values else "", field.tail) if part)
        return f"(N if c{i} is None else {packed}" + (f" if {field.guard} else w{i}(c{i}))" if field.guard else ")")

    def packer(self) -> Callable[[Iterable[Row], OnRefused], Iterator[Chunk]]:
        """The loop over rows."""
        guard, best = self._whole(frozenset())
        present = "".join(f"c{i} is not None and " for i in self._optional)
        bits = " | ".join(f"(c{i} is None) << {bit}" for bit, i in enumerate(self._optional)) or "0"
        names = self._names
        counting = f"count_rules(({names}))" if any(column.rules for column in self._columns) else "pass"
        self._scope["patterns"] = self._patterns
        return self._compile(
            f"""
def pack(rows, refused):
    out = []; size = 0
    for {names}in rows:
        packed = None
        try:
            if {present}{guard}:
                packed = {best}
            else:
                null = {bits}
                if null:
                    packed = (patterns.get(null) or pattern(null))({names})
                if packed is None and not large(({names})):
                    packed = join((H, {", ".join(self._one(i) for i in range(len(self._columns)))}))
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


class Canonical:
    """Canonical text of the rows of one table, computed apart from what is sent."""

    def __init__(self, table: PlanTable) -> None:
        self._of = [codec_of(column).canonical(column.type, column.rules) for column in table.columns]

    def row(self, row: Row) -> bytes:
        """The canonical text of a row: its values joined by ``|``, nothing for NULL, and a line feed."""
        return b"|".join([b"" if value is None else text(value) for text, value in zip(self._of, row)]) + b"\n"

    def values(self, row: Row) -> list[str | None]:
        """The canonical texts of a row one by one, for the naming of differences. None for NULL, by a rule too."""
        texts = [b"" if value is None else text(value) for text, value in zip(self._of, row)]
        return [text.decode("utf-8", "backslashreplace") if text else None for text in texts]


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
