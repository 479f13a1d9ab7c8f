# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from PostgreSQL back to SQLite.

The decision is PostgreSQL's COMMIT that takes the application's right to write away; SQLite has committed every row by
then, still fenced. Lifting the fence comes after it, so that at no moment both take writes.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import Any

from .. import access
from ..capture import changes
from ..errors import CutoverError
from ..follow import position as follow_position
from ..reverse.replay import Replayer, open_source
from ..source import fence
from ..source.connect import ERRORS, explain
from . import critical, gate, record, steps
from .clock import Took, Watchdog
from .config import Config
from .critical import Decided, Hold
from .proxy import BLUE, GREEN, Proxies
from .settle import standing_fence
from .target import alive, applying, limit, rehearse

_BATCH = 2000
#: How long the COMMIT that decides may go unanswered, before PostgreSQL is asked over another connection.
_ANSWER_SECONDS = 2.0


def run(config: Config) -> dict[str, Any]:
    """Take the application back to SQLite with every row that was written since.

    Returns {direction, attempt, hold_ms, held_ms, waited_ms, locked_ms, drained, drain_ms, verify_ms, commit_ms, close_ms,
    open_ms, route_ms, attempts, called_off, by, settled, notes}; see ``forward.run``. Raises CutoverError; the application is on
    PostgreSQL then, unless the message says that the switch is decided.
    """
    return critical.run(config, Back(config), dict)


class Back:
    """The steps of this way; see ``critical.Way``."""

    direction = "back"
    leaves = GREEN
    enters = BLUE

    def __init__(self, config: Config) -> None:
        self.config = config
        self._replayer = Replayer(config.plan)
        self._source: sqlite3.Connection | None = None
        self._target: Any = None
        self._fence = ""
        self._lock = ""
        self._closing = ""
        self._lift: list[str] = []
        self._drained = 0

    # ---- before the hold

    def ready(self, attempt: str, proxies: Proxies) -> None:
        """Pass the gate, prepare the statements."""
        if self._source is None:
            self._source = open_source(self.config.source_path)
            self._source.execute("PRAGMA wal_autocheckpoint = 0")
        if not alive(self._target):
            self._target = applying(self.config.target_url)
            self._target.set_session(isolation_level="REPEATABLE READ")
        gate.require(gate.back(self.config, proxies), "the way back to SQLite")
        try:
            self._prepare(attempt)
        except self._target.Error as error:
            raise gate.broken(error) from None
        except ERRORS as error:
            raise explain(self.config.source_path, error) from None

    def _prepare(self, attempt: str) -> None:
        assert self._source is not None
        self._fence = standing_fence(self.config.source_path) or ""
        self._lift = fence.lift_statements(self._source)
        with self._target, self._target.cursor() as cursor:
            role = access.role_in_use(cursor, self.config.plan) or self.config.application_role
            tables = access.closing_lock(cursor, self.config.plan)
            # The record's table with them: whoever settles waits for this transaction to end.
            self._lock = f"LOCK TABLE {tables}, {record.table_of(self.config.plan.own)} IN EXCLUSIVE MODE"
            noted = record.noting(cursor, self.config.plan.own, self.config.name, self._fence, "source", attempt)
            self._closing = ";\n".join([noted, *access.closing(cursor, self.config.plan, role)])
        rehearse(self._target, self._closing, lambda cursor: self._closes(cursor, role))

    def _closes(self, cursor: Any, role: str) -> None:
        """Raise CutoverError when the role could go on writing to PostgreSQL after what closes it."""
        tables = access.may_write(cursor, self.config.plan, role)
        if tables:
            raise CutoverError(
                f"the application's role {role} could go on writing to PostgreSQL ({', '.join(tables[:3])}) by a right that is "
                "not its own (PUBLIC, another role, ownership, TRUNCATE), so both databases would take writes: revoke that first."
            )

    def catch_up(self) -> None:
        """Replay what waits until the next batch, and so the drain, takes less than half of the budget."""
        assert self._source is not None
        until = time.monotonic() + self.config.catch_up_seconds
        while True:
            began = time.monotonic()
            replayed = self._replayer.batch(self._source, self._target, _BATCH)
            spent_ms = (time.monotonic() - began) * 1000
            if not replayed.more and spent_ms <= self.config.budget_ms / 2:
                return
            if time.monotonic() > until:
                raise critical.never_quiet(self.config, "replayed", replayed.logged, spent_ms)

    # ---- in the hold

    def waits(self) -> tuple[list[Any], list[sqlite3.Connection]]:
        """What the watchdog may break off."""
        assert self._source is not None
        return [self._target], [self._source]

    def decide(self, attempt: str, hold: Hold) -> None:
        """Lock both, replay the rest into SQLite, close PostgreSQL."""
        source, clock, took = self._source, hold.clock, hold.took
        assert source is not None
        with self._target.cursor() as cursor:
            with took.step("locked_ms"):
                limit(cursor, clock.left_ms())
                cursor.execute(self._lock)
                source.execute(f"PRAGMA busy_timeout = {clock.left_ms()}")
                source.execute("BEGIN IMMEDIATE")
            steps.reached("locked")
            with took.step("drain_ms"):
                replayed = self._replayer.apply(source, cursor)
            with took.step("verify_ms"):
                self._replayer.verify(source, cursor, replayed)
            self._drained = replayed.written + replayed.deleted
            clock.check("the last changes were replayed too late")
            through = changes.position(source)
            with took.step("commit_ms"):
                source.execute("COMMIT")
            steps.reached("replayed")
            with took.step("close_ms"):
                stands = follow_position.read(cursor, self.config.plan.own)
                if stands is not None:
                    # The application's next write to SQLite is the first that PostgreSQL does not have.
                    follow_position.advance(cursor, self.config.plan.own, stands.capture_id, through)
                cursor.execute(self._closing)
                steps.reached("closing")
                hold.point_of_no_return()
                self._decide()
        steps.reached("closed")

    def _decide(self) -> None:
        watchdog = Watchdog(time.monotonic() + _ANSWER_SECONDS, [self._target], [])
        try:
            self._target.commit()
        except self._target.Error as error:
            # It may have been committed all the same: PostgreSQL's record says so.
            raise Decided(f"PostgreSQL did not confirm that it is closed: {error}") from None
        finally:
            watchdog.end()

    def undo(self) -> None:
        """Leave no transaction open."""
        self._replayer.forget()
        with contextlib.suppress(*ERRORS):
            if self._source is not None and self._source.in_transaction:
                self._source.execute("ROLLBACK")
        with contextlib.suppress(Exception):
            self._target.rollback()

    def open(self, attempt: str, took: Took) -> None:
        """Lift the fence."""
        assert self._source is not None
        with took.step("open_ms"):
            self._source.execute("PRAGMA busy_timeout = 5000")
            self._source.execute("BEGIN IMMEDIATE")
            for statement in self._lift:
                self._source.execute(statement)
            self._source.execute("COMMIT")

    # ---- after it

    def result(self) -> dict[str, Any]:
        """Rows that were drained."""
        return {"drained": self._drained}

    def close(self) -> None:
        """Close the connections."""
        for connection in (self._source, self._target):
            if connection is not None:
                connection.close()
