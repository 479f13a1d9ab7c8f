# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for tables that the application's own migrations have made: which of them each table of the source goes into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Finding
from ..own import own_schema
from ..source.model import Description, Table
from ..source.profile import TableProfile
from ..target.model import TargetDescription, TargetTable
from .bookkeeping import SEEDED_PER_ENGINE, owner
from .existing_columns import Columns
from .existing_overrides import ExistingOverrides
from .existing_relations import foreign_keys, unique_keys
from .matching import Matches, match
from .model import VERSION, NotCarried, Plan, PlanTable
from .nulled import nulled

_HINTS = {
    "view": "the application's migrations make its views",
    "trigger": "the application's migrations make its triggers",
    "virtual table": "the application builds its search index anew",
    "shadow table": "belongs to a virtual table, nothing to do",
}


def derive_existing(
    name: str,
    source: Description,
    profiles: Mapping[str, TableProfile],
    overrides: Mapping[str, Any] | None,
    target: TargetDescription,
) -> tuple[Plan, list[Finding]]:
    """The plan that loads a source into the tables of ``target`` as they are, and what stands in its way.

    Raises PlanError when the overrides do not fit the source.
    """
    decided = ExistingOverrides(overrides, source)
    findings: list[Finding] = []
    left = [
        NotCarried(o.name, o.kind, "PostgreSQL has what the application made there", _HINTS[o.kind])
        for o in source.others
    ]
    carried = _carried(source, decided, left)
    if target.created:
        findings.append(_made_here(target))
    matches = _matched(carried, target, decided, findings)
    there = {table.name: table for table in target.tables}
    found = {name: there[other] for name, other in matches.by_name.items()}
    for source_name, used in found.items():
        findings += _unusable(source_name, used)
    columns = Columns(profiles, decided, findings, left)
    planned = {table.name: columns.of(table, found[table.name]) for table in carried if table.name in found}
    tables: list[PlanTable] = []
    for table in carried:
        if table.name not in found:
            continue
        goal = found[table.name]
        profile = profiles[table.name]
        findings += _seeds(table.name, goal, profile, decided.seeded(table.name))
        key = _key(table, {column.name for column in planned[table.name]}, findings)
        alias = next((c for c in planned[table.name] if c.name == table.rowid_alias and c.codec == "integer"), None)
        ordered = alias is not None and any(k.columns == (alias.target,) for k in goal.keys) and bool(key)
        tables.append(
            made := PlanTable(
                name=table.name,
                target=goal.name,
                rows=profile.rows,
                bytes=profile.bytes,
                rowid=table.rowid,
                compare="ordered" if ordered else "multiset",
                columns=planned[table.name],
                primary_key=key,
                primary_key_name=None,
                indexes=unique_keys(goal, planned[table.name]),
                foreign_keys=foreign_keys(table.name, goal, planned, found, profiles, decided, findings),
                sequence_last=_last(table, profile),
                seeded=decided.seeded(table.name) or "empty",
            )
        )
        if made.seeded == "keep" and not made.key:
            message = (
                "seeded: keep needs a key to tell which rows are there already, and the table has none; say replace"
            )
            findings.append(Finding("error", message, made.name, decide={"tables": {made.name: {"seeded": "replace"}}}))
    findings += nulled(tables)
    findings += _referring(target, tables)
    findings += _left_alone(target, {table.target for table in tables}, decided)
    facts = source.facts(len(tables), sum(table.rows for table in tables))
    structure = target.structure(table.target for table in tables)
    plan = Plan(
        version=VERSION,
        name=name,
        ids="keep",
        schema=decided.schema,
        collation=None,
        source=facts,
        tables=tuple(tables),
        not_carried=tuple(left),
        mode="existing",
        structure=structure,
    )
    return plan, findings


def _carried(source: Description, decided: ExistingOverrides, left: list[NotCarried]) -> list[Table]:
    """The tables of the source that have a place in the target; the others are noted."""
    kept: list[Table] = []
    for table in source.tables:
        choice = decided.table(table.name).get("carry")
        tool = owner(table.name, decided.bookkeeping)
        if choice is False:
            left.append(NotCarried(table.name, "table", "the plan says so", "its rows stay in the source only"))
        elif tool is not None and choice is None:
            reason = f"holds the history of migrations on SQLite ({tool}); PostgreSQL has its own"
            left.append(
                NotCarried(table.name, "table", reason, "carry: true if it is data of the application after all")
            )
        else:
            kept.append(table)
    return kept


def _made_here(target: TargetDescription) -> Finding:
    return Finding(
        "error",
        f"schema {target.schema} holds tables that pg-cutover itself made ({', '.join(target.created[:5])}): an earlier run had "
        "cutover_schema: derive. Drop them and the schema "
        f"{own_schema(target.schema)}, then let the application make its tables.",
    )


def _matched(
    carried: list[Table], target: TargetDescription, decided: ExistingOverrides, findings: list[Finding]
) -> Matches:
    told = {t.name: str(decided.table(t.name)["target"]) for t in carried if "target" in decided.table(t.name)}
    wanted = {decided.table(t.name).get("target", t.name) for t in carried}
    names = [t.name for t in target.tables if t.name in wanted or owner(t.name, decided.bookkeeping) is None]
    matches = match([table.name for table in carried], names, told)
    if not target.tables:
        message = (
            f"schema {target.schema} of the target has no tables. Run the application's own migrations against it first "
            "(as the role of cutover_target_url, so that it owns them), or set cutover_schema: derive"
        )
        findings.append(Finding("error", message))
        return matches
    for name, near in matches.missing.items():
        told_name = f" called {told[name]!r}, which the plan names" if name in told else ""
        hint = f"; or name it: target: {near[0]}" if near else ""
        message = f"schema {target.schema} has no table for it{told_name}. Leave its rows in SQLite{hint}"
        findings.append(Finding("error", message, name, decide={"tables": {name: {"carry": False}}}))
    for name, guess in matches.guessed:
        findings.append(Finding("info", f"goes into table {guess}, the only one whose name is alike", name))
    return matches


def _unusable(name: str, table: TargetTable) -> list[Finding]:
    """What forbids loading into a table at all."""
    found: list[str] = []
    if table.kind != "table":
        found.append(f"{table.name} is a {table.kind} in PostgreSQL; rows are loaded into ordinary tables only")
    if not table.owned:
        found.append(
            f"the role of cutover_target_url does not own {table.name}: foreign keys and triggers cannot be set aside while "
            "rows are loaded. Use the role that ran the application's migrations, or grant it to this one"
        )
    if table.forced:
        found.append(
            f"{table.name} has FORCE ROW LEVEL SECURITY, which holds for its owner too; switch it off for the load"
        )
    return [Finding("error", message, name) for message in found]


def _seeds(name: str, table: TargetTable, profile: TableProfile, policy: str | None) -> list[Finding]:
    """What becomes of rows that are there already."""
    if not table.rows or policy in ("replace", "keep"):
        said = "they are set aside and replaced by those of the source" if policy == "replace" else "they stay"
        return [Finding("info", f"{table.rows} rows are in PostgreSQL already; {said}", name)] if table.rows else []
    message = f"{table.rows} rows are in PostgreSQL already, put there by the application's migrations or its use"
    if policy == "fail":
        return [Finding("error", f"{message}, and the plan says seeded: fail", name)]
    better = "replace" if profile.rows or table.name in SEEDED_PER_ENGINE else "keep"
    if table.name in SEEDED_PER_ENGINE:
        message += ", with keys of their own that differ from those other tables of the source refer to"
    message += (
        ". replace: they are set aside until finalize and the source's rows take their place; keep: they stay, rows with the "
        "same key must be equal"
    )
    return [Finding("error", message, name, decide={"tables": {name: {"seeded": better}}})]


def _key(table: Table, carried: set[str], findings: list[Finding]) -> tuple[str, ...]:
    """The source's primary key where all of it is carried."""
    key = tuple(table.column(name).name for name in table.primary_key)
    if carried.issuperset(key):
        return key
    if table.rowid is None:
        lost = ", ".join(name for name in key if name not in carried)
        message = f"its rows are found by the primary key, of which {lost} has no place in PostgreSQL"
        findings.append(Finding("error", message, table.name))
    return ()


def _last(table: Table, profile: TableProfile) -> int | None:
    if table.rowid_alias is None:
        return None
    return max(table.sequence or 0, profile.columns[table.rowid_alias].maximum or 0) or None


def _referring(target: TargetDescription, tables: list[PlanTable]) -> list[Finding]:
    """Rows of tables that get none from the source, but refer to rows that will be others."""
    replaced = {table.target: table.name for table in tables if table.seeded == "replace"}
    used = {table.target for table in tables}
    found: list[Finding] = []
    for table in target.tables:
        for key in table.foreign_keys if table.rows and table.name not in used else ():
            if key.parent[0] == target.schema and key.parent[1] in replaced:
                message = (
                    f"the {table.rows} rows of {table.name}, which stay, refer to its rows, which are replaced (foreign key "
                    f"{key.name}): the load is refused at its end unless the source has rows with the same keys"
                )
                found.append(Finding("warning", message, replaced[key.parent[1]]))
    return found


def _left_alone(target: TargetDescription, used: set[str], decided: ExistingOverrides) -> list[Finding]:
    """The tables of the target that get no rows."""
    others = [t.name for t in target.tables if t.name not in used]
    tools = [name for name in others if owner(name, decided.bookkeeping)]
    rest = [name for name in others if name not in tools]
    found: list[Finding] = []
    if tools:
        found.append(Finding("info", f"history of migrations in PostgreSQL, left as it is: {', '.join(tools)}"))
    if rest:
        found.append(
            Finding(
                "info", f"tables of PostgreSQL that the source has no rows for, left as they are: {', '.join(rest)}"
            )
        )
    return found
