# SPDX-License-Identifier: GPL-3.0-or-later
"""Primary keys, indexes and foreign keys: which are carried, under which names, and which are not and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..codecs import base_type
from ..errors import Finding
from ..source.model import ForeignKey, Index, IndexColumn, Table
from ..source.profile import TableProfile
from .model import NotCarried, PlanColumn, PlanForeignKey, PlanIndex, PlanIndexColumn
from .names import MOST_INDEX_COLUMNS, Namespace
from .overrides import Overrides
from .translate import Expressions, Scope, Untranslatable, scope_of

#: A btree entry holds about a third of a page; longer values make CREATE INDEX fail.
_LONGEST_INDEXED = 2_600
#: Codecs whose type has no order.
_WITHOUT_ORDER = frozenset({"json"})
_INTEGERS, _TEXTS = frozenset({"bigint", "integer", "smallint"}), frozenset({"text", "varchar"})


class Relations:
    """Plans what relates rows to each other, table by table, with names from one namespace."""

    def __init__(
        self,
        tables: list[Table],
        columns: Mapping[str, tuple[PlanColumn, ...]],
        profiles: Mapping[str, TableProfile],
        decided: Overrides,
        names: Namespace,
        findings: list[Finding],
        not_carried: list[NotCarried],
    ) -> None:
        self._tables: dict[str, Table] = {table.name.lower(): table for table in tables}
        self._columns = columns
        self._profiles = profiles
        self._decided = decided
        self._names = names
        self._findings = findings
        self._not_carried = not_carried
        self._demoted: dict[str, PlanIndex] = {}
        # Foreign keys need to know what makes their parents unique, so keys and indexes of all tables come first.
        self._keys = {table.name: self._primary_key(table) for table in tables}
        self._indexes = {table.name: self._planned_indexes(table) for table in tables}

    def primary_key(self, table: Table) -> tuple[tuple[str, ...], str | None]:
        """The columns of the primary key and its name; ((), None) without one or where the plan made it an index."""
        return self._keys[table.name]

    def indexes(self, table: Table) -> tuple[PlanIndex, ...]:
        """The indexes of a table apart from its primary key."""
        return self._indexes[table.name]

    def _primary_key(self, table: Table) -> tuple[tuple[str, ...], str | None]:
        key = tuple(table.column(name).name for name in table.primary_key)
        if not key:
            return (), None
        if self._decided.table(table.name).get("primary_key") == "unique":
            self._demoted[table.name] = PlanIndex(
                self._names.allocate(f"{table.name}_key"),
                True,
                tuple(PlanIndexColumn(column) for column in key),
            )
            return (), None
        profile = self._profiles[table.name]
        for name in key:
            nulls = profile.rows - profile.columns[name].values
            if nulls and name != table.rowid_alias:
                self._findings.append(
                    Finding(
                        "error",
                        f"{nulls} rows hold NULL in the primary key; a unique index instead of the key would keep them",
                        table.name,
                        name,
                        decide={"tables": {table.name: {"primary_key": "unique"}}},
                    )
                )
        self._check_length(table, "the primary key", key, None)
        if len(key) > MOST_INDEX_COLUMNS:
            message = f"the primary key has {len(key)} columns, an index of PostgreSQL at most {MOST_INDEX_COLUMNS}"
            self._findings.append(Finding("error", message, table.name))
        return key, self._names.allocate(table.primary_key_name or f"{table.name}_pkey")

    def _planned_indexes(self, table: Table) -> tuple[PlanIndex, ...]:
        found: list[tuple[PlanIndex, Index, tuple[str, ...]]] = []
        for index in table.indexes:
            # A primary key that ignores case is kept by PostgreSQL's own, which does not, and this index.
            if index.origin == "pk" and all(c.collation.upper() == "BINARY" for c in index.columns):
                continue
            try:
                columns, where, read = self._index_parts(table, index)
            except Untranslatable as reason:
                shown = index.name if index.sql else f"UNIQUE of {table.name}"
                hint = f"create it by hand: {index.sql}" if index.sql else "add the constraint by hand"
                kind = "unique index" if index.unique else "index"
                self._not_carried.append(NotCarried(shown, kind, str(reason), hint))
                continue
            ending = "nocase" if index.origin == "pk" else "key"
            wanted = index.name if index.sql else "_".join([table.name, *(c.column for c in columns), ending])
            wanted = index.constraint or wanted
            # A UNIQUE constraint stays one: applications drop and alter it as such, and not as an index.
            owned = index.origin == "u" or (index.origin == "c" and self._decided.unique == "constraint")
            owned = owned and index.unique and where is None
            owned = owned and not any(c.nocase or c.descending or c.expression for c in columns)
            made = PlanIndex(self._names.allocate(wanted), index.unique, columns, owned, where)
            found.append((made, index, read))
        # Those that foreign keys get are named here as well, so that the plan may leave them out.
        known = [index.target for index, _, _ in found] + [_index_name(table, k.columns) for k in table.foreign_keys]
        decisions = self._decided.part(table.name, "indexes", known)
        kept = [self._demoted[table.name]] if table.name in self._demoted else []
        for planned, index, read in found:
            choice = decisions.get(planned.target, {}).get("carry")
            if choice is False:
                kind = "unique index" if index.unique else "index"
                self._not_carried.append(NotCarried(planned.target, kind, "the plan says so", "create it when it fits"))
                continue
            if choice is None:
                decide = {"tables": {table.name: {"indexes": {planned.target: {"carry": False}}}}}
                self._check_length(table, f"index {planned.target}", read, decide)
            kept.append(planned)
        return tuple(kept)

    def _index_parts(
        self, table: Table, index: Index
    ) -> tuple[tuple[PlanIndexColumn, ...], str | None, tuple[str, ...]]:
        """What an index is on, its condition, the columns whose values it holds. Raises Untranslatable with the reason."""
        if len(index.columns) > MOST_INDEX_COLUMNS:
            raise Untranslatable(
                f"has {len(index.columns)} columns, an index of PostgreSQL at most {MOST_INDEX_COLUMNS}"
            )
        in_c = self._decided.collation == "C"
        scope = scope_of(table, self._columns[table.name], self._profiles[table.name], in_c)
        columns = tuple(self._index_column(table, column, scope) for column in index.columns)
        read = tuple(dict.fromkeys([*(part.column for part in columns if part.column), *scope.used]))
        return columns, Expressions(scope).condition(index.where or "") if index.partial else None, read

    def _index_column(self, table: Table, column: IndexColumn, scope: Scope) -> PlanIndexColumn:
        collation = column.collation.upper()
        if collation not in ("BINARY", "NOCASE"):
            raise Untranslatable(f"uses the collation {collation}, which PostgreSQL does not have")
        if column.name is None:
            value = Expressions(scope).translate(column.expression or "").known()
            if value.literal:
                raise Untranslatable("is on a constant")
            folds = collation == "NOCASE" and value.kind == "text"
            sql = f"lower({value.bytewise()})" if folds else value.sql
            return PlanIndexColumn("", column.descending, expression=sql)
        planned = {column.name: column for column in self._columns[table.name]}
        try:
            codec = planned[table.column(column.name).name].codec
        except KeyError:
            raise Untranslatable("is on the rowid") from None
        if codec in _WITHOUT_ORDER:
            raise Untranslatable(f"is on column {column.name}, whose type json has no order")
        if planned[table.column(column.name).name].collation:
            # The column itself compares without case.
            return PlanIndexColumn(table.column(column.name).name, column.descending)
        if collation == "NOCASE" and codec != "text":
            raise Untranslatable(f"compares column {column.name} without case, but it is no text in PostgreSQL")
        return PlanIndexColumn(table.column(column.name).name, column.descending, collation == "NOCASE")

    def foreign_key_indexes(self, table: Table, keys: tuple[PlanForeignKey, ...]) -> tuple[PlanIndex, ...]:
        """An index for each foreign key that has none: without it, deleting a parent reads the whole child."""
        if not self._decided.foreign_key_indexes(table.name):
            return ()
        covered = [self._keys[table.name][0]]
        covered += [
            tuple(part.column for part in index.columns)
            for index in self._indexes[table.name]
            if not index.where and not any(part.nocase or part.expression for part in index.columns)
        ]
        decisions = self._decided.table(table.name).get("indexes") or {}
        made: list[PlanIndex] = []
        for key in keys:
            wanted = set(key.columns)
            if any(set(columns[: len(wanted)]) == wanted for columns in covered):
                continue
            name = self._names.allocate(_index_name(table, key.columns))
            if decisions.get(name, {}).get("carry", True):
                made.append(PlanIndex(name, False, tuple(PlanIndexColumn(column) for column in key.columns)))
            covered.append(key.columns)
        return tuple(made)

    def _check_length(self, table: Table, what: str, columns: tuple[str, ...], decide: dict[str, Any] | None) -> None:
        stored = self._profiles[table.name].columns
        lengths = {name: stored[name].longest or 0 for name in columns}
        if sum(lengths.values()) <= _LONGEST_INDEXED:
            return
        message = (
            f"{what} covers values of up to {sum(lengths.values())} bytes; a btree index of PostgreSQL holds about 2,700 "
            "bytes an entry, unless they compress well."
        )
        if decide:
            message += " Leave the index out, or say carry: true if they do"
        severity = "error" if decide else "warning"
        longest = max(lengths, key=lambda name: lengths[name])
        self._findings.append(Finding(severity, message, table.name, longest, decide=decide))

    def foreign_keys(self, table: Table) -> tuple[PlanForeignKey, ...]:
        """The foreign keys of a table."""
        found: list[PlanForeignKey] = []
        for key in table.foreign_keys:
            planned, reason = self._foreign_key(table, key)
            if planned is None:
                shown = f"{table.name}({', '.join(key.columns)}) → {key.parent}"
                hint = "mend the schema, or add the constraint by hand"
                self._not_carried.append(NotCarried(shown, "foreign key", reason, hint))
            else:
                found.append(planned)
        decisions = self._decided.part(table.name, "foreign_keys", [key.target for key in found])
        kept: list[PlanForeignKey] = []
        for planned in found:
            decision = decisions.get(planned.target, {})
            if decision.get("carry", True):
                validate = bool(decision.get("validate", True))
                target = str(decision.get("target", planned.target))
                kept.append(replace(planned, target=target, validate=validate))
            else:
                hint = "add the constraint by hand once it holds"
                self._not_carried.append(NotCarried(planned.target, "foreign key", "the plan says so", hint))
        return tuple(kept)

    def _is_unique(self, parent: Table, columns: tuple[str, ...]) -> bool:
        """Whether the plan gives the parent a key or a plain unique index on these columns."""
        wanted = sorted(columns)
        if sorted(self._keys[parent.name][0]) == wanted:
            return True
        return any(index.keeps_apart(columns) for index in self._indexes[parent.name])

    def _foreign_key(self, table: Table, key: ForeignKey) -> tuple[PlanForeignKey | None, str]:
        parent = self._tables.get(key.parent.lower())
        if parent is None:
            return None, f"the table {key.parent} that it refers to does not exist or is not carried"
        try:
            columns = tuple(table.column(name).name for name in key.columns)
            referred = tuple(parent.column(name).name for name in key.parent_columns or parent.primary_key)
        except KeyError as missing:
            return None, f"the column {missing.args[0]} does not exist"
        if len(referred) != len(columns):
            return None, f"it names {len(columns)} columns, the key of {parent.name} has {len(referred)}"
        if not self._is_unique(parent, referred):
            return None, f"{parent.name}({', '.join(referred)}) is not unique in PostgreSQL"
        child_types = {c.name: c for c in self._columns[table.name]}
        parent_types = {c.name: c for c in self._columns[parent.name]}
        for mine, theirs in zip(columns, referred):
            left, right = base_type(child_types[mine].type), base_type(parent_types[theirs].type)
            if not _compare(left, right):
                return (
                    None,
                    f"{mine} is {left} in PostgreSQL, {parent.name}.{theirs} is {right}: they do not compare",
                )
        if len(columns) > MOST_INDEX_COLUMNS:
            return None, f"it has {len(columns)} columns, in PostgreSQL at most {MOST_INDEX_COLUMNS}"
        planned = PlanForeignKey(
            target=self._names.allocate(key.name or "_".join([table.name, *columns, "fkey"])),
            columns=columns,
            parent=parent.name,
            parent_columns=referred,
            on_delete=key.on_delete,
            on_update=key.on_update,
            deferrable=key.deferrable,
            deferred=key.deferred,
        )
        return planned, ""


def _index_name(table: Table, columns: tuple[str, ...]) -> str:
    """The name of an index made for a foreign key."""
    return "_".join([table.name, *(table.column(name).name for name in columns), "idx"])


def _compare(child: str, parent: str) -> bool:
    """Whether PostgreSQL takes a foreign key from one type to another: numeric is wider than integers, not narrower."""
    if child == parent or {child, parent} <= _INTEGERS or {child, parent} <= _TEXTS:
        return True
    return child in _INTEGERS and parent == "numeric"
