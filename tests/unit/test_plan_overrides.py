# SPDX-License-Identifier: GPL-3.0-or-later
"""A decision that does not fit the source is refused, naming the place and the nearest name that exists."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.errors import PlanError
from cutover.plan.overrides import Overrides
from cutover.source.model import Description
from support.engine import described, only_table, planned

SCHEMA = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE account (id INTEGER PRIMARY KEY, balance DECIMAL(10,2), "
    "owed INT NOT NULL, created_at DATETIME, parent INT REFERENCES parent); CREATE INDEX account_created ON account (created_at)"
)


@pytest.fixture
def source(make_sqlite: MakeSqlite) -> Description:
    return described(make_sqlite(SCHEMA))


def table(entry: Any) -> dict[str, Any]:
    return {"tables": {"account": entry}}


def column(entry: Any) -> dict[str, Any]:
    return table({"columns": {"balance": entry}})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"table": {}}, "cutover_plan_overrides: 'table' is unknown. Did you mean 'tables'?"),
        ({"tables": {"acount": {}}}, "tables: 'acount' is unknown. Did you mean 'account'?"),
        ({"tables": {"zzz": {}}}, "tables: 'zzz' is unknown. Valid: account, parent."),
        ({"tables": []}, "tables: must be a mapping, not []."),
        (table("x"), "tables.account: must be a mapping, not 'x'."),
        (table({"columnz": {}}), "tables.account: 'columnz' is unknown. Did you mean 'columns'?"),
        (table({"columns": {"Balance": {}}}), "tables.account.columns: 'Balance' is unknown. Did you mean 'balance'?"),
        (table({"columns": ["balance"]}), "tables.account.columns: must be a mapping, not ['balance']."),
        ({"views": {"v": {}}}, "views: 'v' is unknown. Valid: none."),
        ({"foreign_key_index": False}, "cutover_plan_overrides: 'foreign_key_index' is unknown. Did you mean"),
        (column({"collation": "nocase"}), "tables.account.columns.balance.collation: 'nocase' is unknown."),
        (table({"primary_key": "index"}), "tables.account.primary_key: the only choice is 'unique'"),
        (column({"kodec": "text"}), "tables.account.columns.balance: 'kodec' is unknown. Did you mean 'codec'?"),
        (column({"type": "text"}), "tables.account.columns.balance: type and rules belong to a codec"),
        (column({"codec": "txt"}), "tables.account.columns.balance.codec: 'txt' is unknown. Did you mean 'text'?"),
        (column({"codec": "text", "type": "numeric"}), "balance.type: codec text writes text, varchar, not 'numeric'."),
        (column({"codec": "text", "type": "varchar(5); DROP"}), "balance.type: codec text writes"),
        (column({"codec": "text", "rule": "astext"}), "balance.rule: 'astext' is unknown. Did you mean 'as_text'?"),
        (column({"codec": "integer", "rule": "as_text"}), "balance.rule: 'as_text' is unknown. Did you mean 'numeric_text'?"),
        (column({"codec": "mixed_timestamp"}), "codec mixed_timestamp needs rule: per_value"),
        # A precision that PostgreSQL would round values to, or that it does not have.
        (column({"codec": "iso_timestamp", "type": "timestamp(3)"}), "balance.type: timestamp takes no length or precision"),
        (column({"codec": "integer", "type": "integer(4)"}), "balance.type: integer takes no length or precision"),
        (column({"codec": "text", "type": "text(5)"}), "balance.type: text takes no length or precision"),
        (column({"codec": "decimal", "type": "numeric(0)"}), "balance.type: PostgreSQL has no numeric(0); the most is numeric(1000)."),
        (column({"codec": "decimal", "type": "numeric(1001,2)"}), "balance.type: PostgreSQL has no numeric(1001,2)"),
        (column({"codec": "text", "type": "varchar(99999999)"}), "balance.type: PostgreSQL has no varchar(99999999)"),
        (column({"codec": "text", "type": "varchar(5,5)"}), "balance.type: PostgreSQL has no varchar(5,5)"),
        ({"declared": {"datetme": {"codec": "epoch_s"}}}, "declared: 'datetme' is unknown. Did you mean 'datetime'?"),
        ({"declared": {"datetime": {"codec": "epoch"}}}, "declared.datetime.codec: 'epoch' is unknown. Did you mean 'epoch_s'?"),
        ({"declared": {"datetime": {"target": "x"}}}, "declared.datetime: 'target' is unknown."),
        ({"declared": {"datetime": {"type": "timestamp"}}}, "declared.datetime: type and rules belong to a codec"),
        (column({"default": 5}), "balance.default: must be one expression"),
        (column({"default": "1; DROP TABLE x"}), "balance.default: must be one expression"),
        ({"unique": "key"}, "cutover_plan_overrides.unique: 'key' is unknown."),
        ({"collation": "de_DE"}, "cutover_plan_overrides.collation: is 'C'"),
        ({"schema": "pgcutover"}, "cutover_plan_overrides.schema: 'pgcutover' cannot be used"),
        ({"schema": "pg_catalog"}, "cutover_plan_overrides.schema: 'pg_catalog' cannot be used"),
        ({"schema": ""}, "cutover_plan_overrides.schema: '' cannot be used"),
        ({"schema": "é" * 32}, "cutover_plan_overrides.schema: "),
    ],
)  # fmt: skip
def test_refusal_names_the_place_and_the_nearest_name(source: Description, overrides: Any, message: str) -> None:
    def read() -> tuple[str, str | None]:
        decided = Overrides(overrides, source)
        return decided.schema, f"{decided.collation} {decided.unique}"

    with pytest.raises(PlanError) as caught:
        read()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"indexes": {"account_createt": {"carry": False}}}, "tables.account.indexes: 'account_createt' is unknown. Did you mean 'account_created'?"),
        ({"indexes": {"account_created": {"validate": False}}}, "tables.account.indexes.account_created: 'validate' is unknown"),
        ({"checks": {"zzz": {}}}, "tables.account.checks: 'zzz' is unknown. Valid: none."),
        ({"columns": {"balance": {"collation": "case_insensitive"}}}, "columns.balance.collation: the column is numeric(10,2), only text has a collation."),
        ({"foreign_keys": {"account_fkey": {}}}, "Did you mean 'account_parent_fkey'?"),
        ({"foreign_keys": {"account_parent_fkey": {"valid": False}}}, "account_parent_fkey: 'valid' is unknown. Did you mean 'validate'?"),
    ],
)  # fmt: skip
def test_indexes_and_foreign_keys_go_by_their_names_in_the_target(
    make_sqlite: MakeSqlite, entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(PlanError) as caught:
        planned(make_sqlite(SCHEMA), table(entry))
    assert message in str(caught.value)


def test_nothing_decided_is_the_defaults(source: Description) -> None:
    for empty in (None, {}, {"tables": None}, {"tables": {"account": None}}, table({"columns": None}), column(None)):
        decided = Overrides(empty, source)
        assert (decided.schema, decided.collation) == ("public", "C")
        assert decided.column("account", "balance") == {}
        assert decided.part("account", "indexes", ["account_created"]) == {}
    assert Overrides({"collation": "default"}, source).collation is None


def test_decisions_reach_the_plan(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite("CREATE TABLE t (a INT NOT NULL DEFAULT 5, b TEXT); INSERT INTO t VALUES (1, 'x')")
    overrides = {
        "schema": "shop",
        "collation": "default",
        "tables": {
            "t": {
                "target": "T2",
                "columns": {"a": {"codec": "text", "rule": "as_text", "target": "A", "not_null": False}},
            }
        },
    }
    plan, _ = planned(path, overrides)
    [decided] = plan.tables
    assert (plan.schema, plan.collation, decided.target) == ("shop", None, "T2")
    column = decided.column("a")
    assert (column.codec, column.type, column.rules, column.target, column.not_null) == (
        "text",
        "text",
        ("as_text",),
        "A",
        False,
    )
    assert column.default == "'5'"


def test_decision_for_a_declared_type_holds_for_all_its_columns_but_keys(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n integer, at DATETIME NOT NULL, by DateTime, p DECIMAL ( 10, 2 ), q REAL)"
    )
    overrides = {
        "declared": {
            "datetime": {"codec": "epoch_s"},
            "decimal(10,2)": {"codec": "text"},
            "INTEGER": {"codec": "text"},
        },
        "tables": {"t": {"columns": {"at": {"target": "At"}, "by": {"codec": "epoch_us", "type": "timestamp"}}}},
    }
    plan = only_table(path, overrides)
    assert [(c.target, c.codec, c.type, c.not_null) for c in plan.columns] == [
        ("id", "integer", "bigint", True),
        ("n", "text", "text", False),
        ("At", "epoch_s", "timestamptz", True),
        ("by", "epoch_us", "timestamp", False),
        ("p", "text", "text", False),
        ("q", "real", "double precision", False),
    ]


def test_decision_for_a_declared_type_may_make_keys_narrower(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    plan = only_table(path, {"declared": {"integer": {"codec": "integer", "type": "integer"}}})
    assert [(c.type, c.identity) for c in plan.columns] == [("integer", True), ("integer", False)]


def test_default_and_name_of_a_foreign_key_may_be_decided(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id TEXT PRIMARY KEY, at DATETIME DEFAULT (random()), n INT DEFAULT 5, p TEXT REFERENCES t)"
    )
    columns = {
        "id": {"codec": "uuid", "default": "gen_random_uuid()"},
        "at": {"default": "now()"},
        "n": {"default": None},
    }
    keys = {"t_p_fkey": {"target": "t_p_foreign"}}
    columns["p"] = {"codec": "uuid"}
    plan, _ = planned(path, {"tables": {"t": {"columns": columns, "foreign_keys": keys}}})
    assert [c.default for c in plan.tables[0].columns] == ["gen_random_uuid()", "now()", None, None]
    assert [key.target for key in plan.tables[0].foreign_keys] == ["t_p_foreign"]
    assert [n for n in plan.not_carried if n.kind == "default"] == []


def test_table_may_be_left_out(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(SCHEMA)
    plan, _ = planned(path, {"tables": {"parent": {"carry": False}}})
    assert [t.name for t in plan.tables] == ["account"]
    assert plan.tables[0].foreign_keys == ()
    kinds = {(n.object, n.kind): n.reason for n in plan.not_carried}
    assert kinds["parent", "table"] == "the plan says so"
    assert "does not exist or is not carried" in kinds["account(parent) → parent", "foreign key"]


def test_type_may_be_narrower_when_the_plan_says_so(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    plan = only_table(
        path,
        {
            "tables": {
                "t": {
                    "columns": {
                        "id": {"codec": "integer", "type": "integer"},
                        "n": {"codec": "integer", "type": "smallint"},
                    }
                }
            }
        },
    )
    assert [(c.type, c.identity) for c in plan.columns] == [("integer", True), ("smallint", False)]
    assert plan.compare == "ordered"


@pytest.mark.parametrize("rule", ["to_null", "empty_to_null"])
@pytest.mark.parametrize("name", ["owed", "id"])
def test_null_is_not_put_where_none_may_be(source: Description, name: str, rule: str) -> None:
    entry = {"codec": "integer", "rule": rule}
    with pytest.raises(PlanError, match=f"columns.{name}: {rule} would put NULL into a column"):
        Overrides({"tables": {"account": {"columns": {name: entry}}}}, source)
