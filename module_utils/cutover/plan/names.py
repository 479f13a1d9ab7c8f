# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that PostgreSQL can hold (at most 63 bytes, no system columns, one namespace for tables and indexes), and how
many columns tables and indexes may have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

LIMIT = 63
MOST_COLUMNS = 1600
MOST_INDEX_COLUMNS = 32
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


def too_long(name: str) -> bool:
    """True when PostgreSQL would cut the name."""
    return len(name.encode("utf-8", "surrogateescape")) > LIMIT


def truncated(name: str, limit: int = LIMIT) -> str:
    """The name cut to ``limit`` bytes at a character, as PostgreSQL itself cuts identifiers in statements."""
    return name.encode()[:limit].decode("utf-8", "ignore")


class Namespace:
    """Hands out names of relations, each once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken: set[str] = set(taken)

    def allocate(self, wanted: str) -> str:
        """``wanted``, or a shorter or numbered name made from it in the same way each time."""
        name = wanted
        if too_long(name):
            digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
            name = f"{truncated(wanted, LIMIT - 9)}_{digest}"
        number = 1
        base = name
        while name in self._taken:
            name = f"{truncated(base, LIMIT - len(str(number)) - 1)}_{number}"
            number += 1
        self._taken.add(name)
        return name
