# SPDX-License-Identifier: GPL-3.0-or-later
"""After a way back the source is followed again: a second attempt begins with a small delta, not with a copy."""

from __future__ import annotations

from contextlib import closing

import pytest

from conftest import MakeSqlite
from cutover.access import close_access
from cutover.capture import changes
from cutover.source.connect import open_readonly
from cutover.source.fence import lift_fence
from cutover.target.connect import connect
from support.following import opened
from support.postgres import Cluster
from support.reverse import switch

SCHEMA = """
CREATE TABLE person (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, boss INTEGER REFERENCES person, seen DATETIME);
CREATE TABLE thing (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES person ON DELETE CASCADE, name TEXT);
CREATE TABLE audit (n INTEGER PRIMARY KEY, what TEXT);
CREATE TRIGGER note AFTER UPDATE ON person BEGIN INSERT INTO audit (what) VALUES (new.name); END;
INSERT INTO person VALUES (1, 'Ada', NULL, '2024-01-01 10:00'), (2, 'Bo', 1, NULL), (3, 'Cy', 2, NULL);
INSERT INTO thing VALUES (5, 1, 'pen'), (6, 2, 'ink');
"""


@pytest.mark.parametrize("ids", ["keep", "uuid"])
def test_there_and_back_and_there_again(postgres: Cluster, make_sqlite: MakeSqlite, database: str, ids: str) -> None:
    path = make_sqlite(SCHEMA)
    switched = switch(postgres, path, database, ids=ids, follows=True)
    with closing(open_readonly(str(path), bytearray)) as source:
        before = changes.position(source)
    key = "gen_random_uuid()" if ids == "uuid" else "70 + (SELECT count(*) FROM person)"
    switched.run(
        f"INSERT INTO person (id, name) VALUES ({key}, 'Di')",
        f"INSERT INTO thing (id, owner, name) SELECT {key}, id, 'hat' FROM person WHERE name = 'Di'",
        "UPDATE person SET name = name || '!' WHERE name <> 'Cy'",
        "DELETE FROM thing WHERE name = 'ink'",
    )
    switched.replay()
    switched.assert_equal()
    # The triggers of the application have not run a second time, and the log has nothing of it.
    assert switched.read("SELECT count(*) FROM audit") == [(0,)]
    with closing(open_readonly(str(path), bytearray)) as source:
        assert changes.position(source) == before
    with closing(connect(switched.owner)) as connection:
        close_access(connection, switched.plan)
    lift_fence(str(path))
    with opened(path, switched.owner, switched.plan) as followed:
        followed.write(
            "UPDATE person SET seen = '2024-02-02 10:00' WHERE name = 'Di!'",
            "INSERT INTO person (name, boss) SELECT 'Ed', id FROM person WHERE name = 'Di!'",
            "UPDATE thing SET name = 'cap' WHERE name = 'hat'",
            "DELETE FROM thing WHERE id = 5",
            "INSERT INTO thing (owner, name) SELECT id, 'map' FROM person",
        )
        followed.follow()
        followed.equal()
    assert switched.waiting() == 0
    assert switched.target(
        "SELECT t.name FROM thing t JOIN person p ON p.id = owner WHERE p.name = 'Di!' ORDER BY 1"
    ) == [
        ("cap",),
        ("map",),
    ]
