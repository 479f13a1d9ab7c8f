# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan carries names, keys and indexes as they are, and lists what it cannot carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import MakeSqlite
from cutover.plan.model import Plan, PlanIndex, PlanTable
from cutover.plan.names import LIMIT, Namespace, too_long, truncated
from support.engine import errors, only_table, planned


def plan_of(make_sqlite: MakeSqlite, sql: str, **overrides: object) -> Plan:
    plan, findings = planned(make_sqlite(sql), overrides)
    assert errors(findings) == []
    return plan


def dropped(plan: Plan, kind: str) -> dict[str, str]:
    """What is not carried of a kind: object → reason."""
    return {entry.object: entry.reason for entry in plan.not_carried if entry.kind == kind}


def columns(index: PlanIndex) -> list[tuple[str, bool, bool]]:
    return [(part.column, part.descending, part.nocase) for part in index.columns]


# ---------------------------------------------------------------- names


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=90), max_size=20))
def test_names_from_one_namespace_are_short_and_never_given_out_twice(wanted: list[str]) -> None:
    names = Namespace([])
    given_out = [names.allocate(name) for name in wanted]
    assert len(set(given_out)) == len(given_out)
    assert not any(too_long(name) for name in given_out)
    assert [Namespace([]).allocate(name) for name in wanted[:1]] == given_out[:1]


@given(st.text(max_size=90))
def test_name_is_cut_at_a_character_as_postgresql_cuts_it(name: str) -> None:
    if any("\ud800" <= c <= "\udfff" for c in name):
        return
    short = truncated(name)
    assert name.startswith(short)
    assert LIMIT - 4 < len(short.encode()) <= LIMIT or short == name


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = Namespace(["x"])
    first, second = names.allocate("a" * 70 + "1"), names.allocate("a" * 70 + "2")
    assert first != second
    assert names.allocate("x") == "x_1"
    assert names.allocate("x") == "x_2"


def test_index_names_never_meet_table_names(make_sqlite: MakeSqlite) -> None:
    plan = plan_of(
        make_sqlite,
        'CREATE TABLE t (a INT PRIMARY KEY, b UNIQUE); CREATE TABLE "t_pkey" (a); CREATE TABLE "t_b_key" (a)',
    )
    table = plan.table("t")
    assert table.primary_key_name == "t_pkey_1"
    assert [index.target for index in table.indexes] == ["t_b_key_1"]


# ---------------------------------------------------------------- tables and keys


@pytest.mark.parametrize(
    ("sql", "compare", "identity", "rowid", "key"),
    [
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, x)", "ordered", True, "id", ("id",)),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY DESC, x)", "multiset", False, "rowid", ("id",)),
        ("CREATE TABLE t (id INT PRIMARY KEY, x)", "multiset", False, "rowid", ("id",)),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY) WITHOUT ROWID", "multiset", False, None, ("id",)),
        ("CREATE TABLE t (b, a, PRIMARY KEY (a, b))", "multiset", False, "rowid", ("a", "b")),
        ("CREATE TABLE t (x)", "multiset", False, "rowid", ()),
        ("CREATE TABLE t (x INT NOT NULL UNIQUE)", "multiset", False, "rowid", ("x",)),
        ("CREATE TABLE t (x INT UNIQUE)", "multiset", False, "rowid", ()),
        ("CREATE TABLE t (x TEXT NOT NULL COLLATE NOCASE UNIQUE)", "multiset", False, "rowid", ()),
    ],
)
def test_way_of_comparing_follows_the_key(
    make_sqlite: MakeSqlite, sql: str, compare: str, identity: bool, rowid: str | None, key: tuple[str, ...]
) -> None:
    table = only_table(make_sqlite(sql))
    assert (table.compare, table.rowid, table.key) == (compare, rowid, key)
    assert any(column.identity for column in table.columns) == identity
    assert (table.note is None) == bool(key)


def test_sequence_starts_above_every_number_ever_used(make_sqlite: MakeSqlite) -> None:
    made = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (90); DELETE FROM t; INSERT INTO t VALUES (5)"
    assert only_table(make_sqlite(made)).sequence_last == 90
    assert (
        only_table(make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (5)")).sequence_last == 5
    )
    assert (
        only_table(make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (-5)")).sequence_last
        is None
    )
    assert only_table(make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY)")).sequence_last is None


def test_not_null_is_kept_and_the_rowid_alias_has_it_anyway(make_sqlite: MakeSqlite) -> None:
    table = only_table(make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT NOT NULL, b INT)"))
    assert [column.not_null for column in table.columns] == [True, True, False]


def test_generated_column_is_computed_by_postgresql_or_carried_as_values(make_sqlite: MakeSqlite) -> None:
    plan = plan_of(
        make_sqlite,
        "CREATE TABLE t (a INT DEFAULT 1, b INT AS (a * 2) STORED, c TEXT AS (hex(a)) VIRTUAL, d INT AS (b + 1))",
    )
    table = plan.tables[0]
    assert [(c.name, c.default, c.generated) for c in table.columns] == [
        ("a", "1", None),
        ("b", None, '("a" * 2)'),
        ("c", None, None),
        ("d", None, '(("a" * 2) + 1)'),
    ]
    assert [column.name for column in table.sent.columns] == ["a", "c"]
    assert dropped(plan, "generated column") == {
        "t.c": "its values are carried, its expression (hex(a)) is not: it uses the function hex()"
    }


def test_everything_that_is_not_carried_is_listed(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE t (a INT CHECK (hex(a) > 'A'), b DEFAULT (random())); CREATE VIRTUAL TABLE f USING fts5(x);"
        "CREATE VIEW v AS SELECT group_concat(a) FROM t; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END;"
        "CREATE INDEX e ON t (hex(a)); CREATE INDEX p ON t (a) WHERE hex(a) > 'A'"
    )
    plan, findings = planned(path)
    kinds = sorted((entry.kind, entry.object) for entry in plan.not_carried if entry.kind != "shadow table")
    assert kinds == [
        ("check", "t"),
        ("default", "t.b"),
        ("index", "e"),
        ("index", "p"),
        ("trigger", "g"),
        ("view", "v"),
        ("virtual table", "f"),
    ]
    assert all(entry.hint for entry in plan.not_carried)
    [warning] = [finding for finding in findings if finding.severity == "warning"]
    assert "check (1), default (1)" in warning.message


# ---------------------------------------------------------------- indexes


def test_indexes_keep_names_order_and_uniqueness(make_sqlite: MakeSqlite) -> None:
    table = only_table(
        make_sqlite("CREATE TABLE t (a, b, c UNIQUE); CREATE INDEX i ON t (b DESC, a); CREATE UNIQUE INDEX u ON t (a)")
    )
    found = {index.target: index for index in table.indexes}
    assert {name: index.unique for name, index in found.items()} == {"i": False, "u": True, "t_c_key": True}
    assert columns(found["i"]) == [("b", True, False), ("a", False, False)]


def test_index_without_case_is_on_the_lower_case(make_sqlite: MakeSqlite) -> None:
    plan = plan_of(
        make_sqlite,
        "CREATE TABLE t (a TEXT COLLATE NOCASE, n INT COLLATE NOCASE, r TEXT COLLATE RTRIM); CREATE UNIQUE INDEX u ON t (a);"
        "CREATE INDEX b ON t (a COLLATE BINARY); CREATE INDEX n ON t (n); CREATE INDEX r ON t (r)",
    )
    found = {index.target: index for index in plan.tables[0].indexes}
    assert columns(found["u"]) == [("a", False, True)]
    assert columns(found["b"]) == [("a", False, False)]
    assert dropped(plan, "index") == {
        "n": "compares column n without case, but it is no text in PostgreSQL",
        "r": "uses the collation RTRIM, which PostgreSQL does not have",
    }


def test_primary_key_without_case_keeps_its_uniqueness(make_sqlite: MakeSqlite) -> None:
    table = only_table(make_sqlite("CREATE TABLE t (name TEXT COLLATE NOCASE PRIMARY KEY)"))
    assert table.primary_key == ("name",)
    [index] = table.indexes
    assert (index.unique, columns(index)) == (True, [("name", False, True)])


def test_index_of_json_text_is_left_out(make_sqlite: MakeSqlite) -> None:
    plan = plan_of(
        make_sqlite,
        "CREATE TABLE t (a JSON); CREATE INDEX i ON t (a)",
        tables={"t": {"columns": {"a": {"codec": "json"}}}},
    )
    assert dropped(plan, "index") == {"i": "is on column a, whose type json has no order"}


def test_index_of_too_many_columns_is_left_out(make_sqlite: MakeSqlite) -> None:
    names = ", ".join(f"c{n}" for n in range(33))
    plan = plan_of(
        make_sqlite, f"CREATE TABLE t ({names}); CREATE INDEX i ON t ({names}); CREATE INDEX j ON t ({names[:-5]})"
    )
    assert [index.target for index in plan.tables[0].indexes] == ["j"]
    assert dropped(plan, "index") == {"i": "has 33 columns, an index of PostgreSQL at most 32"}


# ---------------------------------------------------------------- foreign keys

PARENTS = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT UNIQUE, code VARCHAR(5) UNIQUE, price DECIMAL UNIQUE, "
    "r REAL UNIQUE, plain TEXT, nocase TEXT COLLATE NOCASE UNIQUE, a, b, UNIQUE (a, b));"
)


@pytest.mark.parametrize(
    ("clause", "reason"),
    [
        ("x INT REFERENCES p", None),
        ("x INT REFERENCES P (ID)", None),
        ("x TEXT REFERENCES p (name)", None),
        ("x TEXT REFERENCES p (code)", None),
        ("x VARCHAR(9) REFERENCES p (name)", None),
        ("x INT REFERENCES p (price)", None),
        ("x DECIMAL REFERENCES p", "x is numeric in PostgreSQL, p.id is bigint: they do not compare"),
        ("x TEXT REFERENCES p", "x is text in PostgreSQL, p.id is bigint: they do not compare"),
        ("x INT REFERENCES p (r)", "x is bigint in PostgreSQL, p.r is double precision: they do not compare"),
        ("x TEXT REFERENCES p (plain)", "p(plain) is not unique in PostgreSQL"),
        ("x TEXT REFERENCES p (nocase)", "p(nocase) is not unique in PostgreSQL"),
        ("x INT REFERENCES missing", "the table missing that it refers to does not exist or is not carried"),
        ("x INT REFERENCES p (zzz)", "the column zzz does not exist"),
        ("x, y, FOREIGN KEY (x, y) REFERENCES p (b, a)", None),
        ("x, y, FOREIGN KEY (x, y) REFERENCES p", "it names 2 columns, the key of p has 1"),
    ],
)
def test_foreign_key_is_carried_where_postgresql_can_hold_it(
    make_sqlite: MakeSqlite, clause: str, reason: str | None
) -> None:
    plan = plan_of(make_sqlite, f"{PARENTS} CREATE TABLE c ({clause})")
    assert list(dropped(plan, "foreign key").values()) == ([reason] if reason else [])
    assert len(plan.table("c").foreign_keys) == (0 if reason else 1)


def test_foreign_key_needs_the_unique_index_that_is_left_out(make_sqlite: MakeSqlite) -> None:
    sql = f"{PARENTS} CREATE TABLE c (x TEXT REFERENCES p (name))"
    plan = plan_of(make_sqlite, sql, tables={"p": {"indexes": {"p_name_key": {"carry": False}}}})
    assert dropped(plan, "foreign key") == {"c(x) → p": "p(name) is not unique in PostgreSQL"}


def test_foreign_key_to_a_demoted_key_uses_its_unique_index(make_sqlite: MakeSqlite) -> None:
    sql = "CREATE TABLE p (k TEXT PRIMARY KEY); CREATE TABLE c (x TEXT REFERENCES p)"
    plan = plan_of(make_sqlite, sql, tables={"p": {"primary_key": "unique"}})
    parent: PlanTable = plan.table("p")
    assert (parent.primary_key, parent.primary_key_name, parent.note is not None) == ((), None, True)
    assert [(index.target, index.unique) for index in parent.indexes] == [("p_key", True)]
    assert [key.parent_columns for key in plan.table("c").foreign_keys] == [("k",)]


def test_actions_and_deferral_are_kept(make_sqlite: MakeSqlite) -> None:
    sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, up INT REFERENCES t ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED)"
    [key] = only_table(make_sqlite(sql)).foreign_keys
    assert (key.target, key.parent, key.on_delete, key.on_update) == ("t_up_fkey", "t", "SET NULL", "CASCADE")
    assert (key.deferrable, key.deferred, key.validate) == (True, True, True)


# ---------------------------------------------------------------- the whole


def test_fingerprint_tells_what_decides_the_target_only(make_sqlite: MakeSqlite) -> None:
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);"
    prints = [
        planned(make_sqlite(schema + more))[0].fingerprint()
        for more in ("", "INSERT INTO t VALUES (7, 'x')", "CREATE INDEX i ON t (x)", "CREATE VIEW v AS SELECT 1")
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_empty_columns_of_time_follow_the_rest_of_the_database(make_sqlite: MakeSqlite) -> None:
    def empty(values: str) -> str:
        path = make_sqlite(
            f"CREATE TABLE a (at DATETIME, note TEXT); INSERT INTO a VALUES {values}; CREATE TABLE b (at DATETIME)"
        )
        return planned(path)[0].table("b").columns[0].codec

    assert empty("(1700000000000, 'x')") == "epoch_ms"
    assert empty("('2024-01-01 00:00:00', 'x'), ('2024-01-02 00:00:00', 'x')") == "iso_timestamp"
    assert empty("('2024-01-01 00:00:00+00:00', '2024-01-01 00:00:00')") == "iso_timestamptz"
    # The many say it, not the few, and text elsewhere says nothing.
    assert empty("('2024-01-01 00:00:00', 'x'), ('2024-01-01 00:00:00', 'x'), (1700000000000, 'x')") == "iso_timestamp"
    assert empty("(NULL, '2024-01-01 00:00:00')") == "iso_timestamp"
