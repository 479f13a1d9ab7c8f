# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the source is to what the target will be: one plan, and everything an operator has to know about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..codecs import CODECS
from ..errors import Finding, PlanError
from ..source.model import Column, Description, Table
from ..source.profile import ColumnProfile, TableProfile
from .choose import Chosen, choose, is_temporal
from .computed import planned_checks, with_generated
from .defaults import translate
from .guesses import undeclared
from .ids import Keys, namespace_of, overview, turn
from .model import VERSION, NotCarried, Plan, PlanCheck, PlanColumn, PlanTable
from .names import MOST_COLUMNS, SYSTEM_COLUMNS, Namespace, Renamed, consequence, settle
from .nulled import nulled
from .objects import Relations
from .overrides import Overrides, named_rules
from .views import Views, view_names

_HINTS = {
    "trigger": "write it as a PL/pgSQL trigger, or let the application do its work",
    "virtual table": "full-text search: a tsvector column with a GIN index replaces FTS",
    "shadow table": "belongs to a virtual table, nothing to do",
}


def derive(
    name: str,
    source: Description,
    profiles: Mapping[str, TableProfile],
    overrides: Mapping[str, Any] | None = None,
    ids: str = "keep",
) -> tuple[Plan, list[Finding]]:
    """The plan for a source, and the findings that its structure and profile give rise to.

    ids: what becomes of integer keys where the overrides do not say it for a table, ``keep`` or ``uuid``.
    Raises PlanError when the overrides do not fit the source.
    """
    decided = Overrides(overrides, source)
    findings: list[Finding] = []
    not_carried: list[NotCarried] = [
        NotCarried(other.name, other.kind, "has no counterpart that would mean exactly the same", _HINTS[other.kind])
        for other in source.others
        if other.kind != "view"
    ]
    carried: list[Table] = []
    for table in source.tables:
        if decided.table(table.name).get("carry", True):
            carried.append(table)
        else:
            not_carried.append(NotCarried(table.name, "table", "the plan says so", "its rows stay in the source only"))
    if source.tables and not carried:
        findings.append(Finding("error", "the plan carries no table, so there is nothing to move"))
    targets = _targets(carried, decided, findings)
    columns = _Columns(carried, profiles, decided, findings, not_carried)
    planned = {table.name: columns.of(table) for table in carried}
    keys = Keys(carried, planned, decided, ids)
    namespace = namespace_of(name, decided)
    findings += [*keys.findings, *undeclared(carried, planned, keys, decided), *overview(keys, carried)]
    planned = turn(carried, planned, keys, decided, namespace, not_carried)
    in_c = decided.collation == "C"
    planned = {
        table.name: with_generated(table, planned[table.name], profiles[table.name], in_c, decided, not_carried)
        for table in carried
    }
    views = [other for other in source.others if other.kind == "view"]
    view_targets, renamed_views = view_names(views, decided, targets.values())
    names = Namespace([*targets.values(), *view_targets.values()])
    relations = Relations(carried, planned, profiles, decided, names, findings, not_carried)
    tables = tuple(
        _table(
            table,
            targets[table.name],
            profiles[table.name],
            planned[table.name],
            relations,
            planned_checks(
                table,
                planned[table.name],
                profiles[table.name],
                in_c,
                names,
                decided,
                not_carried,
            ),
            findings,
        )
        for table in carried
    )
    by_name = {table.name: (table, made) for table, made in zip(carried, tables)}
    planned_views = Views(views, view_targets, by_name, profiles, decided)
    not_carried += planned_views.not_carried
    for entry in renamed_views:
        if entry.name in {view.name for view in planned_views.planned}:
            findings.append(_renamed(entry, entry.name, None, {"views": {entry.name: {"target": entry.better}}}))
    findings += [*nulled(tables), *_left_out(not_carried)]
    facts = source.facts(len(tables), sum(table.rows for table in tables))
    plan = Plan(
        VERSION,
        name,
        ids,
        decided.schema,
        decided.collation,
        facts,
        tables,
        tuple(not_carried),
        namespace=str(namespace) if keys.key_of else None,
        views=tuple(planned_views.planned),
    )
    return plan, findings


#: What the application loses without noticing: constraints that held wrong rows off, values that were filled in.
_GUARDS = ("unique index", "check", "foreign key", "default", "generated column")


def _left_out(not_carried: list[NotCarried]) -> list[Finding]:
    """One warning for all constraints and defaults that PostgreSQL will not have."""
    counts = Counter(item.kind for item in not_carried if item.kind in _GUARDS)
    if not counts:
        return []
    kinds = ", ".join(f"{kind} ({counts[kind]})" for kind in _GUARDS if counts[kind])
    return [
        Finding(
            "warning",
            f"constraints and defaults that SQLite has and PostgreSQL will not have: {kinds}. Each is listed with a hint "
            "under not_carried in plan.yml and in the report",
        )
    ]


def _targets(tables: list[Table], decided: Overrides, findings: list[Finding]) -> dict[str, str]:
    """The names of tables in PostgreSQL; those that it cannot have are changed and listed."""
    wanted = {table.name: str(decided.table(table.name).get("target", table.name)) for table in tables}
    chosen = {table.name for table in tables if "target" in decided.table(table.name)}
    targets, renamed = settle(wanted, chosen, "table")
    for entry in renamed:
        findings.append(_renamed(entry, entry.name, None, {"tables": {entry.name: {"target": entry.better}}}))
    return targets


def _renamed(entry: Renamed, table: str, column: str | None, decide: dict[str, Any]) -> Finding:
    if entry.chosen:
        return Finding("error", entry.problem, table, column, decide=decide)
    return Finding("warning", f"{entry.problem}; {consequence(entry)}", table, column, decide=decide)


class _Columns:
    """Plans the columns of all tables."""

    def __init__(
        self,
        tables: list[Table],
        profiles: Mapping[str, TableProfile],
        decided: Overrides,
        findings: list[Finding],
        not_carried: list[NotCarried],
    ) -> None:
        self._profiles = profiles
        self._decided = decided
        self._findings = findings
        self._not_carried = not_carried
        self._usual_time = _usual_time(tables, profiles)

    def of(self, table: Table) -> tuple[PlanColumn, ...]:
        columns = tuple(self._column(table, column) for column in table.columns)
        chosen = {c.name for c in table.columns if "target" in self._decided.column(table.name, c.name)}
        targets, renamed = settle({c.name: c.target for c in columns}, chosen, "column", SYSTEM_COLUMNS)
        for entry in renamed:
            decide = {"tables": {table.name: {"columns": {entry.name: {"target": entry.better}}}}}
            self._findings.append(_renamed(entry, table.name, entry.name, decide))
        if len(columns) > MOST_COLUMNS:
            message = f"has {len(columns)} columns, a table of PostgreSQL at most {MOST_COLUMNS}"
            self._findings.append(Finding("error", message, table.name))
        return tuple(replace(column, target=targets[column.name]) for column in columns)

    def _column(self, table: Table, column: Column) -> PlanColumn:
        stored = self._profiles[table.name].columns[column.name]
        decision = self._decided.column(table.name, column.name)
        (codec, type_name), rules = self._codec(table, column, stored, decision)
        default = None if column.generated is not None else translate(column.default, codec, type_name, column.constant)
        if "default" in decision:
            default = decision["default"]
        if default is False:
            self._not_carried.append(
                NotCarried(
                    f"{table.name}.{column.name}",
                    "default",
                    f"DEFAULT {column.default} has no exact counterpart for {type_name}",
                    "name one for PostgreSQL in the plan (default), or let the application give the value",
                )
            )
        not_null = bool(decision.get("not_null", column.not_null or column.name == table.rowid_alias))
        nulls = self._profiles[table.name].rows - stored.values
        if not_null and nulls:
            self._findings.append(
                Finding(
                    "error",
                    f"{nulls} rows hold NULL in a column declared NOT NULL",
                    table.name,
                    column.name,
                    decide={"tables": {table.name: {"columns": {column.name: {"not_null": False}}}}},
                )
            )
        collation = decision.get("collation")
        if collation and codec != "text":
            raise PlanError(
                f"tables.{table.name}.columns.{column.name}.collation: the column is {type_name}, only text has a collation."
            )
        return PlanColumn(
            name=column.name,
            target=str(decision.get("target", column.name)),
            declared=column.declared,
            codec=codec,
            type=type_name,
            rules=rules,
            not_null=not_null,
            default=default if isinstance(default, str) else None,
            identity=column.name == table.rowid_alias and codec == "integer",
            refused=str(decision.get("refused", "fail")),
            collation=collation,
        )

    def _codec(
        self, table: Table, column: Column, stored: ColumnProfile, decision: Mapping[str, Any]
    ) -> tuple[Chosen, tuple[str, ...]]:
        if "codec" in decision:
            codec = CODECS[decision["codec"]]
            return (codec.name, str(decision.get("type", codec.types[0]))), named_rules(decision)
        if column.name == table.rowid_alias:
            return ("integer", "bigint"), ()
        chosen, findings = choose(table.name, column, stored, self._usual_time)
        self._findings.extend(findings)
        return chosen, ()


def _usual_time(tables: list[Table], profiles: Mapping[str, TableProfile]) -> str:
    """The codec of points in time that most values of the database would take; it decides for empty columns."""
    counts: Counter[str] = Counter({"iso_timestamp": 0})
    for table in tables:
        for column in table.columns:
            if not is_temporal(column.declared):
                continue
            stored = profiles[table.name].columns[column.name]
            counts["iso_timestamp"] += stored.texts - stored.zoned - stored.dates - stored.times
            counts["epoch_ms"] += stored.milliseconds
            counts["epoch_s"] += stored.seconds
            counts["iso_timestamptz"] += stored.zoned
    return counts.most_common(1)[0][0]


def _compare(table: Table, columns: tuple[PlanColumn, ...], key: tuple[str, ...]) -> str:
    """How the rows are compared: in the order of an integer key, also of one that became UUIDs, or in none."""
    own = next((column for column in columns if column.name == table.rowid_alias), None)
    if own is None or not key:
        return "multiset"
    if own.key_of == table.name and all(column.refused == "fail" for column in columns):
        return "mapped"
    return "ordered" if own.identity else "multiset"


def _table(
    table: Table,
    target: str,
    profile: TableProfile,
    columns: tuple[PlanColumn, ...],
    relations: Relations,
    checks: tuple[PlanCheck, ...],
    findings: list[Finding],
) -> PlanTable:
    identity = next((column for column in columns if column.identity), None)
    counted = identity or next((c for c in columns if c.key_of and c.name == table.rowid_alias), None)
    last = None
    if counted is not None:
        last = max(table.sequence or 0, profile.columns[counted.name].maximum or 0) or None
    key, key_name = relations.primary_key(table)
    if not columns:
        findings.append(Finding("error", "has no column that could be carried", table.name))
    foreign_keys = relations.foreign_keys(table)
    planned = PlanTable(
        name=table.name,
        target=target,
        rows=profile.rows,
        bytes=profile.bytes,
        rowid=table.rowid,
        compare=_compare(table, columns, key),
        columns=columns,
        primary_key=key,
        primary_key_name=key_name,
        indexes=relations.indexes(table) + relations.foreign_key_indexes(table, foreign_keys),
        foreign_keys=foreign_keys,
        sequence_last=last,
        checks=checks,
    )
    if planned.key:
        return planned
    note = "has no usable key: rows travel by rowid and are compared as a multiset; VACUUM is forbidden meanwhile"
    findings.append(Finding("info", note, table.name))
    return replace(planned, note=note)


__all__ = ["derive", "is_temporal"]
