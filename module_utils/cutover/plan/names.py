# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that PostgreSQL can hold (at most 63 bytes, no system columns, one namespace for tables and indexes), and how
many columns tables and indexes may have."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Renamed:
    """A name that PostgreSQL cannot hold as it is. better: what it becomes, or where the plan chose the name, could."""

    name: str
    better: str
    problem: str
    chosen: bool


def settle(
    wanted: Mapping[str, str],
    chosen: Collection[str],
    what: str,
    system: Collection[str] = (),
    taken: Iterable[str] = (),
) -> tuple[dict[str, str], list[Renamed]]:
    """The names in PostgreSQL by those in the source, and what had to be changed, in the same way each time.

    wanted: by the source's names; chosen: those of them that the operator named himself, which are never changed.
    system: names that PostgreSQL keeps for itself. taken: names that others have.
    """
    cut = {name for name, target in wanted.items() if name not in chosen and too_long(target)}
    free = Namespace([*system, *taken, *(target for name, target in wanted.items() if name not in cut)])
    found: dict[str, str] = {}
    renamed: list[Renamed] = []
    seen: set[str] = set(taken)
    for name, target in wanted.items():
        problem = None
        if too_long(target):
            problem, better = f"the name has {len(target.encode())} bytes, PostgreSQL holds {LIMIT}", truncated(target)
        elif target in system:
            problem, better = f"{target!r} is a system {what} of PostgreSQL", target + "_"
        elif not target:
            problem, better = "the name is empty, which PostgreSQL does not have", what
        elif target in seen:
            problem, better = f"two {what}s would be called {target!r} in PostgreSQL", target
        if problem:
            better = free.allocate(better)
            renamed.append(Renamed(name, better, problem, name in chosen))
            target = target if name in chosen else better
        found[name] = target
        seen.add(target)
    return found, renamed


def consequence(renamed: Renamed) -> str:
    """What a name that was changed means for the application's statements."""
    if renamed.better == truncated(renamed.name):
        return f"it is called {renamed.better!r} there, to which PostgreSQL cuts it in the application's statements too"
    return (
        f"it is called {renamed.better!r} there. The application's statements must say so, or they mean something else "
        "or fail; target names another one"
    )
