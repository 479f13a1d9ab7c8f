# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus: every case in one file, one preflight that names all that is refused, one migration of all that is not."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from corpus import ANY, CASES, Case, fill
from cutover.codecs import CODECS
from cutover.errors import Finding
from support.engine import Migrated, checked, errors, merged, migrate, planned
from support.independent import fetch, in_postgresql, in_sqlite, quoted, shown
from support.postgres import Cluster


@dataclass(frozen=True)
class Run:
    """What became of the corpus: preflight's findings, then the migration with all decisions taken."""

    path: Path
    url: str
    found: list[Finding]
    warned: list[Finding]
    migrated: Migrated


@pytest.fixture(scope="module")
def run(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The corpus is made, checked and migrated once; the tests look at the result, each at its own table."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        fill(connection, CASES.values())
    decided = merged(*(case.overrides for case in CASES.values()))
    plan, findings = planned(path, decided)
    everything = findings + checked(path, plan)
    found = errors(everything)
    otherwise = {case.name for case in CASES.values() if case.decided_then}
    decisions = [finding.decide for finding in found if finding.decide and finding.table not in otherwise]
    own = [{"tables": {case.name: case.decided_then}} for case in CASES.values() if case.decided_then]
    away = [{"tables": {case.name: {"carry": False}}} for case in CASES.values() if case.mended]
    database = postgres.create_database()
    try:
        migrated = migrate(path, database.url, merged(decided, *decisions, *own, *away))
        yield Run(path, database.url, found, [f for f in everything if f.severity == "warning"], migrated)
    finally:
        postgres.drop_database(database)


def carried(case: Case) -> bool:
    """Whether the case's first table is in PostgreSQL in the end."""
    return not case.mended and case.decided.get("carry", True)


def targets(run: Run, table: str, kinds: Any) -> dict[str, str]:
    """Kinds by the names of the columns in PostgreSQL."""
    planned_table = run.migrated.plan.table(table)
    return {planned_table.column(name).target: kind for name, kind in kinds.items()}


def test_every_table_of_the_corpus_is_equal_by_checksum(run: Run) -> None:
    assert run.migrated.verified["ok"]
    wanted = sum(len(case.tables()) for case in CASES.values() if carried(case))
    assert len(run.migrated.verified["tables"]) == wanted


@pytest.mark.parametrize("name", CASES)
def test_preflight_says_what_the_case_states_and_nothing_else(run: Run, name: str) -> None:
    case = CASES[name]
    found = [finding for finding in run.found if finding.table in case.tables()]
    places = sorted((finding.table or "", finding.column or "") for finding in found)
    assert places == sorted((refusal.table or name, refusal.column or "") for refusal in case.refused), found
    for refusal in case.refused:
        [finding] = [f for f in found if (f.table, f.column) == (refusal.table or name, refusal.column)]
        assert finding.message.startswith(refusal.says)
        many = f"({refusal.count} such values)" in finding.message
        assert many == (refusal.count > 1), finding.message
        if refusal.decide is None:
            assert finding.decide is None
        else:
            assert finding.decide is not None
        if refusal.decide is not None and refusal.decide is not ANY:
            entry = dict(refusal.decide)
            if finding.column is not None and entry.keys() & {"codec", "target", "refused"}:
                entry = {"columns": {finding.column: entry}}
            assert finding.decide == {"tables": {name: entry}}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if carried(case)])
def test_values_are_what_a_reader_of_its_own_reads(run: Run, name: str) -> None:
    case = CASES[name]
    for table, kinds in case.reads.items():
        target = run.migrated.plan.table(table).target
        there = in_postgresql(run.url, target, targets(run, table, kinds))
        here = in_sqlite(run.path, table, dict(kinds))
        # Not compared by the assertion itself: its search for the difference would take hours for large cells.
        same = there == here
        assert same, (str(here - there)[:2000], str(there - here)[:2000])
    if case.becomes is not None:
        rows = Counter(tuple(map(shown, row)) for row in fetch(run.url, f"SELECT * FROM public.{quoted(name)}"))
        assert rows == Counter(tuple(map(shown, row)) for row in case.becomes)
    assert case.reads or case.becomes is not None, "the case states nothing"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.types])
def test_types_are_those_that_the_case_states(run: Run, name: str) -> None:
    query = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    )
    types = dict(fetch(run.url, query, f"public.{quoted(name)}"))
    assert {column: types[column] for column in CASES[name].types} == CASES[name].types


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.renamed])
def test_names_that_postgresql_cannot_hold_are_others_and_told(run: Run, name: str) -> None:
    table = run.migrated.plan.table(name)
    names = {name: table.target, **{column.name: column.target for column in table.columns}}
    assert {old: new for old, new in names.items() if old != new} == dict(CASES[name].renamed)
    told = [finding for finding in run.warned if finding.table == name]
    for old, new in CASES[name].renamed.items():
        [finding] = [f for f in told if (f.column or f.table) == old]
        assert f"it is called {new!r} there" in finding.message


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.touched])
def test_values_that_a_rule_touched_are_counted(run: Run, name: str) -> None:
    counted = Counter[str]()
    for line in run.migrated.copied["rules"]:
        if line["table"] == name:
            counted[line["column"]] += line["count"]
    assert counted == Counter(CASES[name].touched)


def test_every_rule_has_a_case() -> None:
    entries = [entry for case in CASES.values() for entry in case.decided.get("columns", {}).values()]
    entries += [refusal.decide for case in CASES.values() for refusal in case.refused if refusal.decide]
    used = {rule for entry in entries for rule in (*entry.get("rules", ()), entry.get("rule"))}
    # Those for the narrower types of the application's own tables: see test_codecs_of_existing_tables.
    elsewhere = {"round_to_real", "pad"}
    assert {rule for codec in CODECS.values() for rule in codec.rules} - used == elsewhere


def test_every_codec_has_a_case(run: Run) -> None:
    used = {column.codec for table in run.migrated.plan.tables for column in table.columns}
    # Those for the narrower types of the application's own tables: see test_codecs_of_existing_tables.
    assert set(CODECS) - used == {"enum", "float4", "char"}


def test_no_rule_is_applied_that_nobody_named(run: Run) -> None:
    named = {name for name, case in CASES.items() if case.decided or case.decided_then or case.refused}
    assert {line["table"] for line in run.migrated.copied["rules"]} <= named


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.listed])
def test_what_is_not_carried_is_listed_with_its_reason(run: Run, name: str) -> None:
    listed = run.migrated.plan.not_carried
    for kind, reason in CASES[name].listed:
        assert [item for item in listed if item.kind == kind and item.reason.startswith(reason) and item.hint]


def test_nothing_else_is_listed(run: Run) -> None:
    kinds = {kind for case in CASES.values() for kind, _ in case.listed}
    mended = {case.name for case in CASES.values() if case.mended}
    # An index that a decision of preflight left out is listed too.
    others = [i for i in run.migrated.plan.not_carried if i.kind not in kinds and i.object not in mended]
    assert [item for item in others if item.reason != "the plan says so"] == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.holds])
def test_postgresql_does_with_it_what_sqlite_did(run: Run, name: str) -> None:
    case = CASES[name]
    with closing(psycopg2.connect(run.url)) as connection:
        for statement, expected in case.holds:
            table, parent = (f"public.{quoted(n)}".replace("%", "%%") for n in (name, f"{name} parent"))
            with connection.cursor() as cursor:
                cursor.execute("SAVEPOINT before")
                try:
                    cursor.execute(statement.replace("{t}", table).replace("{p}", parent), ())
                    if "DEFERRED" in case.sql:
                        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                except psycopg2.Error as error:
                    assert isinstance(expected, str), f"{statement}: {error}"
                    assert error.pgcode in expected.split(","), f"{statement}: {error}"
                    cursor.execute("ROLLBACK TO SAVEPOINT before")
                else:
                    assert not isinstance(expected, str), f"{statement}: was accepted"
                    rows = cursor.fetchall() if cursor.description else []
                    assert rows == expected, statement
        connection.rollback()
