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


def checks(sql: str) -> list[str]:
    """The expressions of all CHECK constraints of a CREATE TABLE statement, without their outer parentheses."""
    return [text for word, text in _clauses(sql) if word == "CHECK"]


def generated(sql: str) -> list[str]:
    """The expressions of all generated columns of a CREATE TABLE statement, in the order of the columns."""
    return [text for word, text in _clauses(sql) if word == "AS"]


def _clauses(sql: str) -> Iterator[tuple[str, str]]:
    found = tokens(sql)
    for at, token in enumerate(found[:-1]):
        opening = found[at + 1]
        if token.depth != 1 or opening.text != "(" or not token.is_word("CHECK", "AS"):
            continue
        for closing in found[at + 2 :]:
            if closing.text == ")" and closing.depth == opening.depth:
                yield token.text.upper(), sql[opening.end : closing.start].strip()
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


def quote(name: str) -> str:
    """A name quoted for SQLite."""
    return '"' + name.replace('"', '""') + '"'
