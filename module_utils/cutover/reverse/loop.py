# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying changes back for days, whatever becomes of either database meanwhile."""

from __future__ import annotations

import os
import time
from typing import Any, Callable

from ..errors import SourceError
from ..follow.carrier import LOOK, QUICK_POLL, SLOW_POLL, Carrier
from ..follow.steps import Done
from .changes import Waiting, waiting
from .replay import Replayer, open_source


class Reverser(Carrier):
    """Replays the outbox into SQLite until it is told to stop. config: what service.load returns."""

    direction = "reverse"

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._replayer = Replayer(self.plan)
        #: Entries replayed so far: what a position is where there is no order.
        self._position = 0

    def open(self) -> Any:
        """See Carrier."""
        return open_source(self.path)

    def carry(self, source: Any, target: Any, stop: Callable[[], bool]) -> None:
        """See Carrier."""
        opened = os.stat(self.path)
        pause, poll, looked = 0.0, QUICK_POLL, 0.0
        while not stop():
            if time.monotonic() - looked >= LOOK:
                looked = time.monotonic()
                if os.stat(self.path).st_ino != opened.st_ino:
                    raise SourceError(f"{self.path}: was replaced by another file.")
                pause = self._look(target)
            left = self._waiting(target)
            if not left.count:
                self._say(self._state, self._reason)
                time.sleep(poll)
                poll = min(poll * 1.5, SLOW_POLL)
                continue
            poll = QUICK_POLL
            began = time.monotonic()
            replayed = self._replayer.batch(source, target, self._pace.limit)
            self._position = (self._position or 0) + replayed.logged
            seconds = time.monotonic() - began
            self._pace.note(Done(replayed.logged, self._position, self._position, seconds))
            self._waiting(target)
            self._say(self._state, self._reason)
            if pause:
                self._sleep(min(pause, 4 * seconds), stop)

    def _waiting(self, target: Any) -> Waiting:
        with target.cursor() as cursor:
            left = waiting(cursor, self.plan.own)
        target.rollback()
        self._pace.seen((self._position or 0) + left.count, self._position or 0)
        return left
