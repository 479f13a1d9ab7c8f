# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows with UUID keys go back to integer keys: those that were made in PostgreSQL get integers of their own, for good."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from conftest import MakeSqlite
from cutover.reverse.replay import Replayer, open_source
from cutover.target.connect import connect
from support import engine
from support.independent import execute, fetch
from support.postgres import Cluster
from support.reverse import Switched, switch

SCHEMA = """
CREATE TABLE person (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, boss INTEGER REFERENCES person);
CREATE TABLE thing (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES person ON DELETE CASCADE, name TEXT);
CREATE TABLE link (person INTEGER NOT NULL REFERENCES person ON DELETE CASCADE, thing INTEGER NOT NULL, PRIMARY KEY (person, thing)) WITHOUT ROWID;
INSERT INTO person VALUES (1, 'Ada', NULL), (2, 'Bo', 1), (9, 'Cy', 2), (12, 'gone', NULL);
DELETE FROM person WHERE id = 12;
INSERT INTO thing VALUES (5, 1, 'pen'), (6, 2, 'ink'), (7, NULL, 'cup');
INSERT INTO link VALUES (1, 5), (2, 5), (9, 6), (9, 77);
"""
#: A column that refers to keys without a foreign key: some of its keys no row has.
NAMED = {"tables": {"link": {"columns": {"thing": {"refers_to": "thing"}}}}}


@pytest.fixture
def switched(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> Switched:
    return switch(postgres, make_sqlite(SCHEMA), database, NAMED, ids="uuid")


def test_new_rows_get_integers_above_every_one_ever_used(switched: Switched) -> None:
    switched.run(
        "INSERT INTO person (id, name, boss) VALUES (gen_random_uuid(), 'Di', (SELECT id FROM person WHERE name = 'Cy'))",
        "INSERT INTO thing (id, owner, name) SELECT gen_random_uuid(), id, 'hat' FROM person WHERE name = 'Di'",
        "INSERT INTO link SELECT p.id, t.id FROM person p, thing t WHERE p.name = 'Di'",
        "DELETE FROM thing WHERE name = 'cup'",
    )
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT id, name, boss FROM person WHERE id > 9") == [(13, "Di", 9)]
    # 77 is the highest that anything ever called a thing.
    assert switched.read("SELECT id, owner FROM thing WHERE name = 'hat'") == [(78, 13)]
    assert switched.read("SELECT thing FROM link WHERE person = 13 ORDER BY 1") == [(5,), (6,), (7,), (78,)]
    switched.run("DELETE FROM thing WHERE name = 'hat'")
    switched.replay()
    switched.run("INSERT INTO thing (id, name) VALUES (gen_random_uuid(), 'later')")
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT id FROM thing WHERE name = 'later'") == [(79,)]


def test_reference_before_its_row_and_reference_to_nothing(switched: Switched) -> None:
    new, none = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
    person = "(SELECT id FROM person WHERE name = 'Ada')"
    switched.run(f"INSERT INTO link VALUES ({person}, '{new}'), ({person}, '{none}')")
    switched.replay(limit=1)
    switched.assert_equal()
    switched.run(f"INSERT INTO thing (id, name) VALUES ('{new}', 'after')")
    switched.replay()
    switched.assert_equal()
    [(number,)] = switched.read("SELECT id FROM thing WHERE name = 'after'")
    assert (1, number) in switched.read("SELECT person, thing FROM link")


def test_batch_that_postgresql_lost_gives_the_same_integers_again(switched: Switched) -> None:
    switched.run("INSERT INTO thing (id, name) SELECT gen_random_uuid(), 'new ' || n FROM generate_series(1, 5) n")
    replayer = Replayer(switched.plan)
    with closing(open_source(str(switched.source))) as source, closing(connect(switched.owner)) as target:
        with target.cursor() as cursor:
            source.execute("BEGIN IMMEDIATE")
            done = replayer.apply(source, cursor)
            replayer.verify(source, cursor, done)
            source.execute("COMMIT")
        target.rollback()
    before = switched.read("SELECT id, name FROM thing ORDER BY name")
    assert switched.replay().written == 0
    assert switched.read("SELECT id, name FROM thing ORDER BY name") == before
    switched.assert_equal()


def test_copy_made_anew_gives_the_rows_their_uuids_again(postgres: Cluster, switched: Switched) -> None:
    switched.run(
        "INSERT INTO person (id, name) VALUES (gen_random_uuid(), 'Di')",
        "INSERT INTO thing (id, owner, name) SELECT gen_random_uuid(), id, 'hat' FROM person WHERE name = 'Di'",
    )
    switched.replay()
    other = postgres.create_database()
    again = engine.migrate(Path(switched.source), other.url, NAMED, ids="uuid")
    assert again.verified["ok"]
    query = "SELECT p.id, p.name, t.id, t.name FROM person p LEFT JOIN thing t ON t.owner = p.id ORDER BY 1, 3"
    assert fetch(other.url, query) == fetch(switched.owner, query)


@pytest.mark.parametrize("seed", range(2))
def test_random_work_goes_back(switched: Switched, seed: int) -> None:
    chance = random.Random(seed)
    some = "(SELECT id FROM {0} ORDER BY md5(id::text || '{1}') LIMIT 1)"
    for step in range(4):
        for n in range(40):
            person, thing = some.format("person", chance.random()), some.format("thing", chance.random())
            one = chance.choice(
                [
                    f"INSERT INTO person (id, name, boss) VALUES (gen_random_uuid(), 'p{n}', {person})",
                    f"INSERT INTO thing (id, owner, name) VALUES (gen_random_uuid(), {person}, 't{n}')",
                    f"UPDATE thing SET owner = {person} WHERE id = {thing}",
                    f"UPDATE thing SET id = gen_random_uuid() WHERE id = {thing}",
                    f"UPDATE person SET boss = {person} WHERE id = {person}",
                    f"DELETE FROM thing WHERE id = {thing}",
                    f"UPDATE person SET boss = NULL WHERE boss = {person}",
                    f"DELETE FROM person WHERE id = {person} AND id NOT IN (SELECT boss FROM person WHERE boss IS NOT NULL)",
                    f"INSERT INTO link SELECT {person}, {thing}",
                    f"INSERT INTO link SELECT {person}, gen_random_uuid()",
                    f"DELETE FROM link WHERE thing = {thing}",
                ]
            )
            try:
                switched.run(one)
            except psycopg2.Error as error:
                assert (error.pgcode or "")[:2] == "23"
        if step == 2:
            execute(switched.owner, "TRUNCATE link")
        switched.replay(limit=chance.choice([1, 5, 1000]))
        switched.assert_equal()
