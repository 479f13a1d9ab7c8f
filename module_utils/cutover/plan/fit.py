# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec for a column that PostgreSQL has already: by its type there, and by what is stored in SQLite."""

from __future__ import annotations

from dataclasses import replace

from ..codecs import CODECS, base_type
from ..codecs.fills import fills
from ..source.model import Column
from ..source.profile import ColumnProfile
from ..target.model import TargetColumn
from .choose import choose

#: Types that one codec fills whatever is stored; what it does not take is found by the check of every value.
_PLAIN = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "real": "float4",
    "double precision": "real",
    "numeric": "decimal",
    "boolean": "boolean",
    "text": "text",
    "varchar": "text",
    "citext": "text",
    "char": "char",
    "enum": "enum",
    "bytea": "blob",
    "json": "json",
    "jsonb": "jsonb",
    "date": "date",
    "time": "time",
    "inet": "inet",
    "cidr": "cidr",
}
_INSTANTS = frozenset({"timestamp", "timestamptz"})


class Unfillable(Exception):
    """Nothing fills the column; the text says why."""


def fit(column: Column, stored: ColumnProfile, target: TargetColumn) -> str:
    """The name of the codec. Raises Unfillable."""
    base = base_type(target.type)
    if base.endswith("[]"):
        raise Unfillable(
            f"is {target.type} in PostgreSQL; SQLite has no arrays, and none of its values means one for sure"
        )
    if base == "uuid":
        return _uuid(stored)
    if base in _INSTANTS:
        return _instant(column, stored, base)
    if base == "interval":
        # Microseconds, as Django stores them; an instant after 1970-01-01, as SQLAlchemy does.
        codec: str | None = "interval_since_epoch" if stored.texts > stored.integers else "interval_us"
    else:
        codec = _PLAIN.get(base)
    if codec is None or codec not in CODECS:
        shown = target.type if target.domain is None else f"{target.domain} ({target.type})"
        raise Unfillable(f"is {shown} in PostgreSQL, which no codec fills")
    return codec


def assumes_utc(codec: str) -> bool:
    """Whether a codec reads times without a zone as UTC, which nothing but the plan can say."""
    return codec == "utc_timestamp"


def _uuid(stored: ColumnProfile) -> str:
    if stored.blobs > stored.texts:
        return "uuid_bytes"
    return "uuid_hex" if stored.texts and (stored.longest or 0) <= 32 else "uuid"


def _instant(column: Column, stored: ColumnProfile, base: str) -> str:
    if not stored.values:
        return "epoch_ms"
    # Whatever the column was declared as, PostgreSQL says that it holds points in time.
    chosen, findings = choose("", replace(column, declared="DATETIME"), stored, "iso_timestamp")
    codec = chosen[0]
    if codec in ("date", "time"):
        codec = "iso_timestamp"
    if codec == "iso_timestamp":
        return "utc_timestamp" if base == "timestamptz" else codec
    wrong = [finding for finding in findings if finding.severity == "error"]
    if not wrong and fills(codec, base):
        return codec
    raise Unfillable(f"is {base} in PostgreSQL: {wrong[0].message if wrong else 'the values are no points in time'}")
