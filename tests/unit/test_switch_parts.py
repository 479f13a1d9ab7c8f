# SPDX-License-Identifier: GPL-3.0-or-later
"""The small parts of the switch: its configuration, its time, its guardian, and what the journal is told."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cutover.errors import CutoverError, PlanError
from cutover.journal import Journal
from cutover.lock import Locked, ReplicationLock
from cutover.plan.model import Plan
from cutover.switch import config, critical, pending
from cutover.switch.clock import Clock, NotNow, Watchdog
from cutover.switch.pending import Pending

PLAN = Plan(1, "app", "keep", "public", None, {}, (), ())


def given(**more: Any) -> dict[str, Any]:
    return {
        "name": "app",
        "state_dir": "/nowhere",
        "run": "20261122T200000-1f2e",
        "source_path": "/srv/app.sqlite",
        "target_url": "postgresql://u:secret@h/d",
        "plan": PLAN.as_dict(),
        "application_role": "app",
        "proxies": [{"socket": "/run/admin.sock", "map_path": "/etc/map"}],
        **more,
    }


def test_a_configuration_that_may_do() -> None:
    made = config.from_dict(given(budget_ms=None, other="of another program"))
    assert (made.budget_ms, made.lease_ms, made.kinds) == (100, 800, ("read", "write"))
    assert config.from_dict(given(hold="writes")).kinds == ("write",)
    assert "secret" not in repr(made)
    assert made.attempt("1").startswith("20261122T200000-1f2e-")
    assert config.is_online(made.attempt("3-abc"))
    assert not config.is_online("20261122T200000-1f2e")
    assert not config.is_online(None)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"hold": "some"}, "must be all or writes"),
        ({"proxies": []}, "no proxy"),
        ({"budget_ms": 5}, "10 ms or more"),
        ({"attempts": 0}, "one attempt"),
        ({"budget_ms": 700}, "must be 200 ms longer"),
        ({"name": None}, "incomplete"),
    ],
)
def test_a_configuration_that_may_not(more: dict[str, Any], said: str) -> None:
    with pytest.raises(CutoverError, match=said):
        config.from_dict(given(**more))


def test_a_plan_that_cannot_be_read() -> None:
    with pytest.raises(PlanError):
        config.from_dict(given(plan={"name": "x"}))


def test_time_that_is_over() -> None:
    clock = Clock(20)
    assert 1 <= clock.left_ms() <= 20
    clock.check("not yet")
    time.sleep(0.03)
    assert clock.left_ms() == 1
    with pytest.raises(NotNow, match=r"budget of 20 ms was over: too slow"):
        clock.check("too slow")


class Target:
    """A connection as the watchdog sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def fileno(self) -> int:
        return self._connection.fileno()


def test_the_watchdog_breaks_off_what_waits_without_a_limit() -> None:
    here, there = socket.socketpair()
    source = sqlite3.connect(":memory:", check_same_thread=False)
    watchdog = Watchdog(time.monotonic() + 0.05, [Target(here)], [source])
    assert here.recv(1) == b""
    assert watchdog.fired
    watchdog.end()
    watchdog.end()
    here.close()
    there.close()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    watchdog = Watchdog(time.monotonic() + 0.05, [], [source])
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        source.execute(endless).fetchone()
    watchdog.end()
    source.close()


def test_the_watchdog_that_was_ended_breaks_nothing_off() -> None:
    here, there = socket.socketpair()
    watchdog = Watchdog(time.monotonic() + 0.05, [Target(here)], [])
    watchdog.end()
    time.sleep(0.1)
    there.sendall(b"x")
    assert here.recv(1) == b"x"
    assert not watchdog.fired
    here.close()
    there.close()


def test_the_journal_hears_of_an_attempt_once(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert pending.read(folder) is None
    pending.begin(folder, Pending("r-online-1", "forward"))
    assert pending.read(folder) == Pending("r-online-1", "forward")
    pending.end(folder, "r", "forward", {"attempt": "r-online-1", "by": "engine"})
    assert pending.read(folder) is None
    # Killed between the journal and the file: the next one finds the file once more.
    pending.begin(folder, Pending("r-online-1", "forward"))
    pending.end(folder, "r2", "forward", {"attempt": "r-online-1", "by": "settle"})
    assert [(e["phase"], e["detail"]["by"]) for e in Journal(folder).events()] == [("switched_online", "engine")]


def test_an_attempt_that_only_the_journal_knows_of(tmp_path: Path) -> None:
    folder = str(tmp_path)
    for phase, state in (("capture", "started"), ("follow", "started"), ("switch_online", "started")):
        Journal(folder).append("phase", "r", phase=phase, state=state)
    assert pending.read(folder) == Pending("", "forward")
    pending.end(folder, "r", "nothing", {"attempt": "", "by": "settle"})
    assert pending.read(folder) is None
    assert Journal(folder).events()[-1]["phase"] == "switch_off"


_ENGINE = """
import os, sys, time
from cutover.switch.guardian import Guardian
folder, how = sys.argv[1:]
def settle():
    open(os.path.join(folder, "settled"), "w").close()
    return "nothing"
lock = open(os.path.join(folder, "lock"), "w")
guardian = Guardian(folder, settle, lock.fileno())
if how != "unarmed":
    guardian.arm()
if how == "at ease":
    guardian.at_ease()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("how", "settles"), [("armed", True), ("unarmed", False), ("at ease", False)])
def test_the_guardian_settles_only_what_is_under_way(tmp_path: Path, how: str, settles: bool) -> None:
    """And it holds none of the engine's pipes: they end with the engine, though its whole group is killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", _ENGINE, str(tmp_path), how],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=environment,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, signal.SIGKILL)
        began = time.monotonic()
        assert process.stdout.read() == b""
        assert time.monotonic() - began < 5
    until = time.monotonic() + (10 if settles else 0.5)
    while time.monotonic() < until and not (tmp_path / "settled").exists():
        time.sleep(0.01)
    assert (tmp_path / "settled").exists() == settles
    if settles:
        time.sleep(0.1)
        assert "settled: nothing" in (tmp_path / "guardian.log").read_text()


def test_a_replication_at_work_is_left_alone(tmp_path: Path) -> None:
    made = config.from_dict(given(state_dir=str(tmp_path)))
    with ReplicationLock(str(tmp_path), {"direction": "follow"}):
        with pytest.raises(Locked, match="Stop it first"), critical.alone(made):
            pass
    with critical.alone(made):
        with pytest.raises(Locked, match="another switch"), critical.alone(made):
            pass


# ---------------------------------------------------------------- the moment of the hold


class Traffic:
    """Requests under way, a number for each question; the last one stays. And how often the changes were applied."""

    def __init__(self, *counts: int) -> None:
        self.counts, self.asked, self.applied = list(counts), 0, 0

    def in_flight(self) -> int:
        self.asked += 1
        return self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]

    def catch_up(self) -> None:
        self.applied += 1

    def found(self, seconds: float = 5.0) -> int:
        return critical.calm(self.catch_up, self.in_flight, seconds)


def test_a_calm_application_is_held_at_once() -> None:
    traffic = Traffic(1)
    assert traffic.found() == 1
    assert (traffic.asked, traffic.applied) == (1, 1)


def test_a_burst_is_waited_for() -> None:
    traffic = Traffic(29, 28, 13, 4, 0, 30)
    assert traffic.found() == 0
    assert traffic.asked == 5


def test_what_is_few_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(critical, "_LOOK_SECONDS", 0.3)
    monkeypatch.setattr(critical, "_APPLY_SECONDS", 0.02)
    traffic = Traffic(40, 12, *[40] * 60, 12, 99)
    assert traffic.found() == 12
    assert traffic.counts == [99]
    assert traffic.applied > 5, "what was written meanwhile does not wait for the hold"


def test_nobody_waits_for_ever() -> None:
    assert Traffic(17, 5, 18).found(0.05) == 18


def test_what_cannot_be_applied_or_seen_calls_it_off() -> None:
    def broken() -> None:
        raise CutoverError("gone")

    with pytest.raises(CutoverError, match="gone"):
        critical.calm(broken, lambda: 0)
