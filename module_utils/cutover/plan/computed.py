# SPDX-License-Identifier: GPL-3.0-or-later
"""CHECK constraints and generated columns: which PostgreSQL can have with exactly the same meaning."""

from __future__ import annotations

from dataclasses import replace

from ..codecs import base_type
from ..source.model import Column, Table
from ..source.profile import TableProfile
from .model import NotCarried, PlanCheck, PlanColumn
from .names import Namespace
from .overrides import Overrides
from .translate import Expressions, Scope, Source, Untranslatable, Value, scope_of, values_of
from .translate.scope import affinity

#: By kind of value, the codecs whose columns may hold it as it is.
_CODECS = {"integer": "integer", "boolean": "boolean", "text": "text", "real": "real", "blob": "blob", "date": "date"}


def with_generated(
    table: Table,
    columns: tuple[PlanColumn, ...],
    profile: TableProfile,
    in_c: bool,
    decided: Overrides,
    not_carried: list[NotCarried],
) -> tuple[PlanColumn, ...]:
    """The columns of a table, those that PostgreSQL can compute itself with their expression."""
    known: dict[str, Value] = {}
    made: list[PlanColumn] = []
    for planned in columns:
        source = table.column(planned.name)
        if source.generated is None:
            made.append(planned)
            continue
        try:
            if decided.column(table.name, source.name).get("generated") is False:
                raise Untranslatable("is left out because the plan says so")
            value = _generated(table, source, planned, columns, profile, in_c, known)
        except Untranslatable as reason:
            not_carried.append(
                NotCarried(
                    f"{table.name}.{source.name}",
                    "generated column",
                    f"its values are carried, its expression ({source.generated}) is not: it {reason}",
                    "the application must write the column, or a trigger or generated column replaces it",
                )
            )
            made.append(planned)
        else:
            known[source.name] = value
            made.append(replace(planned, generated=value.sql))
    return tuple(made)


def _generated(
    table: Table,
    source: Column,
    planned: PlanColumn,
    columns: tuple[PlanColumn, ...],
    profile: TableProfile,
    in_c: bool,
    known: dict[str, Value],
) -> Value:
    if any(source.name.lower() in {name.lower() for name in key.columns} for key in table.foreign_keys):
        raise Untranslatable("is part of a foreign key, which PostgreSQL allows for few generated columns")
    if planned.rules:
        raise Untranslatable("is converted by a rule")
    # PostgreSQL lets no generated column refer to another one: what that one computes stands in its place.
    values = tuple(
        (name, value)
        if table.column(name).generated is None or name in known
        # Not left away: a name in double quotes that is no column would be read as a text.
        else (name, replace(value, kind="opaque", why=f"column {name} is itself computed", raw="NULL"))
        for name, value in values_of(table, columns, profile, in_c, inlined=known)
    )
    value = Expressions(Scope([Source(table.name, values)])).translate(source.generated or "").known()
    return stored(value, planned, affinity(source.declared, table.strict))


def stored(value: Value, planned: PlanColumn, by: str) -> Value:
    """A value as SQLite stores it in a column of the affinity ``by``. Raises Untranslatable where types do not meet."""
    if value.is_null:
        return value
    codec = planned.codec
    if value.kind == "boolean" and codec == "integer":
        return replace(value, sql=f"({value.sql})::{planned.type}", kind="integer")
    if value.kind in ("integer", "boolean") and codec == "text" and by == "TEXT":
        return replace(value, sql=f"({value.sql})::{'integer::' if value.kind == 'boolean' else ''}text", kind="text")
    if value.kind == "integer" and codec == "real" and by == "REAL":
        return replace(value, sql=f"({value.sql})::double precision", kind="real")
    if value.kind == "numeric" and codec == "decimal":
        return value
    if value.kind.startswith("instant:") and value.column and value.column.codec == codec:
        if base_type(value.column.type) == base_type(planned.type):
            return value
    elif _CODECS.get(value.kind) == codec:
        return value
    raise Untranslatable(f"computes {value.kind.split(':')[0]}, the column is {planned.type} in PostgreSQL")


def planned_checks(
    table: Table,
    columns: tuple[PlanColumn, ...],
    profile: TableProfile,
    in_c: bool,
    names: Namespace,
    decided: Overrides,
    not_carried: list[NotCarried],
) -> tuple[PlanCheck, ...]:
    """The CHECK constraints of a table that mean the same in PostgreSQL; the others are added to ``not_carried``."""
    found: list[PlanCheck] = []
    for check in table.checks:
        shown = f"CHECK ({' '.join(check.sql.split())})"
        scope = scope_of(table, columns, profile, in_c)
        try:
            condition = Expressions(scope).condition(check.sql)
        except Untranslatable as reason:
            hint = "add it with ALTER TABLE … ADD CHECK, or let the application check"
            not_carried.append(NotCarried(table.name, "check", f"{shown}: it {reason}", hint))
            continue
        used = sorted(set(scope.used))
        wanted = check.name or "_".join([table.name, *(used if len(used) == 1 else ()), "check"])
        found.append(PlanCheck(names.allocate(wanted), condition, check.sql))
    decisions = decided.part(table.name, "checks", [check.target for check in found])
    kept: list[PlanCheck] = []
    for planned in found:
        decision = decisions.get(planned.target, {})
        if decision.get("carry", True):
            kept.append(replace(planned, validate=bool(decision.get("validate", True))))
        else:
            shown = f"CHECK ({' '.join(planned.source.split())}): the plan says so"
            not_carried.append(NotCarried(planned.target, "check", shown, "add it once it holds"))
    return tuple(kept)
