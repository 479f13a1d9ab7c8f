# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from SQLite to PostgreSQL.

The decision is the COMMIT of SQLite's fence. Before it PostgreSQL has committed everything that SQLite holds, and a
snapshot of PostgreSQL is kept open, under which all rows are compared once the application is at work again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import Any

from .. import access, checksum
from ..capture import changes
from ..capture.guard import Guard
from ..errors import CutoverError
from ..follow import position as follow_position
from ..follow.apply import Applied, Applier, NeedsMore
from ..follow.sequences import set_sequences
from ..reverse.replay import Replayed, Replayer, open_source
from ..source import fence
from ..source.connect import ERRORS, explain, open_readonly, open_writable
from ..target.connect import connect, patient
from ..workers import default_workers
from . import critical, gate, record, steps
from .clock import NotNow, Took
from .config import Config
from .critical import Decided, Hold
from .proxy import BLUE, GREEN, Proxies
from .target import alive, applying, limit, rehearse, session

#: Entries of the log in one step of catching up; in the drain there is no limit.
_BATCH = 2000
_EVERYTHING = 2**31
_NICE = 10
#: Seconds of silence after which the network of the keeper's session counts as cut.
_KEEPER_PATIENCE = 60


def run(config: Config) -> dict[str, Any]:
    """Switch the application to PostgreSQL.

    Returns {direction, attempt, hold_ms, held_ms, waited_ms, locked_ms, check_ms, drained, drain_ms, verify_ms, commit_ms,
    fence_ms, open_ms, route_ms, attempts, called_off: why earlier attempts were, by, settled, notes, verified: what
    ``checksum.verify`` returns and its seconds, None when it was not asked for or an earlier engine's switch was only
    finished}. drained: rows. Times are in milliseconds; hold_ms is from the first proxy's hold to the last one's release.
    Raises CutoverError; the application is on SQLite then, unless the message says that the switch is decided.
    """
    way = Forward(config)

    def after() -> dict[str, Any]:
        wanted = config.verify and way.snapshot
        return {"verified": _compare(config, way.snapshot) if wanted else None}

    with contextlib.closing(way.keeper):
        return critical.run(config, way, after)


def verify(config: Config) -> dict[str, Any]:
    """Compare all rows although the switch's own snapshot is gone: under one in which everything has been replayed.

    Returns what ``checksum.verify`` returns and its seconds. Raises Locked while the replication is at work, and as a
    replay does.
    """
    found: list[dict[str, Any]] = []
    until = time.monotonic() + config.catch_up_seconds
    with critical.alone(config):
        replayer = _Replayer(config.plan)
        source = open_source(config.source_path)
        target = applying(config.target_url)
        try:
            while replayer.batch(source, target, _BATCH).more:
                pass

            def compare(snapshot: str) -> None:
                # The integers that new UUIDs were given are not in the snapshot of the batch that gave them.
                if config.plan.ids != "uuid" or not replayer.logged:
                    found.append(_compare(config, snapshot))

            while not found:
                replayer.batch(source, target, _EVERYTHING, compare)
                if not found and time.monotonic() > until:
                    raise CutoverError(
                        f"for {config.catch_up_seconds:.0f} s the application never paused long enough for a comparison of "
                        "UUID keys. Compare at a quieter time."
                    )
        finally:
            source.close()
            target.close()
    return found[-1]


class _Replayer(Replayer):
    """One that tells how many entries its last batch took."""

    logged = 0

    def apply(self, source: sqlite3.Connection, cursor: Any, limit: int | None = None) -> Replayed:
        """See ``Replayer.apply``."""
        replayed = super().apply(source, cursor, limit)
        self.logged = replayed.logged
        return replayed


def _compare(config: Config, snapshot: str) -> dict[str, Any]:
    # It gives way to the application's own processes, and no further where the whole playbook does so already.
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    began = time.monotonic()
    compared = checksum.verify(
        config.source_path,
        config.target_url,
        config.plan,
        config.workers or default_workers(),
        config.progress_file,
        snapshot=snapshot,
        throttle=config.throttle,
    )
    return {**compared, "seconds": round(time.monotonic() - began, 2)}


class Keeper:
    """The transaction that keeps the exported snapshot, open until the comparison is over."""

    def __init__(self) -> None:
        self.connection: Any = None

    def connect(self, url: str) -> None:
        """Have a connection, at rest."""
        if not alive(self.connection):
            # It rests for as long as the comparison takes; a short silence of the network must not end it.
            self.connection = connect(url, settings=patient(_KEEPER_PATIENCE), patience=_KEEPER_PATIENCE)
            self.connection.set_session(isolation_level="REPEATABLE READ", readonly=True)

    def export(self) -> str:
        """Take a snapshot of everything that is committed now."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            name: str = cursor.fetchone()[0]
        return name

    def close(self) -> None:
        """Let the snapshot go."""
        if self.connection is not None:
            self.connection.close()


class Forward:
    """The steps of this way; see ``critical.Way``."""

    direction = "forward"
    leaves = BLUE
    enters = GREEN

    def __init__(self, config: Config) -> None:
        self.config = config
        self.keeper = Keeper()
        self.snapshot = ""
        self._guard = Guard(config.source_path, config.plan)
        self._applier = Applier(config.plan)
        self._source: sqlite3.Connection | None = None
        self._target: Any = None
        self._opener: Any = None
        self._capture_id = ""
        self._schema = -1
        self._fence: list[str] = []
        self._opening = ""
        self._drained = 0

    # ---- before the hold

    def ready(self, attempt: str, proxies: Proxies) -> None:
        """Pass the gate, prepare the statements."""
        self.snapshot = ""
        self._connect()
        gate.require(gate.forward(self.config, proxies), "the switch to PostgreSQL")
        assert self._source is not None
        self._prepare(attempt)
        self.keeper.connect(self.config.target_url)

    def _connect(self) -> None:
        if self._source is None:
            # Of one connection the engine needs undecoded values; the fence's statements are read on another.
            self._source = open_writable(self.config.source_path)
            self._source.text_factory = bytearray
            # A checkpoint in the middle of the hold would only lengthen it; the next writer makes it.
            self._source.execute("PRAGMA wal_autocheckpoint = 0")
            # The fence decides: it must not be gone after a power cut, when PostgreSQL has been opened for it.
            self._source.execute("PRAGMA synchronous = EXTRA")
        if not alive(self._target):
            self._target = applying(self.config.target_url)
        if not alive(self._opener):
            self._opener = session(self.config.target_url, autocommit=True, settings={"synchronous_commit": "on"})

    def _prepare(self, attempt: str) -> None:
        reader = open_readonly(self.config.source_path)
        try:
            self._schema = _schema_version(reader)
            self._fence = fence.statements(reader, self.config.source_path, attempt)
        except ERRORS as error:
            raise explain(self.config.source_path, error) from None
        finally:
            reader.close()
        try:
            with self._target, self._target.cursor() as cursor:
                record.prepare(cursor, self.config.plan.own, self.config.name)
                # Its temporary tables for every table, so that none is made in the hold.
                self._applier.prepare(cursor)
                found = follow_position.read(cursor, self.config.plan.own)
                opening = access.prepare_opening(cursor, self.config.plan, self.config.application_role)
                noted = record.noting(cursor, self.config.plan.own, self.config.name, attempt, "target", attempt)
        except self._target.Error as error:
            raise gate.broken(error) from None
        assert found is not None
        self._capture_id = found.capture_id
        # The record first: whoever settles waits for its lock.
        self._opening = f"{noted};\n{opening.sql}"
        try:
            rehearse(self._opener, self._opening)
        except self._opener.Error as error:
            raise gate.broken(error) from None

    def catch_up(self) -> None:
        """Apply what waits until the next round, and so the drain, takes less than half of the budget."""
        try:
            self._catch_up()
        except self._target.Error as error:
            raise gate.broken(error) from None
        except ERRORS as error:
            raise explain(self.config.source_path, error) from None

    def _catch_up(self) -> None:
        until = time.monotonic() + self.config.catch_up_seconds
        size = _BATCH
        while True:
            began = time.monotonic()
            try:
                logged, more = self._round(size)
            except NeedsMore:
                self._target.rollback()
                size *= 4
                continue
            spent_ms = (time.monotonic() - began) * 1000
            if not more and spent_ms <= self.config.budget_ms / 2:
                return
            if time.monotonic() > until:
                raise critical.never_quiet(self.config, "applied", logged, spent_ms)

    def _round(self, size: int) -> tuple[int, bool]:
        """Apply one batch with all that the drain does; (entries, whether more wait)."""
        assert self._source is not None
        self._source.execute("BEGIN")
        try:
            with self._target.cursor() as cursor:
                applied, logged = self._apply(cursor, size, True, Took())
            self._target.commit()
            more = changes.count(self._source, applied.through) > 0
        except BaseException:
            self._target.rollback()
            raise
        finally:
            if self._source.in_transaction:
                self._source.execute("ROLLBACK")
        return logged, more

    def _apply(self, cursor: Any, size: int, may_rebuild: bool, took: Took) -> tuple[Applied, int]:
        assert self._source is not None
        with took.step("check_ms"):
            self._guard.check(self._source)
            stands = follow_position.read(cursor, self.config.plan.own, lock=True)
        if stands is None or stands.capture_id != self._capture_id:
            raise CutoverError("PostgreSQL's position in the change log has gone: somebody has copied anew. Run again.")
        with took.step("drain_ms"):
            found = changes.read(self._source, self.config.plan, stands.position, size)
            applied = self._applier.apply(self._source, cursor, found, may_rebuild)
        with took.step("verify_ms"):
            self._applier.verify(self._source, cursor, applied)
        with took.step("drain_ms"):
            set_sequences(self._source, cursor, self.config.plan)
            follow_position.advance(cursor, self.config.plan.own, stands.capture_id, found.through)
        return applied, found.logged

    # ---- in the hold

    def waits(self) -> tuple[list[Any], list[sqlite3.Connection]]:
        """What the watchdog may break off."""
        assert self._source is not None
        # They are not asked whether they live: a network that is gone would not answer, and nothing watches yet.
        return [self._target, self.keeper.connection], [self._source]

    def decide(self, attempt: str, hold: Hold) -> None:
        """Lock SQLite, drain, fence."""
        source, clock, took = self._source, hold.clock, hold.took
        assert source is not None
        with took.step("locked_ms"):
            source.execute(f"PRAGMA busy_timeout = {clock.left_ms()}")
            source.execute("BEGIN IMMEDIATE")
        steps.reached("locked")
        if _schema_version(source) != self._schema:
            raise NotNow("the structure of the source changed while the switch was prepared")
        with self._target.cursor() as cursor:
            limit(cursor, clock.left_ms())
            with took.step("check_ms"):
                strays = gate.written_by_others(cursor, self.config.plan.own)
            if strays:
                raise CutoverError(f"{strays[0]}. The hold was released, the application was not moved.")
            applied, _ = self._apply(cursor, _EVERYTHING, False, took)
        clock.check("the last changes were applied too late")
        with took.step("commit_ms"):
            self._target.commit()
            self.snapshot = self.keeper.export()
        self._drained = applied.rows
        steps.reached("drained")
        with took.step("fence_ms"):
            for statement in self._fence:
                source.execute(statement)
            steps.reached("fencing")
            hold.point_of_no_return()
            try:
                source.execute("COMMIT")
            except ERRORS as error:
                # A COMMIT that fails leaves its transaction open, or has rolled it back. To be read, not guessed.
                raise Decided(f"SQLite did not take the fence: {error}") from None
        steps.reached("fenced")

    def undo(self) -> None:
        """Leave no transaction open."""
        with contextlib.suppress(*ERRORS):
            if self._source is not None and self._source.in_transaction:
                self._source.execute("ROLLBACK")
        with contextlib.suppress(Exception):
            self._target.rollback()

    def open(self, attempt: str, took: Took) -> None:
        """Let the application write to PostgreSQL."""
        with took.step("open_ms"), self._opener.cursor() as cursor:
            # Several statements in one command are one transaction and one round trip.
            cursor.execute(self._opening)

    # ---- after it

    def result(self) -> dict[str, Any]:
        """Rows that were drained."""
        return {"drained": self._drained}

    def close(self) -> None:
        """Close the connections, not that of the snapshot."""
        for connection in (self._source, self._target, self._opener):
            if connection is not None:
                connection.close()


def _schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA schema_version").fetchone()[0])
