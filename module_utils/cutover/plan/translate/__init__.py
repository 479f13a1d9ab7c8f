# SPDX-License-Identifier: GPL-3.0-or-later
"""From SQLite's expressions and views to PostgreSQL's: what is known to mean exactly the same, and nothing else.

A white list over the tree that sqlglot parses. Source: https://www.sqlite.org/lang_expr.html, datatype3.html
(affinity of comparisons), lang_corefunc.html; PostgreSQL's chapters 4.2 and 9.
"""

from __future__ import annotations

from .expressions import Expressions
from .parse import parse
from .scope import Scope, Source, scope_of, values_of
from .select import Query, Readable, Selects, derived
from .values import Untranslatable, Value

__all__ = [
    "Expressions",
    "Query",
    "Readable",
    "Scope",
    "Selects",
    "Source",
    "Untranslatable",
    "Value",
    "derived",
    "parse",
    "scope_of",
    "values_of",
]
