# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's steps for tables that the application made itself, and what PostgreSQL says of them before and after."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from cutover import existing
from cutover.check import check_values
from cutover.errors import Finding
from cutover.fitting import check_kept, check_unique
from cutover.plan.existing import derive_existing
from cutover.plan.model import Plan
from cutover.plan.model import from_dict as plan_from_dict
from cutover.source import model as source_model
from cutover.source import profile as source_profile
from cutover.source.survey import survey
from cutover.structure import check_references
from cutover.target import model as target_model
from cutover.target.connect import connect
from cutover.target.describe import describe
from support.engine import Migrated, copy, errors, finish, verify
from support.independent import fetch


def described(url: str, schema: str = "public") -> target_model.TargetDescription:
    """The application's tables, as the controller gets them."""
    with closing(connect(url)) as connection:
        found = describe(connection, schema)
    assert target_model.from_dict(found.as_dict()) == found
    return found


def planned(
    path: Path, url: str, overrides: Mapping[str, Any] | None = None, name: str = "test"
) -> tuple[Plan, list[Finding]]:
    """Survey both sides and derive the plan."""
    found = survey(str(path), lambda declared: True, workers=1)
    source = source_model.from_dict(found["description"])
    profiles = {name: source_profile.from_dict(data) for name, data in found["profiles"].items()}
    target = described(url, str((overrides or {}).get("schema", "public")))
    plan, findings = derive_existing(name, source, profiles, overrides, target)
    assert plan_from_dict(plan.as_dict()) == plan
    return plan, findings


def checked(path: Path, url: str, plan: Plan) -> list[Finding]:
    """What the check of every value, reference, unique key and kept row finds."""
    with closing(connect(url)) as connection:
        found = check_kept(str(path), connection, plan)
    found += check_references(str(path), plan) + check_unique(str(path), plan)
    return found + check_values(str(path), plan, workers=1)


def prepare(url: str, plan: Plan, replace: bool = False) -> list[str]:
    """Make the migration's own tables."""
    with closing(connect(url)) as connection:
        return existing.prepare(connection, plan, replace)


def undo(url: str, schema: str = "public", name: str = "test") -> list[str]:
    """Put the application's tables back as they were."""
    with closing(connect(url)) as connection:
        return existing.undo(connection, schema, name)


def migrate(path: Path, url: str, overrides: Mapping[str, Any] | None = None, name: str = "test") -> Migrated:
    """Describe, plan, check, copy, finish, verify. Errors among the findings fail the test."""
    plan, findings = planned(path, url, overrides, name)
    findings = findings + checked(path, url, plan)
    assert errors(findings) == []
    prepare(url, plan)
    copied = copy(path, url, plan)
    finished = finish(path, url, plan)
    return Migrated(plan, findings, copied, finished, verify(path, url, plan))


_CATALOG = (
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),"
    " a.attidentity, a.attgenerated FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum",
    "SELECT conrelid::regclass::text, conname, contype, convalidated, condeferrable, pg_get_constraintdef(oid),"
    " obj_description(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
    "SELECT indexrelid::regclass::text, indisvalid, indisclustered, pg_get_indexdef(indexrelid), obj_description(indexrelid)"
    " FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT tgrelid::regclass::text, tgname, tgenabled, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c"
    " ON c.oid = tgrelid WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace ORDER BY 1, 2",
)


def catalog(url: str) -> list[list[tuple[Any, ...]]]:
    """Columns, constraints, indexes and triggers of the schema public, read apart from the engine."""
    return [fetch(url, query) for query in _CATALOG]
