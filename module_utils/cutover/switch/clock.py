# SPDX-License-Identifier: GPL-3.0-or-later
"""The time that a hold may take, and what happens to a call that would outlast it."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any

from ..errors import CutoverError


class NotNow(CutoverError):
    """This attempt is called off without a change; another one may succeed."""


class Clock:
    """Starts with the hold. Times are in seconds of time.monotonic()."""

    def __init__(self, budget_ms: int) -> None:
        self.began = time.monotonic()
        self.budget_ms = budget_ms
        self.until = self.began + budget_ms / 1000

    def left_ms(self) -> int:
        """Milliseconds that are left, at least 1, since 0 means for ever to both databases."""
        return max(1, int((self.until - time.monotonic()) * 1000))

    def check(self, doing: str) -> None:
        """Raise NotNow when the time is over."""
        if time.monotonic() >= self.until:
            raise NotNow(f"the hold's budget of {self.budget_ms} ms was over: {doing}")

    def spent_ms(self) -> float:
        """Milliseconds since the hold began."""
        return round((time.monotonic() - self.began) * 1000, 2)


class Took:
    """Milliseconds that named steps took."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time of what is done inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = (time.monotonic() - began) * 1000
            self.ms[name] = round(self.ms.get(name, 0.0) + spent, 2)


class Watchdog:
    """Breaks off what waits in PostgreSQL or SQLite when the time is over: a network that is gone answers nothing.

    libpq has no time limit of its own for an answer, so the connection's socket is shut down below it; the call then
    fails at once, as if the server had gone.
    """

    def __init__(self, until: float, targets: list[Any], sources: list[sqlite3.Connection]) -> None:
        self._ended = threading.Event()
        # Copies: a number that the library has closed may be somebody else's by then.
        self._sockets = [socket.socket(fileno=os.dup(target.fileno())) for target in targets]
        self._sources = sources
        self._until = until
        self.fired = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._wait, name="watchdog", daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        if self._ended.wait(max(0.0, self._until - time.monotonic())):
            return
        with self._lock:
            if self._ended.is_set():
                return
            self.fired = True
            for connection in self._sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for source in self._sources:
                with contextlib.suppress(sqlite3.Error):
                    source.interrupt()

    def end(self) -> None:
        """Break nothing off any more. When it returns, either it has fired before or it never will."""
        with self._lock:
            self._ended.set()
        for connection in self._sockets:
            connection.close()
