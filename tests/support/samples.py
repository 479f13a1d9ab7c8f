# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables with a column for every codec, type and rule, and values that each takes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from cutover.codecs import CODECS
from cutover.codecs.numbers import SPELLINGS
from support.ways import WAYS

#: (codec, rule or None) → values as SQLite stores them; text as bytes, but for _BLOBS.
SAMPLES: dict[tuple[str, str | None], list[Any]] = {
    ("integer", None): [1, -7, 30_000],
    ("real", None): [0.1, 1e300, 5e-324, 3],
    ("decimal", None): [b"1.10", 5, 0.1],
    ("boolean", None): [0, 1],
    ("text", None): [b"", b"a", "é🐘".encode()],
    ("text", "as_text"): [5, 0.5, b"a"],
    # What becomes NULL cannot be corrupted.
    ("text", "empty_to_null"): [b"a"],
    ("blob", None): [b"", b"\0", b"\xff\xfe"],
    ("blob", "text_as_bytes"): [b"a\0b", b"\xff"],
    ("uuid", None): [b"6f9619ff-8b86-d011-b42d-00cf4fc964ff"],
    ("epoch_s", None): [0, 1_700_000_000, -1],
    ("epoch_ms", None): [0, 1_700_000_000_123, -1],
    ("epoch_us", None): [0, 1_700_000_000_123_456, -1],
    ("iso_timestamp", None): [b"2024-02-29 12:00:00", b"0001-01-01T00:00:00.000001"],
    ("iso_timestamp", "date_as_midnight"): [b"2024-02-29", b"2024-02-29 00:00:01"],
    ("iso_timestamptz", None): [b"2024-02-29T12:00:00Z"],
    ("iso_timestamptz", "to_utc"): [b"2024-02-29T12:00:00+05:45", b"2024-02-29T12:00:00Z"],
    ("mixed_timestamp", "per_value"): [1_700_000_000_123, b"2024-02-29 12:00:00", b"2024-02-29T12:00:00-03:30"],
    ("date", None): [b"2024-02-29", b"9999-12-30"],
    ("time", None): [b"12:00", b"00:00:00.000001"],
    ("jsonb", None): [b'{"a": 1.0}', b'{"b": [1]}'],
    ("json", None): [b'{"a": 1, "a": 2}', b"[ ]"],
    ("float4", None): [0.5, -1.25, 3],
    ("float4", "round_to_real"): [0.1, 0.5, 1e-40],
    ("char", None): [b"a", "é".encode()],
    ("char", "pad"): [b"", b"a"],
    ("inet", None): [b"192.0.2.1", b"::ffff:192.0.2.1", b"2001:db8::1"],
    ("uuid_hex", None): [b"6f9619ff8b86d011b42d00cf4fc964ff"],
    ("uuid_bytes", None): [bytes(range(16))],
    ("epoch_real", None): [1_700_000_000.5, 1_700_000_000.123456, -1],
    ("epoch_real", "round_to_us"): [1_700_000_000.1234567],
    ("epoch_real", "truncate_to_us"): [1_700_000_000.1234567],
    ("julian", None): [2_460_000.5, 2_440_587.5],
    ("julian", "round_to_ms"): [2_460_000.123],
    ("julian", "round_to_us"): [2_460_000.123],
    ("date_days", None): [0, 19_000, -5],
    ("interval_us", None): [0, 5_400_000_000, -1],
    ("interval_since_epoch", None): [b"1970-01-02 01:30:00.000000", b"1969-12-31 23:59:59.999999"],
    **{(codec.name, None): [value.encode() for value in codec.spellings] for codec in SPELLINGS},
    ("utc_timestamp", None): [b"2024-02-29 12:00:00"],
    ("utc_timestamp", "date_as_midnight"): [b"2024-02-29", b"2024-02-29 00:00:01"],
}
#: Codecs that only a table of the application's own has: see test_codecs_of_existing_tables.
_ELSEWHERE = {"enum"}
USED = {name: codec for name, codec in CODECS.items() if name not in _ELSEWHERE}
_BLOBS = {("blob", None), ("uuid_bytes", None)}
#: Way of comparing → how the key is declared for it.
KEYS = {"ordered": "INTEGER PRIMARY KEY", "multiset": "INT NOT NULL PRIMARY KEY"}
#: Columns of one table: the differences of a table are counted all, but shown only up to a number.
_TOGETHER = 20

COLUMNS = {f"{number} {way}": way for number, way in enumerate(way for way in WAYS if "(" not in way.type)}


def tables() -> dict[str, tuple[str, list[str]]]:
    """Table → (way of comparing, columns)."""
    names = list(COLUMNS)
    groups = [names[at : at + _TOGETHER] for at in range(0, len(names), _TOGETHER)]
    return {f"{key} {n}": (key, group) for n, group in enumerate(groups) for key in KEYS}


def sample(way: Any, number: int) -> Any:
    """The value of a column in a row."""
    exact = way.codec.exact.rules
    place = (way.name, next((rule for rule in way.rules if rule in exact or (way.name, rule) in SAMPLES), None))
    value = SAMPLES[place][number % len(SAMPLES[place])]
    if isinstance(value, bytes) and place not in _BLOBS:
        return bytearray(value)
    return value


def fill(connection: sqlite3.Connection, rows: Callable[[list[str]], int]) -> None:
    """The tables, each with so many rows as ``rows`` says for its columns."""
    for table, (key, columns) in tables().items():
        names = ", ".join(f'"{column}"' for column in columns)
        connection.execute(f'CREATE TABLE "{table}" (k {KEYS[key]}, {names})')
        for number in range(rows(columns)):
            row = [sample(COLUMNS[column], number) for column in columns]
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(value, bytearray) else "?" for value in row)
            bound = [bytes(value) if isinstance(value, bytearray) else value for value in row]
            connection.execute(f'INSERT INTO "{table}" VALUES (?, {marks})', (number, *bound))


def decided(column: str) -> dict[str, Any]:
    """The plan's entry for a column."""
    way = COLUMNS[column]
    return {"codec": way.name, "type": way.type, **({"rules": list(way.rules)} if way.rules else {})}
