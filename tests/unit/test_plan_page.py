# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/plan.md has a line for every codec, type and rule, and none for what does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from cutover.codecs import CODECS

PAGE = (Path(__file__).parents[2] / "docs" / "plan.md").read_text()


def cells(start: str) -> list[list[str]]:
    """The rows of the table whose head begins with ``start``."""
    lines = PAGE[PAGE.index(start) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_every_codec_and_type_is_in_the_table() -> None:
    shown: dict[str, set[str]] = {}
    for codecs, _, types in cells("| codec | takes |"):
        for codec in names(codecs):
            shown[codec] = names(types)
    assert set(shown) == set(CODECS)
    for name, codec in CODECS.items():
        assert set(codec.types) <= shown[name], name


def test_every_rule_is_in_the_table() -> None:
    shown = [names(rule) for rule, *_ in cells("| rule | codecs |")]
    assert all(len(rule) == 1 for rule in shown)
    assert set().union(*shown) == {rule for codec in CODECS.values() for rule in codec.rules}
