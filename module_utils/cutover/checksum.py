# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing every row of source and target by digests of canonical text, computed on each side for itself.

Tables with an integer key that sorts alike on both sides are compared range by range in the order of the key; a
digest that differs is followed down to the rows. The others are compared as multisets: each row's SHA-256 goes into
one of 256 buckets, whose counts and sums do not depend on the order of rows.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

from . import idproof
from .canonical import Canonical
from .compare import CAP, Difference, OrderedMerge, Tally
from .errors import Refused, Unfit
from .idmap import load_given
from .plan.model import Plan, PlanTable
from .progress import Progress
from .quarantine import Sieve
from .ranges import Range, explained, plan_ranges, read, select
from .source.connect import open_readonly
from .structure import check_structure
from .target.connect import connect, explain, first_line
from .target.rows import block_ranges, bucket_query, digest_query
from .workers import run

#: What PostgreSQL says when a column, its type or a table is not that of the plan.
_OTHER_TYPES = ("42846", "42703", "42P01", "42883")
#: What a task hands back: rows and bytes of the side(s) it read, and its contribution.
Buckets = dict[int, tuple[int, int]]
Task = tuple[str, str, Union[Range, tuple[int, Optional[int]]]]


def verify(
    source_path: str,
    target_url: str,
    plan: Plan,
    workers: int,
    progress: str | None = None,
    snapshot: str | None = None,
    throttle: float = 0.0,
) -> dict[str, Any]:
    """Compare all rows of all tables under one snapshot of PostgreSQL.

    snapshot: one that was exported by a transaction which stays open meanwhile; None takes one of its own.
    throttle: the share of the time that each worker rests, from 0 to below 1, so that others can use both databases.

    Returns {ok, tables: [{name, target, rows_source, rows_target, rows_different, rows_only_source,
    rows_only_target, rows_quarantined, checksum, seconds}], differences: [{table, key, column, source, target}]}; at most CAP
    differences are shown a table, all are counted. rows_source: all rows, those in quarantine too, which are compared
    with what the quarantine holds. checksum: SHA-256 over the table's canonical rows, of the source.
    """
    # The fence stops writes to rows, not the making of tables.
    check_structure(source_path, plan)
    source = open_readonly(source_path, bytearray)
    load_given(source, plan)
    holder = connect(target_url)
    try:
        holder.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with holder.cursor() as cursor:
            if snapshot is None:
                cursor.execute("SELECT pg_export_snapshot()")
                snapshot = str(cursor.fetchone()[0])
            else:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))
            shared = snapshot
            tasks = _tasks(source, cursor, plan)
        # SQLite's connections do not survive a fork: none is open while the workers start.
        source.close()
        tallies = {table.name: Tally(table) for table in plan.tables}
        total = sum(max(table.bytes, 1) for table in plan.tables)
        shown = Progress(progress, "verify", sum(table.rows for table in plan.tables), total)

        def collect(task: Task, result: dict[str, Any]) -> None:
            tallies[task[1]].add(task, result)
            if task[0] not in ("target", "map"):
                shown.advance(task[1], result["rows_source"] + result["aside"][0], result["bytes"])

        run(tasks, lambda: _worker(source_path, target_url, plan, shared, throttle), workers, collect)
        source = open_readonly(source_path, bytearray)
        with holder.cursor() as cursor:
            again = _differing(source, cursor, plan, tallies)
        if again:
            source.close()
            run(again, lambda: _worker(source_path, target_url, plan, shared, throttle), workers, collect)
            source = open_readonly(source_path, bytearray)
        for tally in tallies.values():
            tally.settle(source, holder, plan)
        with holder.cursor() as cursor:
            for name, counts in idproof.compare_orphans(source, cursor, plan).items():
                tallies[name].count(counts)
        shown.close()
    except holder.Error as error:
        raise explain(error, "The comparison stopped") from None
    finally:
        source.close()
        holder.close()
    tables = [tallies[table.name].result() for table in plan.tables]
    differences = [d.as_dict() for table in plan.tables for d in tallies[table.name].differences[:CAP]]
    ok = all(
        t["rows_source"] == t["rows_target"] + t["rows_quarantined"]
        and not t["rows_different"]
        and not t["rows_only_source"]
        and not t["rows_only_target"]
        for t in tables
    )
    # A comparison of nothing is no agreement.
    return {"ok": ok and bool(tables) and len(tables) == len(plan.tables), "tables": tables, "differences": differences}


def _tasks(source: Any, cursor: Any, plan: Plan) -> list[Task]:
    tasks: list[Task] = []
    for table in sorted(plan.tables, key=lambda table: -table.bytes):
        if table.compare == "multiset":
            tasks += _multiset(source, cursor, plan, table)
        else:
            side = "both" if table.compare == "ordered" else "mapped"
            tasks += [(side, table.name, piece) for piece in plan_ranges(source, table)]
    return tasks + [
        task for table in plan.tables if table.compare == "multiset" for task in idproof.tasks(source, table)
    ]


def _multiset(source: Any, cursor: Any, plan: Plan, table: PlanTable) -> list[Task]:
    tasks: list[Task] = [("source", table.name, piece) for piece in plan_ranges(source, table)]
    return tasks + [("target", table.name, blocks) for blocks in block_ranges(cursor, plan, table)]


def _differing(source: Any, cursor: Any, plan: Plan, tallies: dict[str, Tally]) -> list[Task]:
    """What is to be done to find the rows that differ in tables that were compared through their map."""
    tasks: list[Task] = []
    for table in plan.tables:
        tally = tallies[table.name]
        if table.compare == "mapped" and not tally.agrees(idproof.count(cursor, plan, table)):
            tally.begin_again()
            tasks += [*_multiset(source, cursor, plan, table), *idproof.tasks(source, table)]
    return tasks


def _worker(
    source_path: str, target_url: str, plan: Plan, snapshot: str, throttle: float
) -> Callable[[Task], dict[str, Any]]:
    source = open_readonly(source_path, bytearray)
    target = connect(target_url)
    target.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with target.cursor() as cursor:
        cursor.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))
        # Ranges are read in the order of the key and must not be sorted through files.
        cursor.execute("SET LOCAL enable_seqscan TO off")
        # Nor may a range of a map be joined to its rows by reading all of them.
        cursor.execute("SET LOCAL enable_hashjoin TO off")
        cursor.execute("SET LOCAL enable_mergejoin TO off")

    def handle(task: Task) -> dict[str, Any]:
        began = time.monotonic()
        result = compare(task)
        result["seconds"] = time.monotonic() - began
        if throttle:
            time.sleep(result["seconds"] * throttle / (1.0 - throttle))
        return result

    def compare(task: Task) -> dict[str, Any]:
        side, name, piece = task
        table = plan.table(name)
        try:
            if side == "both":
                assert isinstance(piece, Range)
                return _compare_range(source, target, plan, table, piece)
            if side == "mapped":
                assert isinstance(piece, Range)
                return idproof.compare_rows(source, target, plan, piece)
            if side == "map":
                assert isinstance(piece, Range)
                return idproof.compare(source, target, plan, piece)
            if side == "source":
                assert isinstance(piece, Range)
                return _source_buckets(source, table, piece)
            assert isinstance(piece, tuple)
            return _target_buckets(target, plan, table, piece)
        except Unfit as reason:
            raise Refused(
                f"table {name}: a row of the source can no longer be read as the plan says: {reason}."
            ) from None
        except target.Error as error:
            if error.pgcode in _OTHER_TYPES:
                raise Refused(
                    f"table {name}: what PostgreSQL holds was not made by this plan ({first_line(error)}). Run with the same "
                    "cutover_ids and cutover_plan_overrides as the copy; they belong into the inventory."
                ) from None
            raise explain(error, f"table {name}") from None

    return handle


def _compare_range(source: Any, target: Any, plan: Plan, table: PlanTable, piece: Range) -> dict[str, Any]:
    """Digest a key range on both sides; on a difference, walk through it row by row."""
    canonical = Canonical(table)
    digest = hashlib.sha256()
    sieve = Sieve(table)
    with explained(source):
        rows, size = canonical.digest(sieve.passed(select(source, table, piece)), digest.update)
    with target.cursor() as cursor:
        query, values = digest_query(plan, table, piece.low, piece.high)
        cursor.execute(query, values)
        count, other = cursor.fetchone()
    result: dict[str, Any] = {
        "rows_source": rows,
        "rows_target": count,
        "bytes": size,
        "digest": digest.hexdigest(),
        "aside": (sieve.count, sieve.total),
    }
    if (count, other) != (rows, digest.hexdigest()):
        merge = OrderedMerge(plan, table, canonical)
        result["merged"] = merge.walk(source, target, piece)
        result["merged"].require(table)
    return result


def _source_buckets(source: Any, table: PlanTable, piece: Range) -> dict[str, Any]:
    canonical = Canonical(table)
    sieve = Sieve(table)
    buckets: Buckets = {}
    rows = size = 0
    sha = hashlib.sha256
    for row in sieve.passed(read(source, table, piece)):
        text = canonical.row(row)
        digest = sha(text).digest()
        count, total = buckets.get(digest[0], (0, 0))
        buckets[digest[0]] = (count + 1, total + int.from_bytes(digest[1:8], "big"))
        rows += 1
        size += len(text)
    aside = (sieve.count, sieve.total)
    return {"rows_source": rows, "rows_target": 0, "bytes": size, "buckets": buckets, "aside": aside}


def _target_buckets(target: Any, plan: Plan, table: PlanTable, blocks: Sequence[int | None]) -> dict[str, Any]:
    with target.cursor() as cursor:
        query, values = bucket_query(plan, table, blocks)
        cursor.execute(query, values)
        buckets = {bucket: (count, int(total)) for bucket, count, total in cursor.fetchall()}
    return {
        "rows_source": 0,
        "rows_target": sum(c for c, _ in buckets.values()),
        "bytes": 0,
        "buckets": buckets,
    }


__all__ = ["Difference", "verify"]
