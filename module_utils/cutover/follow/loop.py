# SPDX-License-Identifier: GPL-3.0-or-later
"""Following the source for hours, whatever becomes of either database meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import Any, Callable

from ..capture import changes as capture
from ..capture.watch import take_out
from ..errors import SourceChanged, SourceError
from ..ranges import explained
from ..source.connect import check_file, open_writable
from .carrier import LOOK, QUICK_POLL, SLOW_POLL, Carrier
from .position import table_of
from .steps import Steps

#: Seconds between two prunings (each takes the application's write lock for a moment), two proofs of a batch.
_PRUNE, _PROOF = 300.0, 10.0
_PRUNE_ROWS, _PRUNE_AT = 1_000, 50_000
_PROVED_AT_MOST = 2_000


class Follower(Carrier):
    """Applies the change log to PostgreSQL until it is told to stop. config: what service.load returns.

    limits: what throttle.LIMITS has, and ``prune_seconds``.
    """

    direction = "follow"

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._prune_every = float((config.get("limits") or {}).get("prune_seconds", _PRUNE))
        self._pruned = 0
        self._looked = self._pruned_at = self._proved_at = 0.0

    def run(self, stop: Callable[[], bool]) -> None:
        """See Carrier. A capture that has come to nothing is taken out: without their log its triggers would make the
        application's writes fail."""
        try:
            super().run(stop)
        except SourceChanged:
            take_out(self.path, stop)
            raise

    def carry(self, source: Any, target: Any, stop: Callable[[], bool]) -> None:
        """See Carrier."""
        steps = Steps(self.path, self.plan)
        opened = self._file_number()
        with target.cursor() as cursor:
            self._position = steps.check(source, cursor).position
        target.rollback()
        pause, poll = 0.0, QUICK_POLL
        while not stop():
            now = time.monotonic()
            if now - self._looked >= LOOK:
                self._looked = now
                if self._file_number() != opened:
                    raise SourceError(f"{self.path}: was replaced by another file.")
                pause = self._look(target)
                self._prune(target)
            with explained(source):
                newest = capture.position(source)
            self._pace.seen(newest, self._position or 0)
            if newest == self._position:
                self._say(self._state, self._reason)
                time.sleep(poll)
                poll = min(poll * 1.5, SLOW_POLL)
                continue
            poll = QUICK_POLL
            prove = now - self._proved_at >= _PROOF and newest - (self._position or 0) <= _PROVED_AT_MOST
            done = steps.once(source, target, self._pace.limit, prove=prove)
            self._position = done.position
            self._pace.note(done)
            if prove:
                self._proved_at = now
            self._pace.seen(done.newest, done.position)
            self._say(self._state, self._reason)
            if pause:
                self._sleep(min(pause, 4 * done.seconds), stop)

    def _file_number(self) -> int:
        """Which file has the source's name now. Raises SourceError."""
        check_file(self.path)
        return os.stat(self.path).st_ino

    def _prune(self, target: Any) -> None:
        """Drop what is applied from the log, as far as the target cannot lose it again."""
        position = self._position or 0
        due = time.monotonic() - self._pruned_at >= self._prune_every or position - self._pruned >= _PRUNE_AT
        if position == self._pruned or not due:
            return
        self._pruned_at = time.monotonic()
        with target.cursor() as cursor:
            # The commits of batches may be lost in a crash of the server; this one takes all before it to its disk.
            cursor.execute("SELECT set_config('synchronous_commit', 'on', true)")
            cursor.execute(f"UPDATE {table_of(self.plan.own)} SET position = position")
        target.commit()
        try:
            with contextlib.closing(open_writable(self.path, timeout=0.05)) as source:
                until = time.monotonic() + 0.25
                while capture.prune(source, position, _PRUNE_ROWS) == _PRUNE_ROWS and time.monotonic() < until:
                    pass
        except (SourceError, sqlite3.OperationalError):
            # The application is writing; there is always another time.
            return
        self._pruned = position
