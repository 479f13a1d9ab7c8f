# SPDX-License-Identifier: GPL-3.0-or-later
"""What the triggers cost the application, measured on a scratch copy.

Nearly all of it is one more page that each transaction writes to the write-ahead log, and the same in its checkpoint:
the share is highest for the smallest write, and falls with every index that the statement touches and every statement
that shares a transaction. With synchronous = FULL the wait for the disk hides it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from typing import Any
from urllib.parse import quote as url_quote

from ..plan.model import Plan, PlanTable
from ..source.connect import ERRORS, explain, open_readonly
from ..source.describe import describe
from ..source.model import Table
from ..source.sqltokens import quote
from .triggers import log_table, triggers

_ROWS = 500
_ROUNDS = 5


def measure(path: str, plan: Plan, folder: str | None = None, seconds: float = 2.0) -> dict[str, Any]:
    """Time single-row writes with and without the triggers, on a sample of the source in a scratch file.

    Each statement is a transaction of its own, in WAL mode with synchronous = NORMAL: the fastest there are, so no
    application pays a larger share. Measured are UPDATE, DELETE and INSERT on the table that had most rows, by
    its key. folder: where the scratch file goes, removed afterwards. seconds: about how long it may take.
    Times are the processor's. Returns {table, rows, writes: {update|delete|insert: {seconds_without, seconds_with}},
    seconds_without, seconds_with, cost_seconds, share}: seconds a statement, of all three together; share is
    cost / without.
    Empty when no table has a key and rows.
    """
    usable = [table for table in plan.tables if table.key and table.rows]
    if not usable:
        return {}
    table = max(usable, key=lambda t: t.rows)
    made = tempfile.mkdtemp(prefix="pg-cutover-", dir=folder)
    try:
        with_source = open_readonly(path)
        try:
            source = next(t for t in describe(with_source, path).tables if t.name == table.name)
        finally:
            with_source.close()
        scratch = os.path.join(made, "scratch.sqlite")
        rows = _sample(path, scratch, source)
        if not rows:
            return {}
        return {"table": table.name, "rows": rows, **_timed(scratch, table, source, seconds)}
    except ERRORS as error:
        raise explain(path, error) from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _sample(path: str, scratch: str, source: Table) -> int:
    """The table with its indexes and some of its rows, without its triggers and references; the number of rows."""
    connection = sqlite3.connect(f"file:{url_quote(scratch)}?mode=rwc", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(source.sql)
        for index in source.indexes:
            if index.sql is not None:
                connection.execute(index.sql)
        connection.execute("ATTACH ? AS source", (f"file:{url_quote(os.path.abspath(path))}?mode=ro",))
        columns = ", ".join(quote(column.name) for column in source.columns if column.generated is None)
        name = quote(source.name)
        connection.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM source.{name} LIMIT {_ROWS}")
        connection.execute("CREATE TABLE kept AS SELECT * FROM main." + name)
        return int(connection.execute("SELECT count(*) FROM kept").fetchone()[0])
    finally:
        connection.close()


def _timed(scratch: str, table: PlanTable, source: Table, seconds: float) -> dict[str, Any]:
    connection = sqlite3.connect(scratch, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(log_table(len(table.key)))
        made = triggers(table, source, 0)
        statements = _writes(table, source)
        best: dict[tuple[str, bool], float] = {}
        until, rounds = time.monotonic() + seconds, 0
        # In turns, so that what else the machine does meets both alike; the best of each, for noise only adds.
        while rounds < 2 or (rounds < _ROUNDS * 10 and time.monotonic() < until):
            rounds += 1
            for captured in (False, True):
                for name, sql in made.items():
                    connection.execute(sql if captured else f"DROP TRIGGER IF EXISTS {quote(name)}")
                for write, (sql, values) in statements.items():
                    bound = connection.execute(values).fetchall()
                    with contextlib.suppress(sqlite3.IntegrityError):
                        took = _loop(connection, sql, bound)
                        best[write, captured] = min(best.get((write, captured), took), took)
    finally:
        connection.close()
    writes = {write: {"seconds_without": best[write, False], "seconds_with": best[write, True]} for write in statements}
    without = sum(times["seconds_without"] for times in writes.values()) / len(writes)
    captured_ = sum(times["seconds_with"] for times in writes.values()) / len(writes)
    return {
        "writes": writes,
        "seconds_without": without,
        "seconds_with": captured_,
        "cost_seconds": captured_ - without,
        "share": (captured_ - without) / without,
    }


def _writes(table: PlanTable, source: Table) -> dict[str, tuple[str, str]]:
    """Name → the statement, and the query for what it is run with, row by row. Afterwards all is as before."""
    name = quote(source.name)
    key = " AND ".join(f"{quote(column)} = ?" for column in table.key)
    keys = ", ".join(quote(column) for column in table.key)
    stored = [column.name for column in source.columns if column.generated is None]
    indexed = {part.name for index in source.indexes for part in index.columns}
    changed = quote(next((c for c in stored if c not in indexed and c not in table.key), stored[-1]))
    columns = ", ".join(quote(column) for column in stored)
    marks = ", ".join("?" * len(stored))
    return {
        # Each row gets the value of another one: SQLite does not write a page that stays the same. Where a constraint
        # of the table forbids that, UPDATE is left out.
        "update": (
            f"UPDATE {name} SET {changed} = ? WHERE {key}",
            f"SELECT coalesce(lead({changed}) OVER (ORDER BY rowid), {changed}), {keys} FROM kept",
        ),
        "delete": (f"DELETE FROM {name} WHERE {key}", f"SELECT {keys} FROM kept"),
        "insert": (f"INSERT INTO {name} ({columns}) VALUES ({marks})", f"SELECT {columns} FROM kept"),
    }


def _loop(connection: sqlite3.Connection, sql: str, bound: list[tuple[Any, ...]]) -> float:
    # Time of the processor: what else runs on the machine would drown a few microseconds.
    start = time.process_time()
    for values in bound:
        connection.execute(sql, values)
    return (time.process_time() - start) / len(bound)
