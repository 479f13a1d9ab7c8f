# SPDX-License-Identifier: GPL-3.0-or-later
"""A replica that knows only what the change log names, and applications that write to the source at random."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from cutover.capture import changes, guard
from cutover.capture.changes import identity
from cutover.plan.model import Plan, PlanTable
from cutover.source.connect import open_readonly
from support.independent import quoted

Rows = dict[str, dict[Any, list[str]]]


class Replica:
    """All rows as they were, brought up to date by deleting what the log names and reading it again."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self.plan = plan
        self.guard = guard.Guard(str(path), plan)
        with closing(open_readonly(str(path), bytearray)) as connection:
            connection.execute("BEGIN")
            self.guard.check(connection)
            self.position = changes.position(connection)
            self.rows = self._all(connection)

    def follow(self, limit: int = 1_000_000) -> int:
        """Apply what waits, at most ``limit`` entries at once; return how many there were."""
        applied = 0
        with closing(open_readonly(str(self.path), bytearray)) as connection:
            while True:
                connection.execute("BEGIN")
                self.guard.check(connection)
                read = changes.read(connection, self.plan, self.position, limit)
                for name, keys in read.keys.items():
                    for key in keys:
                        self.rows[name].pop(identity(key), None)
                    self._add(self.rows[name], self.plan.table(name), connection, keys)
                for name in read.whole:
                    self.rows[name] = self._whole(connection, self.plan.table(name))
                connection.execute("ROLLBACK")
                self.position = read.through
                applied += read.logged
                if not read:
                    return applied

    def differences(self) -> list[str]:
        """Tables that are not as in the source."""
        with closing(open_readonly(str(self.path), bytearray)) as connection:
            there = self._all(connection)
        return [
            f"{name}: {there[name]} but followed to {self.rows[name]}"
            for name in there
            if there[name] != self.rows[name]
        ]

    def _all(self, connection: sqlite3.Connection) -> Rows:
        return {table.name: self._whole(connection, table) for table in self.plan.tables}

    def _whole(self, connection: sqlite3.Connection, table: PlanTable) -> dict[Any, list[str]]:
        found: dict[Any, list[str]] = {}
        names = [column.name for column in table.sent.columns]
        extra = [name for name in table.key if name not in names]
        columns = ", ".join(quoted(name) for name in names + extra)
        for row in connection.execute(f"SELECT {columns} FROM {quoted(table.name)}"):
            key = tuple(row[(names + extra).index(name)] for name in table.key)
            found.setdefault(identity(key), []).append(repr(row[: len(names)]))
        return {key: sorted(rows) for key, rows in found.items()}

    def _add(
        self, rows: dict[Any, list[str]], table: PlanTable, connection: sqlite3.Connection, keys: list[changes.Key]
    ) -> None:
        # One by one, so that each row is known by the key it was asked for.
        for key in keys:
            found = sorted(repr(row) for row in changes.rows(connection, table, [key]))
            if found:
                rows[identity(key)] = found


_KEYS = [
    ("id INTEGER PRIMARY KEY", "", ""),
    ("id INTEGER PRIMARY KEY AUTOINCREMENT", "", ""),
    ("id INTEGER PRIMARY KEY DESC", "", ""),
    ("id INT NOT NULL PRIMARY KEY", "", ""),
    ("id TEXT PRIMARY KEY", "", ""),
    ("id TEXT PRIMARY KEY COLLATE NOCASE", "", ""),
    ("id PRIMARY KEY ON CONFLICT REPLACE", "", ""),
    ("id BLOB NOT NULL PRIMARY KEY", "", "WITHOUT ROWID"),
    ("id TEXT COLLATE NOCASE", "PRIMARY KEY (id, b)", "WITHOUT ROWID"),
    ("id TEXT NOT NULL", "PRIMARY KEY (id, a)", ""),
    ("id INT NOT NULL UNIQUE", "", ""),
    ("id TEXT NOT NULL COLLATE NOCASE UNIQUE", "", ""),
    ("id TEXT", "", ""),
]
_A = ["a", "a INT", "a TEXT UNIQUE", "a TEXT COLLATE NOCASE UNIQUE", "a INT UNIQUE ON CONFLICT REPLACE", "a TEXT NOT NULL DEFAULT x UNIQUE", "a REAL UNIQUE"]  # fmt: skip
_B = ["b INT NOT NULL DEFAULT 2", "b TEXT DEFAULT 'b'", "b NUMERIC NOT NULL ON CONFLICT REPLACE DEFAULT (1 + 1)"]
_C = [
    "",
    ", g AS (a || b) STORED UNIQUE",
    ", g TEXT AS (lower(b)) VIRTUAL UNIQUE",
    ", UNIQUE (a, b) ON CONFLICT REPLACE",
]
_INDEXES = [
    "CREATE UNIQUE INDEX {t}_i1 ON {t} (lower(b))",
    "CREATE UNIQUE INDEX {t}_i2 ON {t} (a COLLATE NOCASE) WHERE b > 1",
    "CREATE UNIQUE INDEX {t}_i3 ON {t} (b) WHERE a IS NOT NULL AND {t}.b <> 'b'",
    "CREATE UNIQUE INDEX {t}_i4 ON {t} (coalesce(a, '') || b COLLATE NOCASE, p)",
    "CREATE UNIQUE INDEX {t}_i5 ON {t} (a DESC, p)",
    "CREATE UNIQUE INDEX {t}_i6 ON {t} (id, b COLLATE NOCASE)",
    "CREATE INDEX {t}_i7 ON {t} (b)",
]
_TRIGGERS = [
    "CREATE TRIGGER {t}_copy AFTER INSERT ON {t} BEGIN INSERT OR REPLACE INTO {o} (id, b) VALUES (NEW.id, NEW.b); END",
    "CREATE TRIGGER {t}_mend AFTER UPDATE ON {t} BEGIN UPDATE {t} SET b = 3 WHERE id IS NEW.id; END",
    "CREATE TRIGGER {t}_clear BEFORE DELETE ON {t} BEGIN DELETE FROM {o} WHERE a IS OLD.a; END",
    "CREATE TRIGGER {t}_first BEFORE INSERT ON {t} BEGIN UPDATE OR REPLACE {t} SET a = NEW.a WHERE id IS 1; END",
]
_ACTIONS = ["", "ON DELETE CASCADE", "ON DELETE SET NULL ON UPDATE CASCADE", "ON DELETE CASCADE ON UPDATE SET DEFAULT"]


def schema(rng: random.Random, recursive: bool = False) -> str:
    """Two tables with keys and unique sets of all kinds, the second perhaps referring to the first, and triggers.

    recursive: for recursive_triggers, see ``writes``.
    """
    lines: list[str] = []
    referable = False
    for at, name in enumerate(("one", "two")):
        key, constraint, option = rng.choice(_KEYS)
        parent = "p"
        if at and referable and rng.random() < 0.6:
            parent = f"p REFERENCES one (id) {rng.choice(_ACTIONS)}"
        referable = "PRIMARY KEY" in key or "UNIQUE" in key
        if referable and parent == "p" and rng.random() < 0.3:
            parent = f"p DEFAULT 1 REFERENCES {name} (id) {rng.choice(_ACTIONS)} DEFERRABLE INITIALLY DEFERRED"
        parts = ", ".join([key, rng.choice(_A), rng.choice(_B), parent])
        lines.append(f"CREATE TABLE {name} ({parts}{rng.choice(_C)}{', ' + constraint if constraint else ''}) {option}")
        lines += [index.format(t=name) for index in rng.sample(_INDEXES, rng.choice([0, 0, 1, 2]))]
    if rng.random() < 0.4 and not recursive:
        names = ["one", "two"]
        rng.shuffle(names)
        lines.append(rng.choice(_TRIGGERS).format(t=names[0], o=names[1]))
    text = ";\n".join(lines) + ";"
    return text.replace("ON CONFLICT REPLACE", "") if recursive else text


_VALUES = [
    "1",
    "2",
    "3",
    "4",
    "1.0",
    "'1'",
    "'a'",
    "'A'",
    "'b'",
    "''",
    "NULL",
    "x'61'",
    "2.5",
    "CAST(x'ff' AS TEXT)",
    "-1",
]
_OR = ["", "", "OR REPLACE ", "OR REPLACE ", "OR IGNORE ", "OR FAIL ", "OR ROLLBACK ", "OR ABORT "]


def writes(rng: random.Random, many: int, recursive: bool = False) -> Iterator[str]:
    """Statements of an application, also such that fail.

    Left out is what is not defined: REPLACE that deletes rows of the table it reads from, or some that an UPDATE has
    still to come to; OR FAIL in an UPDATE of several rows. recursive: without UPDATE OR REPLACE. With recursive_triggers on and any DELETE trigger on the table, SQLite finds the
    row that it is updating in its own way and fails.
    """
    for statement in _writes(rng, many):
        yield statement.replace("UPDATE OR REPLACE", "UPDATE") if recursive else statement


def _writes(rng: random.Random, many: int) -> Iterator[str]:
    for _ in range(many):
        table, other = rng.sample(["one", "two"], 2)
        columns = rng.sample(["id", "a", "b", "p"], rng.choice([1, 2, 3, 4, 4]))
        listed = ", ".join(columns)
        row = f"({', '.join(rng.choice(_VALUES) for _ in columns)})"
        where = rng.choice([f"{rng.choice(['id', 'a', 'b'])} IS {rng.choice(_VALUES)}", "b < 3", "1"])
        sets = ", ".join(f"{name} = {rng.choice([*_VALUES, 'id', 'a', 'b', 'b + 1'])}" for name in columns[:2])
        returning = rng.choice(["", "", " RETURNING *"])
        yield rng.choice(
            [
                f"INSERT {rng.choice(_OR)}INTO {table} ({listed}) VALUES {row}{returning}",
                f"INSERT {rng.choice(_OR)}INTO {table} ({listed}) VALUES {row}, {row}",
                f"REPLACE INTO {table} ({listed}) VALUES {row}{returning}",
                f"REPLACE INTO {table} (a, b) SELECT b, a FROM {other} WHERE {where} ORDER BY +id, +b",
                f"INSERT INTO {table} ({listed}) VALUES {row} ON CONFLICT DO NOTHING",
                f"INSERT INTO {table} ({listed}) VALUES {row} ON CONFLICT (id) DO UPDATE SET {sets}{returning}",
                f"UPDATE {rng.choice(_OR)}{table} SET {sets} WHERE id IS {rng.choice(_VALUES)}{returning}",
                # In which order it comes to several rows is SQLite's choice, and what it did before it fails.
                f"UPDATE {rng.choice(['', 'OR IGNORE ', 'OR ABORT '])}{table} SET {sets} WHERE {where}",
                f"UPDATE OR REPLACE {table} SET rowid = {rng.choice('123')} WHERE id IS {rng.choice(_VALUES)}",
                f"INSERT OR REPLACE INTO {table} (rowid, {listed}) VALUES ({rng.choice('123')}, {row[1:]}",
                f"DELETE FROM {table} WHERE {where}{returning}",
                f"DELETE FROM {table}" if rng.random() < 0.2 else f"DELETE FROM {table} WHERE id IS {rng.choice(_VALUES)}",
                "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s",
            ]
        )  # fmt: skip
