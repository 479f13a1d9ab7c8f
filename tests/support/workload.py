# SPDX-License-Identifier: GPL-3.0-or-later
"""An application that writes at random: every form of DML that SQLite has, to any tables, with the values that are there.

As a process of its own: ``python -m support.workload FILE SEED`` writes until its standard input ends, then prints how many
statements it ran.
"""

from __future__ import annotations

import random
import select
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

#: Every reference that PostgreSQL acts on, unique values that clash, keys of two columns, a table without a key.
SCHEMA = """
CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT UNIQUE, up INTEGER REFERENCES a ON DELETE SET NULL, value REAL);
CREATE TABLE b (x INTEGER, y TEXT, a INTEGER NOT NULL REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (x, y)) WITHOUT ROWID;
CREATE TABLE c (id INTEGER PRIMARY KEY, bx INTEGER, "by" TEXT, place INTEGER NOT NULL UNIQUE, a INTEGER REFERENCES a ON DELETE RESTRICT,
  FOREIGN KEY (bx, "by") REFERENCES b ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE d (id TEXT PRIMARY KEY NOT NULL, c INTEGER DEFAULT 1 REFERENCES c ON DELETE SET DEFAULT, body BLOB);
CREATE TABLE e (a INTEGER REFERENCES a ON DELETE CASCADE, word TEXT);
CREATE TABLE f (u INTEGER NOT NULL, v INTEGER NOT NULL, w TEXT COLLATE NOCASE UNIQUE, UNIQUE (u, v));
"""  # fmt: skip


def seeded(connection: sqlite3.Connection) -> None:
    """The schema with some rows."""
    connection.execute("PRAGMA journal_mode = wal")
    connection.executescript(SCHEMA)
    chance = random.Random(7)
    for n in range(1, 41):
        connection.execute(
            "INSERT INTO a VALUES (?, ?, ?, ?)", (n, f"code {n}", chance.choice([None, n // 2 or None]), n / 3)
        )
        connection.execute("INSERT INTO b VALUES (?, ?, ?)", (n % 7, f"y{n}", chance.randint(1, n)))
        connection.execute(
            "INSERT INTO c VALUES (?, ?, ?, ?, ?)", (n, n % 7, f"y{n}", 100 - n, chance.choice([None, n]))
        )
        connection.execute("INSERT INTO d VALUES (?, ?, ?)", (f"d{n}", chance.randint(1, n), bytes([n, 0, 255])))
        connection.execute("INSERT INTO e VALUES (?, ?)", (chance.randint(1, n), chance.choice(["p", "q", None])))
        connection.execute("INSERT INTO f VALUES (?, ?, ?)", (n % 5, n, f"Word {n}"))


def writing(path: Path, seed: int) -> subprocess.Popen[str]:
    """A process that writes at random."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.workload", str(path), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class _Table:
    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self.name = _quoted(name)
        facts = connection.execute(f"PRAGMA table_xinfo({self.name})").fetchall()
        usual = [fact for fact in facts if fact[6] == 0]
        self.columns = [_quoted(fact[1]) for fact in usual]
        rows = connection.execute(f"SELECT {', '.join(self.columns)} FROM {self.name}").fetchall()
        self.pools = [list(pool) for pool in zip(*rows)] or [[] for _ in self.columns]
        self.integers = [fact[2].upper().startswith("INT") and fact[5] > 0 for fact in usual]
        self.key = [_quoted(fact[1]) for fact in sorted(usual, key=lambda fact: fact[5]) if fact[5]]
        listed = connection.execute(f"PRAGMA index_list({self.name})").fetchall()
        self.unique = [
            [_quoted(column[2]) for column in connection.execute(f"PRAGMA index_info({_quoted(index[1])})")]
            for index in listed
            if index[2] and not index[4]
        ]


class Workload:
    """Random statements over all tables of a file; those that break a constraint are passed over."""

    def __init__(self, connection: sqlite3.Connection, seed: int) -> None:
        """The connection must be in autocommit. New values are those that the tables have now, integer keys more."""
        self._connection = connection
        self._random = random.Random(seed)
        names = connection.execute(
            # Not LIKE: its _ would match the blank of a table "pg-cutover row".
            "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
            " AND substr(name, 1, 11) <> 'pg_cutover_'"
        ).fetchall()
        self._tables = [_Table(connection, name) for (name,) in names]
        self.done = 0

    def transaction(self) -> None:
        """One to five statements; now and then all of them are rolled back."""
        self._connection.execute(self._random.choice(["BEGIN", "BEGIN IMMEDIATE"]))
        try:
            if self._random.random() < 0.2:
                self._connection.execute("PRAGMA defer_foreign_keys = on")
            for _ in range(self._random.randint(1, 5)):
                with suppress(sqlite3.IntegrityError):
                    self._statement(self._random.choice(self._tables))
                    self.done += 1
            # SQLite lets some statements with OR REPLACE break a reference even so.
            sound = not self._connection.execute("PRAGMA foreign_key_check").fetchall()
            self._connection.execute("COMMIT" if sound and self._random.random() < 0.9 else "ROLLBACK")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _value(self, table: _Table, at: int) -> Any:
        # An INT PRIMARY KEY of SQLite takes NULL, which is refused once the plan has made it PostgreSQL's key.
        if table.integers[at] and (not table.pools[at] or self._random.random() < 0.5):
            return self._random.randint(1, 60)
        return self._random.choice(table.pools[at]) if table.pools[at] else None

    def _row(self, table: _Table) -> list[Any]:
        """As a rule part of a row that there is, so that keys and unique values clash."""
        return [self._value(table, at) for at in range(len(table.columns))]

    def _some(self, table: _Table) -> tuple[str, list[Any]]:
        """A condition on few rows."""
        at = self._random.randrange(len(table.columns))
        if table.key and self._random.random() < 0.7:
            at = table.columns.index(table.key[0])
        return f"{table.columns[at]} IS ?", [self._value(table, at)]

    def _statement(self, table: _Table) -> None:
        kind, columns = self._random.random(), ", ".join(table.columns)
        marks = ", ".join("?" * len(table.columns))
        if kind < 0.5:
            verb = self._random.choice(["INSERT", "INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"])
            upsert = ""
            targets = [names for names in [table.key, *table.unique] if names]
            if verb == "INSERT" and targets and self._random.random() < 0.6:
                target = ", ".join(self._random.choice(targets))
                column = self._random.choice(table.columns)
                upsert = f" ON CONFLICT ({target}) DO UPDATE SET {column} = excluded.{column}"
            with suppress(sqlite3.OperationalError):
                self._connection.execute(
                    f"{verb} INTO {table.name} ({columns}) VALUES ({marks}){upsert}", self._row(table)
                )
        elif kind < 0.8:
            at = self._random.randrange(len(table.columns))
            where, values = self._some(table)
            verb = self._random.choice(["UPDATE", "UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE"])
            self._connection.execute(
                f"{verb} {table.name} SET {table.columns[at]} = ? WHERE {where}", [self._value(table, at), *values]
            )
        else:
            where, values = self._some(table)
            self._connection.execute(f"DELETE FROM {table.name} WHERE {where}", values)


def main() -> None:
    """Write until standard input ends, about a thousand transactions a second."""
    path, seed = sys.argv[1:]
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = on")
        work = Workload(connection, int(seed))
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            work.transaction()
            time.sleep(0.001)
    with suppress(BrokenPipeError):
        print(work.done, flush=True)


if __name__ == "__main__":
    main()
