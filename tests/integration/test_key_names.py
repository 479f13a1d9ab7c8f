# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys keep the names and the kinds that an application's later migrations drop and change them by."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeSqlite
from support.engine import migrate
from support.independent import fetch

SCHEMA = """
CREATE TABLE parent (id INTEGER NOT NULL, a TEXT, b TEXT, c TEXT UNIQUE,
  CONSTRAINT pk_parent PRIMARY KEY (id), CONSTRAINT "uq a,b" UNIQUE (a, b));
CREATE UNIQUE INDEX parent_b ON parent (b);
CREATE UNIQUE INDEX parent_down ON parent (b DESC);
CREATE UNIQUE INDEX parent_nocase ON parent (c COLLATE NOCASE);
CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER CONSTRAINT fk_p REFERENCES parent, a TEXT, b TEXT, q INTEGER REFERENCES parent,
  CONSTRAINT fk_ab FOREIGN KEY (a, b) REFERENCES parent (a, b));
INSERT INTO parent VALUES (1, 'a', 'b', 'c');
INSERT INTO child VALUES (1, 1, 'a', 'b', 1);
"""
CONSTRAINTS = {
    ("child", "child_pkey", "p"),
    ("child", "child_q_fkey", "f"),
    ("child", "fk_ab", "f"),
    ("child", "fk_p", "f"),
    ("parent", "parent_c_key", "u"),
    ("parent", "pk_parent", "p"),
    ("parent", "uq a,b", "u"),
}


@pytest.mark.parametrize(
    ("overrides", "more"), [({}, set()), ({"unique": "constraint"}, {("parent", "parent_b", "u")})]
)
def test_keys_keep_their_names(make_sqlite: MakeSqlite, database: str, overrides: Any, more: Any) -> None:
    assert migrate(make_sqlite(SCHEMA), database, overrides).verified["ok"]
    found = fetch(
        database,
        "SELECT conrelid::regclass::text, conname, contype::text FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f')",
    )
    assert set(found) == CONSTRAINTS | more
    indexes = fetch(
        database, "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '%UNIQUE%'"
    )
    expected = ["child_pkey", "parent_b", "parent_c_key", "parent_down", "parent_nocase", "pk_parent", "uq a,b"]
    assert sorted(row[0] for row in indexes) == expected
