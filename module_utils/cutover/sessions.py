# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements of the owner run one after the other, or over several sessions where they do not wait for each other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from .errors import CutoverError, Refused
from .target.connect import connect, explain, first_line

#: What all sessions together may take for sorting, in MB; each gets no less than the server's own setting.
_MEMORY_MB = 256
_LEAST_MB = 64
#: A second lock beside the migration's: sessions hold it shared, so that the next run waits for those of a killed one.
_LOCK = ".sessions"


class Step(NamedTuple):
    """A statement, and the table that it is for (as the source calls it)."""

    statement: str
    table: str


def execute(connection: Any, step: Step) -> None:
    """Run one statement. Raises Refused when rows contradict a constraint, TargetError for everything else."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(step.statement)
    except connection.Error as error:
        if getattr(error, "pgcode", "") in ("23505", "23503", "23502", "23514"):
            raise Refused(
                f"table {step.table}: its rows contradict a constraint of PostgreSQL: {first_line(error)}. "
                "Mend the rows, or leave the constraint out in cutover_plan_overrides."
            ) from None
        raise explain(error, f"table {step.table}: {step.statement.split('(')[0].strip()}") from None


def wait_for_others(connection: Any, own: str) -> None:
    """Wait until no session of an earlier run is at work: the server ends a statement before it sees that its client died."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", (own + _LOCK,))
        cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", (own + _LOCK,))


def run(connection: Any, own: str, url: str | None, groups: Sequence[Sequence[Step]], count: int) -> None:
    """Run groups of statements: one group after the other in the given order, over ``count`` sessions at once.

    The statements of a group stay together in one session. Without a URL all run in ``connection``. Raises what the first
    failing statement raises, after the others were cancelled.
    """
    count = min(count, len(groups))
    if url is None or count < 2:
        for group in groups:
            for step in group:
                execute(connection, step)
        return
    left: queue.SimpleQueue[Sequence[Step]] = queue.SimpleQueue()
    for group in groups:
        left.put(group)
    failed: list[BaseException] = []
    opened: list[Any] = []

    def work(session: Any) -> None:
        try:
            while not failed:
                for step in left.get_nowait():
                    execute(session, step)
        except queue.Empty:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised by the caller's thread
            failed.append(error)
            for other in opened:
                if other is not session:
                    other.cancel()

    try:
        for _ in range(count):
            opened.append(_open(own, url, count))
        threads = [threading.Thread(target=work, args=(session,), daemon=True) for session in opened]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for session in opened:
            session.close()
    if failed:
        raise failed[0] if isinstance(failed[0], CutoverError) else RuntimeError(str(failed[0])) from failed[0]


def _open(own: str, url: str, count: int) -> Any:
    """A session whose memory is bounded, for as long as it lives."""
    session = connect(url, autocommit=True)
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(hashtext(%s))", (own + _LOCK,))
        cursor.execute("SELECT setting::bigint / 1024 FROM pg_settings WHERE name = 'maintenance_work_mem'")
        memory = max(int(cursor.fetchone()[0]), _LEAST_MB, _MEMORY_MB // count)
        cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", (f"{memory}MB",))
        # The sessions are the parallelism; each with workers of its own would be more than there are cores.
        cursor.execute("SELECT set_config('max_parallel_maintenance_workers', '0', false)")
    return session
