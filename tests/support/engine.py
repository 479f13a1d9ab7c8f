# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's steps in the order of the playbooks, for tests: one call for a plan, one for a whole migration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutover import bulk, checksum, ddl
from cutover import finish as finishing
from cutover.check import check_values
from cutover.errors import Finding
from cutover.plan.choose import is_temporal
from cutover.plan.derive import derive
from cutover.plan.model import Plan, PlanColumn, PlanTable
from cutover.plan.model import from_dict as plan_from_dict
from cutover.source import model as source_model
from cutover.source import profile as source_profile
from cutover.source.connect import open_readonly
from cutover.source.describe import describe
from cutover.source.survey import survey
from cutover.structure import check_references
from cutover.target.connect import connect

POSITION = "test-position"


@dataclass(frozen=True)
class Migrated:
    """What a whole migration came to."""

    plan: Plan
    findings: list[Finding]
    copied: dict[str, Any]
    finished: list[str]
    verified: dict[str, Any]

    def table(self, name: str) -> dict[str, Any]:
        """The line of a table in the result of verify."""
        return next(line for line in self.verified["tables"] if line["name"] == name)


def described(path: Path) -> source_model.Description:
    """The description of a SQLite file."""
    with closing(open_readonly(str(path))) as connection:
        return describe(connection, str(path))


def described_table(path: Path, name: str | None = None) -> source_model.Table:
    """One table of a SQLite file: the one called ``name``, or the only one."""
    tables = described(path).tables
    if name is None:
        [only] = tables
        return only
    return next(table for table in tables if table.name == name)


def planned(
    path: Path, overrides: Mapping[str, Any] | None = None, name: str = "test", ids: str = "keep"
) -> tuple[Plan, list[Finding]]:
    """The plan of a SQLite file and its findings, over the same plain data that travels to the controller and back."""
    facts = survey(str(path), is_temporal, 1)
    source = source_model.from_dict(facts["description"])
    profiles = {table: source_profile.from_dict(data) for table, data in facts["profiles"].items()}
    plan, findings = derive(name, source, profiles, overrides, ids)
    assert plan_from_dict(plan.as_dict()) == plan
    return plan, findings


def only_table(path: Path, overrides: Mapping[str, Any] | None = None) -> PlanTable:
    """The plan of the only table of a SQLite file."""
    [table] = planned(path, overrides)[0].tables
    return table


def checked(path: Path, plan: Plan) -> list[Finding]:
    """Everything that the check of the source's values and references finds."""
    return check_references(str(path), plan) + check_values(str(path), plan, 1)


def errors(findings: list[Finding]) -> list[Finding]:
    """The findings that stop a run."""
    return [finding for finding in findings if finding.severity == "error"]


def create(url: str, plan: Plan, replace: bool = False) -> list[str]:
    """Create the plan's tables."""
    with closing(connect(url)) as connection:
        return ddl.create_tables(connection, plan, replace)


def copy(
    path: Path, url: str, plan: Plan, position: str = POSITION, workers: int = 2, replace: bool = False
) -> dict[str, Any]:
    """Copy all rows."""
    return bulk.copy(str(path), url, plan, position, workers, replace=replace)


def finish(path: Path, url: str, plan: Plan, workers: int = 2) -> list[str]:
    """Add keys, indexes, foreign keys and sequences."""
    sequences = {t.name: t.sequence for t in described(path).tables if t.sequence is not None}
    with closing(connect(url, autocommit=True)) as connection:
        return finishing.finish(connection, plan, sequences, url=url, workers=workers)


def verify(path: Path, url: str, plan: Plan, workers: int = 2) -> dict[str, Any]:
    """Compare all rows."""
    return checksum.verify(str(path), url, plan, workers)


def migrate(
    path: Path,
    url: str,
    overrides: Mapping[str, Any] | None = None,
    workers: int = 2,
    ids: str = "keep",
    name: str = "test",
) -> Migrated:
    """Describe, profile, derive, check, create, copy, finish, verify. Errors among the findings fail the test."""
    plan, findings = planned(path, overrides, name, ids)
    findings = findings + checked(path, plan)
    assert errors(findings) == []
    create(url, plan)
    copied = copy(path, url, plan, workers=workers)
    finished = finish(path, url, plan)
    return Migrated(plan, findings, copied, finished, verify(path, url, plan, workers))


def _rules(given: str | Sequence[str] | None = None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def plan_table(columns: Mapping[str, Sequence[Any]], name: str = "t", key: str | None = None) -> PlanTable:
    """A planned table from column name → (codec, type, rule or rules or None); ``key`` is its primary key."""
    return PlanTable(
        name=name,
        target=name,
        rows=1,
        bytes=1,
        rowid="rowid",
        compare="multiset",
        columns=tuple(
            PlanColumn(column, column, "", way[0], way[1], _rules(*way[2:])) for column, way in columns.items()
        ),
        primary_key=(key,) if key else (),
        primary_key_name=f"{name}_pkey" if key else None,
        indexes=(),
        foreign_keys=(),
    )


def merged(*entries: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides put together as an operator would, entry by entry."""
    whole: dict[str, Any] = {}
    for entry in entries:
        for key, value in entry.items():
            if isinstance(value, Mapping) and isinstance(whole.get(key), Mapping):
                whole[key] = merged(whole[key], value)
            else:
                whole[key] = value
    return whole
