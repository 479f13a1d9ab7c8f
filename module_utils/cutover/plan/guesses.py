# SPDX-License-Identifier: GPL-3.0-or-later
"""Integer columns that look like references although the source declares none: left alone, they would refer to nothing."""

from __future__ import annotations

import re

from ..errors import Finding
from ..source.model import Table
from .ids import Columns, Keys
from .overrides import Overrides

#: user_id, userId, userID, id_user: what the name refers to.
_REFERENCE = re.compile(r"(?:(.+?)(?:_id|_ID|Id|ID)|id_(.+))")


def undeclared(tables: list[Table], planned: Columns, keys: Keys, decided: Overrides) -> list[Finding]:
    """A finding for each such column, once any key becomes a UUID.

    An error where the name says which table's key it holds, a warning where it says only that it is a reference.
    """
    if not keys.key_of:
        return []
    by_name: dict[str, list[str]] = {}
    for table in tables:
        own = keys.own_key(table)
        if own is not None and keys.key_of.get((table.name, own)) == table.name:
            for name in _names(table.name):
                by_name.setdefault(name, []).append(table.name)
    found: list[Finding] = []
    for table in tables:
        for column in planned[table.name]:
            match = _REFERENCE.fullmatch(column.name)
            place = (table.name, column.name)
            decision = decided.column(*place)
            if match is None or column.codec != "integer" or place in keys.key_of or place in keys.edges:
                continue
            if keys.own_key(table) == column.name or "refers_to" in decision:
                continue
            found.append(_finding(table, column.name, by_name.get(_plain(match[1] or match[2]), [])))
    return found


def _finding(table: Table, column: str, parents: list[str]) -> Finding:
    if parents:
        named = parents[0]
        others = f" (or {', '.join(parents[1:])})" if len(parents) > 1 else ""
        message = (
            f"is named like a reference to {named}{others}, whose key becomes a UUID, but the source declares none: its "
            "integers would refer to nothing. Name the table, or say refers_to: false if it is no reference"
        )
        return _decided("error", message, table.name, column, named)
    kinds = {other.name for other in table.columns}
    stem = re.sub(r"(_id|_ID|Id|ID)$", "", column)
    if {f"{stem}_type", f"{stem}Type"} & kinds:
        message = (
            f"refers to several tables, which {stem}_type names: such references are not followed. It stays an integer; "
            "keep the ids of the tables that it refers to, or the application loses these references"
        )
        return _decided("error", message, table.name, column, False)
    message = (
        "is named like a reference, but no table is called so, and the source declares none: it stays an integer. If it "
        "holds keys of a table whose key becomes a UUID, name that table with refers_to"
    )
    return _decided("warning", message, table.name, column, False)


def _decided(severity: str, message: str, table: str, column: str, refers_to: str | bool) -> Finding:
    decide = {"tables": {table: {"columns": {column: {"refers_to": refers_to}}}}}
    return Finding(severity, message, table, column, decide=decide)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names(table: str) -> set[str]:
    """What a table is called in the names of columns: itself, without a prefix such as the application's, singular."""
    found: set[str] = set()
    for name in (table, table.rpartition("_")[2]):
        plain = _plain(name)
        found.add(plain)
        if plain.endswith("ies"):
            found.add(plain[:-3] + "y")
        if plain.endswith("es"):
            found.add(plain[:-2])
        if plain.endswith("s"):
            found.add(plain[:-1])
    return found - {""}
