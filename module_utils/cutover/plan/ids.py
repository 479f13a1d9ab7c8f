# SPDX-License-Identifier: GPL-3.0-or-later
"""Which columns hold integer keys that become UUIDs: a table's key, and whatever refers to it, however far away."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID, uuid5

from ..errors import Finding, PlanError
from ..source.model import Table
from .model import NotCarried, PlanColumn
from .overrides import Overrides

#: The namespace of all migrations; each has its own below it, made from its name.
PROJECT = UUID("d6e3c0f5-4a8b-5f0e-9b1d-2f6c8a7e4310")

#: (table, column) by their names in the source.
Node = tuple[str, str]
Columns = dict[str, tuple[PlanColumn, ...]]

_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)


def namespace_of(name: str, decided: Overrides) -> UUID:
    """The namespace of a migration: what was decided, else made from the migration's name."""
    return decided.namespace or uuid5(PROJECT, name)


class Keys:
    """Follows every reference to the key that it ends at, and says which columns become UUIDs of which table."""

    def __init__(self, tables: list[Table], planned: Columns, decided: Overrides, ids: str) -> None:
        self._tables = {table.name: table for table in tables}
        self._folded = {table.name.lower(): table for table in tables}
        self._planned = {(name, column.name): column for name, columns in planned.items() for column in columns}
        self._decided = decided
        self._wanted = {table.name: str(decided.table(table.name).get("ids", ids)) for table in tables}
        self._order = {table.name: number for number, table in enumerate(tables)}
        #: Why each key that was to become UUIDs stays, and what settles it.
        self.findings: list[Finding] = []
        self.edges = self._references(tables)
        self._reach = {node: self._reachable(node) for node in self.edges}
        #: Each column that becomes UUIDs, and the table whose key it holds.
        self.key_of: dict[Node, str] = {}
        for table in tables:
            for column in table.columns:
                root = self._root((table.name, column.name))
                if root is not None:
                    self.key_of[table.name, column.name] = root
        self._check_wishes(tables)

    def own_key(self, table: Table) -> str | None:
        """The single integer column that is the primary key of a table, or None."""
        if len(table.primary_key) != 1 or self._decided.table(table.name).get("primary_key") == "unique":
            return None
        name = table.column(table.primary_key[0]).name
        return name if self._planned[table.name, name].codec == "integer" else None

    def _references(self, tables: list[Table]) -> dict[Node, set[Node]]:
        """By column, the columns that it refers to by a foreign key of the source or by the plan."""
        edges: dict[Node, set[Node]] = {}
        for table in tables:
            for key in table.foreign_keys:
                parent = self._folded.get(key.parent.lower())
                if parent is None:
                    continue
                try:
                    mine = [table.column(name).name for name in key.columns]
                    theirs = [parent.column(name).name for name in key.parent_columns or parent.primary_key]
                except KeyError:
                    continue
                if len(mine) != len(theirs):
                    continue
                for one, other in zip(mine, theirs):
                    edges.setdefault((table.name, one), set()).add((parent.name, other))
            for column in table.columns:
                named = self._decided.column(table.name, column.name).get("refers_to")
                if named:
                    edges.setdefault((table.name, column.name), set()).add(self._named(table, column.name, str(named)))
        return {node: targets - {node} for node, targets in edges.items() if targets - {node}}

    def _named(self, table: Table, column: str, named: str) -> Node:
        """The key of the table that the plan names."""
        parent = self._tables.get(named)
        where = f"tables.{table.name}.columns.{column}.refers_to"
        if parent is None:
            raise PlanError(f"{where}: the table {named!r} is not carried.")
        if len(parent.primary_key) != 1:
            raise PlanError(f"{where}: the table {named!r} has no primary key of one column.")
        return parent.name, parent.column(parent.primary_key[0]).name

    def _reachable(self, node: Node) -> frozenset[Node]:
        seen: set[Node] = set()
        left = [node]
        while left:
            for target in self.edges.get(left.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    left.append(target)
        return frozenset(seen)

    def _ends(self, node: Node) -> list[frozenset[Node]]:
        """Where references from a column end: single columns, or columns that refer to each other in a circle."""
        ends: set[frozenset[Node]] = set()
        for target in self._reach.get(node, frozenset({node})):
            beyond = self._reach.get(target, frozenset())
            if not beyond:
                ends.add(frozenset({target}))
            elif all(target in self._reach.get(other, ()) for other in beyond):
                ends.add(beyond)
        return sorted(ends, key=lambda end: min(self._order[table] for table, _ in end))

    def _root(self, node: Node) -> str | None:
        """The table whose key, as UUIDs, a column holds; None when it stays as it is. Contradictions are findings."""
        roots: dict[Node, bool] = {}
        for end in self._ends(node):
            keys = sorted((n for n in end if self.own_key(self._tables[n[0]]) == n[1]), key=lambda n: self._order[n[0]])
            turned = bool(keys) and all(self._wanted[table] == "uuid" for table, _ in keys)
            roots[keys[0] if keys else min(end)] = turned
        if not any(roots.values()):
            return None
        table, column = node
        become = [name for (name, _), turned in roots.items() if turned]
        keep = {"tables": {name: {"ids": "keep"} for name in become}}
        if len(roots) > 1:
            kept = [f"{name}.{end}" for (name, end), turned in roots.items() if not turned]
            others = f", and to {', '.join(kept)}, which stays" if kept else ""
            message = (
                f"refers to the keys of {', '.join(become)}, which become different UUIDs{others}; it cannot hold both"
            )
            self.findings.append(Finding("error", message, table, column, decide=keep))
            return None
        decision = self._decided.column(table, column)
        if decision.get("codec", "integer") != "integer" or decision.get("type", "bigint") != "bigint":
            said = str(decision["codec"])
            message = (
                f"the plan says codec {said} for this column, but it refers to {become[0]}, whose integer key becomes a "
                "UUID; leave the codec out, or let that table keep its ids"
            )
            self.findings.append(Finding("error", message, table, column, decide=keep))
        return become[0]

    def _check_wishes(self, tables: list[Table]) -> None:
        """What was said of a table and cannot be."""
        for table in tables:
            wish = self._decided.table(table.name).get("ids")
            key = self.own_key(table)
            if wish is None:
                continue
            if wish == "uuid" and key is None:
                raise PlanError(
                    f"tables.{table.name}.ids: the table has no primary key of one integer column that could become a UUID."
                )
            root = self.key_of.get((table.name, key)) if key else None
            if wish == "keep" and root is not None:
                message = f"is to keep its ids, but its key refers to {root}, whose key becomes a UUID"
                decide = {"tables": {root: {"ids": "keep"}}}
                self.findings.append(Finding("error", message, table.name, key, decide=decide))
            if wish == "uuid" and root is None and not any(f.table == table.name for f in self.findings):
                ends = [name for end in self._ends((table.name, key or "")) for name, _ in end]
                message = (
                    f"its ids are to become UUIDs, but its key refers to {', '.join(sorted(ends))}, whose key stays"
                )
                decide = {"tables": {table.name: {"ids": "keep"}}}
                self.findings.append(Finding("error", message, table.name, key, decide=decide))


def turn(
    tables: list[Table],
    planned: Columns,
    keys: Keys,
    decided: Overrides,
    namespace: UUID,
    not_carried: list[NotCarried],
) -> Columns:
    """The planned columns with those that become UUIDs as such."""
    sources = {table.name: table for table in tables}
    turned: Columns = {}
    for name, columns in planned.items():
        turned[name] = tuple(
            _turned(sources[name], column, keys.key_of[name, column.name], decided, namespace, not_carried)
            if (name, column.name) in keys.key_of
            else column
            for column in columns
        )
    return turned


def _turned(
    table: Table, column: PlanColumn, root: str, decided: Overrides, namespace: UUID, not_carried: list[NotCarried]
) -> PlanColumn:
    type_name = decided.uuid_type
    made = replace(
        column,
        codec="uuid_key",
        type=type_name,
        rules=(),
        default=None,
        identity=False,
        key_of=root,
        key_namespace=str(uuid5(namespace, root)),
    )
    if root == table.name and column.identity:
        # What SQLite gave out by itself PostgreSQL gives out by itself.
        return replace(made, default="gen_random_uuid()" + ("::text" if type_name == "text" else ""))
    if column.default is not None:
        plain = column.default.strip("()'")
        if _INTEGER.fullmatch(plain) and -(2**63) <= int(plain) < 2**63:
            text = str(uuid5(UUID(made.key_namespace), str(int(plain))))
            return replace(made, default=f"'{text}'::{type_name}")
        not_carried.append(
            NotCarried(
                f"{table.name}.{column.name}",
                "default",
                f"DEFAULT {column.default} is no integer whose UUID could be told",
                "set it with ALTER TABLE … SET DEFAULT, or let the application give the value",
            )
        )
    return made


def overview(keys: Keys, tables: Iterable[Table]) -> list[Finding]:
    """For each key that becomes a UUID, the columns that do so with it."""
    found: list[Finding] = []
    for table in tables:
        with_it = [f"{name}.{column}" for (name, column), root in keys.key_of.items() if root == table.name]
        own = keys.own_key(table)
        if own is None or keys.key_of.get((table.name, own)) != table.name:
            continue
        others = [name for name in with_it if name != f"{table.name}.{own}"]
        tail = f", and with it {', '.join(others)}" if others else "; nothing refers to it"
        found.append(Finding("info", f"the key becomes a UUID{tail}", table.name, own))
    return found
