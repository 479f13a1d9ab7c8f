# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, numbers of new rows, foreign keys, indexes, defaults, and what is listed instead of carried."""

from __future__ import annotations

from typing import Any

from corpus.case import Case, Refusal, column

_DUPLICATE, _ORPHAN, _NULL, _STILL_REFERRED = "23505", "23503", "23502", "23503"
_INT = "integer"


def keyed(name: str, sql: str, rows: list[tuple[Any, ...]], **kinds: str) -> dict[str, Any]:
    """The first parts of a case of one table."""
    return {"name": name, "sql": sql, "rows": rows, "reads": {name: kinds}}


KEYS = [
    Case(
        **keyed("composite key", 'CREATE TABLE "composite key" (a INT, b TEXT, v, PRIMARY KEY (b, a))', [(1, "x", 1), (1, "X", 2), (2, "x", 3)], a=_INT, b="text", v=_INT),
        holds=[("INSERT INTO {t} VALUES (1, 'X', 9)", _DUPLICATE), ("INSERT INTO {t} VALUES (NULL, 'X', 9)", _NULL)],
    ),
    Case(
        **keyed("text key", 'CREATE TABLE "text key" (k TEXT PRIMARY KEY, v)', [("a", 1), ("A", 2), ("", 3), ("a ", 4), ("🐘", 5)], k="text", v=_INT),
        holds=[("INSERT INTO {t} VALUES ('a ', 9)", _DUPLICATE)],
    ),
    Case(
        **keyed("WITHOUT ROWID", 'CREATE TABLE "WITHOUT ROWID" (k TEXT, j INT, v, PRIMARY KEY (k, j DESC)) WITHOUT ROWID', [("b", 1, 1), ("b", 2, 2), ("a", 9, 3)], k="text", j=_INT, v=_INT),
        holds=[("INSERT INTO {t} VALUES ('b', 2, 0)", _DUPLICATE)],
    ),
    Case(**keyed("bytes as key", 'CREATE TABLE "bytes as key" (k BLOB PRIMARY KEY) WITHOUT ROWID', [(b"",), (b"\0",), (b"\0\0",)], k="blob")),
    Case(**keyed("reals as key", 'CREATE TABLE "reals as key" (k REAL PRIMARY KEY)', [(0.1,), (float("inf"),), (-1e300,)], k="real")),
    Case(
        **keyed("no key", 'CREATE TABLE "no key" (a INT, b TEXT)', [(1, "x"), (1, "x"), (None, None), (None, None), (2, None)], a=_INT, b="text"),
        holds=[("SELECT count(*) FROM {t} WHERE a IS NULL", [(2,)])],
    ),
    Case(
        **keyed("no key but a unique index", 'CREATE TABLE "no key but a unique index" (a INT NOT NULL, b INT NOT NULL, UNIQUE (a, b))', [(1, 2), (2, 1)], a=_INT, b=_INT),
        holds=[("INSERT INTO {t} VALUES (2, 1)", _DUPLICATE)],
    ),
    Case(
        **keyed("NULL in a key", 'CREATE TABLE "NULL in a key" (k TEXT PRIMARY KEY)', [(None,), (None,), ("a",)], k="text"),
        refused=[Refusal("k", "2 rows hold NULL in the primary key", {"primary_key": "unique"})],
        holds=[("INSERT INTO {t} VALUES ('a')", _DUPLICATE)],
    ),
    Case(
        **keyed("key without case", 'CREATE TABLE "key without case" (k TEXT COLLATE NOCASE PRIMARY KEY)', [("Bob",), ("É",), ("é",)], k="text"),
        holds=[("INSERT INTO {t} VALUES ('BOB')", _DUPLICATE), ("INSERT INTO {t} VALUES ('bobby')", [])],
    ),
]  # fmt: skip


def _numbered(name: str, key: str, rows: list[tuple[Any, ...]], following: int, after: str = "") -> Case:
    return Case(
        **keyed(name, f'CREATE TABLE "{name}" ({key}); {after}', rows, id=_INT, v=_INT),
        holds=[
            ("INSERT INTO {t} (v) VALUES (0) RETURNING id", [(following,)]),
            ("INSERT INTO {t} (id, v) VALUES (-50, 0)", []),
        ],
    )


IDENTITIES = [
    _numbered("identity by INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY, v", [(7, 1), (3, 2)], 8),
    _numbered("identity with AUTOINCREMENT", "id INTEGER PRIMARY KEY AUTOINCREMENT, v", [(7, 1)], 8),
    _numbered("identity by a clause of its own", "id INTEGER NOT NULL, v, PRIMARY KEY (id)", [(7, 1)], 8),
    _numbered("identity in the last column", "v, id INTEGER, PRIMARY KEY (id)", [(1, 7)], 8),
    _numbered("identity of negative numbers", "id INTEGER PRIMARY KEY, v", [(-7, 1)], 1),
    _numbered("identity of an empty table", "id INTEGER PRIMARY KEY, v", [], 1),
    _numbered("identity ahead of its rows", "id INTEGER PRIMARY KEY AUTOINCREMENT, v", [(3, 1)], 91,
              'INSERT INTO "identity ahead of its rows" VALUES (90, 0); DELETE FROM "identity ahead of its rows"'),
    _numbered("identity ahead of no rows", "id INTEGER PRIMARY KEY AUTOINCREMENT, v", [], 91,
              'INSERT INTO "identity ahead of no rows" VALUES (90, 0); DELETE FROM "identity ahead of no rows"'),
    _numbered("identity one below its end", "id INTEGER PRIMARY KEY, v", [(2**63 - 2, 1)], 2**63 - 1),
    Case(
        **keyed("no identity by INT", 'CREATE TABLE "no identity by INT" (id INT PRIMARY KEY, v)', [(7, 1)], id=_INT, v=_INT),
        holds=[("INSERT INTO {t} (v) VALUES (0)", _NULL)],
    ),
    Case(
        **keyed("no identity by INTEGER DESC", 'CREATE TABLE "no identity by INTEGER DESC" (id INTEGER PRIMARY KEY DESC, v)', [(7, 1)], id=_INT, v=_INT),
        holds=[("INSERT INTO {t} (v) VALUES (0)", _NULL)],
    ),
    Case(
        **keyed("no identity WITHOUT ROWID", 'CREATE TABLE "no identity WITHOUT ROWID" (id INTEGER PRIMARY KEY, v) WITHOUT ROWID', [(7, 1)], id=_INT, v=_INT),
        holds=[("INSERT INTO {t} (v) VALUES (0)", _NULL)],
    ),
]  # fmt: skip

_PARENT = "CREATE TABLE \"{0} parent\" (id INTEGER PRIMARY KEY, a INT, b TEXT, UNIQUE (a, b)); INSERT INTO \"{0} parent\" VALUES (1, 10, 'x'), (2, 20, 'y'), (3, 30, 'z');"


def _child(name: str, columns: str, rows: list[tuple[Any, ...]], kinds: dict[str, str], **more: Any) -> Case:
    sql = f'{_PARENT.format(name)} CREATE TABLE "{name}" ({columns.format(name)})'
    parent = {"id": _INT, "a": _INT, "b": "text"}
    return Case(name, sql, rows, reads={name: kinds, f"{name} parent": parent}, **more)


REFERENCES = [
    _child("foreign key", 'p INT REFERENCES "{0} parent"', [(1,), (None,)], {"p": _INT}, holds=[("INSERT INTO {t} VALUES (9)", _ORPHAN), ("DELETE FROM {p} WHERE id = 1", _STILL_REFERRED)]),
    _child("foreign key of two columns", 'a INT, b TEXT, FOREIGN KEY (b, a) REFERENCES "{0} parent" (b, a)', [(10, "x"), (None, "q"), (10, None)], {"a": _INT, "b": "text"},
           holds=[("INSERT INTO {t} VALUES (10, 'y')", _ORPHAN), ("INSERT INTO {t} VALUES (NULL, 'y')", [])]),
    _child("foreign key that cascades", 'p INT REFERENCES "{0} parent" ON DELETE CASCADE ON UPDATE CASCADE', [(1,), (2,)], {"p": _INT},
           holds=[("DELETE FROM {p} WHERE id = 1", []), ("UPDATE {p} SET id = 22 WHERE id = 2", []), ("SELECT p FROM {t}", [(22,)])]),
    _child("foreign key that sets NULL", 'p INT REFERENCES "{0} parent" ON DELETE SET NULL', [(1,)], {"p": _INT}, holds=[("DELETE FROM {p} WHERE id = 1", []), ("SELECT p FROM {t}", [(None,)])]),
    _child("foreign key that sets its default", 'p INT DEFAULT 2 REFERENCES "{0} parent" ON DELETE SET DEFAULT', [(1,)], {"p": _INT},
           holds=[("DELETE FROM {p} WHERE id = 1", []), ("SELECT p FROM {t}", [(2,)])]),
    _child("foreign key that restricts", 'p INT REFERENCES "{0} parent" ON DELETE RESTRICT', [(1,)], {"p": _INT}, holds=[("DELETE FROM {p} WHERE id = 1", "23001,23503"), ("DELETE FROM {p} WHERE id = 2", [])]),
    _child("foreign key at the end of the transaction", 'p INT REFERENCES "{0} parent" DEFERRABLE INITIALLY DEFERRED', [(1,)], {"p": _INT},
           holds=[("INSERT INTO {t} VALUES (9); INSERT INTO {p} VALUES (9)", []), ("INSERT INTO {t} VALUES (99)", _ORPHAN)]),
    Case(
        **keyed("foreign key to itself", 'CREATE TABLE "foreign key to itself" (id INTEGER PRIMARY KEY, up INT REFERENCES "foreign key to itself")', [(1, 3), (2, 2), (3, None)], id=_INT, up=_INT),
        holds=[("INSERT INTO {t} VALUES (5, 6)", _ORPHAN)],
    ),
    Case(
        "foreign keys in a circle",
        'CREATE TABLE "foreign keys in a circle" (id INTEGER PRIMARY KEY, other INT REFERENCES "the other of a circle");'
        'CREATE TABLE "the other of a circle" (id INTEGER PRIMARY KEY, back INT REFERENCES "foreign keys in a circle");'
        'INSERT INTO "the other of a circle" VALUES (1, 2)',
        [(1, 1), (2, None)],
        reads={"foreign keys in a circle": {"id": _INT, "other": _INT}, "the other of a circle": {"id": _INT, "back": _INT}},
        holds=[("INSERT INTO {t} VALUES (5, 6)", _ORPHAN)],
    ),
    _child(
        "orphans", 'id INTEGER PRIMARY KEY, p INT REFERENCES "{0} parent"', [(1, 1), (2, 77), (3, 78)], {"id": _INT, "p": _INT},
        refused=[Refusal("p", "2 rows refer to rows of orphans parent that do not exist", {"foreign_keys": {"orphans_p_fkey": {"validate": False}}})],
        holds=[("INSERT INTO {t} VALUES (4, 79)", _ORPHAN), ("UPDATE {t} SET p = 1 WHERE id = 2", [])],
    ),
    Case(
        **keyed("foreign key to nothing", 'CREATE TABLE "foreign key to nothing" (p INT REFERENCES "no such table")', [(1,)], p=_INT),
        listed=[("foreign key", "the table no such table that it refers to does not exist")],
    ),
    _child("foreign key to what is not unique", 'a INT REFERENCES "{0} parent" (a)', [(10,)], {"a": _INT},
           listed=[("foreign key", "foreign key to what is not unique parent(a) is not unique")]),
    _child("foreign key of another type", 'p TEXT REFERENCES "{0} parent"', [("1",)], {"p": "text"}, listed=[("foreign key", "p is text in PostgreSQL")]),
]  # fmt: skip

INDEXES = [
    Case(
        **keyed("unique constraint", 'CREATE TABLE "unique constraint" (a INT UNIQUE, b TEXT, c TEXT, UNIQUE (b, c))', [(1, "x", "y"), (None, None, "y"), (None, None, "y")], a=_INT, b="text", c="text"),
        holds=[("INSERT INTO {t} VALUES (1)", _DUPLICATE), ("INSERT INTO {t} VALUES (2, 'x', 'y')", _DUPLICATE), ("INSERT INTO {t} VALUES (NULL, NULL, 'y')", [])],
    ),
    Case(
        **keyed("unique index without case", 'CREATE TABLE "unique index without case" (v TEXT); CREATE UNIQUE INDEX "uc without case" ON "unique index without case" (v COLLATE NOCASE)', [("Bob",), ("É",), ("é",)], v="text"),
        holds=[("INSERT INTO {t} VALUES ('bOB')", _DUPLICATE), ("INSERT INTO {t} VALUES ('ÉÉ'), ('éé')", [])],
    ),
    Case(
        **keyed("index downwards", 'CREATE TABLE "index downwards" (a INT, b TEXT); CREATE INDEX "ix down" ON "index downwards" (a DESC, b)', [(1, "x")], a=_INT, b="text"),
        holds=[("SELECT indexdef LIKE '%% (a DESC%%, b%%' FROM pg_indexes WHERE indexname = 'ix down'", [(True,)])],
    ),
    Case(
        **keyed("index with a collation of SQLite", 'CREATE TABLE "index with a collation of SQLite" (v TEXT); CREATE INDEX "ix rtrim" ON "index with a collation of SQLite" (v COLLATE RTRIM)', [("a",)], v="text"),
        listed=[("index", "uses the collation RTRIM")],
    ),
    Case(
        **keyed("values too long for an index", 'CREATE TABLE "values too long for an index" (v TEXT); CREATE INDEX "ix long" ON "values too long for an index" (v)', [("x" * 3000,)], v="text"),
        refused=[Refusal("v", "index ix long covers values of up to 3000 bytes", {"indexes": {"ix long": {"carry": False}}})],
    ),
    Case(
        **keyed("index on JSON kept as text", 'CREATE TABLE "index on JSON kept as text" (v JSON); CREATE INDEX "ix json" ON "index on JSON kept as text" (v)', [("{}",)], v="text of json"),
        decided=column("v", codec="json"),
        listed=[("index", "is on column v, whose type json has no order")],
    ),
]  # fmt: skip

_DEFAULTS = (
    "n INTEGER PRIMARY KEY, i INT DEFAULT -5, t TEXT DEFAULT 'it''s \\', r REAL DEFAULT 0.1, b BOOLEAN NOT NULL DEFAULT TRUE, d DECIMAL(6,2) DEFAULT 1.5, "
    "e TEXT DEFAULT '', z TEXT DEFAULT NULL, at DATETIME DEFAULT CURRENT_TIMESTAMP, day DATE DEFAULT CURRENT_DATE"
)
DEFAULTS = [
    Case(
        "defaults",
        f'CREATE TABLE "defaults" ({_DEFAULTS})',
        [(1, 1, "t", 1.5, 0, 2.25, "e", "z", "2024-02-29 12:00:00", "2024-02-29")],
        reads={"defaults": {"n": _INT, "i": _INT, "t": "text", "r": "real", "b": "boolean", "d": "decimal", "e": "text", "z": "text", "at": "iso", "day": "date"}},
        holds=[
            ("INSERT INTO {t} (n) VALUES (2)", []),
            ("SELECT i, t, r, b, d::text, e, z FROM {t} WHERE n = 2", [(-5, "it's \\", 0.1, True, "1.50", "", None)]),
            ("SELECT at BETWEEN (now() AT TIME ZONE 'UTC') - interval '1 minute' AND (now() AT TIME ZONE 'UTC') + interval '1 minute', day = (now() AT TIME ZONE 'UTC')::date FROM {t} WHERE n = 2", [(True, True)]),
        ],
    ),
    Case(
        **keyed("NOT NULL", 'CREATE TABLE "NOT NULL" (v TEXT NOT NULL)', [("",)], v="text"),
        holds=[("INSERT INTO {t} VALUES (NULL)", _NULL)],
    ),
    Case(
        **keyed("NULL in a NOT NULL column",
                'CREATE TABLE "NULL in a NOT NULL column" (v TEXT); INSERT INTO "NULL in a NOT NULL column" VALUES (NULL), (\'a\'); PRAGMA writable_schema = 1;'
                'UPDATE sqlite_master SET sql = \'CREATE TABLE "NULL in a NOT NULL column" (v TEXT NOT NULL)\' WHERE name = \'NULL in a NOT NULL column\'; PRAGMA writable_schema = RESET', [], v="text"),
        refused=[Refusal("v", "1 rows hold NULL in a column declared NOT NULL", {"columns": {"v": {"not_null": False}}})],
    ),
]  # fmt: skip

LISTED = [
    Case(
        "triggers",
        'CREATE TABLE "triggers" (v); CREATE TRIGGER "the trigger" AFTER INSERT ON "triggers" BEGIN DELETE FROM "triggers" WHERE v = 99; END',
        [(1,), (99,)],
        reads={"triggers": {"v": _INT}},
        listed=[("trigger", "")],
    ),
    Case(
        "full-text search",
        'CREATE TABLE "full-text search" (v TEXT); CREATE VIRTUAL TABLE "the index of words" USING fts5 (v)',
        [("some words",)],
        reads={"full-text search": {"v": "text"}},
        listed=[("virtual table", ""), ("shadow table", "")],
    ),
    Case(
        "left out",
        'CREATE TABLE "left out" (v)',
        [(b"not even looked at",)],
        decided={"carry": False},
        listed=[("table", "the plan says so")],
    ),
]  # fmt: skip

CASES = [*KEYS, *IDENTITIES, *REFERENCES, *INDEXES, *DEFAULTS, *LISTED]
