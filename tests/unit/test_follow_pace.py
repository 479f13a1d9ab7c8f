# SPDX-License-Identifier: GPL-3.0-or-later
"""What a follower tells of its speed, and by what it sizes its batches."""

from __future__ import annotations

import pytest

from cutover.follow import pace
from cutover.follow.pace import Pace
from cutover.follow.steps import Done
from cutover.follow.throttle import LIMITS, limits_of, reason


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """As time.monotonic."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The pace's clock."""
    made = Clock()
    monkeypatch.setattr(pace, "time", made)
    return made


def test_batches_grow_and_shrink_towards_their_time(clock: Clock) -> None:
    measured = Pace()
    for _ in range(20):
        measured.note(Done(measured.limit, 0, 0, seconds=measured.limit / 10_000))
    assert measured.limit == pytest.approx(2_000, rel=0.1)
    for _ in range(5):
        measured.note(Done(measured.limit, 0, 0, seconds=measured.limit / 500))
    assert measured.limit == pytest.approx(100, rel=0.1)
    measured.note(Done(0, 0, 0))
    assert measured.limit == pytest.approx(100, rel=0.1)


def test_the_hold_is_predicted_from_what_waits(clock: Clock) -> None:
    measured = Pace()
    assert measured.predicted_ms() > 0
    for _ in range(30):
        measured.note(Done(1, 0, 0, seconds=0.004))
        measured.note(Done(1_000, 0, 0, seconds=0.104, proof_seconds=0.05))
    measured.seen(5_000, 5_000)
    assert measured.predicted_ms() == pytest.approx(4, abs=0.5)
    measured.seen(5_200, 5_000)
    assert measured.predicted_ms() == pytest.approx(4 + 200 * 0.15, rel=0.1)


def test_the_lag_is_as_old_as_its_oldest_change(clock: Clock) -> None:
    measured = Pace()
    measured.seen(10, 10)
    assert (measured.lag, measured.age()) == (0, 0.0)
    for second in range(1, 6):
        clock.now += 1
        measured.seen(10 + 5 * second, 10)
    assert (measured.lag, measured.age()) == (25, 4.0)
    measured.seen(35, 21)
    assert (measured.lag, measured.age()) == (14, 2.0)
    measured.seen(35, 35)
    assert (measured.lag, measured.age()) == (0, 0.0)


def test_each_limit_has_its_reason_and_can_be_switched_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("throttle") / "source.sqlite")
    off = dict.fromkeys(LIMITS, 0)
    assert reason(path, None, limits_of(off)) is None
    assert str(reason(path, None, limits_of({**off, "load_per_cpu": 1e-9}))).startswith("load: ")
    assert str(reason(path, None, limits_of({**off, "free_bytes": 1 << 60}))).startswith("disk: ")
    assert limits_of(None) == LIMITS
