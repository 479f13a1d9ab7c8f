# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that a codec refuses are set aside whole where the plan says so, and the proof counts them."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import MakeSqlite
from cutover import ddl, quarantine
from cutover.errors import Refused
from cutover.quarantine import pieces, restore
from cutover.target.connect import connect
from support import engine, stored
from support.independent import execute, fetch
from support.postgres import Cluster
from support.stored import sent_through_sqlite

OVERRIDES = {
    "tables": {
        "t": {
            "columns": {
                "name": {"codec": "text", "type": "varchar(5)", "refused": "quarantine"},
                "n": {"refused": "quarantine"},
            }
        }
    }
}
#: Ranges are by rowid (ordered), by text key (multiset) and by the key of a table without rowid.
TABLES = {
    "ordered": "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INT, note TEXT)",
    "multiset": "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name TEXT, n INT, note TEXT)",
    "no key": "CREATE TABLE t (id INT, name TEXT, n INT, note TEXT)",
    "without rowid": "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name TEXT, n INT, note TEXT) WITHOUT ROWID",
}
BAD: dict[int, tuple[Any, Any, Any]] = {
    3: ("too long", 1, "fine"),
    7: ("nul\0", "no number", None),
    8: (b"\xff\x00", -0.5, 'tab\tand \\ and " and \u2028'),
    90: ("fits", float("inf"), ""),
}


def fill(kind: str) -> Any:
    def run(connection: sqlite3.Connection) -> None:
        connection.execute(TABLES[kind])
        for n in range(1, 101):
            connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", (n, *BAD.get(n, ("ok", n, "note"))))

    return run


def held(url: str) -> dict[str, dict[str, Any]]:
    """What the quarantine holds, as SQLite would store it, by key."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT key, rowid, reasons, stored FROM pgcutover.quarantine WHERE table_name = 't'")
        return {key: {"rowid": rowid, "reasons": why, **restore(kept)} for key, rowid, why, kept in cursor.fetchall()}


def plain(value: Any) -> Any:
    return bytes(value).decode() if isinstance(value, bytearray) else value


@pytest.mark.parametrize("kind", TABLES)
def test_rows_are_set_aside_whole_counted_and_proven(database: str, make_sqlite: MakeSqlite, kind: str) -> None:
    path = make_sqlite(fill(kind))
    done = engine.migrate(path, database, OVERRIDES)
    assert done.verified["ok"]
    line = done.table("t")
    assert (line["rows_source"], line["rows_target"], line["rows_quarantined"]) == (100, 96, 4)
    [aside] = done.copied["quarantined"]
    assert (aside["table"], aside["rows"]) == ("t", 4)
    keys = [f"rowid {n}" if kind == "no key" else f"id={n}" for n in BAD]
    assert sorted(aside["keys"]) == sorted(keys)
    [warning] = [finding for finding in done.findings if "quarantine" in finding.message]
    assert (warning.severity, warning.column) == ("warning", "name")
    assert all(key in warning.message for key in keys)
    there = held(database)
    for (n, values), key in zip(BAD.items(), keys):
        kept = there[key]
        assert kept["rowid"] == (None if kind == "without rowid" else n)
        back = tuple(plain(kept[name]) for name in ("name", "n", "note"))
        assert repr(back) == repr(values)
    assert set(there["id=7" if kind != "no key" else "rowid 7"]["reasons"]) == {"name", "n"}


def test_a_column_that_fails_still_stops_the_run(database: str, make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(fill("ordered"))
    overrides = {"tables": {"t": {"columns": {"name": OVERRIDES["tables"]["t"]["columns"]["name"]}}}}
    plan, _ = engine.planned(path, overrides)
    found = engine.errors(engine.checked(path, plan))
    assert [(finding.column, finding.key) for finding in found] == [("n", "id=7")]
    engine.create(database, plan)
    with pytest.raises(Refused, match="column n, row id=7"):
        engine.copy(path, database, plan)


def test_resumed_copy_sets_nothing_aside_twice(
    database: str, make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutover.ranges._MOST_ROWS", 10)
    path = make_sqlite(fill("ordered"))
    plan, _ = engine.planned(path, OVERRIDES)
    engine.create(database, plan)
    execute(
        database,
        "CREATE FUNCTION pgcutover.stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'stopped'; END $$",
        "CREATE TRIGGER stop BEFORE UPDATE ON pgcutover.ranges FOR EACH ROW WHEN (NEW.number = 8)"
        " EXECUTE FUNCTION pgcutover.stop()",
    )
    with pytest.raises(Exception, match="stopped"):
        engine.copy(path, database, plan, workers=1)
    assert set(held(database)) == {"id=3", "id=7", "id=8"}
    execute(database, "DROP TRIGGER stop ON pgcutover.ranges")
    copied = engine.copy(path, database, plan, workers=1)
    assert (copied["resumed"], copied["quarantined"][0]["rows"]) == (True, 4)
    engine.finish(path, database, plan)
    assert engine.verify(path, database, plan)["ok"]


@pytest.mark.parametrize(
    ("statement", "sides", "key"),
    [
        ("DELETE FROM pgcutover.quarantine WHERE key = 'id=7'", ("in quarantine", "missing"), "id=7"),
        (
            "UPDATE pgcutover.quarantine SET stored = jsonb_set(stored, '{n,integer}', '2') WHERE key = 'id=3'",
            ("in quarantine", "missing"),
            "id=3",
        ),
        (
            "INSERT INTO pgcutover.quarantine SELECT table_name, 'id=500', 500, reasons, '{}' FROM pgcutover.quarantine LIMIT 1",
            ("missing", "in quarantine"),
            "id=500",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["ordered", "multiset"])
def test_a_changed_quarantine_is_a_difference(
    database: str, make_sqlite: MakeSqlite, kind: str, statement: str, sides: tuple[str, str], key: str
) -> None:
    path = make_sqlite(fill(kind))
    done = engine.migrate(path, database, OVERRIDES)
    execute(database, statement)
    found = engine.verify(path, database, done.plan)
    assert not found["ok"]
    assert (key, *sides) in [(d["key"], d["source"], d["target"]) for d in found["differences"]]


def test_row_brought_back_by_hand_is_a_difference(database: str, make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(fill("ordered"))
    done = engine.migrate(path, database, OVERRIDES)
    execute(database, "INSERT INTO t VALUES (3, 'short', 1, 'fine')")
    found = engine.verify(path, database, done.plan)
    assert not found["ok"]
    assert [(d["key"], d["source"], d["target"]) for d in found["differences"]] == [("id=3", "missing", "present")]


CHILDREN = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent, code TEXT REFERENCES parent (code), n INT);
INSERT INTO parent VALUES (1, 'a'), (2, 'far too long'), (3, 'c');
INSERT INTO child VALUES (10, 1, 'a', 1), (11, 2, 'c', 1), (12, 3, 'far too long', 1), (13, NULL, NULL, 1), (14, 2, 'a', 'x');
"""


def test_foreign_key_to_a_row_in_quarantine_is_found_before_the_copy(database: str, make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(CHILDREN)
    overrides: dict[str, Any] = {
        "tables": {
            "parent": {"columns": {"code": {"codec": "text", "type": "varchar(5)", "refused": "quarantine"}}},
            "child": {"columns": {"n": {"refused": "quarantine"}, "code": {"codec": "text"}}},
        }
    }
    plan, _ = engine.planned(path, overrides)
    found = engine.errors(engine.checked(path, plan))
    # Row 14 goes to quarantine itself.
    assert sorted((f.table, f.column, f.key, f.message[:6]) for f in found) == [
        ("child", "code", "id=12", "1 rows"),
        ("child", "parent", "id=11", "1 rows"),
    ]
    settled = engine.merged(overrides, *[f.decide for f in found if f.decide])
    assert engine.migrate(path, database, settled).verified["ok"]


_VALUES = st.one_of(
    st.none(),
    stored.INT64,
    stored.REALS,
    stored.BLOBS,
    st.text(max_size=30).map(lambda s: stored.text(s.encode("utf-8", "surrogatepass"))),
    st.binary(max_size=20).map(stored.text),
)
_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@settings(max_examples=40)
@given(st.data())
def test_what_is_kept_is_restored_bit_by_bit(postgres_session: Any, data: st.DataObject) -> None:
    names = data.draw(st.lists(_NAMES, unique=True, max_size=6))
    row = tuple(sent_through_sqlite([data.draw(_VALUES) for _ in names]))
    text = b"".join(quarantine._texts(pieces(names, row))).decode()
    with postgres_session.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text, %s::jsonb", (text, text))
        printed, kept = cursor.fetchone()
    assert printed == text
    back = restore(kept)
    for name, value in zip(names, row):
        assert type(back[name]) is type(value)
        if isinstance(value, float):
            assert struct.pack(">d", back[name]) == struct.pack(">d", value)
        else:
            assert back[name] == value


@pytest.fixture(scope="module")
def postgres_session(postgres: Cluster) -> Any:
    made = postgres.create_database()
    with closing(psycopg2.connect(made.url)) as connection:
        yield connection
    postgres.drop_database(made)


def test_nothing_is_dropped_while_rows_are_in_quarantine(database: str, make_sqlite: MakeSqlite) -> None:
    engine.migrate(make_sqlite(fill("ordered")), database, OVERRIDES)
    with closing(connect(database, autocommit=True)) as connection:
        for check_mode in (True, False):
            with pytest.raises(Refused, match="4 rows of 1 tables are in quarantine"):
                ddl.drop_own(connection, "public", "test", check_mode)
        assert len(held(database)) == 4
        assert ddl.drop_own(connection, "public", "test", True, "drop") == ['DROP SCHEMA "pgcutover" CASCADE']
        ddl.drop_own(connection, "public", "test", False, "keep")
    assert fetch(database, "SELECT count(*) FROM pgcutover_quarantine_1.quarantine") == [(4,)]
    assert fetch(database, "SELECT to_regnamespace('pgcutover')") == [(None,)]


def test_row_with_generated_columns_is_kept_and_proven(database: str, make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(3), twice INT GENERATED ALWAYS AS (id * 2) STORED);"
        "INSERT INTO t (id, name) VALUES (1, 'abc'), (2, 'abcd')"
    )
    overrides = {"tables": {"t": {"columns": {"name": {"refused": "quarantine"}}}}}
    done = engine.migrate(path, database, overrides)
    assert (done.verified["ok"], done.table("t")["rows_quarantined"]) == (True, 1)
    [values] = held(database).values()
    assert (values["id"], values["name"]) == (2, b"abcd")


def test_row_of_a_table_whose_keys_become_uuids_is_kept_and_proven(database: str, make_sqlite: MakeSqlite) -> None:
    path = make_sqlite(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR(3));"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p, n INT);"
        "INSERT INTO p VALUES (1, 'abc'), (2, 'abcd'); INSERT INTO c VALUES (1, 1, 5), (2, 2, 'x'), (3, NULL, 7)"
    )
    aside = {"refused": "quarantine"}
    overrides = {"tables": {"p": {"columns": {"name": aside}}, "c": {"columns": {"n": aside}}}}
    done = engine.migrate(path, database, overrides, ids="uuid")
    assert done.verified["ok"]
    assert [done.table(name)["rows_quarantined"] for name in ("p", "c")] == [1, 1]
    execute(
        database, "UPDATE pgcutover.quarantine SET stored = jsonb_set(stored, '{id,integer}', '3') WHERE key = 'id=2'"
    )
    found = engine.verify(path, database, done.plan)
    assert not found["ok"]
    assert {d["key"] for d in found["differences"]} == {"id=2"}
