# SPDX-License-Identifier: GPL-3.0-or-later
"""Integer keys that become UUIDs: every row arrives, every reference holds, and the map leads back."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import MakeSqlite
from cutover import idmap, ranges
from cutover.ddl import drop_own
from cutover.errors import Refused
from cutover.plan.codec import codec_of
from cutover.plan.model import Plan
from cutover.target.connect import connect, quote
from support.engine import POSITION, Migrated, checked, copy, create, errors, finish, merged, migrate, planned, verify
from support.independent import emptied, execute, fetch, quoted
from support.steps import answer, started

LEAST, MOST = -(2**63), 2**63 - 1

SHOP = f"""
CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
  invited_by INTEGER REFERENCES customer(id), best_photo INTEGER DEFAULT 5 REFERENCES photo(id));
CREATE TABLE profile (customer_id INTEGER PRIMARY KEY REFERENCES customer ON DELETE CASCADE, bio TEXT);
CREATE TABLE photo (id INT PRIMARY KEY, profile_id INT REFERENCES profile(customer_id), year INT, owner TEXT REFERENCES customer);
CREATE TABLE tag (name TEXT PRIMARY KEY);
CREATE TABLE tagged (photo_id INT REFERENCES photo, tag_name TEXT REFERENCES tag, PRIMARY KEY (photo_id, tag_name)) WITHOUT ROWID;
CREATE TABLE remark (photo_id INT, tag_name TEXT, line INT, FOREIGN KEY (photo_id, tag_name) REFERENCES tagged);
CREATE TABLE "the log %s" ("user id" INT, "order" INTEGER PRIMARY KEY, customer_id INT);
CREATE INDEX photo_of ON photo (profile_id DESC, year);
INSERT INTO customer VALUES (1, 'a', NULL, NULL), (2, 'b', 1, 5), (-7, 'c', -7, 5), (0, 'zero', 1, NULL),
  ({LEAST}, 'least', {MOST}, NULL), ({MOST}, 'most', {LEAST}, {MOST});
INSERT INTO profile VALUES (1, 'x'), (-7, NULL), ({MOST}, 'y');
INSERT INTO photo VALUES (5, 1, 1999, '2'), (6, -7, 2001, NULL), ({MOST}, {MOST}, NULL, '{LEAST}');
INSERT INTO tag VALUES ('sun'), ('sea');
INSERT INTO tagged VALUES (5, 'sun'), (5, 'sea'), ({MOST}, 'sea');
INSERT INTO remark VALUES (5, 'sun', 1), (5, 'sun', 2), (NULL, 'sea', 3), (5, NULL, 4), (77, NULL, 5);
INSERT INTO "the log %s" VALUES (1, 1, 2), (2, 2, 99), (NULL, 3, NULL), (-5, 4, {LEAST});
"""
REFERS = {"tables": {"the log %s": {"columns": {"user id": {"refers_to": "customer"}, "customer_id": {"refers_to": "customer"}}}}}  # fmt: skip
#: Table → the columns that become UUIDs → the table whose key they hold.
HOLD = {
    "customer": {"id": "customer", "invited_by": "customer", "best_photo": "photo"},
    "profile": {"customer_id": "customer"},
    "photo": {"id": "photo", "profile_id": "customer", "owner": "customer"},
    "tagged": {"photo_id": "photo"},
    "remark": {"photo_id": "photo"},
    "the log %s": {"user id": "customer", "order": "the log %s", "customer_id": "customer"},
    "tag": {},
}


def expected(path: Path, namespace: str, hold: dict[str, dict[str, str]]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the source with UUIDs as RFC 4122 makes them, by Python's own means."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with closing(sqlite3.connect(path)) as source:
        for table, columns in hold.items():
            cursor = source.execute(f"SELECT * FROM {quoted(table)}")
            names = [entry[0] for entry in cursor.description]
            spaces = [uuid.uuid5(uuid.UUID(namespace), columns[n]) if n in columns else None for n in names]
            found[table] = [
                tuple(
                    value if space is None or value is None else str(uuid.uuid5(space, str(value)))
                    for space, value in zip(spaces, row)
                )
                for row in cursor
            ]
    return found


def stored(url: str, table: str) -> list[tuple[Any, ...]]:
    return fetch(url, f"SELECT * FROM {quoted(table)}")


def same(left: list[tuple[Any, ...]], right: list[tuple[Any, ...]]) -> bool:
    return sorted(left, key=repr) == sorted(right, key=repr)


def assert_arrived(path: Path, url: str, plan: Plan, hold: dict[str, dict[str, str]]) -> None:
    assert plan.namespace is not None
    for table, rows in expected(path, plan.namespace, hold).items():
        assert same(stored(url, table), rows), table


@pytest.fixture(params=["uuid", "text"])
def shop(request: pytest.FixtureRequest, make_sqlite: MakeSqlite, database: str) -> tuple[Path, str, Migrated]:
    """(source, target, result) of a migration with either type."""
    path = make_sqlite(SHOP)
    return path, database, migrate(path, database, merged(REFERS, {"uuid_type": request.param}), ids="uuid")


def test_every_row_arrives_and_every_reference_holds(shop: tuple[Path, str, Migrated]) -> None:
    path, url, result = shop
    assert result.verified["ok"], result.verified["differences"]
    assert_arrived(path, url, result.plan, HOLD)
    types = fetch(
        url,
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'",
    )
    wanted = {column.type for table in result.plan.tables for column in table.columns if column.key_of}
    assert {kind for table, column, kind in types if column in HOLD[table]} == wanted
    # Foreign keys of PostgreSQL compare equal types only; all that the source has are there.
    foreign = fetch(url, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated")
    assert foreign == [(8,)]
    assert result.plan.not_carried == ()


def map_of(url: str, table: str) -> list[tuple[int, str]]:
    return fetch(url, f"SELECT old, new::text FROM pgcutover.{quote(idmap.map_name(table))}")


def test_map_leads_back_from_every_value(shop: tuple[Path, str, Migrated]) -> None:
    path, url, result = shop
    plan = result.plan
    with closing(sqlite3.connect(path)) as source:
        for table in ("customer", "photo", "the log %s"):
            key = quoted(next(column for column, of in HOLD[table].items() if of == table))
            keys = [old for (old,) in source.execute(f"SELECT {key} FROM {quoted(table)}")]
            space = uuid.uuid5(uuid.UUID(plan.namespace), table)
            assert same(map_of(url, table), [(old, str(uuid.uuid5(space, str(old)))) for old in keys])
        # Profiles have the keys of customers; what remark and log refer to without a row is no key of a map.
        assert fetch(url, "SELECT key_of, old FROM pgcutover.orphan_ids ORDER BY 1, 2") == [("customer", -5), ("customer", 99), ("photo", 77)]  # fmt: skip
        with closing(connect(url)) as target, target.cursor() as cursor:
            for table in plan.tables:
                for column in table.columns:
                    name = quote(column.target)
                    back = idmap.restore_sql("pgcutover", column, name)
                    cursor.execute(f"SELECT ({back})::text FROM public.{quote(table.target)}")
                    codec = codec_of(column)
                    values = [
                        None if text is None else codec.restore(text, column.type) for (text,) in cursor.fetchall()
                    ]
                    before = source.execute(f"SELECT {quoted(column.name)} FROM {quoted(table.name)}").fetchall()
                    assert sorted(values, key=repr) == sorted((value for (value,) in before), key=repr)


def test_looking_up_uuids_tells_new_rows_apart(shop: tuple[Path, str, Migrated]) -> None:
    _, url, result = shop
    space = uuid.uuid5(uuid.UUID(result.plan.namespace), "customer")
    known = {str(uuid.uuid5(space, str(old))): old for old in (1, MOST, LEAST, 99)}
    new = str(uuid.uuid4())
    with closing(connect(url)) as target, target.cursor() as cursor:
        assert idmap.old_keys(cursor, result.plan, "customer", [*known, new]) == known
        assert idmap.old_keys(cursor, result.plan, "photo", list(known)) == {}
    assert result.plan.table("customer").sequence_last == MOST


def test_new_rows_get_keys_of_their_own_and_references_are_kept(shop: tuple[Path, str, Migrated]) -> None:
    _, url, result = shop
    kind = "text" if result.plan.table("customer").column("id").type == "text" else "uuid"
    space = uuid.uuid5(uuid.UUID(result.plan.namespace), "photo")
    [(new, best)] = fetch(url, "INSERT INTO customer (name) VALUES ('new') RETURNING id::text, best_photo::text")
    assert (uuid.UUID(new).version, best) == (4, str(uuid.uuid5(space, "5")))
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        execute(url, f"INSERT INTO profile VALUES ('{uuid.uuid4()}'::{kind}, 'nobody')")
    customer = uuid.uuid5(uuid.UUID(result.plan.namespace), "customer")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(url, f"INSERT INTO customer VALUES ('{uuid.uuid5(customer, '1')}'::{kind}, 'again')")


def test_application_cannot_see_the_maps_and_finalize_removes_them(shop: tuple[Path, str, Migrated]) -> None:
    _, url, _ = shop
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(
            url, 'CREATE ROLE "stranger of maps"', 'SET ROLE "stranger of maps"', "SELECT * FROM pgcutover.ids_customer"
        )
    with closing(connect(url, autocommit=True)) as target:
        assert drop_own(target, "public", "test")
    assert fetch(url, "SELECT count(*) FROM pg_class WHERE relname LIKE 'ids\\_%'") == [(0,)]
    assert len(stored(url, "customer")) == 6


# ---------------------------------------------------------------- what verify must find


def places(found: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return sorted(((d["table"], d["key"], d["column"]) for d in found["differences"]), key=str)


def test_wrong_uuid_is_found_and_named(shop: tuple[Path, str, Migrated]) -> None:
    path, url, result = shop
    space = uuid.uuid5(uuid.UUID(result.plan.namespace), "customer")
    one, zero = (f"'{uuid.uuid5(space, key)}'" for key in "10")
    assert execute(
        url,
        f'UPDATE "the log %s" SET "user id" = {zero} WHERE "user id" = {one}',
        f"UPDATE customer SET best_photo = NULL WHERE best_photo IS NOT NULL AND id <> {one} AND name = 'b'",
        "DELETE FROM tagged WHERE tag_name = 'sea' AND photo_id NOT IN (SELECT photo_id FROM remark WHERE photo_id IS NOT NULL)",
    ) == [1, 1, 1]
    found = verify(path, url, result.plan)
    assert not found["ok"]
    assert places(found) == [
        ("customer", "id=2", "best_photo"),
        ("tagged", f"(photo_id, tag_name)=({MOST}, 'sea')", None),
        ("the log %s", "order=1", "user id"),
    ]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("UPDATE pgcutover.ids_customer SET old = 4711 WHERE old = 2", ("customer", "id=2", "map of ids")),
        ("DELETE FROM pgcutover.ids_customer WHERE old = -7", ("customer", "id=-7", "map of ids")),
        (
            "UPDATE pgcutover.ids_customer SET new = gen_random_uuid() WHERE old = 0",
            ("customer", "id=0", "map of ids"),
        ),
        (
            "INSERT INTO pgcutover.ids_photo VALUES (123, gen_random_uuid())",
            ("photo", "id=123", "map of ids"),
        ),
        ("DELETE FROM pgcutover.orphan_ids WHERE old = 99", ("customer", "id=99", "map of ids")),
        ("INSERT INTO pgcutover.orphan_ids VALUES ('photo', 8, 'x')", ("photo", "id=8", "map of ids")),
    ],
)
def test_wrong_map_is_found_and_named(
    make_sqlite: MakeSqlite, database: str, change: str, place: tuple[str, str, str]
) -> None:
    path = make_sqlite(SHOP)
    result = migrate(path, database, REFERS, ids="uuid")
    assert result.verified["ok"]
    execute(database, change)
    found = verify(path, database, result.plan)
    assert not found["ok"]
    assert place in places(found)
    assert len([d for d in found["differences"] if d["column"] == "map of ids"]) == (2 if "4711" in change else 1)
    line = next(line for line in found["tables"] if line["name"] == place[0])
    assert (line["rows_source"], line["rows_only_source"], line["rows_only_target"]) == (line["rows_target"], 0, 0)
    assert line["rows_different"] > 0


# ---------------------------------------------------------------- what preflight must find


def test_orphan_is_reported_with_what_settles_it(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p_id INT REFERENCES p);"
        "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1), (2, 17), (3, 17), (4, NULL)"
    )
    plan, findings = planned(path, ids="uuid")
    assert errors(findings) == []
    [found] = errors(checked(path, plan))
    assert (found.table, found.column, found.key, found.value) == ("c", "p_id", "id=2", "17")
    result = migrate(path, database, found.decide, ids="uuid")
    assert result.verified["ok"]
    assert_arrived(path, database, result.plan, {"p": {"id": "p"}, "c": {"id": "c", "p_id": "p"}})
    space = uuid.uuid5(uuid.UUID(result.plan.namespace), "p")
    assert fetch(database, "SELECT * FROM pgcutover.orphan_ids") == [("p", 17, str(uuid.uuid5(space, "17")))]


def test_orphan_of_an_undeclared_reference_is_a_warning(make_sqlite: MakeSqlite) -> None:
    plan, _ = planned(make_sqlite(SHOP), REFERS, ids="uuid")
    path = make_sqlite(SHOP)
    found = [f for f in checked(path, plan) if f.severity == "warning"]
    assert [(f.table, f.column, f.key, f.value) for f in found] == [
        ("the log %s", "user id", "order=4", "-5"),
        ("the log %s", "customer_id", "order=2", "99"),
    ]


def test_value_that_is_no_key_is_refused_and_keep_settles_it(make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p_id REFERENCES p, q REAL REFERENCES p);"
        "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1), ('1', NULL), (x'31', NULL)"
    )
    plan, findings = planned(path, ids="uuid")
    assert errors(findings) == []
    found = errors(checked(path, plan))
    refused = [f for f in found if "codec" in f.message]
    assert [(f.column, f.value, f.decide) for f in refused] == [
        ("p_id", "'1'", {"tables": {"p": {"ids": "keep"}}}),
        ("q", "1.0", {"tables": {"p": {"ids": "keep"}}}),
    ]


# ---------------------------------------------------------------- a table that keeps its ids


def test_table_with_meaningful_numbers_keeps_them(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE year (number INTEGER PRIMARY KEY, name TEXT); CREATE TABLE person (id INTEGER PRIMARY KEY, born INT REFERENCES year);"
        "INSERT INTO year VALUES (1999, 'a'), (2000, 'b'); INSERT INTO person VALUES (1, 1999), (2, NULL), (3, 2000)"
    )
    result = migrate(path, database, {"tables": {"year": {"ids": "keep"}}}, ids="uuid")
    assert result.verified["ok"]
    assert_arrived(path, database, result.plan, {"year": {}, "person": {"id": "person"}})
    assert fetch(database, "INSERT INTO year (name) VALUES ('c') RETURNING number") == [(2001,)]
    assert fetch(database, "SELECT relname FROM pg_class WHERE relname LIKE 'ids\\_%' AND relkind = 'r'") == [
        ("ids_person",)
    ]


def test_changing_the_ids_starts_over_and_leaves_no_map(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SHOP)
    migrate(path, database, REFERS, ids="uuid")
    plan, _ = planned(path, REFERS)
    create(database, plan, replace=True)
    copy(path, database, plan, replace=True)
    finish(path, database, plan)
    assert verify(path, database, plan)["ok"]
    assert fetch(database, "SELECT count(*) FROM pg_class WHERE relname LIKE 'ids\\_%'") == [(0,)]
    assert fetch(database, "SELECT count(*) FROM pgcutover.orphan_ids") == [(0,)]


def test_comparison_by_another_plan_says_so(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(SHOP)
    migrate(path, database, REFERS, ids="uuid")
    with pytest.raises(Refused, match=r"was not made by this plan .*cutover_ids"):
        verify(path, database, planned(path, REFERS)[0])
    emptied(database)
    migrate(path, database, REFERS)
    with pytest.raises(Refused, match=r"was not made by this plan .*cutover_ids"):
        verify(path, database, planned(path, REFERS, ids="uuid")[0])


# ---------------------------------------------------------------- killed in the middle


def test_killed_copy_goes_on_and_the_map_has_no_gap(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE c (id INTEGER PRIMARY KEY, p_id INT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
        " INSERT INTO p SELECT i * 7 - 9000, printf('%0100d', i) FROM n; INSERT INTO c SELECT rowid, id + 7 FROM p"
    )
    plan, findings = planned(path, {"tables": {"c": {"columns": {"p_id": {"refers_to": "p"}}}}}, ids="uuid")
    assert errors(findings) == []
    create(database, plan)
    execute(
        database,
        # From the fourth range on the copy waits, with rows and map of a range sent and not committed.
        "CREATE FUNCTION pgcutover.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT count(*) FROM"
        " pgcutover.ranges WHERE rows IS NOT NULL) >= 3 THEN PERFORM pg_advisory_xact_lock_shared(42); END IF; RETURN NEW; END $$",
        "CREATE TRIGGER gate BEFORE UPDATE ON pgcutover.ranges FOR EACH ROW EXECUTE FUNCTION pgcutover.gate()",
    )
    size = plan.tables[0].bytes // 20
    with closing(psycopg2.connect(database)) as gate:
        gate.cursor().execute("SELECT pg_advisory_lock(42)")
        copying = started("copy", path, database, plan, position=POSITION, range_bytes=size)
        while True:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            if fetch(database, waiting)[0][0]:
                break
            assert copying.poll() is None
            time.sleep(0.05)
        os.kill(copying.pid, signal.SIGKILL)
        copying.communicate()
    again = answer(started("copy", path, database, plan, position=POSITION, range_bytes=size))["result"]
    assert (again["resumed"], again["tables"]["p"]["rows"], again["tables"]["c"]["rows"]) == (True, 3000, 3000)
    finish(path, database, plan)
    assert verify(path, database, plan)["ok"]
    assert_arrived(path, database, plan, {"p": {"id": "p"}, "c": {"id": "c", "p_id": "p"}})
    assert fetch(database, "SELECT count(*), count(DISTINCT old), min(old), max(old) FROM pgcutover.ids_p") == [
        (3000, 3000, -8993, 12000)
    ]
    assert fetch(database, "SELECT key_of, old FROM pgcutover.orphan_ids") == [("p", 12007)]


# ---------------------------------------------------------------- any tables


@st.composite
def related(draw: st.DrawFn) -> tuple[str, dict[str, dict[str, str]]]:
    """SQL of tables that refer to each other, and which of their columns hold the key of which table."""
    count = draw(st.integers(1, 4))
    names = draw(st.lists(NAMES, min_size=count, max_size=count, unique_by=lambda name: name.lower()))
    keys = {name: draw(st.lists(KEYS, max_size=6, unique=True)) for name in names}
    lines: list[str] = []
    hold: dict[str, dict[str, str]] = {}
    for name in names:
        alias = draw(
            st.sampled_from(["INTEGER PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT", "INT PRIMARY KEY NOT NULL"])
        )
        parents = draw(st.lists(st.sampled_from(names), max_size=3))
        columns = [f"{quoted('k e%sy')} {alias}", "v TEXT"]
        columns += [
            f"{quoted(f'r{n} {parent}'[:20])} {draw(st.sampled_from(['INTEGER', 'BIGINT', 'TEXT', 'NUMERIC']))}"
            f" REFERENCES {quoted(parent)} DEFERRABLE INITIALLY DEFERRED"
            for n, parent in enumerate(parents)
        ]
        lines.append(f"CREATE TABLE {quoted(name)} ({', '.join(columns)})")
        hold[name] = {"k e%sy": name} | {f"r{n} {parent}"[:20]: parent for n, parent in enumerate(parents)}
        for key in keys[name]:
            values = [draw(st.none() | st.sampled_from(keys[p])) if keys[p] else None for p in parents]
            shown = ["NULL" if value is None else str(value) for value in values]
            lines.append(
                f"INSERT INTO {quoted(name)} VALUES ({', '.join([str(key), draw(st.sampled_from(TEXTS)), *shown])})"
            )
    return ";\n".join(lines), hold


NAMES = st.text(st.characters(categories=["L", "N"], include_characters=" %-_'\"{}"), min_size=1, max_size=12).filter(
    lambda name: not name.lower().startswith(("sqlite", "pg"))
)
KEYS = st.one_of(st.integers(-5, 40), st.sampled_from([LEAST, LEAST + 1, -1, 0, MOST - 1, MOST]))
TEXTS = ["NULL", "''", "'x'", "'|'"]


@settings(max_examples=20)
@given(made=related(), kind=st.sampled_from(["uuid", "text"]))
def test_any_tables_that_refer_to_each_other_arrive(
    make_sqlite: MakeSqlite,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    made: tuple[str, dict[str, dict[str, str]]],
    kind: str,
) -> None:
    monkeypatch.setattr(ranges.plan_ranges, "__defaults__", (60,))
    emptied(database)
    sql, hold = made
    path = make_sqlite(sql)
    result = migrate(path, database, {"uuid_type": kind}, ids="uuid")
    assert result.verified["ok"], result.verified["differences"]
    assert {table.name for table in idmap.mapped(result.plan)} == set(hold)
    assert_arrived(path, database, result.plan, hold)
    assert fetch(database, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated") == [
        (sum(len(columns) - 1 for columns in hold.values()),)
    ]
