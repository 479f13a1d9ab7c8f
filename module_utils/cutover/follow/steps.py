# SPDX-License-Identifier: GPL-3.0-or-later
"""One batch: a range of the change log, applied with its position in one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..capture import changes as capture
from ..capture import install
from ..capture.guard import Guard
from ..capture.names import LOG
from ..errors import CutoverError, Refused, SourceChanged
from ..plan.model import Plan
from ..ranges import explained
from . import position
from .apply import Applied, Applier, NeedsMore

#: Entries of the log in a batch that must not be cut anywhere.
ALL = 1 << 62


@dataclass(frozen=True)
class Done:
    """What a batch came to. logged: entries of the log; position: up to which the target has everything; newest: the
    highest position of the log when it was read. proof_seconds: of the comparison, not in ``seconds``."""

    logged: int
    position: int
    newest: int
    seconds: float = 0.0
    proof_seconds: float | None = None
    applied: Applied | None = None


class Steps:
    """Batches for one plan and one source."""

    def __init__(self, path: str, plan: Plan) -> None:
        self.plan = plan
        self.applier = Applier(plan)
        self._guard = Guard(path, plan)

    def check(self, source: Any, cursor: Any) -> position.Position:
        """Where the target stands, once it is sure that it follows this very log. Raises Refused, SourceChanged."""
        standing = position.read(cursor, self.plan.own)
        with explained(source):
            found = install.inspect(source)
            oldest = source.execute(f"SELECT min(seq) FROM {LOG}").fetchone()[0] if found else None
            newest = capture.position(source) if found else 0
        if standing is None:
            raise Refused("the target has no position of a change log: copy a snapshot first (playbooks/cutover.yml).")
        if found is None:
            raise SourceChanged(
                "the source has no change log any more, so nothing can be followed. Run cutover.yml again: it copies anew."
            )
        if found.id != standing.capture_id:
            raise Refused(
                f"the target follows the change log {standing.capture_id}, the source has {found.id}: changes between them may "
                "be missing. Copy anew with -e cutover_start_over=true."
            )
        if standing.position > newest:
            raise Refused(
                f"the target stands at position {standing.position}, the change log ends at {newest}: the source is older than "
                "what was copied (restored from a backup?). Copy anew with -e cutover_start_over=true."
            )
        if oldest is not None and oldest > standing.position + 1:
            raise Refused(
                f"the target stands at position {standing.position}, the change log begins at {oldest}: what is between them is "
                "gone (PostgreSQL restored from a backup?). Copy anew with -e cutover_start_over=true."
            )
        return standing

    def once(self, source: Any, target: Any, limit: int, may_rebuild: bool = True, prove: bool = False) -> Done:
        """Apply at most ``limit`` entries of the log, more where they cannot be cut there, and commit.

        source: opened with text_factory bytearray, no transaction open. target: not in autocommit. prove: compare what was
        applied before the commit. Raises what Applier does.
        """
        while True:
            try:
                return self._once(source, target, limit, may_rebuild, prove)
            except NeedsMore:
                limit = ALL if limit >= 1 << 20 else limit * 16
            finally:
                if source.in_transaction:
                    source.execute("ROLLBACK")
                if not target.closed:
                    target.rollback()

    def _once(self, source: Any, target: Any, limit: int, may_rebuild: bool, prove: bool) -> Done:
        began = time.monotonic()
        with target.cursor() as cursor:
            standing = position.read(cursor, self.plan.own, lock=True)
            if standing is None:
                raise Refused(
                    "the target was prepared anew: there is no position to follow from. Run cutover.yml again."
                )
            with explained(source):
                source.execute("BEGIN")
                newest = capture.position(source)
            self._guard.check(source)
            changes = capture.read(source, self.plan, standing.position, limit)
            if not changes.logged:
                return Done(0, standing.position, newest)
            applied = self.applier.apply(source, cursor, changes, may_rebuild)
            position.advance(cursor, self.plan.own, standing.capture_id, changes.through)
            proof = None
            if prove:
                before = time.monotonic()
                self.applier.verify(source, cursor, applied)
                proof = time.monotonic() - before
            source.execute("COMMIT")
            target.commit()
        seconds = time.monotonic() - began - (proof or 0.0)
        return Done(changes.logged, changes.through, newest, seconds, proof, applied)


def catch_up(path: str, plan: Plan, source: Any, target: Any, below: int, seconds: float, limit: int = 5_000) -> int:
    """Apply until fewer than ``below`` changes wait, at least one batch; return how many then wait.

    The connections are as for ``Steps.once``. Raises CutoverError when ``seconds`` are not enough, and what Steps does.
    """
    steps = Steps(path, plan)
    with target.cursor() as cursor:
        at = steps.check(source, cursor).position
    target.rollback()
    until = time.monotonic() + seconds
    while True:
        at = steps.once(source, target, limit).position
        with explained(source):
            waiting = capture.count(source, at)
        if waiting < below:
            return waiting
        if time.monotonic() > until:
            raise CutoverError(
                f"{waiting} changes still wait after {seconds:g} s of applying them, and fewer than {below} are wanted: the "
                "application writes faster than the target takes it. Try again when it is quieter."
            )
