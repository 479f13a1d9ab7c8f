# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the schemas in which a migration keeps its own: they follow from the schema of the application's tables.

So several migrations fit into one database, each into a schema of its own, and none sees what another keeps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

#: What all names begin with; no schema of an application may.
PREFIX = "pgcutover"
_PUBLIC = "public"
#: Quotes, backslashes and percent signs would have to be escaped anew in each string that a statement is put into.
_AWKWARD = frozenset("\"'\\%$")
_LONGEST = 63
#: Room for the number behind the name of a schema that keeps tables.
_NUMBER = 7


def own_schema(schema: str) -> str:
    """The schema of the migration's own tables, by that of the application's; the application never sees it."""
    return PREFIX if schema == _PUBLIC else _named(f"{PREFIX}_for_", schema, _LONGEST)


def kept_prefix(schema: str) -> str:
    """Schemas of this name and a number keep tables that the application once wrote to, until the migration is finalized."""
    return _numbered("kept", schema)


def quarantine_prefix(schema: str) -> str:
    """Schemas of this name and a number keep what was in quarantine when the migration was finalized."""
    return _numbered("quarantine", schema)


def is_kept(name: str, schema: str) -> bool:
    """Whether ``name`` is a schema that keeps tables of the migration whose tables are in ``schema``."""
    prefix = kept_prefix(schema)
    number = name[len(prefix) :]
    return name.startswith(prefix) and number.isascii() and number.isdigit()


def of_others(there: Iterable[str], schema: str) -> frozenset[str]:
    """Of the schemas that are there, those of other migrations in schemas: the applications', and what they keep."""
    names = frozenset(there)
    applications = {
        name for name in names if name not in (_PUBLIC, schema) and not _reserved(name) and own_schema(name) in names
    }
    kept = {
        name
        for name in names
        if name.startswith(tuple(f"{PREFIX}_{kind}for_" for kind in ("", "kept_", "quarantine_")))
    }
    return frozenset(applications | kept)


def _reserved(name: str) -> bool:
    return name.startswith((PREFIX, "pg_")) or name == "information_schema"


def _numbered(kind: str, schema: str) -> str:
    if schema == _PUBLIC:
        return f"{PREFIX}_{kind}_"
    return _named(f"{PREFIX}_{kind}_for_", schema, _LONGEST - _NUMBER) + "_"


def _named(prefix: str, schema: str, longest: int) -> str:
    plain = prefix + schema
    if len(plain.encode()) <= longest and not _AWKWARD.intersection(schema):
        return plain
    digest = hashlib.sha256(schema.encode()).hexdigest()[:16]
    short = "".join("_" if character in _AWKWARD else character for character in plain)
    return short.encode()[: longest - len(digest) - 1].decode(errors="ignore") + "_" + digest
