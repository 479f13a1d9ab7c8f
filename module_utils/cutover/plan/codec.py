# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec of a planned column, with the column's parameters where it has any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from ..codecs import CODECS, Codec
from ..codecs.keys import UuidKey
from ..codecs.narrow import Enum, narrowed
from ..codecs.ruled import Ruled
from .model import PlanColumn

#: SQLite's rule for the affinity TEXT: one of these in the declared type, and no INT.
_TEXT = re.compile(r"CHAR|CLOB|TEXT")


def codec_of(column: PlanColumn) -> Codec:
    """The codec that carries ``column``."""
    if column.codec == Enum.name:
        return Ruled(Enum(column.labels))
    if column.codec != UuidKey.name:
        return Ruled(narrowed(CODECS[column.codec].exact, column.type))
    if column.key_namespace is None:
        raise ValueError(f"column {column.name}: uuid_key without a namespace")
    declared = column.declared.upper()
    return UuidKey(UUID(column.key_namespace), bool(_TEXT.search(declared)) and "INT" not in declared)


def deciding(table: str, column: PlanColumn, choice: Mapping[str, Any] | None) -> dict[str, Any]:
    """The overrides that let refused values of ``column`` through: ``choice`` for it, a key that stays an integer, or
    the quarantine for its row."""
    if column.key_of is not None:
        return {"tables": {column.key_of: {"ids": "keep"}}}
    # No codec takes everything: whole rows set aside lose nothing.
    return {"tables": {table: {"columns": {column.name: dict(choice or {"refused": "quarantine"})}}}}
