# SPDX-License-Identifier: GPL-3.0-or-later
"""What is different, once digests differ: down to the row and the column."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from .canonical import Canonical
from .errors import SAMPLE_LENGTH, CutoverError
from .packer import row_name
from .plan.model import Plan, PlanTable
from .quarantine import Sieve, count_held, unequal
from .ranges import Range, key_columns, read
from .target.rows import digests_query, ordered_rows_query, rows_by_digest_query

#: Differences that are shown a table; all are counted.
CAP = 100
#: Rows of a multiset whose digests are held in memory at once, and unmatched rows that are paired by key.
_PASS_ROWS = 200_000
_PAIRED = 10_000

Texts = tuple[Optional[str], ...]


@dataclass(frozen=True)
class Difference:
    """A value that differs, or a row that only one side has (column None)."""

    table: str
    key: str
    column: str | None
    source: str | None
    target: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the report."""
        return asdict(self)


@dataclass
class Counts:
    """Rows that differ, that only the source has, that only the target has, and the first differences."""

    different: int
    only_source: int
    only_target: int
    shown: list[Difference]

    def add(self, other: Counts) -> None:
        """Take in the counts of another piece of the same table."""
        self.different += other.different
        self.only_source += other.only_source
        self.only_target += other.only_target
        self.shown += other.shown[: max(0, CAP - len(self.shown))]

    def require(self, table: PlanTable) -> None:
        """Raise CutoverError when nothing was found although digests differ: that is no equality."""
        if not (self.different or self.only_source or self.only_target):
            raise CutoverError(
                f"table {table.name}: digests differ, but no row does. Was the source written to meanwhile? Compare again; "
                "if it stays so, it is a bug of pg-cutover."
            )


def _shown(text: str | None) -> str:
    if text is None:
        return "NULL"
    return text if len(text) <= SAMPLE_LENGTH else text[: SAMPLE_LENGTH - 1] + "…"


def _columns(
    table: PlanTable, key: str, source: Sequence[str | None], target: Sequence[str | None]
) -> list[Difference]:
    return [
        Difference(table.name, key, column.name, _shown(mine), _shown(theirs))
        for column, mine, theirs in zip(table.columns, source, target)
        if mine != theirs
    ]


class OrderedMerge:
    """Walks a key range on both sides in the order of the integer key."""

    def __init__(self, plan: Plan, table: PlanTable, canonical: Canonical) -> None:
        self._plan = plan
        self._table = table
        self._canonical = canonical

    def walk(self, source: Any, target: Any, piece: Range) -> Counts:
        """Count and show what differs in the range."""
        counts = Counts(0, 0, 0, [])
        query, values = ordered_rows_query(self._plan, self._table, piece.low, piece.high)
        with target.cursor(name="pg_cutover_merge") as cursor:
            cursor.itersize = 500
            cursor.execute(query, values)
            left, right = self._source(source, piece), iter(cursor)
            mine, theirs = next(left, None), next(right, None)
            while mine is not None or theirs is not None:
                if theirs is None or (mine is not None and mine[0] < theirs[0]):
                    assert mine is not None
                    counts.only_source += 1
                    self._show(counts, mine[0], "present", "missing")
                    mine = next(left, None)
                elif mine is None or theirs[0] < mine[0]:
                    counts.only_target += 1
                    self._show(counts, theirs[0], "missing", "present")
                    theirs = next(right, None)
                else:
                    found = _columns(self._table, self._name(mine[0]), mine[1], theirs[1:])
                    if found:
                        counts.different += 1
                        counts.shown += found[: max(0, CAP - len(counts.shown))]
                    mine, theirs = next(left, None), next(right, None)
        return counts

    def _source(self, source: Any, piece: Range) -> Iterator[tuple[int, list[str | None]]]:
        for row in Sieve(self._table).passed(read(source, self._table, piece, with_key=True), before=1):
            yield row[0], self._canonical.values(row[1:])

    def _name(self, key: int) -> str:
        return f"{self._table.primary_key[0]}={key}"

    def _show(self, counts: Counts, key: int, source: str, target: str) -> None:
        if len(counts.shown) < CAP:
            counts.shown.append(Difference(self._table.name, self._name(key), None, source, target))


class Tally:
    """Gathers what the tasks found in one table."""

    def __init__(self, table: PlanTable) -> None:
        self._table = table
        self._rows = {"source": 0, "target": 0}
        self._seconds = 0.0
        self._digests: dict[int, str] = {}
        self._merged: dict[int, Counts] = {}
        self._buckets: dict[str, dict[int, tuple[int, int]]] = {"source": {}, "target": {}}
        self._counts = Counts(0, 0, 0, [])
        self._aside = (0, 0)
        self._differs = False

    @property
    def differences(self) -> list[Difference]:
        """The first differences, at most CAP."""
        return self._counts.shown[:CAP]

    def add(self, task: tuple[str, str, Any], result: dict[str, Any]) -> None:
        """Take in the result of a task: side, table, piece."""
        side, _, piece = task
        count, total = result.get("aside", (0, 0))
        self._aside = (self._aside[0] + count, self._aside[1] + total)
        self._rows["source"] += result["rows_source"] + count
        self._rows["target"] += result["rows_target"]
        self._seconds += result["seconds"]
        if side == "map":
            if "merged" in result:
                self.count(result["merged"])
            return
        if side == "mapped":
            self._digests[piece.number] = result["digest"]
            self._differs = self._differs or result["differs"]
            return
        if side == "both":
            self._digests[piece.number] = result["digest"]
            if "merged" in result:
                self._merged[piece.number] = result["merged"]
            return
        whole = self._buckets[side]
        for bucket, (count, total) in result["buckets"].items():
            before = whole.get(bucket, (0, 0))
            whole[bucket] = (before[0] + count, before[1] + total)

    def agrees(self, rows: int) -> bool:
        """Whether nothing differed in a table that was compared through its map, of which PostgreSQL has ``rows`` rows."""
        return not self._differs and self._rows["target"] == rows

    def begin_again(self) -> None:
        """Forget what was counted: the rows are compared another way."""
        self._rows = {"source": 0, "target": 0}

    def count(self, counts: Counts) -> None:
        """Take in differences that were found apart from the rows."""
        self._counts.add(counts)

    def settle(self, source: Any, target: Any, plan: Plan) -> None:
        """Follow buckets that differ down to their rows, and compare the rows in quarantine."""
        # Workers end in any order; differences are told in that of the key.
        for number in sorted(self._merged):
            self._counts.add(self._merged[number])
        self._settle_aside(source, target, plan.own)
        mine, theirs = self._buckets["source"], self._buckets["target"]
        differing = [b for b in sorted({*mine, *theirs}) if mine.get(b) != theirs.get(b)]
        group: list[int] = []
        size = 0
        for bucket in [*differing, -1]:
            rows = max(mine.get(bucket, (0, 0))[0], theirs.get(bucket, (0, 0))[0])
            if group and (bucket == -1 or size + rows > _PASS_ROWS):
                found = _resolve(source, target, plan, self._table, group)
                found.require(self._table)
                self._counts.add(found)
                group, size = [], 0
            group.append(bucket)
            size += rows

    def _settle_aside(self, source: Any, target: Any, own: str) -> None:
        with target.cursor() as cursor:
            if count_held(cursor, own, self._table) == self._aside:
                return
            missing, extra = unequal(source, cursor, own, self._table)
        found = Counts(0, len(missing), len(extra), [])
        rows = [(key, "in quarantine", "missing") for key in missing] + [
            (key, "missing", "in quarantine") for key in extra
        ]
        found.shown += [Difference(self._table.name, key, None, *sides) for key, *sides in rows[:CAP]]
        found.require(self._table)
        self._counts.add(found)

    def result(self) -> dict[str, Any]:
        """The line of the table in the report."""
        whole = hashlib.sha256()
        for number in sorted(self._digests):
            whole.update(bytes.fromhex(self._digests[number]))
        for bucket, (count, total) in sorted(self._buckets["source"].items()) if not self._digests else ():
            whole.update(b"%d:%d:%d;" % (bucket, count, total))
        if self._aside[0]:
            whole.update(b"quarantine %d:%d;" % self._aside)
        return {
            "name": self._table.name,
            "target": self._table.target,
            "rows_source": self._rows["source"],
            "rows_target": self._rows["target"],
            "rows_different": self._counts.different,
            "rows_only_source": self._counts.only_source,
            "rows_only_target": self._counts.only_target,
            "rows_quarantined": self._aside[0],
            "checksum": whole.hexdigest(),
            "seconds": round(self._seconds, 3),
        }


def _resolve(source: Any, target: Any, plan: Plan, table: PlanTable, buckets: list[int]) -> Counts:
    """Match the rows of some buckets by digest, and pair what is left by key."""
    left: Counter[bytes] = Counter()
    with target.cursor(name="pg_cutover_digests") as cursor:
        cursor.itersize = 5_000
        cursor.execute(*digests_query(plan, table, buckets))
        for (digest,) in cursor:
            left[bytes(digest)] += 1
    canonical = Canonical(table)
    wanted = frozenset(buckets)
    keys = len(key_columns(table))
    counts = Counts(0, 0, 0, [])
    unmatched: dict[Texts, tuple[str, Texts]] = {}
    rows = read(source, table, Range(table.name, 0, None, None), with_key=True)
    for row in Sieve(table).passed(rows, before=keys):
        values = row[keys:]
        digest = hashlib.sha256(canonical.row(values)).digest()
        if digest[0] not in wanted:
            continue
        if left.get(digest, 0):
            left[digest] -= 1
            continue
        counts.only_source += 1
        if len(unmatched) < _PAIRED:
            texts = tuple(canonical.values(values))
            identity = _identity(table, texts) or tuple(str(part) for part in row[:keys])
            unmatched[identity] = (row_name(table, values, row[0] if keys == 1 else None), texts)
    counts.only_target = sum(left.values())
    rest = [digest for digest, count in left.items() if count][:_PAIRED]
    if rest:
        with target.cursor() as cursor:
            cursor.execute(*rows_by_digest_query(plan, table, rest))
            for digest, *texts in cursor:
                # Of equal rows only as many as the source lacks.
                if left[bytes(digest)]:
                    left[bytes(digest)] -= 1
                    _pair(table, tuple(texts), unmatched, counts)
    for key, _ in list(unmatched.values())[: max(0, CAP - len(counts.shown))]:
        counts.shown.append(Difference(table.name, key, None, "present", "missing"))
    return counts


def _identity(table: PlanTable, texts: Texts) -> Texts:
    return tuple(text for column, text in zip(table.columns, texts) if column.name in table.key)


def _pair(table: PlanTable, texts: Texts, unmatched: dict[Texts, tuple[str, Texts]], counts: Counts) -> None:
    identity = _identity(table, texts)
    mine = unmatched.pop(identity, None) if identity else None
    if mine is None:
        if len(counts.shown) < CAP:
            shown = ", ".join(_shown(text) for text in identity or texts)
            key = f"({', '.join(table.key)})=({shown})" if identity else f"({_shown(shown)})"
            counts.shown.append(Difference(table.name, key, None, "missing", "present"))
        return
    counts.different += 1
    counts.only_source -= 1
    counts.only_target -= 1
    counts.shown += _columns(table, mine[0], mine[1], texts)[: max(0, CAP - len(counts.shown))]
