# SPDX-License-Identifier: GPL-3.0-or-later
"""Which name of the target a name of the source means: the same, or the only one that differs in case or underscores."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Matches:
    """by_name: source → target. guessed: those that are not spelled alike. missing: source name → nearest names."""

    by_name: dict[str, str]
    guessed: tuple[tuple[str, str], ...]
    missing: dict[str, list[str]]


def match(names: Iterable[str], targets: Iterable[str], told: Mapping[str, str]) -> Matches:
    """Match names. told: what the plan says, source → target; a target that does not exist counts as missing.

    Exact spelling first, then any case, then without underscores; a guess only where it is the only one either way.
    """
    sources, free = list(names), set(targets)
    every = sorted(free)
    found: dict[str, str] = {}
    guessed: list[tuple[str, str]] = []
    for name in sources:
        wanted = told.get(name, name)
        if wanted in free:
            found[name] = wanted
            free.discard(wanted)
    for fold in (str.lower, _bare):
        left = [name for name in sources if name not in found and name not in told]
        for name in left:
            alike = [target for target in free if fold(target) == fold(name)]
            rivals = [other for other in left if fold(other) == fold(name)]
            if len(alike) == 1 and len(rivals) == 1:
                found[name] = alike[0]
                guessed.append((name, alike[0]))
        free -= set(found.values())
    missing = {
        name: difflib.get_close_matches(told.get(name, name), sorted(free) or every, 3, 0.6)
        for name in sources
        if name not in found
    }
    return Matches({name: found[name] for name in sources if name in found}, tuple(guessed), missing)


def _bare(name: str) -> str:
    return name.lower().replace("_", "")
