# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL text of the source → a tree, refused where the parser may have read it otherwise than SQLite."""

from __future__ import annotations

import logging
from typing import Any

import sqlglot
from sqlglot import expressions as exp
from sqlglot.errors import SqlglotError

from ...source.sqltokens import Token, tokens
from .values import Untranslatable

#: Functions of SQLite that have a counterpart here. An application's own function may bear any other name.
FUNCTIONS = frozenset(
    [
        "ABS",
        "AVG",
        "COALESCE",
        "COUNT",
        "IFNULL",
        "IIF",
        "INSTR",
        "JSON_VALID",
        "LENGTH",
        "LOWER",
        "LTRIM",
        "MAX",
        "MIN",
        "NULLIF",
        "REPLACE",
        "RTRIM",
        "SUBSTR",
        "SUBSTRING",
        "SUM",
        "TRIM",
        "TYPEOF",
        "UPPER",
    ]
)
#: Words that may stand before a parenthesis without being a function.
_WORDS = frozenset(
    [
        "ALL",
        "AND",
        "AS",
        "BETWEEN",
        "BY",
        "CASE",
        "CAST",
        "CHECK",
        "DISTINCT",
        "ELSE",
        "EXCEPT",
        "EXISTS",
        "FROM",
        "GLOB",
        "HAVING",
        "IN",
        "INTERSECT",
        "IS",
        "ISNULL",
        "JOIN",
        "LIKE",
        "LIMIT",
        "MATCH",
        "NOT",
        "NOTNULL",
        "NULL",
        "OFFSET",
        "ON",
        "OR",
        "ORDER",
        "REGEXP",
        "SELECT",
        "THEN",
        "UNION",
        "USING",
        "VALUES",
        "WHEN",
        "WHERE",
        "WITH",
        "FILTER",
        "OVER",
        "INTEGER",
        "TEXT",
        "REAL",
        "NUMERIC",
        "VARCHAR",
        "CHAR",
        "DECIMAL",
    ]
)

# How tightly SQLite binds, loosest first; what is not here binds tightest.
_LEVELS: tuple[tuple[type[exp.Expression], ...], ...] = (
    (exp.Or,),
    (exp.And,),
    (exp.Not,),
    (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Is, exp.In, exp.Between, exp.Like, exp.Glob, exp.Escape),
    (exp.LT, exp.LTE, exp.GT, exp.GTE),
    (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseLeftShift, exp.BitwiseRightShift),
    (exp.Add, exp.Sub),
    (exp.Mul, exp.Div, exp.Mod),
    (exp.DPipe, exp.JSONExtract),
    (exp.Collate,),
    (exp.Neg, exp.BitwiseNot),
)
_TIGHTEST = len(_LEVELS)
_LEVEL = {kind: level for level, kinds in enumerate(_LEVELS) for kind in kinds}


def parse(sql: str) -> Any:
    """The tree of a SELECT. Raises Untranslatable."""
    _check_functions(sql)
    logger = logging.getLogger("sqlglot")
    level = logger.level
    # The parser logs what it does not know; that is refused here, in words of our own.
    logger.setLevel(logging.CRITICAL)
    try:
        tree = sqlglot.parse_one(sql, read="sqlite")
    except (SqlglotError, RecursionError, ValueError):
        raise Untranslatable("cannot be parsed") from None
    finally:
        logger.setLevel(level)
    for node in tree.walk():
        _check_binding(node)
    return tree


def parse_expression(sql: str) -> Any:
    """The tree of one expression. Raises Untranslatable."""
    tree = parse(f"SELECT {sql}")
    found = tree.expressions if isinstance(tree, exp.Select) else []
    given = {name for name, value in tree.args.items() if value}
    if len(found) != 1 or given != {"expressions"} or isinstance(found[0], (exp.Alias, exp.Star)):
        raise Untranslatable("cannot be parsed")
    return found[0]


def _check_plus(found: list[Token]) -> None:
    """Raise Untranslatable for a unary plus, which takes a column's affinity away and leaves no trace in the tree."""
    for before, token, after in zip(found, found[1:], found[2:]):
        if token.text != "+" or after.kind == "number":
            continue
        if (before.kind == "other" and before.text != ")") or before.text.upper() in _WORDS:
            raise Untranslatable("uses a unary plus")


def _check_functions(sql: str) -> None:
    found = tokens(sql)
    _check_plus(found)
    for token, follower in zip(found, found[1:]):
        if follower.text != "(" or token.kind not in ("word", "name"):
            continue
        word = token.text.upper()
        if token.kind == "word" and word in FUNCTIONS | _WORDS:
            continue
        # A name before a parenthesis may also name the columns of a CTE; those stand before AS.
        if not _is_column_list(found, found.index(follower)):
            raise Untranslatable(f"uses the function {token.text.lower()}()")


def _is_column_list(found: list[Token], opening: int) -> bool:
    depth = found[opening].depth
    for at in range(opening + 1, len(found) - 1):
        token = found[at]
        if token.text == ")" and token.depth == depth:
            return found[at + 1].text.upper() == "AS"
    return False


def _check_binding(node: Any) -> None:
    """Raise Untranslatable where an operator holds another one that SQLite would not bind so without parentheses."""
    level = _LEVEL.get(type(node))
    if level is None:
        return
    for name in ("this", "expression", "low", "high"):
        child = node.args.get(name)
        if not isinstance(child, exp.Expression):
            continue
        inner = _LEVEL.get(type(child), _TIGHTEST)
        prefix = isinstance(node, (exp.Not, exp.Neg, exp.BitwiseNot))
        loosest = level if prefix or name == "this" else level + 1
        if isinstance(node, exp.Escape):
            loosest = 0
        if inner < loosest:
            raise Untranslatable(
                "mixes operators whose order of binding is not the same everywhere; parentheses would help"
            )
