# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that PostgreSQL only takes in a certain order, or in none: each hard case by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.errors import Refused
from support.following import Followed, following
from support.independent import fetch
from support.postgres import Cluster

SHOP = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, invited_by INTEGER REFERENCES customer(id));
CREATE TABLE bill (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer(id) ON DELETE CASCADE, total INT CHECK (total >= 0));
CREATE TABLE line (bill_id INTEGER NOT NULL REFERENCES bill(id) ON DELETE CASCADE, number INTEGER NOT NULL, what TEXT,
  PRIMARY KEY (bill_id, number)) WITHOUT ROWID;
CREATE TABLE note (id INTEGER PRIMARY KEY, bill_id INTEGER REFERENCES bill(id) ON DELETE SET NULL, text TEXT);
CREATE TABLE sign (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL UNIQUE REFERENCES customer(id) ON DELETE RESTRICT);
INSERT INTO customer VALUES (1, 'a', NULL), (2, 'b', 1), (3, 'c', 2);
INSERT INTO bill VALUES (1, 1, 10), (2, 2, 20), (3, 3, 30);
INSERT INTO line VALUES (1, 1, 'x'), (1, 2, 'y'), (2, 1, 'z'), (3, 1, 'w');
INSERT INTO note VALUES (1, 1, 'n1'), (2, 2, 'n2'), (3, NULL, 'n3');
INSERT INTO sign VALUES (1, 1), (2, 3);
"""  # fmt: skip

#: Name → statements of one transaction, foreign keys enforced.
CASES: dict[str, list[str]] = {
    "insert": ["INSERT INTO customer VALUES (4, 'd', 3)", "INSERT INTO bill VALUES (4, 4, 1)", "INSERT INTO line VALUES (4, 1, 'new')"],
    "replace": ["REPLACE INTO note VALUES (1, 3, 'other'), (9, 3, 'new')"],
    "replace by unique": ["DELETE FROM sign", "INSERT OR REPLACE INTO customer VALUES (77, 'c', NULL)"],
    "upsert": ["INSERT INTO customer VALUES (8, 'a', 2) ON CONFLICT (email) DO UPDATE SET invited_by = excluded.invited_by"],
    "cascade": ["DELETE FROM sign", "UPDATE customer SET invited_by = NULL", "DELETE FROM customer WHERE id = 1"],
    "set null": ["DELETE FROM bill WHERE id = 2"],
    "re-pointed before the parent goes": [
        "DELETE FROM sign", "UPDATE customer SET invited_by = NULL", "UPDATE bill SET customer_id = 2 WHERE id = 1", "DELETE FROM customer WHERE id = 1",
    ],
    "restricted": ["UPDATE sign SET customer_id = 2 WHERE id = 1", "UPDATE customer SET invited_by = NULL", "DELETE FROM customer WHERE id = 1"],
    "restricted and gone": ["DELETE FROM sign WHERE customer_id = 3", "DELETE FROM customer WHERE id = 3"],
    "key moves": ["INSERT INTO bill VALUES (50, 1, 5)", "UPDATE line SET bill_id = 50, number = number + 10 WHERE bill_id = 1", "DELETE FROM bill WHERE id = 1"],
    "keys change places": ["UPDATE note SET id = id + 100", "UPDATE note SET id = 104 - id"],
    "unique value handed on": ["UPDATE customer SET email = 'z' WHERE id = 3", "UPDATE customer SET email = 'c' WHERE id = 2", "UPDATE customer SET email = 'b' WHERE id = 1"],
    "unique value of a vanished row": ["DELETE FROM sign", "DELETE FROM customer WHERE id = 3", "INSERT INTO customer VALUES (40, 'c', 1)"],
    "unique values swapped": ["UPDATE customer SET email = 't' WHERE id = 1", "UPDATE customer SET email = 'a' WHERE id = 2", "UPDATE customer SET email = 'b' WHERE id = 1"],
    "unique values in a ring": [
        "UPDATE customer SET email = email || '!'", "UPDATE customer SET email = 'b' WHERE id = 1",
        "UPDATE customer SET email = 'c' WHERE id = 2", "UPDATE customer SET email = 'a' WHERE id = 3",
    ],
    "self-reference against the keys' order": ["INSERT INTO customer VALUES (90, 'p', NULL)", "INSERT INTO customer VALUES (5, 'q', 90)", "UPDATE customer SET invited_by = 5 WHERE id = 90"],
    "self-references vanish": ["DELETE FROM sign", "UPDATE customer SET invited_by = NULL", "DELETE FROM customer"],
    "everything vanishes": ["DELETE FROM sign", "UPDATE customer SET invited_by = NULL WHERE id = 3", "DELETE FROM customer WHERE id = 3",
                            "DELETE FROM customer WHERE id = 2", "DELETE FROM customer"],
    "there and back": ["INSERT INTO customer VALUES (4, 'd', 3)", "DELETE FROM customer WHERE id = 4"],
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """One source that is followed through all cases."""
    path = tmp_path_factory.mktemp("follow") / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SHOP)
    database = postgres.create_database()
    with following(path, database.url) as followed:
        yield followed
    postgres.drop_database(database)


@pytest.mark.parametrize("limit", [1, 3, 1 << 40])
@pytest.mark.parametrize("case", CASES)
def test_every_order_without_taking_a_constraint_off(shop: Followed, case: str, limit: int) -> None:
    tables = ("sign", "note", "line", "bill", "customer")
    rows = [statement for statement in SHOP.split(";") if "INSERT" in statement]
    shop.write(*(f"DELETE FROM {table}" for table in tables), *rows, checked=False)
    shop.follow()
    start = shop.position()
    shop.write(*CASES[case])
    done = shop.follow(limit, may_rebuild=False)
    shop.equal()
    assert sum(one.logged for one in done) > 0
    # The same once more: nothing changes.
    with shop.target, shop.target.cursor() as cursor:
        cursor.execute("UPDATE pgcutover.follow SET position = %s", (start,))
    shop.follow(limit, may_rebuild=False)
    if limit == 1:
        shop.equal()


CYCLE = """
CREATE TABLE team (id INTEGER PRIMARY KEY, lead INTEGER {null} REFERENCES person(id) {defer});
CREATE TABLE person (id INTEGER PRIMARY KEY, team INTEGER NOT NULL REFERENCES team(id) {defer});
PRAGMA defer_foreign_keys = on;
INSERT INTO team VALUES (1, 1);
INSERT INTO person VALUES (1, 1);
"""
NEW_TEAM = ["PRAGMA defer_foreign_keys = on", "INSERT INTO team VALUES (2, 2)", "INSERT INTO person VALUES (2, 2)",
            "INSERT INTO person VALUES (3, 1)", "UPDATE team SET lead = 3 WHERE id = 1", "DELETE FROM person WHERE id = 1"]  # fmt: skip
NO_TEAM = ["PRAGMA defer_foreign_keys = on", "DELETE FROM team", "DELETE FROM person"]


@pytest.mark.parametrize(
    ("null", "defer", "rebuilt"),
    [("", "", False), ("NOT NULL", "DEFERRABLE INITIALLY DEFERRED", False), ("NOT NULL", "", True)],
)
def test_tables_that_refer_to_each_other(
    make_sqlite: MakeSqlite, database: str, null: str, defer: str, rebuilt: bool
) -> None:
    with following(make_sqlite(CYCLE.format(null=null, defer=defer)), database) as followed:
        for statements in (NEW_TEAM, NO_TEAM):
            followed.write(*statements)
            if rebuilt:
                with pytest.raises(Refused, match="cannot be put in an order"):
                    followed.follow(may_rebuild=False)
            done = followed.follow(may_rebuild=rebuilt)
            assert bool(followed.rebuilt(done)) is rebuilt
            followed.equal()
        constraints = fetch(database, "SELECT convalidated FROM pg_constraint WHERE contype = 'f'")
        assert constraints == [(True,), (True,)]


def test_a_swap_that_leaves_no_room_takes_foreign_keys_off_or_is_refused(
    make_sqlite: MakeSqlite, database: str
) -> None:
    path = make_sqlite(
        "CREATE TABLE seat (id INTEGER PRIMARY KEY, place INTEGER NOT NULL UNIQUE CHECK (place IN (1, 2)));"
        "CREATE TABLE guest (id INTEGER PRIMARY KEY, seat INTEGER NOT NULL REFERENCES seat(id) ON DELETE CASCADE);"
        "INSERT INTO seat VALUES (1, 1), (2, 2); INSERT INTO guest VALUES (1, 1), (2, 2);"
    )
    with following(path, database) as followed:
        followed.write(
            "DELETE FROM guest",
            "DELETE FROM seat",
            "INSERT INTO seat VALUES (1, 2), (2, 1)",
            "INSERT INTO guest VALUES (1, 1), (2, 2)",
        )
        with pytest.raises(Refused, match="seat_place_key"):
            followed.follow(may_rebuild=False)
        done = followed.follow()
        assert followed.rebuilt(done) == ["guest_seat_fkey"]
        followed.equal()
        assert fetch(database, "SELECT convalidated FROM pg_constraint WHERE contype = 'f'") == [(True,)]


def test_cascades_of_postgresql_take_nothing_along_that_stays(make_sqlite: MakeSqlite, database: str) -> None:
    """SQLite lets a parent go before its child has another; in between, PostgreSQL would delete the child and its own."""
    with following(make_sqlite(SHOP), database) as followed:
        followed.write(
            "DELETE FROM sign",
            "UPDATE customer SET invited_by = NULL",
            "DELETE FROM customer WHERE id = 1",
            checked=False,
        )
        followed.write("UPDATE bill SET customer_id = 2 WHERE id = 1", checked=False)
        followed.follow(limit=1)
        followed.equal()
        assert fetch(database, "SELECT count(*) FROM line") == [(4,)]


def test_references_that_the_source_breaks_are_refused_by_name(make_sqlite: MakeSqlite, database: str) -> None:
    with following(make_sqlite(SHOP), database) as followed:
        followed.write("INSERT INTO bill VALUES (9, 99, 1)", checked=False)
        with pytest.raises(Refused, match="bill_customer_id_fkey"):
            followed.follow()
        followed.write("DELETE FROM bill WHERE id = 9", "DELETE FROM customer WHERE id = 2", checked=False)
        with pytest.raises(Refused, match="_fkey"):
            followed.follow()
        followed.write("INSERT INTO customer VALUES (2, 'back', 1)", checked=False)
        followed.follow()
        followed.equal()


def test_references_that_the_plan_lets_dangle_do(make_sqlite: MakeSqlite, database: str) -> None:
    overrides: dict[str, Any] = {"tables": {"bill": {"foreign_keys": {"bill_customer_id_fkey": {"validate": False}}}}}
    with following(make_sqlite(SHOP), database, overrides) as followed:
        followed.write("INSERT INTO bill VALUES (9, 99, 1)", checked=False)
        done = followed.follow()
        assert "bill_customer_id_fkey" in followed.rebuilt(done)
        followed.equal()


def test_a_check_that_fails_is_refused_with_row_and_name(make_sqlite: MakeSqlite, database: str) -> None:
    with following(make_sqlite(SHOP), database) as followed:
        followed.write(
            "PRAGMA ignore_check_constraints = on",
            "UPDATE bill SET total = total + 1",
            "UPDATE bill SET total = -5 WHERE id = 2",
        )
        with pytest.raises(Refused, match=r"table bill, row id=2.*bill_total_check"):
            followed.follow()
