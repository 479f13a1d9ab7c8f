# SPDX-License-Identifier: GPL-3.0-or-later
"""A reader that shares nothing with the engine: what SQLite holds and what PostgreSQL should therefore hold."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras

UTC = dt.timezone.utc
_1970 = dt.datetime(1970, 1, 1, tzinfo=UTC)


def _instant(text: str) -> dt.datetime:
    read = dt.datetime.fromisoformat(text.upper().replace(" Z", "Z").replace(" +", "+").replace(" -", "-"))
    assert read.tzinfo is not None
    return read


def _json(value: Any) -> Any:
    return json.loads(value if isinstance(value, str) else repr(value), parse_float=Decimal, parse_int=Decimal)


def _bytes(value: Any) -> bytes:
    """The bytes of a text or blob as they are stored, whether they are UTF-8 or not."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


#: Kind of column → what a value of SQLite should read as in PostgreSQL.
MEANINGS: dict[str, Callable[[Any], Any]] = {
    "integer": int,
    "boolean": bool,
    "real": float,
    "decimal": lambda v: Decimal(v if isinstance(v, str) else repr(v)),
    "text": str,
    "blob": bytes,
    "uuid": str,
    "seconds": lambda v: _1970 + dt.timedelta(seconds=v),
    "milliseconds": lambda v: _1970 + dt.timedelta(milliseconds=v),
    "iso": dt.datetime.fromisoformat,
    "utc": _instant,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "json": _json,
    "text of json": lambda v: v if isinstance(v, str) else repr(v),
    "bytes": _bytes,
    "number as text": lambda v: v if isinstance(v, str) else repr(v),
    "microseconds": lambda v: _1970 + dt.timedelta(microseconds=v),
    "spelled": lambda v: v.lower() in ("t", "true", "y", "yes", "on", "1"),
    # Noon of the Julian day 2,440,588 was that of 1970-01-01.
    "julian": lambda v: dt.datetime(1970, 1, 1) + dt.timedelta(days=v - 2_440_587.5),  # noqa: DTZ001
    "instant of a real": lambda v: _1970 + dt.timedelta(microseconds=int(Decimal(repr(v)) * 1_000_000)),
    "interval": lambda v: dt.timedelta(microseconds=v),
    "interval since 1970": lambda v: dt.datetime.fromisoformat(v) - dt.datetime(1970, 1, 1),  # noqa: DTZ001
    "days": lambda v: dt.date(1970, 1, 1) + dt.timedelta(days=v),
    "seconds without zone": lambda v: (_1970 + dt.timedelta(seconds=v)).replace(tzinfo=None),
}
#: Kind → how its column is read from PostgreSQL, where Python's own type for it would lose something.
READ_AS = {"text of json": "{}::text"}


def shown(value: Any) -> Any:
    """A value so that two of them are equal exactly when they mean the same, and can be counted."""
    if isinstance(value, float):
        return ("real", struct.pack(">d", value))
    if isinstance(value, Decimal):
        # Decimals compare and hash by their number, whatever their trailing zeros.
        return ("decimal", value)
    if isinstance(value, memoryview):
        return ("blob", bytes(value))
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return ("instant", value.astimezone(UTC).isoformat())
    if isinstance(value, dict):
        return ("object", frozenset((key, shown(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("array", tuple(shown(item) for item in value))
    names: dict[type, str] = {bytes: "blob", str: "text"}
    return names.get(type(value), type(value).__name__), value


def quoted(name: str) -> str:
    """A name in double quotes, as both databases take it."""
    return '"' + name.replace('"', '""') + '"'


def in_sqlite(path: Path, table: str, kinds: dict[str, str]) -> Counter[Any]:
    """The rows of a table, as they should read in PostgreSQL; ``kinds`` says of each column what its values mean."""
    with closing(sqlite3.connect(path)) as connection:
        # What is no UTF-8 stays what it is, and equals no text of PostgreSQL.
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        columns = ", ".join(quoted(name) for name in kinds)
        rows = connection.execute(f"SELECT {columns} FROM {quoted(table)}").fetchall()
    return Counter(
        tuple(shown(None if value is None else MEANINGS[kind](value)) for kind, value in zip(kinds.values(), row))
        for row in rows
    )


def in_postgresql(url: str, table: str, kinds: dict[str, str]) -> Counter[Any]:
    """The rows of a table, as they read in PostgreSQL; ``kinds`` by the names of the columns there."""
    columns = ", ".join(READ_AS.get(kind, "{}").format(quoted(name)) for name, kind in kinds.items())
    with closing(psycopg2.connect(url)) as connection:
        exact = {"parse_float": Decimal, "parse_int": Decimal}
        psycopg2.extras.register_default_jsonb(connection, loads=lambda text: json.loads(text, **exact))  # type: ignore[arg-type]
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'America/St_Johns'")
            cursor.execute("SET intervalstyle = 'postgres'")
            cursor.execute(f"SELECT {columns} FROM public.{quoted(table)}")
            return Counter(tuple(map(shown, row)) for row in cursor.fetchall())


def fetch(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def execute(url: str, *statements: str) -> list[int]:
    """Run statements in one transaction; how many rows each touched."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        counts = []
        for statement in statements:
            cursor.execute(statement)
            counts.append(cursor.rowcount)
        return counts


def emptied(url: str) -> None:
    """Take everything out of a database, for the next example."""
    execute(url, "DROP SCHEMA IF EXISTS pgcutover CASCADE", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
