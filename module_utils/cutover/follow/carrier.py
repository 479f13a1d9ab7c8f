# SPDX-License-Identifier: GPL-3.0-or-later
"""What carrying changes for hours has in common both ways: connections, waiting, going slower, and telling how far it is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any, Callable

from ..errors import CutoverError, SourceChanged, SourceError, TargetError
from ..plan.model import Plan, from_dict
from ..source.connect import ERRORS, explain, open_readonly
from ..target.connect import connect, first_line, patient
from . import state as states
from . import throttle
from .pace import Pace

#: Of the network to PostgreSQL, in seconds.
PATIENCE = 9
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
#: Seconds between two looks when nothing waits.
QUICK_POLL, SLOW_POLL = 0.01, 0.1
#: Seconds between two looks at what the outside says.
LOOK = 1.0


class Carrier:
    """Carries changes until it is told to stop. config: what service.load returns. limits: what throttle.LIMITS has."""

    direction = ""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        plan = config["plan"]
        self.plan: Plan = plan if isinstance(plan, Plan) else from_dict(plan)
        self.path: str = config["source_path"]
        self._file = os.path.join(config["state_dir"], states.NAME)
        self._limits = throttle.limits_of(config.get("limits"))
        self._pace = Pace()
        self._state = states.FOLLOWING
        self._reason: str | None = "starting"
        self._told = 0.0
        self._position: int | None = None

    def carry(self, source: Any, target: Any, stop: Callable[[], bool]) -> None:
        """Carry until ``stop()``, over these connections. Raises SourceError, TargetError for what may pass."""
        raise NotImplementedError  # pragma: no cover - each direction has its own

    def open(self) -> Any:
        """A connection to the source."""
        return open_readonly(self.path, bytearray)

    def settings(self) -> dict[str, str]:
        """Settings of the sessions in PostgreSQL."""
        return {"synchronous_commit": "off", "lock_timeout": "5s", **patient(PATIENCE)}

    def run(self, stop: Callable[[], bool]) -> None:
        """Carry until ``stop()``. Raises CutoverError for what only the operator can settle."""
        wait = _FIRST_WAIT
        while not stop():
            began = self._pace.batches
            try:
                with self._connected() as (source, target):
                    self.carry(source, target, stop)
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
    def _connected(self) -> Iterator[tuple[Any, Any]]:
        """(source, target), closed in the end; what they raise as one of the engine's errors."""
        source: Any = None
        target: Any = None
        try:
            source = self.open()
            target = connect(self.config["target_url"], settings=self.settings(), patience=PATIENCE)
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
            self.direction,
            state,
            reason,
            lag_changes=pace.lag if self._position is not None else None,
            lag_seconds=round(pace.age(), 3) if self._position is not None else None,
            rate=round(pace.rate(), 1),
            predicted_hold_ms=pace.predicted_ms() if known and self._position is not None else None,
            position=self._position,
        )
        with contextlib.suppress(OSError):
            # A full disk must not end the carrying; that the file grows old is seen.
            states.write(self._file, told)
