# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of every codec, type and rule go back; rows that are kept apart (seeded, in quarantine) stay where they are."""

from __future__ import annotations

import pytest

from conftest import MakeSqlite
from cutover.errors import NoWayBack
from support import samples
from support.independent import execute
from support.postgres import Cluster
from support.reverse import switch

_ROWS = 12


def test_values_of_every_codec_go_back(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(lambda connection: samples.fill(connection, lambda columns: _ROWS))
    tables = samples.tables()
    overrides = {t: {"columns": {c: samples.decided(c) for c in columns}} for t, (_, columns) in tables.items()}
    switched = switch(postgres, path, database, {"tables": overrides})
    before = {table: switched.read(f'SELECT * FROM "{table}" ORDER BY k') for table in tables}
    for table, (_, columns) in tables.items():
        names = ", ".join(f'"{column}"' for column in columns)
        others = ", ".join(f'"{column}" = b."{column}"' for column in columns)
        switched.run(
            f'INSERT INTO "{table}" (k, {names}) SELECT k + 100, {names} FROM "{table}"',
            f'INSERT INTO "{table}" (k) VALUES (500)',
            f'UPDATE "{table}" AS a SET {others} FROM "{table}" AS b WHERE b.k = (a.k - 100 + 1) % {_ROWS} + 100 AND a.k BETWEEN 100 AND 200',
            # Touched, but the same: these keep their stored form.
            f'UPDATE "{table}" SET k = k WHERE k < 100',
        )
    switched.replay()
    switched.assert_equal()
    for table in tables:
        rows = switched.read(f'SELECT * FROM "{table}" ORDER BY k')
        assert rows[:_ROWS] == before[table]
        assert len(rows) == 2 * _ROWS + 1


def test_rows_that_the_target_kept_do_not_travel(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> None:
    execute(
        database,
        "CREATE TABLE kind (id integer PRIMARY KEY, name text NOT NULL UNIQUE, colour text DEFAULT 'grey')",
        "CREATE TABLE item (id serial PRIMARY KEY, kind integer REFERENCES kind ON DELETE CASCADE, note varchar(20))",
        "INSERT INTO kind VALUES (9, 'nine'), (8, 'eight')",
    )
    path = make_sqlite(
        "CREATE TABLE kind (id INTEGER PRIMARY KEY, name TEXT NOT NULL); CREATE TABLE item (id INTEGER PRIMARY KEY, kind INT, note TEXT);"
        "INSERT INTO kind VALUES (1, 'one'), (2, 'two'); INSERT INTO item VALUES (5, 1, 'a'), (6, 2, NULL);"
    )
    switched = switch(postgres, path, database, {"tables": {"kind": {"seeded": "keep"}}}, tables="existing")
    switched.run(
        "UPDATE kind SET name = name || '!'",
        "INSERT INTO kind (id, name) VALUES (3, 'three')",
        "INSERT INTO item (kind, note) VALUES (3, 'new'), (1, 'more')",
        "DELETE FROM kind WHERE id = 9",
    )
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT id, name FROM kind ORDER BY id") == [(1, "one!"), (2, "two!"), (3, "three")]
    switched.run("INSERT INTO kind (id, name) VALUES (9, 'its own')")
    execute(switched.owner, "TRUNCATE item")
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT id, name FROM kind WHERE id > 3") == [(9, "its own")]


def test_rows_in_quarantine_stay_as_they_are(postgres: Cluster, make_sqlite: MakeSqlite, database: str) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 1), (2, 'many'), (3, 3);"
    )
    overrides = {"tables": {"t": {"columns": {"n": {"codec": "integer", "refused": "quarantine"}}}}}
    switched = switch(postgres, path, database, overrides)
    switched.run("UPDATE t SET n = n + 1", "INSERT INTO t (id, n) VALUES (4, 4)")
    switched.replay()
    switched.assert_equal()
    execute(switched.owner, "TRUNCATE t")
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT * FROM t") == [(2, "many")]
    switched.run("INSERT INTO t VALUES (2, 5)")
    with pytest.raises(NoWayBack, match=r"table t, row id=2: the source has a row with this key in quarantine"):
        switched.replay()
    assert switched.read("SELECT * FROM t") == [(2, "many")]


def test_conflict_clauses_and_collations_of_the_source_delete_nothing(
    postgres: Cluster, make_sqlite: MakeSqlite, database: str
) -> None:
    path = make_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE ON CONFLICT REPLACE, b INTEGER NOT NULL ON CONFLICT IGNORE);"
        "CREATE TABLE word (w TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER);"
        "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2), (3, 'z', 3); INSERT INTO word VALUES ('Ab', 1), ('c', 2);"
    )
    switched = switch(postgres, path, database)
    switched.run("UPDATE t SET a = a || '-'", "UPDATE t SET a = NULL WHERE id = 1")
    switched.run(
        "UPDATE t SET a = 'y' WHERE id = 3", "UPDATE t SET a = 'x' WHERE id = 2", "UPDATE word SET w = 'AB' WHERE n = 1"
    )
    switched.replay(limit=1)
    switched.assert_equal()
    assert switched.read("SELECT * FROM t ORDER BY id") == [(1, None, 1), (2, "x", 2), (3, "y", 3)]
    assert switched.read("SELECT * FROM word ORDER BY n") == [("AB", 1), ("c", 2)]


def test_keys_that_are_stored_in_another_form_are_found(
    postgres: Cluster, make_sqlite: MakeSqlite, database: str
) -> None:
    path = make_sqlite(
        "CREATE TABLE d (at DATETIME NOT NULL PRIMARY KEY, n INTEGER);"
        "INSERT INTO d VALUES ('2024-01-01 10:00', 1), ('2024-01-02T10:00:00.5', 2), ('2024-01-03 10:00:00', 3);"
    )
    switched = switch(postgres, path, database)
    switched.run(
        "UPDATE d SET n = n + 10", "DELETE FROM d WHERE n = 12", "INSERT INTO d VALUES ('2024-02-01 00:00', 4)"
    )
    switched.replay()
    switched.assert_equal()
    assert switched.read("SELECT n FROM d ORDER BY n") == [(4,), (11,), (13,)]
    assert switched.read("SELECT at FROM d WHERE n = 11") == [("2024-01-01 10:00",)]
    switched.run("INSERT INTO d VALUES ('2024-01-02 10:00:00.5', 5)", "DELETE FROM d WHERE n = 11")
    switched.replay(limit=1)
    switched.run("INSERT INTO d VALUES ('2024-01-01 10:00', 6)", "UPDATE d SET n = 7 WHERE n = 5")
    switched.replay()
    switched.assert_equal()
    assert len(switched.read("SELECT * FROM d")) == 4
