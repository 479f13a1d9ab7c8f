# SPDX-License-Identifier: GPL-3.0-or-later
"""An expression that is translated gives in PostgreSQL what it gives in SQLite, row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutover.plan.choose import is_temporal
from cutover.plan.translate import Expressions, Untranslatable, scope_of
from cutover.plan.translate.values import truth
from cutover.source.profile import profile
from support.engine import described_table, migrate
from support.expressions import ROWS, SCHEMA, conditions, numbers, texts
from support.postgres import Cluster

#: Many kinds of expressions take their time to be drawn, on a busy machine above all.
PATIENT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class Both:
    """One table in both databases."""

    def __init__(self, path: Path, url: str, collation: str) -> None:
        overrides = {"collation": collation, "tables": {"t": {"columns": {"v": {"codec": "text", "type": "text"}}}}}
        result = migrate(path, url, overrides)
        assert result.verified["ok"]
        [planned] = result.plan.tables
        self.source = sqlite3.connect(path)
        self.target = psycopg2.connect(url)
        self.target.autocommit = True
        table = described_table(path)
        self.make = lambda: Expressions(
            scope_of(table, planned.columns, profile(self.source, table, is_temporal), collation == "C")
        )

    def compare(self, sql: str, carried: str) -> None:
        """Fail where the two databases see a value otherwise."""
        mine = self.source.execute(f"SELECT k, {sql} FROM t ORDER BY 1").fetchall()
        with self.target.cursor() as cursor:
            try:
                cursor.execute(f"SELECT k, {carried} FROM t ORDER BY 1")
            except psycopg2.errors.NumericValueOutOfRange:
                return
            theirs = cursor.fetchall()
        assert [(k, _plain(v)) for k, v in theirs] == [(k, _plain(v)) for k, v in mine], carried

    def close(self) -> None:
        """Let go of both."""
        self.source.close()
        self.target.close()


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.fixture(scope="module", params=["C", "default"])
def both(request: pytest.FixtureRequest, postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    path = tmp_path_factory.mktemp("translate") / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(ROWS[0]))})", ROWS)
    made = postgres.create_database()
    found = Both(path, made.url, request.param)
    yield found
    found.close()
    postgres.drop_database(made)


def _valid(both: Both, sql: str) -> bool:
    try:
        both.source.execute(f"SELECT {sql} FROM t LIMIT 1")
    except sqlite3.Error:
        return False
    return True


@settings(PATIENT, max_examples=1_000)
@given(sql=conditions)
def test_condition_holds_for_the_same_rows(both: Both, sql: str) -> None:
    if not _valid(both, sql):
        return
    try:
        carried = both.make().condition(sql)
    except Untranslatable:
        return
    said = "CASE WHEN ({0}) THEN 1 WHEN ({0}) IS NULL THEN 2 ELSE 0 END"
    both.compare(said.format(sql), said.format(carried))


@settings(PATIENT, max_examples=500)
@given(sql=st.one_of(numbers, texts))
def test_value_is_the_same(both: Both, sql: str) -> None:
    if not _valid(both, sql):
        return
    try:
        value = both.make().translate(sql).known()
        truth(value) if value.kind != "text" else None
    except Untranslatable:
        return
    both.compare(sql, value.sql)
