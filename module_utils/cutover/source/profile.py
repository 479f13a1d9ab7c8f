# SPDX-License-Identifier: GPL-3.0-or-later
"""What is really stored, column by column: storage classes, ranges and shapes. Values themselves do not leave."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Callable, Optional

from .model import Column, Table
from .sqltokens import quote

#: SQLite allows 2,000 result columns; each column of the table takes len(_MEASURES) of them.
_COLUMNS_PER_PASS = 80
#: Large tables are profiled in pieces of at least this many rowids, at most so many pieces.
_SPAN_ROWS = 100_000
_MOST_SPANS = 64

#: Half-open range of the rowid; None is open.
Span = Optional[tuple[Optional[int], Optional[int]]]

_D = "[0-9]"
_DAY = f"{_D * 4}-{_D * 2}-{_D * 2}"
#: The form of a timestamp: how long it is, and what stands between day and time. Of one form, texts sort as moments.
_SHAPE = (
    f"CASE WHEN typeof({{c}}) = 'text' THEN CASE WHEN {{c}} GLOB '{_DAY}[ T]*' THEN length({{c}}) || substr({{c}}, 11, 1)"
    " ELSE '?' END END"
)
_MEASURES: tuple[tuple[str, str], ...] = (
    ("integers", "sum(typeof({c}) = 'integer')"),
    ("reals", "sum(typeof({c}) = 'real')"),
    ("texts", "sum(typeof({c}) = 'text')"),
    ("blobs", "sum(typeof({c}) = 'blob')"),
    ("minimum", "min(CASE WHEN typeof({c}) = 'integer' THEN {c} END)"),
    ("maximum", "max(CASE WHEN typeof({c}) = 'integer' THEN {c} END)"),
    # As a blob, length() need not count characters.
    ("longest", "max(CASE WHEN typeof({c}) IN ('text', 'blob') THEN length(CAST({c} AS BLOB)) END)"),
    ("length", "total(CASE WHEN typeof({c}) IN ('text', 'blob') THEN length(CAST({c} AS BLOB)) ELSE 8 END)"),
)
#: Measured only where the declared type speaks of dates and times, because GLOB is slow.
_SHAPES: tuple[tuple[str, str], ...] = (
    ("dates", f"sum(typeof({{c}}) = 'text' AND {{c}} GLOB '{_DAY}')"),
    ("times", f"sum(typeof({{c}}) = 'text' AND {{c}} GLOB '{_D * 2}:{_D * 2}*' AND length({{c}}) <= 15)"),
    (
        "zoned",
        f"sum(typeof({{c}}) = 'text' AND ({{c}} GLOB '*[Zz]' OR substr({{c}}, 17) GLOB '*[+-]{_D * 2}*'))",
    ),
    # Not by abs(), which fails for the smallest integer.
    ("seconds", "sum(typeof({c}) = 'integer' AND {c} BETWEEN -99999999999 AND 99999999999 AND {c} <> 0)"),
    (
        "milliseconds",
        (
            "sum(typeof({c}) = 'integer' AND {c} BETWEEN -99999999999999 AND 99999999999999"
            " AND {c} NOT BETWEEN -99999999999 AND 99999999999)"
        ),
    ),
    # Julian days of the years 1000 to 3999; seconds from 1973 to 5138.
    ("julians", "sum(typeof({c}) = 'real' AND {c} BETWEEN 2086302.5 AND 3182029.5)"),
    ("clocks", "sum(typeof({c}) = 'real' AND {c} BETWEEN 1e8 AND 1e11)"),
    ("shape", f"max({_SHAPE})"),
    ("forms", f"count(DISTINCT {_SHAPE})"),
    ("seventies", f"sum(typeof({{c}}) = 'text' AND {{c}} GLOB '19[67]{_D}-*')"),
)
#: The spellings of truth, measured where the declared type speaks of booleans.
_WORDS = "'t', 'true', 'y', 'yes', 'on', '1', 'f', 'false', 'n', 'no', 'off', '0'"
_SPELLED = f"CASE WHEN typeof({{c}}) = 'text' AND lower({{c}}) IN ({_WORDS}) THEN {{c}} END"
_SPELLINGS: tuple[tuple[str, str], ...] = (
    ("spelled", f"count({_SPELLED})"),
    ("first_spelling", f"min({_SPELLED})"),
    ("last_spelling", f"max({_SPELLED})"),
    ("spellings", f"count(DISTINCT {_SPELLED})"),
)


#: Numbers of different values, and the measures that hold some of these: what differs in one span may recur in another.
_DISTINCT = {"forms": ("shape",), "spellings": ("first_spelling", "last_spelling")}
_NULLABLE = frozenset({"minimum", "maximum", "longest", "shape", "first_spelling", "last_spelling"})


@dataclass(frozen=True)
class ColumnProfile:
    """Counts of a column's values by storage class, and the shapes that decide between temporal codecs.

    julians, clocks: reals that look like Julian days and like seconds since 1970; seventies: texts of the years 196x and
    197x. shape: the form of timestamps in text, which come in so many ``forms``. spelled: texts that spell a boolean, in
    so many spellings, of which the first and the last by their bytes.
    longest: bytes of the longest text or blob, in the encoding of the file; length: their sum (8 for numbers).
    """

    integers: int = 0
    reals: int = 0
    texts: int = 0
    blobs: int = 0
    minimum: int | None = None
    maximum: int | None = None
    longest: int | None = None
    length: float = 0.0
    dates: int = 0
    times: int = 0
    zoned: int = 0
    seconds: int = 0
    milliseconds: int = 0
    julians: int = 0
    clocks: int = 0
    shape: str | None = None
    forms: int = 0
    seventies: int = 0
    spelled: int = 0
    spellings: int = 0
    first_spelling: str | None = None
    last_spelling: str | None = None

    @property
    def values(self) -> int:
        """The number of values that are not NULL."""
        return self.integers + self.reals + self.texts + self.blobs


@dataclass(frozen=True)
class TableProfile:
    """rows, and a profile per column."""

    rows: int
    columns: dict[str, ColumnProfile]

    @property
    def bytes(self) -> int:
        """About how many bytes the values take."""
        return int(sum(column.length for column in self.columns.values()))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the way to the controller."""
        return asdict(self)


def from_dict(data: dict[str, Any]) -> TableProfile:
    """The TableProfile that ``as_dict`` made the data of."""
    return TableProfile(data["rows"], {name: ColumnProfile(**column) for name, column in data["columns"].items()})


def spans(connection: sqlite3.Connection, table: Table) -> list[Span]:
    """Ranges of the rowid that cover the whole table, so that a large one can be profiled in pieces; else [None]."""
    if table.rowid is None:
        return [None]
    name = quote(table.rowid)
    low, high = connection.execute(f"SELECT min({name}), max({name}) FROM {quote(table.name)}").fetchone()
    if low is None or high - low < 2 * _SPAN_ROWS:
        return [None]
    # As many pieces as can be told apart by progress, whatever gaps the rowids have.
    step = max(_SPAN_ROWS, (high - low) // _MOST_SPANS + 1)
    starts = [None, *range(low + step, high + 1, step)]
    return list(zip(starts, [*starts[1:], None]))


def profile(
    connection: sqlite3.Connection, table: Table, temporal: Callable[[str], bool], span: Span = None
) -> TableProfile:
    """Read the whole table, or the rows of a span, once (wide ones in several passes) and count.

    temporal: whether a declared type speaks of dates or times; that knowledge is not SQLite's.
    """
    if connection.in_transaction:
        return _profile(connection, table, temporal, span)
    # The application may be writing: all counts are of one moment, or their differences would mean nothing.
    connection.execute("BEGIN")
    try:
        return _profile(connection, table, temporal, span)
    finally:
        connection.execute("ROLLBACK")


def _profile(connection: sqlite3.Connection, table: Table, temporal: Callable[[str], bool], span: Span) -> TableProfile:
    source = quote(table.name)
    values: list[int] = []
    for bound, operator in zip(span or (), (">=", "<")):
        if bound is not None:
            source += f"{' AND' if values else ' WHERE'} {quote(table.rowid or '')} {operator} ?"
            values.append(bound)
    rows: int = connection.execute(f"SELECT count(*) FROM {source}", values).fetchone()[0]
    columns: dict[str, ColumnProfile] = {}
    for group in _groups(table.columns):
        wanted = [(column, measure) for column in group for measure in _measures(column, temporal)]
        expressions = ", ".join(sql.format(c=quote(column.name)) for column, (_, sql) in wanted)
        measures = connection.execute(f"SELECT {expressions} FROM {source}", values).fetchone()
        found: dict[str, dict[str, Any]] = {column.name: {} for column in group}
        for (column, (measure, _)), value in zip(wanted, measures):
            found[column.name][measure] = _plain(value) if measure in _NULLABLE else value or 0
        columns.update({name: ColumnProfile(**measured) for name, measured in found.items()})
    return TableProfile(rows, columns)


def merged(connection: sqlite3.Connection, table: Table, parts: Sequence[TableProfile]) -> TableProfile:
    """The profile of the whole table from those of its spans."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, ColumnProfile] = {}
    for column in table.columns:
        measured: dict[str, Any] = {}
        for field in fields(ColumnProfile):
            values = [value for part in parts if (value := getattr(part.columns[column.name], field.name)) is not None]
            least = field.name in ("minimum", "first_spelling")
            together: Callable[[Any], Any] = (min if least else max) if field.name in _NULLABLE else sum
            measured[field.name] = together(values) if values else None
        for name, shown in _DISTINCT.items():
            own = [part.columns[column.name] for part in parts]
            if all(getattr(profile, name) <= len(shown) for profile in own):
                measured[name] = len({getattr(profile, value) for profile in own for value in shown} - {None})
            else:
                sql = dict(_SHAPES + _SPELLINGS)[name].format(c=quote(column.name))
                measured[name] = connection.execute(f"SELECT {sql} FROM {quote(table.name)}").fetchone()[0]
        columns[column.name] = ColumnProfile(**measured)
    return TableProfile(sum(part.rows for part in parts), columns)


def _measures(column: Column, temporal: Callable[[str], bool]) -> Sequence[tuple[str, str]]:
    if temporal(column.declared):
        return _MEASURES + _SHAPES
    return _MEASURES + _SPELLINGS if "BOOL" in column.declared.upper() else _MEASURES


def _plain(value: Any) -> Any:
    """Text of a connection that reads bytes."""
    return bytes(value).decode() if isinstance(value, (bytes, bytearray)) else value


def _groups(columns: Sequence[Column]) -> Iterator[list[Column]]:
    for at in range(0, len(columns), _COLUMNS_PER_PASS):
        yield list(columns[at : at + _COLUMNS_PER_PASS])
