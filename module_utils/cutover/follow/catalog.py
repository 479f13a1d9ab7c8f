# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of writing rows in any order: the target's foreign keys and triggers, by its own catalog.

Not by the plan: an application whose tables exist may have others, also in tables that are not migrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..plan.model import Plan
from ..target.connect import qualified, quote


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key between tables of PostgreSQL, each as (schema, name). nullable: of its columns those that may be NULL.

    acts: deleting a referred row changes or deletes those that refer to it.
    """

    name: str
    child: tuple[str, str]
    columns: tuple[str, ...]
    nullable: tuple[str, ...]
    parent: tuple[str, str]
    parent_columns: tuple[str, ...]
    acts: bool
    validated: bool
    definition: str

    def joins(self, child: str, parent: str) -> str:
        """The condition that a row under the name ``child`` refers to one under the name ``parent``."""
        pairs = zip(self.columns, self.parent_columns)
        return " AND ".join(f"{child}.{quote(mine)} = {parent}.{quote(theirs)}" for mine, theirs in pairs)

    @property
    def drop(self) -> str:
        """The statement that takes it off."""
        return f"ALTER TABLE {qualified(*self.child)} DROP CONSTRAINT {quote(self.name)}"

    @property
    def add(self) -> str:
        """The statement that puts it back, without a look at the rows that are there."""
        definition = self.definition.removesuffix(" NOT VALID")
        return f"ALTER TABLE {qualified(*self.child)} ADD CONSTRAINT {quote(self.name)} {definition} NOT VALID"

    @property
    def validate(self) -> str:
        """The statement that looks at them."""
        return f"ALTER TABLE {qualified(*self.child)} VALIDATE CONSTRAINT {quote(self.name)}"


@dataclass(frozen=True)
class UniqueColumn:
    """A column that a unique index takes into account. in_foreign_key: only values of other rows will do."""

    name: str
    type: str
    nullable: bool
    in_foreign_key: bool


@dataclass(frozen=True)
class Facts:
    """foreign_keys: all that touch a table of the plan. triggers: (table, trigger) that the application put there and that
    would change what is written. arbiters: tables whose key a unique index of exactly its columns guards.
    always_identity: (table, column) that cannot be updated."""

    foreign_keys: tuple[ForeignKey, ...]
    triggers: tuple[tuple[str, str], ...]
    arbiters: frozenset[str]
    always_identity: frozenset[tuple[str, str]]


_FOREIGN_KEYS = """
SELECT k.conname, n.nspname, c.relname,
  array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS x(num, at)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.num ORDER BY x.at),
  array(SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey) AND NOT a.attnotnull),
  pn.nspname, p.relname,
  array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS x(num, at)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.num ORDER BY x.at),
  k.confdeltype IN ('c', 'n', 'd'), k.convalidated, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
  AND (k.conrelid = ANY(%(tables)s::regclass[]) OR k.confrelid = ANY(%(tables)s::regclass[]))
ORDER BY 2, 3, 1
"""
_TRIGGERS = """
SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc f ON f.oid = t.tgfoid
  JOIN pg_namespace n ON n.oid = f.pronamespace
WHERE t.tgrelid = ANY(%(tables)s::regclass[]) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND n.nspname <> %(own)s
  AND t.tgname NOT LIKE 'pgcutover%%'
ORDER BY 1, 2
"""
_UNIQUE = """
SELECT c.relname, array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, at)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.at <= i.indnkeyatts)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE i.indrelid = ANY(%(tables)s::regclass[]) AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
"""
_IDENTITY = """
SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attrelid = ANY(%(tables)s::regclass[]) AND a.attidentity = 'a' AND NOT a.attisdropped
"""
_INDEX_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, NULL), NOT a.attnotnull AND NOT i.indnullsnotdistinct,
  EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = i.indrelid AND a.attnum = ANY(k.conkey))
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
  JOIN pg_attribute a ON a.attrelid = i.indrelid
WHERE n.nspname = %s AND x.relname = %s AND (a.attnum = ANY(i.indkey::int2[]) OR EXISTS (
  SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))
ORDER BY a.attnum
"""


def load(cursor: Any, plan: Plan) -> Facts:
    """The facts about the plan's tables."""
    tables = {table.target: table for table in plan.tables}
    given = {"tables": [qualified(plan.schema, name) for name in tables], "own": plan.own}
    cursor.execute(_FOREIGN_KEYS, given)
    keys = tuple(
        ForeignKey(
            name, (schema, table), tuple(columns), tuple(nullable), (ps, p), tuple(pc), acts, validated, definition
        )
        for name, schema, table, columns, nullable, ps, p, pc, acts, validated, definition in cursor.fetchall()
    )
    cursor.execute(_TRIGGERS, given)
    triggers = tuple(cursor.fetchall())
    cursor.execute(_UNIQUE, given)
    guarded = {(name, frozenset(columns)) for name, columns in cursor.fetchall()}
    arbiters = frozenset(
        table.name
        for name, table in tables.items()
        if table.key and (name, frozenset(table.column(key).target for key in table.key)) in guarded
    )
    cursor.execute(_IDENTITY, given)
    return Facts(keys, triggers, arbiters, frozenset(cursor.fetchall()))


def index_columns(cursor: Any, schema: str, index: str) -> list[UniqueColumn]:
    """The columns of a unique index, those in its expressions and its condition too."""
    cursor.execute(_INDEX_COLUMNS, (schema, index))
    return [UniqueColumn(*row) for row in cursor.fetchall()]
