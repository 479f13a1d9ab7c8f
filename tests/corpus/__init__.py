# SPDX-License-Identifier: GPL-3.0-or-later
"""A SQLite database with a table for each thing that SQLite can hold, each saying what must become of it.

`python -m corpus FILE`, from the folder tests, writes it for people to try.
"""

from __future__ import annotations

from corpus.case import ANY, Case, Refusal, fill
from corpus.classes import CASES as CLASSES
from corpus.conversions import CASES as CONVERSIONS
from corpus.expressions import CASES as EXPRESSIONS
from corpus.names import CASES as NAMES
from corpus.relations import CASES as RELATIONS
from corpus.times import CASES as TIMES
from corpus.values import CASES as VALUES

#: All cases, by the name of their first table.
CASES: dict[str, Case] = {
    case.name: case for case in (*CLASSES, *VALUES, *TIMES, *CONVERSIONS, *EXPRESSIONS, *RELATIONS, *NAMES)
}

__all__ = ["ANY", "CASES", "Case", "Refusal", "fill"]
