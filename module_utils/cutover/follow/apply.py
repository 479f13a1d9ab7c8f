# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing the rows that a range of the change log names to what they are now in the source.

Parents are written before children, vanished rows deleted children first. What this order cannot do is tried row by row
(``careful``), and in the end with the foreign keys taken off (``rebuild``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import idmap
from ..capture import changes as capture
from ..capture.changes import Changes, Key
from ..errors import CutoverError, Refused
from ..plan.model import Plan, PlanTable
from ..target.connect import explain, first_line, qualified, quote
from . import catalog, ids, prove
from .careful import Careful, referred
from .order import parents_first
from .rebuild import rebuild
from .stage import Stage, Staged, temporary

_SAVEPOINT = "pgcutover_batch"
#: What a range of changes is applied under. The temporary tables have no statistics, so that the planner would read large
#: tables whole, and compile for it; where hashing is right it is switched on (``hashing``).
_SETTINGS = {
    "pgcutover.applying": "on",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


class NeedsMore(CutoverError):
    """The range cannot be applied by itself: a row of it depends on changes behind it. Roll back, read a longer range."""


@dataclass
class Applied:
    """What was applied: by table of the source the keys that have a row now, those that have none, and the tables that
    were refreshed whole. through: the position reached. rows: rows written or deleted. rebuilt: constraints that had to be
    taken off and put back."""

    through: int
    rows: int = 0
    upserted: dict[str, list[Key]] = field(default_factory=dict)
    deleted: dict[str, list[Key]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    rebuilt: list[str] = field(default_factory=list)


class Applier:
    """Applies changes for one plan; keeps what it has prepared for each table, so use one for many batches."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._connection: Any = None
        self._facts: catalog.Facts | None = None
        self._stages: dict[str, Stage] = {}
        self._order: list[PlanTable] = []
        self._proofs = prove.Proofs(plan)

    def prepare(self, cursor: Any) -> None:
        """Make everything that the first batch of a session needs, for all tables; the caller commits.

        So that nothing of it falls into a critical section: it takes some milliseconds a table.
        """
        self._know(cursor)
        there = temporary(cursor)
        for table in self._order:
            self._stage(table).create(cursor, there)
            self._proofs.prepare(table)

    def apply(self, source: Any, cursor: Any, changes: Changes, may_rebuild: bool) -> Applied:
        """Write the rows that ``changes`` names as the source has them now; idempotent. Does not commit, nor advance.

        source: a connection with text_factory bytearray, inside the (read or write) transaction in which ``changes`` was
        read. cursor: of a psycopg2 connection that is not in autocommit; after any error its transaction is of no use.
        may_rebuild: what no order of statements can do may take foreign keys off and put them back.
        Raises Refused for what PostgreSQL or the plan does not take, NeedsMore when ``changes`` is not all that waits and
        depends on the rest, TargetError and SourceError; psycopg2's own errors where the connection is lost.
        """
        applied = Applied(changes.through, whole=changes.whole)
        if not changes.keys and not changes.whole:
            return applied
        error_class = cursor.connection.Error
        try:
            return self._apply(source, cursor, changes, may_rebuild, applied)
        except error_class as error:
            if error.pgcode is None or error.pgcode[:2] in ("57", "08", "55", "40", "53"):
                raise
            raise explain(error, "The changes cannot be applied") from None

    def _apply(self, source: Any, cursor: Any, changes: Changes, may_rebuild: bool, applied: Applied) -> Applied:
        cursor.execute(
            "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _SETTINGS.items())
        )
        if self._facts is None:
            idmap.load_given(source, self.plan)
        facts = self._know(cursor)
        there = temporary(cursor)
        touched = [
            self._stage(table) for table in self._order if table.name in changes.keys or table.name in changes.whole
        ]
        self._triggers(cursor, facts, touched, "DISABLE")
        staged: dict[str, Staged] = {}
        for stage in touched:
            stage.create(cursor, there)
            keys = changes.keys.get(stage.table.name)
            if keys:
                staged[stage.table.name] = stage.fill(source, cursor, keys)
            if stage.table.name in changes.whole:
                stage.fill_whole(source, cursor)
        batch = [stage for stage in touched if stage.table.name in staged]
        whole = [stage for stage in touched if stage.table.name in changes.whole]
        for stage in batch:
            ids.keep_map(cursor, self.plan, stage.table, staged[stage.table.name])
        applied.upserted = {name: one.rows for name, one in staged.items() if one.rows}
        applied.deleted = {name: one.gone for name, one in staged.items() if one.gone}
        applied.rows += sum(len(one.rows) + len(one.gone) for one in staged.values())
        self._write(source, cursor, batch, whole, staged, changes, may_rebuild, applied)
        ids.keep_orphans(source, cursor, self.plan, {name: one.there for name, one in staged.items()}, applied.deleted)
        self._triggers(cursor, facts, touched, "ENABLE")
        return applied

    def _write(
        self,
        source: Any,
        cursor: Any,
        batch: list[Stage],
        whole: list[Stage],
        staged: dict[str, Staged],
        changes: Changes,
        may_rebuild: bool,
        applied: Applied,
    ) -> None:
        """The rows themselves, the quickest way that works."""
        facts = self._know(cursor)
        integrity = cursor.connection.IntegrityError
        cursor.execute(f"SAVEPOINT {_SAVEPOINT}; SET CONSTRAINTS ALL DEFERRED")
        try:
            rows = self._quickly(cursor, batch, whole, staged, facts)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            applied.rows += rows
            return
        except (integrity, _Blocked):
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}; SET CONSTRAINTS ALL DEFERRED")
        problem: str | None = Careful(cursor, facts, batch, whole).run()
        if problem is None:
            try:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                return
            except integrity as error:
                problem = f"{first_line(error)} (constraint {error.diag.constraint_name})"
        if changes.through < capture.position(source):
            raise NeedsMore(f"{problem}; changes behind position {changes.through} decide it.")
        if not may_rebuild:
            raise Refused(
                f"the last changes cannot be put in an order that PostgreSQL takes: {problem}. The follower brings them over by "
                "taking foreign keys off for a moment, which is not done while writes are held: let it, and try again."
            )
        cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        applied.rebuilt = rebuild(cursor, facts, batch, whole, problem)

    def _quickly(
        self, cursor: Any, batch: list[Stage], whole: list[Stage], staged: dict[str, Staged], facts: catalog.Facts
    ) -> int:
        rows = sum(stage.delete_whole(cursor) for stage in whole)
        for stage in batch:
            if staged[stage.table.name].rows:
                if stage.table.name not in facts.arbiters:
                    raise _Blocked
                cursor.execute(stage.upsert)
        rows += sum(stage.insert_whole(cursor) for stage in whole)
        gone = {stage.name: stage for stage in batch if staged[stage.table.name].gone}
        for key in facts.foreign_keys:
            if key.acts and key.parent in gone and referred(cursor, key, gone):
                # Deleting would take rows along that are to stay.
                raise _Blocked
        for stage in reversed(batch):
            if staged[stage.table.name].gone:
                cursor.execute(stage.delete)
        return rows

    def verify(self, source: Any, cursor: Any, applied: Applied) -> None:
        """Read the rows that were applied back from PostgreSQL and compare them with the source's, all of them.

        In the transactions of ``apply``, before another one. Raises CutoverError naming the first rows that differ.
        """
        for name, keys in applied.upserted.items():
            self._proofs.present(source, cursor, self._stage(self.plan.table(name)), keys)
        for name, keys in applied.deleted.items():
            self._proofs.absent(cursor, self._stage(self.plan.table(name)), keys)
        for name in applied.whole:
            self._proofs.whole(source, cursor, self.plan.table(name))

    def _know(self, cursor: Any) -> catalog.Facts:
        """The target's facts, read once for each connection."""
        if self._facts is None or self._connection is not cursor.connection:
            self._facts = catalog.load(cursor, self.plan)
            self._connection = cursor.connection
            self._order = parents_first(self.plan, self._facts.foreign_keys)
            self._stages.clear()
            keyless = {(self.plan.schema, table.target): table for table in self.plan.tables if not table.key}
            for key in self._facts.foreign_keys:
                if key.parent in keyless:
                    raise Refused(
                        f"table {keyless[key.parent].name} has no key, and foreign key {key.name} refers to it: its changes "
                        "cannot be followed. Give it a primary key."
                    )
        return self._facts

    def _stage(self, table: PlanTable) -> Stage:
        stage = self._stages.get(table.name)
        if stage is None:
            assert self._facts is not None
            stage = self._stages[table.name] = Stage(self.plan, table, self._facts)
        return stage

    def _triggers(self, cursor: Any, facts: catalog.Facts, touched: list[Stage], how: str) -> None:
        """The application's own triggers must not act on what the source's application has done already."""
        for table, trigger in facts.triggers:
            if any(stage.table.target == table for stage in touched):
                cursor.execute(f"ALTER TABLE {qualified(self.plan.schema, table)} {how} TRIGGER {quote(trigger)}")


class _Blocked(Exception):
    """The quick way is not possible."""
