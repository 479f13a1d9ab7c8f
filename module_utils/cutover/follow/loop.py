# SPDX-License-Identifier: GPL-3.0-or-later
"""Following the source for hours, whatever becomes of either database meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import Any, Callable

from ..capture import changes as capture
from ..errors import CutoverError, SourceChanged, SourceError, TargetError
from ..plan.model import Plan, from_dict
from ..ranges import explained
from ..source.connect import ERRORS, explain, open_readonly, open_writable
from ..target.connect import connect, first_line, patient
from . import state as states
from . import throttle
from .pace import Pace
from .position import TABLE
from .steps import Steps

#: Of the network to PostgreSQL, in seconds.
PATIENCE = 9
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_QUICK_POLL, _SLOW_POLL = 0.01, 0.1
#: Seconds between two looks at what the outside says, two prunings, two proofs of a batch.
_LOOK, _PRUNE, _PROOF = 1.0, 10.0, 10.0
_PRUNE_ROWS, _PRUNE_AT = 1_000, 50_000
_PROVED_AT_MOST = 2_000


class Follower:
    """Applies the change log to PostgreSQL until it is told to stop. config: what service.load returns.

    limits: what throttle.LIMITS has, and ``prune_seconds``.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        plan = config["plan"]
        self.plan: Plan = plan if isinstance(plan, Plan) else from_dict(plan)
        self.path: str = config["source_path"]
        self._file = os.path.join(config["state_dir"], states.NAME)
        self._limits = throttle.limits_of(config.get("limits"))
        self._prune_every = float((config.get("limits") or {}).get("prune_seconds", _PRUNE))
        self._pace = Pace()
        self._state = states.FOLLOWING
        self._reason: str | None = "starting"
        self._told = 0.0
        self._position: int | None = None
        self._pruned = 0
        self._looked = self._pruned_at = self._proved_at = 0.0

    def run(self, stop: Callable[[], bool]) -> None:
        """Follow until ``stop()``. Raises CutoverError for what only the operator can settle."""
        wait = _FIRST_WAIT
        while not stop():
            began = self._pace.batches
            try:
                with self._connected() as (source, target):
                    self._follow(source, target, stop)
            except SourceChanged as error:
                self._say(states.STOPPED, error.message)
                raise
            except (SourceError, TargetError) as error:
                reason = error.message
            except CutoverError as error:
                self._say(states.STOPPED, error.message)
                raise
            else:
                continue
            if self._pace.batches > began:
                wait = _FIRST_WAIT
            self._say(states.WAITING, reason)
            self._sleep(wait, stop)
            wait = min(wait * 2, _LONGEST_WAIT)

    @contextlib.contextmanager
    def _connected(self) -> Any:
        """(source, target), closed in the end; what they raise as one of the engine's errors."""
        source: Any = None
        target: Any = None
        try:
            source = open_readonly(self.path, bytearray)
            settings = {"synchronous_commit": "off", "lock_timeout": "5s", **patient(PATIENCE)}
            target = connect(self.config["target_url"], settings=settings, patience=PATIENCE)
            yield source, target
        except ERRORS as error:
            raise explain(self.path, error) from None
        except CutoverError:
            raise
        except Exception as error:
            if target is None or not isinstance(error, target.Error):
                raise
            raise TargetError(f"PostgreSQL does not answer as it should: {first_line(error)}") from None
        finally:
            for connection in (source, target):
                if connection is not None:
                    with contextlib.suppress(Exception):
                        connection.close()

    def _follow(self, source: Any, target: Any, stop: Callable[[], bool]) -> None:
        steps = Steps(self.path, self.plan)
        opened = os.stat(self.path)
        with target.cursor() as cursor:
            self._position = steps.check(source, cursor).position
        target.rollback()
        pause, poll = 0.0, _QUICK_POLL
        while not stop():
            now = time.monotonic()
            if now - self._looked >= _LOOK:
                self._looked = now
                if os.stat(self.path).st_ino != opened.st_ino:
                    raise SourceError(f"{self.path}: was replaced by another file.")
                pause = self._look(target)
                self._prune(target)
            with explained(source):
                newest = capture.position(source)
            self._pace.seen(newest, self._position or 0)
            if newest == self._position:
                self._say(self._state, self._reason)
                time.sleep(poll)
                poll = min(poll * 1.5, _SLOW_POLL)
                continue
            poll = _QUICK_POLL
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

    def _look(self, target: Any) -> float:
        """Ask whether to go slower; seconds to pause after a batch at most."""
        began = time.monotonic()
        with target.cursor() as cursor:
            reason = throttle.reason(self.path, cursor, self._limits)
        target.rollback()
        self._pace.asked(time.monotonic() - began)
        self._pace.slow = reason is not None
        self._state, self._reason = (states.THROTTLED, reason) if reason else (states.FOLLOWING, None)
        return 1.0 if reason else 0.0

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
            cursor.execute(f"UPDATE {TABLE} SET position = position")
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

    def _sleep(self, seconds: float, stop: Callable[[], bool]) -> None:
        until = time.monotonic() + seconds
        while not stop() and (left := until - time.monotonic()) > 0:
            self._say(self._state, self._reason)
            time.sleep(min(left, 0.1))

    def _say(self, state: str, reason: str | None) -> None:
        """Write the state file, when it says something new or is a second old."""
        now = time.monotonic()
        if (state, reason) == (self._state, self._reason) and now - self._told < 1.0:
            return
        self._state, self._reason, self._told = state, reason, now
        pace = self._pace
        known = state in (states.FOLLOWING, states.THROTTLED)
        told = states.State(
            "follow",
            state,
            reason,
            lag_changes=pace.lag if self._position is not None else None,
            lag_seconds=round(pace.age(), 3) if self._position is not None else None,
            rate=round(pace.rate(), 1),
            predicted_hold_ms=pace.predicted_ms() if known and self._position is not None else None,
            position=self._position,
        )
        with contextlib.suppress(OSError):
            # A full disk must not end the following; that the file grows old is seen.
            states.write(self._file, told)
