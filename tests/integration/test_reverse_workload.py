# SPDX-License-Identifier: GPL-3.0-or-later
"""Random work of the application on PostgreSQL, replayed while it goes on; afterwards both sides are equal."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import time
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from conftest import MakeSqlite
from support.independent import execute
from support.postgres import Cluster
from support.reverse import Switched, switch

SCHEMA = """
CREATE TABLE team (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, since DATETIME);
CREATE TABLE person (
  id INTEGER PRIMARY KEY, team INTEGER REFERENCES team ON DELETE CASCADE ON UPDATE CASCADE, boss INTEGER REFERENCES person ON DELETE SET NULL,
  seat INTEGER UNIQUE, pay DECIMAL, ratio REAL, photo BLOB, active BOOLEAN, extra JSON, CHECK (pay IS NULL OR pay >= 0)
);
CREATE TABLE badge (person INTEGER NOT NULL REFERENCES person ON DELETE CASCADE, kind TEXT NOT NULL, at INTEGER, PRIMARY KEY (person, kind)) WITHOUT ROWID;
CREATE TABLE likes (a INTEGER NOT NULL REFERENCES person ON DELETE CASCADE, b INTEGER NOT NULL REFERENCES person ON DELETE CASCADE, UNIQUE (a, b));
CREATE TABLE stamp (day TEXT NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE note (what TEXT, n INTEGER);
"""


def fill(connection: Any) -> None:
    chance = random.Random(7)
    connection.executescript(SCHEMA)
    connection.executemany(
        "INSERT INTO team (name, since) VALUES (?, ?)", [(f"team {n}", f"20{n:02}-01-01T10:00:00") for n in range(1, 9)]
    )
    people = [
        (n, chance.randint(1, 8), None, n, n * 1.25, n / 3, bytes([n % 256, 0]), n % 2, f'{{"n": {n}}}')
        for n in range(1, 121)
    ]
    connection.executemany("INSERT INTO person VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", people)
    connection.executemany("INSERT INTO badge VALUES (?, ?, ?)", [(n, k, n) for n in range(1, 120, 2) for k in "ab"])
    connection.executemany("INSERT INTO likes VALUES (?, ?)", [(n, n % 7 + 1) for n in range(1, 120, 3)])
    # Days in several forms, all of which mean a day of their own.
    connection.executemany("INSERT INTO stamp VALUES (?, ?)", [(f"2024-01-{n:02}", n) for n in range(1, 20)])
    connection.executemany("INSERT INTO note VALUES (?, ?)", [("x", n % 3) for n in range(9)])


def statement(chance: random.Random) -> str:
    """One statement of the application, which may fail."""
    one, two = chance.randint(1, 140), chance.randint(1, 140)
    team = chance.randint(1, 12)
    word = chance.choice(["a", "b", "c", "ä", "A", "it''s", "%s"])
    return chance.choice(
        [
            f"INSERT INTO team (name) VALUES ('{word}{team}') ON CONFLICT (name) DO UPDATE SET since = now()",
            f"UPDATE team SET since = '2024-02-{team:02} 12:00:00.{one:06}' WHERE id % 3 = {team % 3}",
            f"UPDATE team SET id = id + 1000 WHERE id = {team}",
            f"DELETE FROM team WHERE id = {team}" if chance.random() < 0.2 else "SELECT 1",
            f"INSERT INTO person (id, team, seat, pay) VALUES ({one}, (SELECT min(id) FROM team), {two}, {one}.5) ON CONFLICT (id) DO UPDATE SET pay = excluded.pay, seat = NULL",
            f"INSERT INTO person (team, seat, ratio, photo, active, extra) SELECT team, NULL, ratio * 2, photo || '\\x01', NOT active, '{{\"k\": [1, 2.50]}}' FROM person WHERE id = {one}",
            f"UPDATE person SET seat = (SELECT max(seat) + 1 FROM person) WHERE id = {one}",
            f"WITH s AS (SELECT {one} AS a, {two} AS b) UPDATE person SET boss = s.b FROM s WHERE id = s.a",
            f"UPDATE person SET id = id + 5000 WHERE id = {one}",
            f"DELETE FROM person WHERE id = {one}",
            f"DELETE FROM person WHERE id BETWEEN {one} AND {one + 3}" if chance.random() < 0.3 else "SELECT 1",
            f"INSERT INTO badge VALUES ({one}, '{word}', {two}) ON CONFLICT (person, kind) DO UPDATE SET at = badge.at + 1",
            f"UPDATE badge SET kind = '{word}2' WHERE person = {one} AND kind = 'a'",
            f"INSERT INTO likes VALUES ({one}, {two}) ON CONFLICT DO NOTHING",
            f"UPDATE likes SET b = {two} WHERE a = {one}",
            f"UPDATE stamp SET n = n + 1 WHERE day = '2024-01-{team:02}'",
            f"DELETE FROM stamp WHERE day = '2024-01-{team + 7:02}'",
            f"INSERT INTO stamp VALUES ('2024-{team:02}-28', {two}) ON CONFLICT (day) DO UPDATE SET n = 0",
            f"INSERT INTO note VALUES ('{word}', {team})",
            f"DELETE FROM note WHERE n = {team}",
            f"MERGE INTO stamp USING (SELECT '2024-01-{team:02}' AS d) AS m ON day::text = m.d WHEN MATCHED THEN DELETE",
        ]
    )


def work(url: str, seed: int, seconds: float, out: Any) -> None:
    """One connection of the application: transactions of a few statements, some rolled back."""
    chance, until = random.Random(seed), time.monotonic() + seconds
    done = 0
    with closing(psycopg2.connect(url)) as connection:
        while time.monotonic() < until:
            try:
                with connection.cursor() as cursor:
                    for _ in range(chance.randint(1, 4)):
                        cursor.execute(statement(chance))
                    # Others commit between the first change and its commit.
                    time.sleep(chance.choice([0, 0.01]))
                if chance.random() < 0.1:
                    connection.rollback()
                else:
                    connection.commit()
                    done += 1
            except psycopg2.Error as error:
                if (error.pgcode or "")[:2] not in ("23", "40"):
                    out.put(str(error))
                connection.rollback()
    out.put(done)


@pytest.mark.parametrize("seed", [1, 2])
def test_concurrent_work_goes_back_while_it_goes_on(
    postgres: Cluster, make_sqlite: MakeSqlite, database: str, seed: int
) -> None:
    switched = switch(postgres, make_sqlite(fill), database)
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    workers = [context.Process(target=work, args=(switched.app, seed * 10 + n, 5.0, out)) for n in range(4)]
    for worker in workers:
        worker.start()
    chance = random.Random(seed)
    logged = compared = 0
    while any(worker.is_alive() for worker in workers):
        for _ in range(10):
            logged += switched.batch(chance.choice([1, 3, 20, 500])).logged
        assert switched.prove()["differences"] == []
        compared += 1
    done = [out.get() for _ in workers]
    assert all(isinstance(one, int) for one in done), done
    switched.assert_equal()
    assert logged > 50
    assert compared
    assert sum(done) > 50


@pytest.mark.parametrize("seed", range(3))
def test_random_statements_in_one_batch_and_entry_by_entry(
    postgres: Cluster, make_sqlite: MakeSqlite, database: str, seed: int
) -> None:
    switched = switch(postgres, make_sqlite(fill), database)
    chance = random.Random(100 + seed)
    for limit in (10**6, 1, 7):
        for _ in range(60):
            with contextlib.suppress(psycopg2.Error):
                switched.run(*[statement(chance) for _ in range(chance.randint(1, 3))])
        if limit == 1:
            execute(switched.owner, "TRUNCATE likes, note")
        switched.replay(limit)
        switched.assert_equal()
    keyless(switched)


def keyless(switched: Switched) -> None:
    """An independent look at a table without a key."""
    mine = sorted(switched.read("SELECT what, n FROM note"), key=str)
    assert mine == sorted(switched.target("SELECT what, n FROM note"), key=str)
