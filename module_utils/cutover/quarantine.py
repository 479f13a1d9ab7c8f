# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that the plan sets aside: kept whole in PostgreSQL beside their reason, instead of stopping the run.

A row goes to quarantine when a codec refuses a value of a column that the plan marks ``refused: quarantine``. Every
value of the row is kept with its storage class, in a JSON text that is written as jsonb prints it, so that the digest
of what PostgreSQL holds can be compared with that of what the source holds.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .codecs.base import NULL, length
from .packer import COPY_HEADER, COPY_TRAILER, Packer, Row, row_name
from .plan.model import PlanColumn, PlanTable
from .ranges import Range, Rows
from .target.connect import qualified

#: Longer text is kept as the hex of its bytes, which needs no decoded copy of it.
_LONG = 1 << 20
#: Bytes whose hex is written at once; even, so that slices join.
_SLICE = 1 << 16
#: Keys that a summary names.
SHOWN = 20


@dataclass(frozen=True)
class Held:
    """A row for the quarantine: its key for a person, its rowid, why, and its values."""

    key: str
    rowid: int | None
    reasons: dict[str, str]
    row: Row


def table_of(own: str) -> str:
    """The quarantine of the migration whose own schema is ``own``."""
    return qualified(own, "quarantine")


def columns(table: PlanTable) -> tuple[PlanColumn, ...]:
    """The columns whose refused values send their row to quarantine."""
    return tuple(column for column in table.columns if column.refused == "quarantine")


def held(packer: Packer, row: Row, rowid: int | None) -> Held | None:
    """The row for the quarantine; None when a column that is to fail refuses it too."""
    found = packer.refusals(row)
    if any(column.refused != "quarantine" for column, _, _ in found):
        return None
    reasons = {column.name: reason for column, _, reason in found}
    return Held(row_name(packer.table, row, rowid), rowid, reasons, row)


def pieces(names: Sequence[str], row: Row) -> list[bytes | memoryview]:
    """The values of a row as one JSON text, in pieces: bytes as they are, a memoryview stands for its hex.

    The text is what jsonb prints: keys by length and bytes, one blank after colon and comma.
    """
    out: list[bytes | memoryview] = []
    named = {name.encode("utf-8", "backslashreplace"): value for name, value in zip(names, row)}
    for at, name in enumerate(sorted(named, key=lambda name: (len(name), name))):
        out.append((b", " if at else b"{") + _json(name.decode()) + b": ")
        value = named[name]
        if value is None:
            out.append(b"null")
        elif isinstance(value, int):
            out.append(b'{"integer": %d}' % value)
        elif isinstance(value, float):
            # As text: JSON has no infinity, and numeric no negative zero. repr() reads back as the same bits.
            out.append(b'{"real": "%b"}' % repr(value).encode())
        elif isinstance(value, bytearray) and (text := _readable(value)) is not None:
            out.append(b'{"text": %b}' % text)
        else:
            kind = b"text_hex" if isinstance(value, bytearray) else b"blob_hex"
            out += [b'{"%b": "' % kind, memoryview(value), b'"}']
    return [*out, b"}"] if named else [b"{}"]


def _json(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


def _readable(value: bytearray) -> bytes | None:
    """Text that jsonb can hold, as a JSON string."""
    if len(value) > _LONG or 0 in value:
        return None
    try:
        return _json(value.decode())
    except UnicodeDecodeError:
        return None


def restore(stored: Mapping[str, Any]) -> dict[str, int | float | bytes | bytearray | None]:
    """The values that ``pieces`` kept, by column, as they are read from SQLite: TEXT as bytearray, BLOB as bytes."""
    values: dict[str, int | float | bytes | bytearray | None] = {}
    for name, kept in stored.items():
        if kept is None:
            values[name] = None
            continue
        [(kind, value)] = kept.items()
        if kind == "integer":
            values[name] = int(value)
        elif kind == "real":
            values[name] = float(value)
        elif kind == "text":
            values[name] = bytearray(value.encode())
        else:
            values[name] = bytearray.fromhex(value) if kind == "text_hex" else bytes.fromhex(value)
    return values


def _texts(parts: Sequence[bytes | memoryview]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
        else:
            for at in range(0, len(part), _SLICE):
                yield binascii.hexlify(part[at : at + _SLICE])


def stream(table: PlanTable, rows: Sequence[Held]) -> Iterator[bytes]:
    """Binary COPY into the quarantine: table_name, key, rowid, reasons, stored."""
    names = [column.name for column in table.columns]
    yield COPY_HEADER
    for one in rows:
        reasons = _json_object(one.reasons)
        parts = pieces(names, one.row)
        size = sum(len(part) if isinstance(part, bytes) else 2 * len(part) for part in parts)
        yield b"".join(
            (
                struct.pack(">h", 5),
                _field(table.name.encode()),
                _field(_shown(one.key)),
                NULL if one.rowid is None else struct.pack(">iq", 8, one.rowid),
                length(len(reasons) + 1) + b"\x01" + reasons,
                length(size + 1) + b"\x01",
            )
        )
        yield from _texts(parts)
    yield COPY_TRAILER


def _shown(key: str) -> bytes:
    return key.encode("utf-8", "backslashreplace").replace(b"\0", b"\\0")


def shown(key: str) -> str:
    """The name of a row as the quarantine holds it."""
    return _shown(key).decode()


def text(names: Sequence[str], row: Row) -> str:
    """The values of a row as the JSON text that the quarantine holds them in."""
    return b"".join(_texts(pieces(names, row))).decode()


def _field(raw: bytes) -> bytes:
    return length(len(raw)) + raw


def _json_object(texts: Mapping[str, str]) -> bytes:
    shown = {name.encode("utf-8", "backslashreplace").decode(): text for name, text in texts.items()}
    return json.dumps(shown, ensure_ascii=False).encode("utf-8", "backslashreplace")


class _File:
    """What copy_expert reads from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _size: int = -1) -> bytes:
        """The next chunk; empty at the end."""
        return next(self._chunks, b"")


def copy(cursor: Any, own: str, table: PlanTable, rows: Sequence[Held]) -> None:
    """Put the rows into the quarantine, in the transaction of ``cursor``."""
    if rows:
        names = "table_name, key, rowid, reasons, stored"
        command = f"COPY {table_of(own)} ({names}) FROM STDIN WITH (FORMAT binary)"
        cursor.copy_expert(command, _File(stream(table, rows)))


def summary(cursor: Any, own: str, tables: Sequence[PlanTable]) -> list[dict[str, Any]]:
    """What is in quarantine, for the report: by table the rows, the first keys, the reason of the first."""
    found: list[dict[str, Any]] = []
    for table in tables:
        if not columns(table):
            continue
        cursor.execute(f"SELECT count(*) FROM {table_of(own)} WHERE table_name = %s", (table.name,))
        count = cursor.fetchone()[0]
        cursor.execute(
            f"SELECT key, reasons::text FROM {table_of(own)} WHERE table_name = %s ORDER BY rowid, key LIMIT {SHOWN}",
            (table.name,),
        )
        rows = cursor.fetchall()
        reason = "; ".join(f"{name}: {why}" for name, why in json.loads(rows[0][1]).items()) if rows else None
        found.append({"table": table.name, "rows": count, "keys": [key for key, _ in rows], "reason": reason})
    return found


class Sieve:
    """Tells on the side of the source which rows the copy set aside, and adds up their digests.

    The rows are recognized anew by their values; what was sent is not used.
    """

    def __init__(self, table: PlanTable) -> None:
        # What PostgreSQL computes itself does not travel, neither into its table nor into the quarantine.
        sent = {column.name for column in table.sent.columns}
        self._at = [at for at, column in enumerate(table.columns) if column.name in sent]
        self._names = [table.columns[at].name for at in self._at]
        self._checks: list[tuple[int, Callable[[Any], bytes]]] = []
        if columns(table):
            wires = zip(table.columns, Packer(table).exact)
            self._checks = [
                (at, wire)
                for at, (column, wire) in enumerate(wires)
                if at in self._at and column.refused == "quarantine"
            ]
        self.count = 0
        self.total = 0

    def holds(self, row: Row) -> bool:
        """Whether the row is set aside."""
        return any(row[at] is not None and Packer.refuses(wire, row[at]) for at, wire in self._checks)

    def passed(self, rows: Iterator[Row], before: int = 0) -> Iterator[Row]:
        """The rows that are not set aside; of the others the digests are added up. ``before``: key values in front."""
        return self._pass(rows, before) if self._checks else rows

    def _pass(self, rows: Iterator[Row], before: int) -> Iterator[Row]:
        for row in rows:
            if self.holds(row[before:]):
                self.count += 1
                self.total += self.digest(row[before:])
            else:
                yield row

    def digest(self, row: Row) -> int:
        """The first 15 bytes of the SHA-256 of the row's JSON text."""
        sha = hashlib.sha256()
        for text in _texts(pieces(self._names, tuple(row[at] for at in self._at))):
            sha.update(text)
        return int.from_bytes(sha.digest()[:15], "big")


#: The digest of a row as PostgreSQL holds it; no part of it comes from what was sent.
_DIGEST = "encode(substr(sha256(convert_to(stored::text, 'UTF8')), 1, 15), 'hex')"


def count_held(cursor: Any, own: str, table: PlanTable) -> tuple[int, int]:
    """(rows, sum of digests) that the quarantine holds of a table."""
    count = total = 0
    for digest, _ in _held(cursor, own, table):
        count += 1
        total += digest
    return count, total


def _held(cursor: Any, own: str, table: PlanTable) -> Iterator[tuple[int, str]]:
    """(digest, key) of every row of a table in quarantine."""
    cursor.execute(f"SELECT {_DIGEST}, key FROM {table_of(own)} WHERE table_name = %s", (table.name,))
    for digest, key in cursor:
        yield int(digest, 16), key


def unequal(source: Any, cursor: Any, own: str, table: PlanTable) -> tuple[list[str], list[str]]:
    """The keys of the rows that the quarantine lacks, and of those that it holds for nothing."""
    there: dict[int, list[str]] = {}
    for digest, key in _held(cursor, own, table):
        there.setdefault(digest, []).append(key)
    missing: list[str] = []
    sieve = Sieve(table)
    rows = Rows(source, table, Range(table.name, 0, None, None))
    for row in rows:
        if not sieve.holds(row):
            continue
        keys = there.get(sieve.digest(row))
        if keys:
            keys.pop()
        else:
            missing.append(row_name(table, row, rows.rowid))
    return missing, [key for keys in there.values() for key in keys]
