# SPDX-License-Identifier: GPL-3.0-or-later
"""What both ways of the critical section have in common: locks, guardian, hold, deadlines, several attempts, the journal."""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, Protocol

from ..errors import CutoverError, Refused, TargetError
from ..journal import make_state_dir, state_dir
from ..lock import EngineLock, Locked, ReplicationLock
from ..target.connect import first_line
from . import pending, steps
from .clock import Clock, NotNow, Took, Watchdog
from .config import Config
from .guardian import Guardian
from .pending import Pending
from .proxy import BLUE, Proxies, ProxyError
from .settle import align, settle

#: How long a guardian that settles for a killed engine is waited for.
_GUARDIAN_SECONDS = 15.0
_WATCHDOG_SECONDS = 0.015
_NICE = -10
#: How long a moment with few requests under way is looked for, how much of that only to learn what is few here, and
#: after how long what the application wrote meanwhile is applied.
_CALM_SECONDS = 5.0
_LOOK_SECONDS = 2.0
_APPLY_SECONDS = 0.1
_SAMPLE_SECONDS = 0.01
#: No application is calmer than this.
_CALM = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Way(Protocol):
    """One direction. Until ``decide`` returns, nothing that it did may matter to the application."""

    direction: str
    leaves: str
    enters: str

    def ready(self, attempt: str, proxies: Proxies) -> None:
        """Check the gate, prepare every statement. Raises CutoverError when the attempt must not begin."""

    def catch_up(self) -> None:
        """The last thing before the hold: apply what waits until the rest fits into it. Raises CutoverError."""

    def waits(self) -> tuple[list[Any], list[sqlite3.Connection]]:
        """The connections on which ``decide`` may have to wait."""

    def decide(self, attempt: str, hold: Hold) -> None:
        """Apply the last changes, close one side; the last statement of it is the decision."""

    def undo(self) -> None:
        """Roll back what is open; never raises."""

    def open(self, attempt: str, took: Took) -> None:
        """Open the other side. Any error here is settled by what is durable."""

    def result(self) -> dict[str, Any]:
        """What the way adds to the result."""

    def close(self) -> None:
        """Close connections."""


class Hold:
    """One hold while it lasts. ``point_of_no_return`` is called right before the statement that decides."""

    def __init__(self, clock: Clock, took: Took, watchdog: Watchdog, proxies: Proxies, deadline_ms: int) -> None:
        self.clock = clock
        self.took = took
        self._watchdog = watchdog
        self._proxies = proxies
        self._deadline_ms = deadline_ms

    def point_of_no_return(self) -> None:
        """Make sure that there is time and that all proxies still hold; then nothing breaks the decision off any more."""
        self._proxies.confirm(self._deadline_ms)
        self.clock.check("the decision was not reached")
        self._watchdog.end()
        if self._watchdog.fired:
            raise NotNow("the hold's budget was over right before the decision")


class Decided(Exception):
    """Whether the decision was taken is to be read from the databases, or it was and something failed after it."""


def never_quiet(config: Config, carried: str, logged: int, spent_ms: float) -> CutoverError:
    """The refusal of an application whose changes come as fast as they are ``carried``: applied, replayed."""
    return CutoverError(
        f"for {config.catch_up_seconds:.0f} s the changes of the application came as fast as they are {carried}: the last "
        f"{logged} took {spent_ms:.0f} ms, which must be less than half of the hold's budget of {config.budget_ms} ms. Try at "
        "a quieter time, or give it a larger budget."
    )


@contextlib.contextmanager
def alone(config: Config) -> Iterator[tuple[str, ReplicationLock]]:
    """Hold the locks of a switch. Raises Locked at once when another one is at work, or when a service replicates."""
    folder = state_dir(config.name, config.state_dir)
    make_state_dir(folder)
    until = time.monotonic() + _GUARDIAN_SECONDS
    lock = ReplicationLock(folder, {"direction": "switch"}, patience=0.0)
    while True:
        try:
            lock.__enter__()
            break
        except Locked as error:
            # A holder without a living process: the guardian of an engine that was killed, which ends by itself.
            if error.holder:
                if error.holder.get("direction") != "switch":
                    raise
                raise Locked(
                    f"another switch of this migration is at work (process {error.holder.get('pid')}); nothing was changed.",
                    error.holder,
                ) from None
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
    try:
        with EngineLock(folder):
            yield folder, lock
    finally:
        lock.__exit__(None, None, None)


def run(config: Config, way: Way, after: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do it, in as many attempts as the configuration allows. Returns the result; see ``forward`` and ``back``.

    after: what is done when the application is at work again and the replication may begin; it adds to the result. A
    later switch ends it, as any engine process that a killed run has left behind.
    """
    with alone(config) as (folder, lock):
        # Before any connection is opened: nothing of one may be in two processes.
        guardian = Guardian(folder, lambda: settle(config, "guardian"), lock.fileno())
        try:
            if settle(config, opened_by=config.run) == way.direction:
                told = {
                    "direction": way.direction,
                    "settled": True,
                    "attempts": 0,
                    "called_off": [],
                    "hold_ms": None,
                    "notes": [],
                }
            else:
                with Proxies(config.proxies) as proxies:
                    told = _attempts(config, way, folder, guardian, proxies)
        finally:
            way.close()
            guardian.dismiss()
        lock.__exit__(None, None, None)
        return {**told, **after()}


def _attempts(config: Config, way: Way, folder: str, guardian: Guardian, proxies: Proxies) -> dict[str, Any]:
    off: list[str] = []
    token = secrets.token_hex(3)
    attempt = ""
    told: dict[str, Any] | None = None
    # Whether it is sure that the attempt decided nothing; a signal that waited may end the process before it is known.
    sure = True
    try:
        for number in range(1, config.attempts + 1):
            if number > 1:
                time.sleep(config.pause_seconds)
            attempt = config.attempt(f"{number}-{token}")
            way.ready(attempt, proxies)
            pending.begin(folder, Pending(attempt, way.direction))
            # Right before the hold: it is the same process that confirms it, by a clock that was looked at now.
            proxies.check()
            calm(way.catch_up, lambda: proxies.in_flight(way.leaves, config.kinds))
            steps.reached("announced")
            sure = False
            with _undisturbed():
                try:
                    told = _attempt(config, way, attempt, guardian, proxies)
                    told = {"attempt": attempt, **told, **way.result(), "attempts": len(off) + 1, "by": "engine"}
                    told = _journaled(config, way, folder, guardian, {**told, "called_off": off}, proxies)
                    break
                except NotNow as reason:
                    sure = True
                    guardian.at_ease()
                    off.append(reason.message)
                except Decided:
                    raise
                except BaseException:
                    sure = told is None
                    raise
        if told is None:
            raise CutoverError(
                f"the switch was tried {config.attempts} times and called off each time; the application was not moved: "
                f"{off[-1].rstrip('.')}. Try at a quieter time, or give it a larger budget (cutover_hold_budget_ms)."
            )
    except Decided as error:
        # What is left to do is done by the next run, which finds the attempt in its file.
        guardian.at_ease()
        raise CutoverError(str(error)) from None
    except BaseException:
        guardian.at_ease()
        if sure:
            _called_off(config, folder, way, attempt, off)
        raise
    return told


def calm(catch_up: Callable[[], None], in_flight: Callable[[], int], seconds: float = _CALM_SECONDS) -> int:
    """Return, caught up, at a moment with few requests under way; how many there are.

    The hold lasts until these have ended, and a burst or a stall would use up its budget. Few is what was the least while it
    was looked; after ``seconds`` any moment is as good as another. Raises what the two raise.
    """
    began = time.monotonic()
    caught = -_APPLY_SECONDS
    least: int | None = None
    while True:
        if time.monotonic() - caught >= _APPLY_SECONDS:
            catch_up()
            caught = time.monotonic()
        found = in_flight()
        spent = time.monotonic() - began
        if found <= _CALM or spent >= seconds or (least is not None and spent >= _LOOK_SECONDS and found <= least):
            return found
        if spent < _LOOK_SECONDS or least is None:
            least = found if least is None else min(least, found)
        time.sleep(_SAMPLE_SECONDS)


def _journaled(
    config: Config, way: Way, folder: str, guardian: Guardian, told: dict[str, Any], proxies: Proxies
) -> dict[str, Any]:
    """Tell the journal; the result of the run."""
    notes = list(proxies.notes)
    try:
        pending.end(folder, config.run, way.direction, told)
    except OSError as error:
        # The application has moved; the next run tells the journal.
        notes.append(f"{folder}: the journal could not be written ({error.strerror}); the next run does it")
    steps.reached("journaled")
    guardian.at_ease()
    return {"direction": way.direction, "settled": False, **told, "notes": notes}


def _called_off(config: Config, folder: str, way: Way, attempt: str, off: list[str]) -> None:
    """Tell the journal that nothing was switched, so that it is no longer undecided."""
    begun = pending.read(folder)
    if begun is not None and begun.direction == way.direction:
        detail = {"attempt": attempt or begun.attempt, "by": "engine", "called_off": off}
        # On a full disk the next run tells the journal; what has to be told now is why it was called off.
        with contextlib.suppress(OSError):
            pending.end(folder, config.run, "nothing", detail)


def _attempt(config: Config, way: Way, attempt: str, guardian: Guardian, proxies: Proxies) -> dict[str, Any]:
    """One hold. Raises NotNow when it is called off, CutoverError when another one would be of no use."""
    took = Took()
    failed: BaseException | None = None
    decided = False
    guardian.arm()
    clock = Clock(config.budget_ms)
    deadline_ms = int(time.time() * 1000) + config.lease_ms
    # Each wait has its own limit; the watchdog is for what has none.
    watchdog = Watchdog(clock.until + _WATCHDOG_SECONDS, *way.waits())
    try:
        _hold(config, way, proxies, clock, took, deadline_ms)
        hold = Hold(clock, took, watchdog, proxies, deadline_ms)
        way.decide(attempt, hold)
        decided = True
    except Decided as error:
        failed = error
    except BaseException as error:  # noqa: BLE001 - whatever it is, requests must not wait for it; raised again below
        with contextlib.suppress(ProxyError):
            proxies.release()
        way.undo()
        guardian.at_ease()
        raise _reason(error) from None
    finally:
        watchdog.end()
    if decided:
        try:
            way.open(attempt, took)
            steps.reached("opened" if way.direction == "forward" else "lifted")
            with took.step("route_ms"):
                proxies.route(way.enters)
                steps.reached("routed")
                proxies.release()
            steps.reached("released")
        except Exception as error:  # noqa: BLE001 - decided is decided: whatever happened, it is finished below
            failed = error
    if failed is not None:
        way.undo()
        _finish(config, way, proxies, attempt, failed)
    hold_ms = clock.spent_ms()
    return {"hold_ms": hold_ms, **took.ms}


def _hold(config: Config, way: Way, proxies: Proxies, clock: Clock, took: Took, deadline_ms: int) -> None:
    with took.step("held_ms"):
        proxies.hold(deadline_ms)
    steps.reached("held")
    with took.step("waited_ms"):
        try:
            proxies.wait_idle(way.leaves, config.kinds, clock.until)
        except ProxyError as error:
            raise NotNow(error.message) from None
    steps.reached("idle")


def _finish(config: Config, way: Way, proxies: Proxies, attempt: str, failed: BaseException) -> None:
    """Finish by what is durable. Raises NotNow when nothing was decided after all, Decided when it cannot be finished."""
    try:
        side = align(config, proxies, attempt, back=way.enters == BLUE)
    except CutoverError as error:
        raise Decided(error.message) from failed
    except Exception as error:
        # Whatever it is, nothing is known of the decision then.
        raise Decided(f"the switch cannot be finished ({error}); run the same playbook again, which does it") from error
    if side != way.enters:
        raise NotNow(str(_reason(failed))) from failed


def _reason(error: BaseException) -> BaseException:
    """What an attempt ended with, as NotNow when another attempt may succeed."""
    if isinstance(error, NotNow):
        return error
    if isinstance(error, sqlite3.OperationalError):
        return NotNow(f"SQLite: {error}")
    if isinstance(error, (TargetError, Refused)):
        # What is refused for good is refused again when the next attempt catches up, without a hold.
        return NotNow(error.message)
    if isinstance(error, Decided):
        return NotNow(str(error))
    if hasattr(error, "pgcode"):
        return NotNow(f"PostgreSQL: {first_line(error)}")
    if isinstance(error, CutoverError) and ("locked" in error.message or "interrupted" in error.message):
        return NotNow(error.message)
    return error


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that would end the process wait for the end of the hold and the journal; so does the garbage collector.

    Whoever may do so also goes before other processes meanwhile: everybody waits for this one.
    """
    asked: list[int] = []
    former: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for one in _SIGNALS:
            former[one] = signal.signal(one, lambda number, _: asked.append(number))
    collecting = gc.isenabled()
    gc.disable()
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(nice, _NICE))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        if collecting:
            gc.enable()
        for one, handler in former.items():
            signal.signal(one, handler or signal.SIG_DFL)
        if asked:
            os.kill(os.getpid(), asked[0])
