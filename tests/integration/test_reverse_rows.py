# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that the application writes to PostgreSQL are replayed into the fenced SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from conftest import MakeSqlite
from cutover.errors import NoWayBack, SourceError
from cutover.reverse.replay import Replayer, open_source
from cutover.target.connect import connect
from support.independent import execute
from support.postgres import Cluster
from support.reverse import Switched, session, switch

SCHEMA = """
CREATE TABLE author (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, born DATETIME, note TEXT);
CREATE TABLE book (
  id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES author ON DELETE CASCADE, title TEXT NOT NULL,
  price DECIMAL CHECK (price >= 0), shelf INTEGER UNIQUE, loud TEXT GENERATED ALWAYS AS (upper(title)) VIRTUAL
);
CREATE TABLE tag (book INTEGER REFERENCES book ON DELETE CASCADE, word TEXT, PRIMARY KEY (book, word)) WITHOUT ROWID;
CREATE TABLE pair (a TEXT NOT NULL, b TEXT NOT NULL, n INTEGER, UNIQUE (a, b));
CREATE TABLE log (what TEXT, n INTEGER);
INSERT INTO author (name, born) VALUES ('Ada', '1815-12-10T00:00:00'), ('Bo', '1900-01-01 00:00'), ('Cy', NULL);
INSERT INTO book (id, author, title, price, shelf) VALUES (1, 1, 'Notes', 10, 1), (2, 1, 'More', 1.5, 2), (3, 2, 'Bo''s', 2, 3);
INSERT INTO tag VALUES (1, 'old'), (1, 'new'), (3, 'old');
INSERT INTO pair VALUES ('x', 'y', 1), ('x', 'z', 2);
INSERT INTO log VALUES ('a', 1), ('a', 1), ('b', 2);
"""


@pytest.fixture
def switched(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> Switched:
    return switch(postgres, make_sqlite(SCHEMA), database)


def test_every_kind_of_statement_goes_back(switched: Switched) -> None:
    switched.run(
        "INSERT INTO author (name, born) VALUES ('Di', '2001-02-03 04:05:06'), ('Ed', NULL)",
        "INSERT INTO book (author, title, price) VALUES (4, 'Fresh', 3.25) RETURNING id",
        "UPDATE book SET title = 'Changed' WHERE id = 1",
        "INSERT INTO pair VALUES ('x', 'y', 9), ('q', 'q', 1) ON CONFLICT (a, b) DO UPDATE SET n = excluded.n",
        "UPDATE pair SET b = 'moved' WHERE b = 'z'",
        "DELETE FROM author WHERE name = 'Bo'",
        "INSERT INTO log VALUES ('c', 3), ('a', 1)",
        "DELETE FROM log WHERE what = 'b'",
    )
    done = switched.replay()
    assert done.deleted
    switched.assert_equal()
    assert switched.read("SELECT title, loud FROM book ORDER BY id")[0] == ("Changed", "CHANGED")
    assert switched.read("SELECT count(*) FROM tag WHERE book = 3") == [(0,)]
    assert switched.read("SELECT a, b, n FROM pair ORDER BY 1, 2") == [("q", "q", 1), ("x", "moved", 2), ("x", "y", 9)]
    assert switched.read("SELECT what, n FROM log ORDER BY 1, 2") == [("a", 1), ("a", 1), ("a", 1), ("c", 3)]


def test_values_that_did_not_change_keep_the_form_in_which_they_are_stored(switched: Switched) -> None:
    switched.run("UPDATE author SET note = 'seen'", "UPDATE book SET title = title || '!'")
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT born FROM author ORDER BY id") == [
        ("1815-12-10T00:00:00",),
        ("1900-01-01 00:00",),
        (None,),
    ]
    assert switched.read("SELECT DISTINCT note FROM author") == [("seen",)]


def test_rows_that_exchange_unique_values_do(switched: Switched) -> None:
    rowids = switched.read("SELECT rowid, n FROM pair ORDER BY n")
    with session(switched.owner) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE book SET shelf = -shelf")
    switched.run(
        "UPDATE book SET shelf = CASE id WHEN 1 THEN 2 WHEN 2 THEN 3 ELSE 1 END",
        "UPDATE pair SET n = n + 10",
    )
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT id, shelf FROM book ORDER BY id") == [(1, 2), (2, 3), (3, 1)]
    assert switched.read("SELECT rowid, n - 10 FROM pair ORDER BY n") == rowids


def test_unique_value_that_moves_in_two_entries_goes_back_in_batches_of_one(switched: Switched) -> None:
    switched.run("UPDATE book SET shelf = 50 WHERE id = 1")
    switched.run("UPDATE book SET shelf = 1 WHERE id = 2")
    switched.run("UPDATE book SET shelf = 2 WHERE id = 1")
    switched.replay(limit=1)
    switched.assert_equal()


def test_key_that_changes_is_another_row(switched: Switched) -> None:
    switched.run("UPDATE tag SET word = 'newer' WHERE word = 'new'", "DELETE FROM tag WHERE book = 3")
    switched.run("UPDATE book SET id = 77 WHERE id = 3")
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT id FROM book ORDER BY 1") == [(1,), (2,), (77,)]


def test_truncated_table_is_empty(switched: Switched) -> None:
    execute(switched.owner, "TRUNCATE tag", "INSERT INTO tag VALUES (2, 'again')", "TRUNCATE log")
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT * FROM tag") == [(2, "again")]
    assert switched.read("SELECT * FROM log") == []


def test_key_that_postgresql_gave_out_is_not_given_out_again(switched: Switched) -> None:
    switched.run("INSERT INTO author (name) VALUES ('x'), ('y')")
    switched.run("DELETE FROM author WHERE name IN ('x', 'y')")
    switched.replay()
    assert switched.read("SELECT seq FROM sqlite_sequence WHERE name = 'author'") == [(5,)]


def test_transactions_that_commit_out_of_order_are_not_lost(switched: Switched) -> None:
    with session(switched.app) as early, early.cursor() as first:
        first.execute("INSERT INTO author (name) VALUES ('early')")
        switched.run("INSERT INTO author (name) VALUES ('late')")
        assert switched.replay().logged == 1
        early.commit()
    assert switched.replay().logged == 1
    switched.assert_equal()
    assert switched.read("SELECT count(*) FROM author") == [(5,)]


def test_what_is_rolled_back_does_not_go_back(switched: Switched) -> None:
    with session(switched.app) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM pair")
    assert switched.waiting() == 0
    switched.assert_equal()


def test_engine_and_empty_statements_log_nothing(switched: Switched) -> None:
    switched.run("UPDATE author SET note = 'x' WHERE false", "DELETE FROM pair WHERE false")
    with closing(connect(switched.owner)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE public.author SET note = NULL")
    assert switched.waiting() == 0


def test_same_batch_twice_changes_nothing(switched: Switched) -> None:
    # As after a crash between the commits of SQLite and PostgreSQL.
    switched.run("UPDATE author SET note = 'x'", "DELETE FROM tag", "INSERT INTO pair VALUES ('k', 'l', 3)")
    replayer = Replayer(switched.plan)
    with closing(open_source(str(switched.source))) as source, closing(connect(switched.owner)) as target:
        with target.cursor() as cursor:
            source.execute("BEGIN IMMEDIATE")
            target.set_session(isolation_level="REPEATABLE READ")
            done = replayer.apply(source, cursor)
            replayer.verify(source, cursor, done)
            source.execute("COMMIT")
        target.rollback()
    again = switched.replay()
    assert (done.written, done.deleted) == (4, 3)
    assert (again.logged, again.written, again.deleted) == (done.logged, 0, 0)
    switched.assert_equal()


def test_value_that_the_source_refuses_stops_the_replay_and_is_named(switched: Switched) -> None:
    execute(switched.owner, "ALTER TABLE book DROP CONSTRAINT " + _check(switched))
    switched.run("INSERT INTO pair VALUES ('p', 'p', 1)", "UPDATE book SET price = -1 WHERE id = 2")
    with pytest.raises(NoWayBack, match=r"table book, row id=2: SQLite refuses it: CHECK constraint failed"):
        switched.replay()
    assert switched.read("SELECT count(*) FROM pair") == [(2,)]
    assert switched.waiting() == 2
    switched.run("UPDATE book SET price = 1 WHERE id = 2")
    switched.replay()
    switched.assert_equal()


def _check(switched: Switched) -> str:
    [(name,)] = switched.target("SELECT conname FROM pg_constraint WHERE conrelid = 'book'::regclass AND contype = 'c'")
    return f'"{name}"'


def test_unique_value_that_only_the_source_forbids_is_named(switched: Switched) -> None:
    [(name,)] = switched.target(
        "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'book'::regclass AND NOT indisprimary AND indisunique"
    )
    [(constraint,)] = switched.target(f"SELECT count(*) FROM pg_constraint WHERE conname = '{name}'")
    execute(switched.owner, f"ALTER TABLE book DROP CONSTRAINT {name}" if constraint else f"DROP INDEX {name}")
    switched.run("UPDATE book SET shelf = 1 WHERE id = 2")
    with pytest.raises(NoWayBack, match=r"table book, row id=2: .*UNIQUE constraint failed: book.shelf"):
        switched.replay(limit=1)


@pytest.mark.parametrize("value", ["'infinity'", "'-infinity'", "'0044-03-15 12:00 BC'"])
def test_value_that_no_codec_takes_back_is_named_with_its_column(switched: Switched, value: str) -> None:
    switched.run(f"UPDATE author SET born = {value} WHERE id = 2")
    with pytest.raises(NoWayBack, match=r"table author, column born, row id=2: its value .* cannot go back"):
        switched.replay()


def test_source_that_is_not_fenced_is_not_written_to(switched: Switched) -> None:
    with closing(sqlite3.connect(switched.source)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.commit()
    switched.run("UPDATE author SET note = 'x'")
    with pytest.raises(SourceError, match="not fenced"):
        switched.replay()
    assert switched.waiting() == 3


def test_stray_writer_is_still_refused_while_rows_are_replayed(switched: Switched) -> None:
    switched.run("UPDATE author SET note = 'x'")
    switched.replay()
    with closing(sqlite3.connect(switched.source)) as connection, pytest.raises(sqlite3.IntegrityError, match="fence"):
        connection.execute("DELETE FROM author")
