# SPDX-License-Identifier: GPL-3.0-or-later
"""A tokenizer for the few facts that SQLite keeps only in the text of CREATE statements.

Source: https://www.sqlite.org/lang_createtable.html and the tokenizer rules of SQLite (quotes, comments).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<string>'(?:[^']|'')*')
  | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
  | (?P<word>[^\W\d][\w$]*)
  | (?P<number>\d[\w.]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """kind: string, name (quoted), word, number or other. ``start``/``end`` are offsets into the text."""

    kind: str
    text: str
    start: int
    end: int
    depth: int

    def is_word(self, *words: str) -> bool:
        """True for an unquoted word that is one of ``words`` (upper case)."""
        return self.kind == "word" and self.text.upper() in words


def tokens(sql: str) -> list[Token]:
    """The tokens of ``sql`` without white space and comments, each with its depth of parentheses."""
    found: list[Token] = []
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        if kind == "space":
            continue
        text = match.group()
        if text == ")" and kind == "other":
            depth -= 1
        found.append(Token(kind, text, match.start(), match.end(), depth))
        if text == "(" and kind == "other":
            depth += 1
    return found


def table_options(sql: str) -> tuple[bool, bool]:
    """(WITHOUT ROWID, STRICT) of a CREATE TABLE statement."""
    found = tokens(sql)
    closing = max((i for i, token in enumerate(found) if token.text == ")" and token.depth == 0), default=None)
    if closing is None:
        return False, False
    words = [token.text.upper() for token in found[closing + 1 :] if token.kind == "word"]
    return "ROWID" in words and "WITHOUT" in words, "STRICT" in words


def has_autoincrement(sql: str) -> bool:
    """True if a CREATE TABLE statement declares AUTOINCREMENT."""
    return any(token.is_word("AUTOINCREMENT") for token in tokens(sql))


def checks(sql: str) -> list[tuple[str | None, str]]:
    """(name or None, expression without its outer parentheses) of all CHECK constraints of a CREATE TABLE statement."""
    found: list[tuple[str | None, str]] = []
    for before, word, text in _clauses(sql):
        if word == "CHECK":
            named = len(before) > 1 and before[-2].is_word("CONSTRAINT")
            found.append((unquoted(before[-1]) if named else None, text))
    return found


def generated(sql: str) -> list[str]:
    """The expressions of all generated columns of a CREATE TABLE statement, in the order of the columns."""
    return [text for _, word, text in _clauses(sql) if word == "AS"]


def _clauses(sql: str) -> Iterator[tuple[list[Token], str, str]]:
    """The two tokens before each CHECK or AS of a CREATE TABLE statement, the word, and what its parentheses hold."""
    found = tokens(sql)
    for at, token in enumerate(found[:-1]):
        opening = found[at + 1]
        if token.depth != 1 or opening.text != "(" or not token.is_word("CHECK", "AS"):
            continue
        for closing in found[at + 2 :]:
            if closing.text == ")" and closing.depth == opening.depth:
                yield found[max(0, at - 2) : at], token.text.upper(), sql[opening.end : closing.start].strip()
                break


def deferred_references(sql: str) -> list[tuple[bool, bool]]:
    """(deferrable, initially deferred) of each REFERENCES clause of a CREATE TABLE statement, in textual order."""
    found = tokens(sql)
    result: list[tuple[bool, bool]] = []
    for at, token in enumerate(found):
        if token.depth != 1 or not token.is_word("REFERENCES"):
            continue
        deferrable = deferred = False
        for position in range(at + 1, len(found)):
            follower = found[position]
            if follower.depth < 1 or (follower.depth == 1 and follower.text == ",") or follower.is_word("REFERENCES"):
                break
            if follower.is_word("DEFERRABLE"):
                deferrable = not found[position - 1].is_word("NOT")
            if follower.is_word("DEFERRED"):
                deferred = True
        result.append((deferrable, deferrable and deferred))
    return result


def unquoted(token: Token) -> str:
    """The name that a token means, whatever quotes it is in."""
    if token.kind not in ("name", "string"):
        return token.text
    closing = token.text[-1]
    return token.text[1:-1].replace(closing * 2, closing) if closing != "]" else token.text[1:-1]


def _parts(sql: str) -> tuple[list[list[Token]], list[Token]]:
    """What stands between the commas of the first parentheses of a CREATE statement, and all tokens behind them."""
    found = tokens(sql)
    opening = next((i for i, token in enumerate(found) if token.text == "(" and token.kind == "other"), len(found))
    parts: list[list[Token]] = [[]]
    for at in range(opening + 1, len(found)):
        token = found[at]
        if token.text == ")" and token.depth == 0:
            return parts, found[at + 1 :]
        if token.text == "," and token.depth == 1:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts, []


def collations(sql: str) -> dict[str, str]:
    """Column name in lower case → its collation, for the columns of a CREATE TABLE statement that name one."""
    found: dict[str, str] = {}
    for part in _parts(sql)[0]:
        for token, follower in zip(part[1:], part[2:]):
            if token.depth == 1 and token.is_word("COLLATE"):
                found[unquoted(part[0]).lower()] = unquoted(follower).upper()
    return found


def index_parts(sql: str) -> tuple[list[str], str | None]:
    """The expressions of a CREATE INDEX statement, without ASC and DESC, and the condition of a partial one."""
    parts, rest = _parts(sql)
    texts: list[str] = []
    for part in parts:
        if part and part[-1].is_word("ASC", "DESC"):
            part = part[:-1]
        texts.append(sql[part[0].start : part[-1].end] if part else "")
    where = rest[1:] if rest and rest[0].is_word("WHERE") else []
    return texts, sql[where[0].start : where[-1].end] if where else None


#: Functions that give the same for the same arguments, whenever they are called.
_STEADY = frozenset(
    [
        "ABS",
        "CHAR",
        "COALESCE",
        "HEX",
        "IFNULL",
        "INSTR",
        "LENGTH",
        "LOWER",
        "LTRIM",
        "NULLIF",
        "REPLACE",
        "ROUND",
        "RTRIM",
        "SUBSTR",
        "SUBSTRING",
        "TRIM",
        "UNICODE",
        "UPPER",
        "ZEROBLOB",
        "CAST",
    ]
)


def constant_expression(sql: str) -> bool:
    """True for an expression of several constants, whose value depends on nothing: ``1 + 2``, ``'x' || char(10)``."""
    found = tokens(sql)
    if len(found) < 3:
        return False
    for at, token in enumerate(found):
        called = at + 1 < len(found) and found[at + 1].text == "("
        if token.kind == "name" or (token.kind == "word" and called and token.text.upper() not in _STEADY):
            return False
        if token.is_word("CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "SELECT"):
            return False
    return True


def view_select(sql: str) -> str | None:
    """The SELECT of a CREATE VIEW statement."""
    for token in (found := tokens(sql)):
        if token.depth == 0 and token.is_word("AS"):
            rest = [t for t in found if t.start > token.start and t.text != ";"]
            return sql[rest[0].start : rest[-1].end] if rest else None
    return None


def quote(name: str) -> str:
    """A name quoted for SQLite."""
    return '"' + name.replace('"', '""') + '"'
