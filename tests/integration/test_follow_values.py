# SPDX-License-Identifier: GPL-3.0-or-later
"""Followed changes and what a plan says of values: quarantine, UUIDs, generated columns, sequences, tables of the application."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.capture import changes
from cutover.errors import CutoverError, Refused
from cutover.follow.apply import Applier
from cutover.follow.sequences import set_sequences
from support import engine
from support import existing as application
from support.following import arranged, began, following, opened
from support.independent import execute, fetch

QUARANTINE: dict[str, Any] = {"tables": {"t": {"columns": {"n": {"refused": "quarantine"}}}}}


def test_rows_enter_and_leave_the_quarantine(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, n INT); INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 3);"
    )
    with following(path, database, QUARANTINE) as followed:
        held = "SELECT key FROM pgcutover.quarantine ORDER BY 1"
        followed.write("UPDATE t SET n = 'x' WHERE id = 'a'", "INSERT INTO t VALUES ('d', 'y'), ('ä%s', 'z')")
        followed.follow()
        followed.equal()
        assert fetch(database, held) == [("id='a'",), ("id='d'",), ("id='ä%s'",)]
        assert fetch(database, "SELECT id FROM t ORDER BY 1") == [("b",), ("c",)]
        followed.write(
            "UPDATE t SET n = 9 WHERE id = 'a'", "DELETE FROM t WHERE id = 'd'", "UPDATE t SET n = 'w' WHERE id = 'ä%s'"
        )
        followed.follow()
        followed.equal()
        assert fetch(database, held) == [("id='ä%s'",)]


def test_a_table_without_a_key_has_its_own_quarantine(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (n INT, w TEXT); INSERT INTO t VALUES (1, 'p'), (1, 'p'), (2, NULL);")
    with following(path, database, QUARANTINE) as followed:
        for statement in (
            "INSERT INTO t VALUES (1, 'p'), ('bad', 'q'), ('bad', 'q')",
            "DELETE FROM t WHERE rowid = 1",
            "UPDATE t SET n = 5 WHERE rowid IN (SELECT min(rowid) FROM t WHERE n = 'bad')",
            "DELETE FROM t",
        ):
            followed.write(statement)
            followed.follow()
            followed.equal()


def test_a_refused_value_names_table_column_key_and_value(make_sqlite: MakeSqlite, database: str) -> None:
    with following(
        make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1);"), database
    ) as followed:
        followed.write("INSERT INTO t VALUES (2, 2), (3, 'word')")
        with pytest.raises(Refused, match=r"table t, column n, row id=3: .*Value: 'word'"):
            followed.follow()
        assert fetch(database, "SELECT count(*) FROM t") == [(1,)]


ORPHANS = {"tables": {"log": {"columns": {"who": {"refers_to": "person"}}}}}


def test_maps_of_uuids_are_kept_with_keys_that_no_row_has(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE person (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES person); CREATE TABLE log (id INTEGER PRIMARY KEY, who INT);"
        "INSERT INTO person VALUES (1, NULL), (2, 1), (3, 1); INSERT INTO log VALUES (1, 1), (2, 77);"
    )
    with following(path, database, ORPHANS, ids="uuid") as followed:
        known = "SELECT old FROM pgcutover.orphan_ids ORDER BY 1"
        for statements, orphans in (
            (["INSERT INTO person VALUES (4, 2)", "INSERT INTO log VALUES (3, 4), (4, 99)"], [77, 99]),
            (["DELETE FROM person WHERE id = 4"], [4, 77, 99]),
            (["UPDATE log SET who = 3 WHERE who = 99"], [4, 77]),
            (["INSERT INTO person VALUES (77, 3)"], [4]),
            (["DELETE FROM log"], []),
            (["UPDATE person SET id = 50 WHERE id = 77"], []),
        ):
            followed.write(*statements)
            followed.follow()
            assert fetch(database, known) == [(old,) for old in orphans]
            followed.equal()


def test_large_cells(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB, c TEXT); INSERT INTO t VALUES (1, x'00', 'c');")
    with following(path, database) as followed:
        followed.write(
            "UPDATE t SET b = randomblob(3000000)",
            "INSERT INTO t VALUES (2, NULL, hex(randomblob(2000000))), (3, x'01', 'd')",
        )
        followed.follow()
        followed.equal()


def test_columns_that_postgresql_computes(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        'CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, twice INT AS (a * 2) STORED, "%s" TEXT, "100%" TEXT); INSERT INTO t(id, a) VALUES (1, 1);'
    )
    with following(path, database) as followed:
        followed.write("UPDATE t SET a = 5", "INSERT INTO t(id, a, \"%s\", \"100%\") VALUES (2, 7, '%', 'x')")
        followed.follow()
        followed.equal()
        assert fetch(database, "SELECT twice FROM t ORDER BY id") == [(10,), (14,)]


def test_keys_that_differ_in_the_source_only_stay_one_row(make_sqlite: MakeSqlite, database: str) -> None:
    """Both forms of a decimal key are one value in PostgreSQL."""
    path = make_sqlite(
        "CREATE TABLE t (id DECIMAL(9,2) PRIMARY KEY NOT NULL, v INT) WITHOUT ROWID; INSERT INTO t VALUES (1.5, 1), ('2.50x', 2);"
        "DELETE FROM t WHERE id = '2.50x'; CREATE TABLE u (id TEXT PRIMARY KEY COLLATE NOCASE NOT NULL, v INT); INSERT INTO u VALUES ('Word', 1);"
    )
    with following(path, database) as followed:
        followed.write("UPDATE t SET id = 2, v = 7", "UPDATE u SET id = 'wORD'", "UPDATE u SET id = 'word', v = 8")
        followed.follow(limit=1)
        followed.equal()


def test_sequences_stand_above_every_value_ever_used(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, v INT); CREATE TABLE b (id INTEGER PRIMARY KEY, v INT);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, v INT); INSERT INTO a VALUES (5, 1); INSERT INTO b VALUES (3, 1);"
    )
    with following(path, database) as followed:
        followed.write("INSERT INTO a VALUES (900, 1)", "DELETE FROM a WHERE id = 900", "INSERT INTO b VALUES (40, 1)")
        followed.follow()
        with followed.target, followed.target.cursor() as cursor:
            lifted = set_sequences(followed.source, cursor, followed.plan)
            assert len(lifted) == 2
            assert set_sequences(followed.source, cursor, followed.plan) == []
        made = [fetch(database, f"INSERT INTO {t} (v) VALUES (0) RETURNING id")[0][0] for t in "abc"]
        assert made == [901, 41, 1]


def test_the_proof_finds_what_is_not_as_in_the_source(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE w (v TEXT); INSERT INTO t VALUES (1, 'a');"
    )
    with following(path, database) as followed:
        followed.write(
            "INSERT INTO t VALUES (2, 'b'), (3, 'c')", "DELETE FROM t WHERE id = 1", "INSERT INTO w VALUES ('x')"
        )
        for spoil, message in (
            (
                "UPDATE t SET v = 'other' WHERE id = 3",
                "table t: rows are not in PostgreSQL as the source has them: id=3",
            ),
            ("DELETE FROM t WHERE id = 2", "id=2"),
            ("INSERT INTO t VALUES (1, 'back')", "rows that the source does not have are in PostgreSQL: id=1"),
            ("UPDATE w SET v = 'y'", "table w"),
            ("SELECT 1", None),
        ):
            followed.source.execute("BEGIN")
            with followed.target.cursor() as cursor:
                applier = Applier(followed.plan)
                found = changes.read(followed.source, followed.plan, 0, 1000)
                applied = applier.apply(followed.source, cursor, found, may_rebuild=False)
                cursor.execute(f"SET search_path = public; {spoil}")
                if message is None:
                    applier.verify(followed.source, cursor, applied)
                else:
                    with pytest.raises(CutoverError, match=message):
                        applier.verify(followed.source, cursor, applied)
            followed.target.rollback()
            followed.source.execute("ROLLBACK")


def test_a_copy_made_anew_has_no_position(make_sqlite: MakeSqlite, database: str) -> None:
    with following(
        make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);"), database
    ) as followed:
        engine.copy(followed.path, database, followed.plan, position="another", replace=True)
        assert fetch(database, "SELECT count(*) FROM pgcutover.follow") == [(0,)]
        followed.write("INSERT INTO t VALUES (2)")
        with pytest.raises(Refused, match="prepared anew"):
            followed.follow()


APPLICATION = """
CREATE TABLE author (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name varchar(20) NOT NULL UNIQUE, touched timestamptz);
CREATE TABLE book (id serial PRIMARY KEY, author_id bigint NOT NULL REFERENCES author ON DELETE CASCADE, title text NOT NULL);
CREATE TABLE review (id serial PRIMARY KEY, book_id int NOT NULL REFERENCES book ON DELETE CASCADE);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON author FOR EACH ROW EXECUTE FUNCTION touch();
INSERT INTO author (name) OVERRIDING SYSTEM VALUE VALUES ('seed');
"""


def test_tables_that_the_application_made(make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, touched TEXT);"
        "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES author ON DELETE CASCADE, title TEXT NOT NULL);"
        "INSERT INTO author VALUES (10, 'ann', NULL), (11, 'bob', '2020-01-01 00:00:00'); INSERT INTO book VALUES (1, 10, 'x'), (2, 11, 'y');"
    )
    execute(database, *APPLICATION.strip().split(";\n"))
    overrides = {"tables": {"author": {"seeded": "keep"}}}
    plan, _ = application.planned(path, database, overrides)
    snapshot = arranged(path, database, plan)
    application.prepare(database, plan)
    engine.copy(snapshot, database, plan)
    engine.finish(snapshot, database, plan)
    began(path, snapshot, database, plan)
    execute(database, "INSERT INTO review (book_id) VALUES (1)")
    with opened(path, database, plan) as followed:
        followed.write("UPDATE author SET name = CASE id WHEN 10 THEN 'bob' ELSE 'ann2' END WHERE id = 10 AND 0",
                       "UPDATE author SET name = 't' WHERE id = 10", "UPDATE author SET name = 'ann' WHERE id = 11",
                       "UPDATE author SET name = 'bob' WHERE id = 10", "INSERT INTO author VALUES (12, 'cy', NULL)",
                       "INSERT INTO book VALUES (3, 12, 'z')", "INSERT INTO author VALUES (1, 'comes', NULL)", "DELETE FROM author WHERE id = 1")  # fmt: skip
        followed.follow(may_rebuild=False)
        followed.equal()
        # The application's trigger did not act, and is there again; its own row stays.
        assert fetch(database, "SELECT name FROM author ORDER BY id") == [("SEED",), ("bob",), ("ann",), ("cy",)]
        assert fetch(database, "SELECT tgenabled FROM pg_trigger WHERE tgname = 'touch'") == [("O",)]
        with followed.target, followed.target.cursor() as cursor:
            set_sequences(followed.source, cursor, plan)
        assert fetch(database, "INSERT INTO book (author_id, title) VALUES (10, 'n') RETURNING id") == [(4,)]
        execute(database, "DELETE FROM book WHERE id = 4")
        # A table that is not migrated refers to a book: PostgreSQL would delete its row without a word.
        followed.write("DELETE FROM book WHERE id = 1")
        with pytest.raises(Refused, match="review_book_id_fkey"):
            followed.follow()
