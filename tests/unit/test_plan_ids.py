# SPDX-License-Identifier: GPL-3.0-or-later
"""Which columns become UUIDs with ``cutover_ids: uuid``, and what is said of those that cannot or that one forgot."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.errors import Finding, PlanError
from cutover.plan.model import Plan
from support.engine import errors, merged, planned

Planned = tuple[Plan, list[Finding]]


@pytest.fixture
def plan_of(make_sqlite: MakeSqlite) -> Any:
    def make(sql: str, overrides: Mapping[str, Any] | None = None, ids: str = "uuid") -> Planned:
        return planned(make_sqlite(sql), overrides, ids=ids)

    return make


def turned(plan: Plan) -> dict[str, str | None]:
    """Each column that becomes a UUID, and of which table's key."""
    return {
        f"{table.name}.{column.name}": column.key_of
        for table in plan.tables
        for column in table.columns
        if column.codec == "uuid_key"
    }


SHOP = """
CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, invited_by INTEGER REFERENCES customer(id));
CREATE TABLE profile (customer_id INTEGER PRIMARY KEY REFERENCES customer, bio TEXT);
CREATE TABLE photo (id INT PRIMARY KEY, profile_id INT REFERENCES profile(customer_id), year INT);
CREATE TABLE tag (name TEXT PRIMARY KEY, number INTEGER UNIQUE);
CREATE TABLE tagged (photo_id INT REFERENCES photo, tag_name TEXT REFERENCES tag, tag_number INT REFERENCES tag(number),
  PRIMARY KEY (photo_id, tag_name)) WITHOUT ROWID;
CREATE TABLE remark (photo_id INT, tag_name TEXT, line INT, FOREIGN KEY (photo_id, tag_name) REFERENCES tagged);
"""


def test_keys_and_all_that_refers_to_them_however_far(plan_of: Any) -> None:
    plan, findings = plan_of(SHOP)
    assert errors(findings) == []
    assert turned(plan) == {
        "customer.id": "customer",
        "customer.invited_by": "customer",
        "profile.customer_id": "customer",
        "photo.id": "photo",
        "photo.profile_id": "customer",
        "tagged.photo_id": "photo",
        "remark.photo_id": "photo",
    }
    assert len(plan.table("customer").foreign_keys) == 1
    assert [key.parent for key in plan.table("remark").foreign_keys] == ["tagged"]
    assert plan.not_carried == ()
    customer = plan.table("customer").column("id")
    assert (customer.type, customer.default, customer.identity, customer.not_null) == (
        "uuid",
        "gen_random_uuid()",
        False,
        True,
    )
    # SQLite never filled in these keys by itself.
    assert plan.table("profile").column("customer_id").default is None
    assert plan.table("photo").column("id").default is None
    # Only where the integer is the rowid does the map go through the source in the same order.
    assert {table.name: table.compare for table in plan.tables} == {
        "customer": "mapped", **dict.fromkeys(("profile", "photo", "tag", "tagged", "remark"), "multiset")
    }  # fmt: skip


def test_namespaces_follow_from_names_and_are_told_apart(plan_of: Any) -> None:
    plan, _ = plan_of(SHOP)
    spaces = {c.key_of: c.key_namespace for t in plan.tables for c in t.columns if c.key_of}
    assert plan.namespace is not None
    assert spaces == {name: str(uuid.uuid5(uuid.UUID(plan.namespace), name)) for name in ("customer", "photo")}
    again, _ = plan_of(SHOP)
    assert again.fingerprint() == plan.fingerprint()
    chosen = str(uuid.uuid4())
    other, _ = plan_of(SHOP, {"namespace": chosen})
    assert other.namespace == chosen
    assert other.fingerprint() != plan.fingerprint()
    kept, _ = plan_of(SHOP, ids="keep")
    assert (kept.namespace, turned(kept), kept.ids) == (None, {}, "keep")
    assert kept.fingerprint() != plan.fingerprint()


def test_namespace_of_two_migrations_differs(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(SHOP)
    assert planned(path, name="a", ids="uuid")[0].namespace != planned(path, name="b", ids="uuid")[0].namespace


def test_findings_show_what_becomes_uuids(plan_of: Any) -> None:
    _, findings = plan_of(SHOP)
    shown = {f.table: f.message for f in findings if f.severity == "info" and "UUID" in f.message}
    assert shown["customer"] == (
        "the key becomes a UUID, and with it customer.invited_by, photo.profile_id, profile.customer_id"
    )
    assert set(shown) == {"customer", "photo"}


def test_table_that_keeps_its_ids_keeps_those_that_refer_to_it(plan_of: Any) -> None:
    plan, findings = plan_of(SHOP, {"tables": {"customer": {"ids": "keep"}}})
    assert errors(findings) == []
    assert set(turned(plan)) == {"photo.id", "tagged.photo_id", "remark.photo_id"}
    assert plan.table("customer").column("id").identity


def test_single_table_becomes_uuids(plan_of: Any) -> None:
    plan, findings = plan_of(SHOP, {"tables": {"photo": {"ids": "uuid"}}}, ids="keep")
    assert errors(findings) == []
    assert set(turned(plan)) == {"photo.id", "tagged.photo_id", "remark.photo_id"}
    assert plan.ids == "keep"
    assert plan.namespace is not None


def test_text_instead_of_the_type(plan_of: Any) -> None:
    plan, _ = plan_of(SHOP, {"uuid_type": "text"})
    assert {c.type for t in plan.tables for c in t.columns if c.key_of} == {"text"}
    assert plan.table("customer").column("id").default == "gen_random_uuid()::text"
    assert plan.not_carried == ()


def test_default_that_is_a_key_becomes_its_uuid(plan_of: Any) -> None:
    plan, _ = plan_of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY);"
        "CREATE TABLE u (id INTEGER PRIMARY KEY, t INT DEFAULT -7 REFERENCES t, v INT DEFAULT NULL REFERENCES t,"
        " w INT DEFAULT (abs(random())) REFERENCES t)"
    )
    space = uuid.uuid5(uuid.UUID(plan.namespace), "t")
    defaults = [column.default for column in plan.table("u").columns[1:]]
    assert defaults == [f"'{uuid.uuid5(space, '-7')}'::uuid", None, None]
    assert [(n.object, n.kind) for n in plan.not_carried] == [("u.w", "default")]


def test_keys_that_refer_to_each_other_share_one_namespace(plan_of: Any) -> None:
    plan, findings = plan_of(
        "CREATE TABLE a (id INTEGER PRIMARY KEY REFERENCES b(id), same INT REFERENCES a);"
        "CREATE TABLE b (id INTEGER PRIMARY KEY REFERENCES a(id));"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, b_id INT REFERENCES b);"
        "CREATE TABLE chicken (id INTEGER PRIMARY KEY, egg INT REFERENCES egg);"
        "CREATE TABLE egg (id INTEGER PRIMARY KEY, chicken INT REFERENCES chicken)"
    )
    assert errors(findings) == []
    assert turned(plan) == {
        "a.id": "a",
        "a.same": "a",
        "b.id": "a",
        "c.id": "c",
        "c.b_id": "a",
        "chicken.id": "chicken",
        "chicken.egg": "egg",
        "egg.id": "egg",
        "egg.chicken": "chicken",
    }


TWO = """
CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY, code INT UNIQUE);
CREATE TABLE both (x INT REFERENCES a REFERENCES b);
CREATE TABLE half (x INT REFERENCES a REFERENCES b(code));
"""


def test_column_that_refers_to_two_keys_is_an_error_and_decide_settles_it(plan_of: Any) -> None:
    _, findings = plan_of(TWO)
    found = errors(findings)
    assert [(f.table, f.column) for f in found] == [("both", "x"), ("half", "x")]
    assert "a, b, which become different UUIDs" in found[0].message
    assert "b.code, which stays" in found[1].message
    plan, findings = plan_of(TWO, merged(*(f.decide for f in found)))
    assert errors(findings) == []
    assert turned(plan) == {}


def test_codec_that_was_decided_otherwise_is_an_error(plan_of: Any) -> None:
    sql = "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a INT REFERENCES a)"
    for entry in ({"codec": "text", "type": "text", "rule": "as_text"}, {"codec": "integer", "type": "integer"}):
        overrides = {"tables": {"b": {"columns": {"a": entry}}}}
        [found] = errors(plan_of(sql, overrides)[1])
        assert (found.table, found.column, found.decide) == ("b", "a", {"tables": {"a": {"ids": "keep"}}})
        assert errors(plan_of(sql, merged(overrides, found.decide))[1]) == []
    plan, findings = plan_of(sql, {"tables": {"b": {"columns": {"a": {"codec": "integer"}}}}})
    assert (errors(findings), set(turned(plan))) == ([], {"a.id", "b.a"})


def test_wish_that_a_reference_contradicts_is_an_error(plan_of: Any) -> None:
    [kept] = errors(plan_of(SHOP, {"tables": {"profile": {"ids": "keep"}}})[1])
    assert (kept.table, kept.decide) == ("profile", {"tables": {"customer": {"ids": "keep"}}})
    wishes = {"tables": {"profile": {"ids": "uuid"}, "customer": {"ids": "keep"}}}
    [wanted] = errors(plan_of(SHOP, wishes)[1])
    assert (wanted.table, wanted.decide) == ("profile", {"tables": {"profile": {"ids": "keep"}}})


@pytest.mark.parametrize("key", ["INT", "INTEGER NOT NULL"])
def test_key_that_the_plan_made_an_index_stays(plan_of: Any, key: str) -> None:
    plan, _ = plan_of(f"CREATE TABLE t (id {key} PRIMARY KEY, x TEXT)", {"tables": {"t": {"primary_key": "unique"}}})
    assert turned(plan) == {}


def test_other_keys_stay(plan_of: Any) -> None:
    plan, _ = plan_of(
        "CREATE TABLE t (code TEXT PRIMARY KEY); CREATE TABLE c (a INT, b INT, PRIMARY KEY (a, b));"
        "CREATE TABLE n (x INT); CREATE TABLE u (n INT UNIQUE); CREATE TABLE r (n INT REFERENCES u(n), t TEXT REFERENCES t)"
    )
    assert (turned(plan), plan.namespace) == ({}, None)


def test_reference_to_a_table_that_stays_behind_is_none(plan_of: Any) -> None:
    sql = "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY REFERENCES a, x INT REFERENCES nowhere)"
    plan, findings = plan_of(sql, {"tables": {"a": {"carry": False}}})
    assert errors(findings) == []
    assert turned(plan) == {"b.id": "b"}


# ---------------------------------------------------------------- references that the source does not declare

UNDECLARED = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE shop_category (id INTEGER PRIMARY KEY);
CREATE TABLE post (id INTEGER PRIMARY KEY, user_id INT, categoryId BIGINT, external_id INT, paid INT, note_id TEXT);
CREATE TABLE members (user_id INT, post_id INT, PRIMARY KEY (user_id, post_id));
CREATE TABLE vote (id INTEGER PRIMARY KEY, subject_type TEXT, subject_id INT);
"""


def test_columns_named_like_references_are_asked_about(plan_of: Any) -> None:
    plan, findings = plan_of(UNDECLARED)
    found = {f"{f.table}.{f.column}": f for f in findings if f.decide}
    assert {name: (f.severity, f.decide["tables"][f.table]["columns"][f.column]["refers_to"]) for name, f in found.items()} == {
        "post.user_id": ("error", "users"),
        "post.categoryId": ("error", "shop_category"),
        "post.external_id": ("warning", False),
        "members.user_id": ("error", "users"),
        "members.post_id": ("error", "post"),
        "vote.subject_id": ("error", False),
    }  # fmt: skip
    plan, findings = plan_of(UNDECLARED, merged(*(f.decide for f in found.values())))
    assert [f for f in findings if f.severity != "info"] == []
    assert turned(plan) == {
        "users.id": "users",
        "shop_category.id": "shop_category",
        "post.id": "post",
        "post.user_id": "users",
        "post.categoryId": "shop_category",
        "members.user_id": "users",
        "members.post_id": "post",
        "vote.id": "vote",
    }
    assert [table.foreign_keys for table in plan.tables] == [()] * 5


def test_nothing_is_asked_while_ids_stay(plan_of: Any) -> None:
    assert plan_of(UNDECLARED, ids="keep")[1] == []
    plan, findings = plan_of(
        UNDECLARED, {"tables": {"post": {"columns": {"user_id": {"refers_to": "users"}}}}}, ids="keep"
    )
    assert (turned(plan), findings) == ({}, [])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"namespace": "shop"}, "namespace: 'shop' is no UUID"),
        ({"uuid_type": "varchar"}, "uuid_type: is 'uuid' or 'text'"),
        ({"tables": {"users": {"ids": "uid"}}}, "Did you mean 'uuid'"),
        ({"tables": {"members": {"ids": "uuid"}}}, "no primary key of one integer column"),
        ({"tables": {"post": {"columns": {"user_id": {"refers_to": "user"}}}}}, "Did you mean 'users'"),
        ({"tables": {"post": {"columns": {"user_id": {"refers_to": True}}}}}, "names the table"),
        ({"tables": {"post": {"columns": {"user_id": {"refers_to": "members"}}}}}, "primary key of one column"),
        (
            {"tables": {"users": {"carry": False}, "post": {"columns": {"user_id": {"refers_to": "users"}}}}},
            "is not carried",
        ),
        ({"tables": {"post": {"columns": {"id": {"codec": "uuid_key"}}}}}, "unknown"),
    ],
)
def test_what_cannot_be_is_refused_by_name(plan_of: Any, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_of(UNDECLARED, overrides)


def test_what_compares_keys_is_carried_only_where_it_means_the_same(plan_of: Any) -> None:
    plan, _ = plan_of(
        "CREATE TABLE p (id INTEGER PRIMARY KEY CHECK (id > 0), twice INT GENERATED ALWAYS AS (id * 2) STORED);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, a INT REFERENCES p, b INT REFERENCES p, CHECK (a <> b), CHECK (a < b),"
        " CHECK (a <> id), CHECK (a <> 5), CHECK (a IS NOT NULL OR b IS NOT NULL));"
        "CREATE INDEX whole ON c (a) WHERE b IS NOT NULL; CREATE INDEX some ON c (a) WHERE b = 1; CREATE INDEX next ON c (a + 1)"
    )
    assert [check.source for check in plan.table("c").checks] == ["a <> b", "a IS NOT NULL OR b IS NOT NULL"]
    assert plan.table("p").checks == ()
    assert {index.target for index in plan.table("c").indexes} & {"whole", "some", "next"} == {"whole"}
    assert plan.table("p").column("twice").codec == "integer"
    assert plan.table("p").column("twice").generated is None
    assert sorted(item.kind for item in plan.not_carried) == ["check"] * 4 + ["generated column"] + ["index"] * 2
