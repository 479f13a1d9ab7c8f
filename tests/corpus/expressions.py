# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL in the schema: CHECK, generated columns, partial and expression indexes, and what cannot be said in PostgreSQL."""

from __future__ import annotations

from corpus.case import Case

_INT = "integer"
_CHECK, _DUPLICATE = "23514", "23505"


CHECKS = [
    Case(
        "checks",
        "CREATE TABLE checks (n INTEGER PRIMARY KEY, v INT CHECK (v > 0 AND v < 100), s TEXT CHECK (s IN ('a', 'b') OR s IS NULL), b BOOLEAN, CHECK (b = 0 OR length(s) = 1))",
        [(1, 5, "a", 1), (2, None, None, 0), (3, 99, "b", None)],
        reads={"checks": {"n": _INT, "v": _INT, "s": "text", "b": "boolean"}},
        holds=[
            ("INSERT INTO {t} (v) VALUES (0)", _CHECK),
            ("INSERT INTO {t} (v) VALUES (100)", _CHECK),
            ("INSERT INTO {t} (s) VALUES ('c')", _CHECK),
            ("INSERT INTO {t} (v, s, b) VALUES (1, 'a', true)", []),
            ("INSERT INTO {t} (v, s, b) VALUES (NULL, NULL, NULL)", []),
        ],
    ),
    Case(
        "check that PostgreSQL cannot say",
        'CREATE TABLE "check that PostgreSQL cannot say" (v TEXT CHECK (julianday(v) > 5))',
        [("2024-02-29",)],
        reads={"check that PostgreSQL cannot say": {"v": "text"}},
        listed=[("check", "CHECK")],
    ),
]  # fmt: skip

GENERATED = [
    Case(
        "generated columns",
        'CREATE TABLE "generated columns" (n INTEGER PRIMARY KEY, a INT, s INT GENERATED ALWAYS AS (a * 2 + 1) STORED, t TEXT, u TEXT AS (t || \'!\') VIRTUAL);'
        'INSERT INTO "generated columns" (a, t) VALUES (20, \'é\'), (NULL, NULL), (-4, \'\')',
        reads={"generated columns": {"n": _INT, "a": _INT, "s": _INT, "t": "text", "u": "text"}},
        holds=[("INSERT INTO {t} (a, t) VALUES (1, 'x') RETURNING s, u", [(3, "x!")]), ("UPDATE {t} SET a = 5 WHERE n = 2 RETURNING s", [(11,)])],
    ),
    Case(
        "generated column that PostgreSQL cannot compute",
        'CREATE TABLE "generated column that PostgreSQL cannot compute" (t TEXT, d REAL AS (julianday(t)) STORED);'
        "INSERT INTO \"generated column that PostgreSQL cannot compute\" (t) VALUES ('2024-02-29 12:00:00')",
        reads={"generated column that PostgreSQL cannot compute": {"t": "text", "d": "real"}},
        listed=[("generated column", "its values are carried")],
    ),
]  # fmt: skip

INDEXES = [
    Case(
        "partial unique index",
        'CREATE TABLE "partial unique index" (slug TEXT, gone BOOLEAN NOT NULL DEFAULT 0); CREATE UNIQUE INDEX "ix live" ON "partial unique index" (slug) WHERE gone = 0',
        [("a", 0), ("a", 1), ("a", 1), ("b", 0)],
        reads={"partial unique index": {"slug": "text", "gone": "boolean"}},
        holds=[("INSERT INTO {t} VALUES ('b', false)", _DUPLICATE), ("INSERT INTO {t} VALUES ('b', true)", [])],
    ),
    Case(
        "partial index on what is there",
        'CREATE TABLE "partial index on what is there" (v INT); CREATE INDEX "ix there" ON "partial index on what is there" (v) WHERE v IS NOT NULL',
        [(1,), (None,)],
        reads={"partial index on what is there": {"v": _INT}},
        holds=[("SELECT indexdef LIKE '%%(v IS NOT NULL)%%' FROM pg_indexes WHERE indexname = 'ix there'", [(True,)])],
    ),
    Case(
        "unique index on an expression",
        'CREATE TABLE "unique index on an expression" (v TEXT); CREATE UNIQUE INDEX "ix folded" ON "unique index on an expression" (lower(v))',
        [("Bob",), ("É",), ("é",)],
        reads={"unique index on an expression": {"v": "text"}},
        # SQLite's lower() folds ASCII only, and so must this one.
        holds=[("INSERT INTO {t} VALUES ('bOB')", _DUPLICATE), ("INSERT INTO {t} VALUES ('ÉÉ'), ('éé')", [])],
    ),
    Case(
        "index on what PostgreSQL cannot compute",
        'CREATE TABLE "index on what PostgreSQL cannot compute" (v TEXT); CREATE INDEX "ix soundex" ON "index on what PostgreSQL cannot compute" (printf(\'%x\', v))',
        [("a",)],
        reads={"index on what PostgreSQL cannot compute": {"v": "text"}},
        listed=[("index", "")],
    ),
    Case(
        "foreign key without an index",
        'CREATE TABLE "foreign key without an index parent" (id INTEGER PRIMARY KEY); INSERT INTO "foreign key without an index parent" VALUES (1);'
        'CREATE TABLE "foreign key without an index" (p INT REFERENCES "foreign key without an index parent")',
        [(1,)],
        reads={"foreign key without an index": {"p": _INT}, "foreign key without an index parent": {"id": _INT}},
        holds=[("SELECT count(*) FROM pg_indexes WHERE tablename = 'foreign key without an index' AND indexdef LIKE '%% (p)'", [(1,)])],
    ),
]  # fmt: skip

CASES = [*CHECKS, *GENERATED, *INDEXES]
