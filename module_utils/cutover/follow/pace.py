# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast it goes: the size of the next batch, the lag, the rate, and what applying all that waits would take."""

from __future__ import annotations

import time
from collections import deque

from .steps import Done

_TARGET_SECONDS = 0.2
_LEAST, _MOST, _SLOW_MOST = 50, 20_000, 500
#: Of an average, the weight of the newest value.
_NEW = 0.3
_SAMPLES, _WINDOW = 2_000, 10.0
#: Milliseconds a change until something was measured, and batches up to which a batch tells of its constant part.
_GUESS_MS, _SMALL = 0.5, 20


def _mixed(before: float | None, new: float) -> float:
    return new if before is None else before + _NEW * (new - before)


class Pace:
    """Measures batches. limit: entries of the next one."""

    def __init__(self) -> None:
        self.batches = 0
        self.slow = False
        self.lag = 0
        self._limit = 500.0
        self._seen: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._applied: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._position = 0
        self._constant_ms: float | None = None
        self._change_ms: float | None = None
        self._proof_ms: float | None = None
        self._whole: tuple[float, float] = (0.0, 0.0)
        self._answer_ms = 1.0

    @property
    def limit(self) -> int:
        """Entries of the next batch."""
        return int(min(self._limit, _SLOW_MOST) if self.slow else self._limit)

    def seen(self, newest: int, position: int) -> None:
        """Note that the log ended at ``newest`` now, while everything up to ``position`` was applied."""
        self.lag = newest - position
        self._position = position
        if not self._seen or self._seen[-1][1] != newest:
            self._seen.append((time.monotonic(), newest))
        while len(self._seen) > 1 and self._seen[0][1] <= position:
            self._seen.popleft()

    def asked(self, seconds: float) -> None:
        """Note how long the target took to answer a question."""
        self._answer_ms = _mixed(self._answer_ms, seconds * 1000)

    def note(self, done: Done) -> None:
        """Take in a batch."""
        self.batches += 1
        if not done.logged:
            return
        now = time.monotonic()
        self._applied.append((now, done.logged))
        milliseconds = done.seconds * 1000
        if done.applied is not None and done.applied.whole:
            self._whole = (now, milliseconds)
        elif done.logged <= _SMALL:
            self._constant_ms = _mixed(self._constant_ms, milliseconds)
        else:
            self._change_ms = _mixed(self._change_ms, max(0.0, milliseconds - self._constant()) / done.logged)
        if done.proof_seconds is not None:
            self._proof_ms = _mixed(self._proof_ms, done.proof_seconds * 1000 / max(done.logged, 10))
        # Not more than doubled at a time: one quick batch says little.
        wanted = self._limit * _TARGET_SECONDS / max(done.seconds, 0.001)
        if done.logged >= self._limit or wanted < self._limit:
            self._limit = max(_LEAST, min(_MOST, self._limit * 2, wanted))

    def rate(self) -> float:
        """Entries applied a second over the last seconds."""
        now = time.monotonic()
        while self._applied and now - self._applied[0][0] > _WINDOW:
            self._applied.popleft()
        return sum(logged for _, logged in self._applied) / _WINDOW

    def age(self) -> float:
        """Seconds since the oldest entry that waits was seen first; 0 when nothing waits."""
        if not self.lag:
            return 0.0
        return time.monotonic() - next((at for at, newest in self._seen if newest > self._position), time.monotonic())

    def _constant(self) -> float:
        return self._constant_ms if self._constant_ms is not None else 5 + 5 * self._answer_ms

    def predicted_ms(self) -> float:
        """Milliseconds that applying and proving all that waits would take."""
        each = (self._change_ms if self._change_ms is not None else _GUESS_MS) + (self._proof_ms or 0.0)
        at, whole = self._whole
        recent = whole if time.monotonic() - at < 60 else 0.0
        return round(self._constant() + recent + self.lag * each, 1)
