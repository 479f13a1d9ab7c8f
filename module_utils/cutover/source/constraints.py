# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that a CREATE TABLE statement gives to its keys: SQLite keeps them in the text only, and an application's
later migrations drop and change constraints by these names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .model import ForeignKey, Index
from .sqltokens import Token, tokens


@dataclass
class KeyNames:
    """unique: by the columns in lower case. references: of each REFERENCES clause, in the order of the text."""

    primary_key: str | None = None
    unique: dict[tuple[str, ...], str] = field(default_factory=dict)
    references: list[str | None] = field(default_factory=list)


def primary_key_name(sql: str) -> str | None:
    """The name of the primary key, if it has one."""
    return key_names(sql).primary_key


def named_indexes(indexes: tuple[Index, ...], sql: str) -> tuple[Index, ...]:
    """The indexes of a table, those of UNIQUE constraints with the names of the constraints."""
    names = key_names(sql).unique
    return tuple(
        replace(index, constraint=names.get(tuple((column.name or "").lower() for column in index.columns)))
        if index.origin == "u"
        else index
        for index in indexes
    )


def named_foreign_keys(keys: tuple[ForeignKey, ...], sql: str) -> tuple[ForeignKey, ...]:
    """Foreign keys, in the order of the text, with the names of their constraints."""
    names = key_names(sql).references
    if len(names) != len(keys):
        return keys
    return tuple(replace(key, name=name) for key, name in zip(keys, names))


def key_names(sql: str) -> KeyNames:
    """The names of primary key, UNIQUE constraints and foreign keys of a CREATE TABLE statement."""
    found = KeyNames()
    for part in _parts(sql):
        _walk(part, found)
    return found


def _parts(sql: str) -> list[list[Token]]:
    """What stands between the commas of the first parentheses."""
    parts: list[list[Token]] = []
    for token in tokens(sql):
        if token.text == "(" and token.depth == 0 and not parts:
            parts.append([])
        elif token.text == ")" and token.depth == 0 and parts:
            break
        elif parts and token.text == "," and token.depth == 1:
            parts.append([])
        elif parts:
            parts[-1].append(token)
    return [part for part in parts if part]


def _walk(part: list[Token], found: KeyNames) -> None:
    column = unquoted(part[0]).lower()
    name: str | None = None
    for at, token in enumerate(part):
        if token.depth != 1:
            continue
        if token.is_word("CONSTRAINT") and at + 1 < len(part):
            name = unquoted(part[at + 1])
        elif token.is_word("PRIMARY"):
            found.primary_key, name = name, None
        elif token.is_word("UNIQUE"):
            if name is not None:
                found.unique[_columns(part[at + 1 :]) or (column,)] = name
            name = None
        elif token.is_word("REFERENCES"):
            found.references.append(name)
            name = None
        elif token.is_word("CHECK", "NOT", "NULL", "DEFAULT", "COLLATE", "GENERATED", "AS"):
            name = None


def _columns(rest: list[Token]) -> tuple[str, ...]:
    """The columns in the parentheses that ``rest`` begins with; none when it begins otherwise."""
    if not rest or rest[0].text != "(" or rest[0].kind != "other":
        return ()
    found: list[str] = []
    for before, token in zip(rest, rest[1:]):
        if token.text == ")" and token.depth == 1:
            break
        if before.text in ("(", ",") and before.kind == "other" and token.depth == 2:
            found.append(unquoted(token).lower())
    return tuple(found)


def unquoted(token: Token) -> str:
    """The name that a token means, whatever quotes it is in."""
    if token.kind not in ("name", "string"):
        return token.text
    closing = token.text[-1]
    return token.text[1:-1].replace(closing * 2, closing) if closing != "]" else token.text[1:-1]
