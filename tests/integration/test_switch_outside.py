# SPDX-License-Identifier: GPL-3.0-or-later
"""What others do in the middle of a switch: HAProxy is reloaded, restarted or gone, a job writes past the proxy, a deploy
changes tables. And every step at which the engine is killed in other tests is known here."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cutover.switch import steps
from support.postgres import Cluster
from support.processes import written_elsewhere
from support.project import ROOT
from support.switching import Load, Stage, reached, result, stage


@pytest.fixture
def ready(tmp_path: Path, postgres: Cluster) -> Iterator[Stage]:
    """A migration ready to be switched."""
    tmp_path.chmod(0o755)
    with stage(tmp_path, postgres, postgres.create_database()) as made:
        yield made


def serves(ready: Stage, where: str, earlier: set[int]) -> None:
    """Requests are answered, by the one database that takes writes, and nothing acknowledged is missing."""
    with Load(ready.proxy.port) as load:
        time.sleep(0.3)
    assert (load.failed, load.unread) == ([], [])
    assert load.acknowledged
    assert ready.writable() == [where]
    assert (earlier | load.acknowledged) - ready.ids() == set()


def test_every_step_is_one_at_which_it_is_killed() -> None:
    """test_switch_forward, test_switch_back and test_switch_orphaned go through steps.FORWARD and steps.BACK."""
    folder = ROOT / "module_utils/cutover/switch"
    told = {
        name
        for path in folder.glob("*.py")
        for call in re.findall(r"steps\.reached\(([^()]*)\)", path.read_text())
        for name in re.findall(r'"(\w+)"', call.partition(" if ")[0] + call.partition(" else ")[2])
    }
    assert told == {*steps.FORWARD, *steps.BACK}
    calls = sum(path.read_text().count("steps.reached(") for path in folder.glob("*.py"))
    assert calls == len(re.findall(r"steps\.reached\([^()]*\)", "".join(p.read_text() for p in folder.glob("*.py"))))


def test_haproxy_that_is_reloaded_in_the_hold_calls_it_off(ready: Stage) -> None:
    """The new process knows of no hold, so requests went on."""
    with Load(ready.proxy.port) as load:
        process = ready.start("forward", "wait", "drained", verify=False, attempts=1, budget_ms=4000, lease_ms=6000)
        reached(process)
        ready.proxy.reload()
        time.sleep(1)
        told = result(process)
        assert "error" in told, told
        assert ready.fence() is None
        time.sleep(0.5)
    assert load.failed == []
    serves(ready, "sqlite", load.acknowledged)


@pytest.mark.parametrize(("action", "step"), [("forward", "fenced"), ("back", "closed")])
def test_haproxy_that_is_gone_behind_the_decision_is_waited_for(ready: Stage, action: str, step: str) -> None:
    """Whatever it serves when it is back, one database takes writes at most, and the next run finishes it."""
    with Load(ready.proxy.port) as load:
        time.sleep(0.2)
    if action == "back":
        assert ready.run("forward", verify=False)["direction"] == "forward"
    process = ready.start(action, "wait", step, verify=False, settle_seconds=1)
    reached(process)
    ready.proxy.stop()
    told = result(process)
    assert "the switch cannot be finished while the proxies cannot be asked" in told["error"], told
    assert ready.writable() == (["postgresql"] if action == "forward" else ["sqlite"])
    ready.proxy.start()
    assert ready.run("settle") == {"direction": action}
    serves(ready, "postgresql" if action == "forward" else "sqlite", load.acknowledged)


def test_haproxy_that_is_back_soon_is_switched_by_the_same_engine(ready: Stage) -> None:
    process = ready.start("forward", "wait", "fenced", verify=False, settle_seconds=30)
    reached(process)
    ready.proxy.stop()
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(1)
    ready.proxy.start()
    assert result(process)["direction"] == "forward"
    serves(ready, "postgresql", set())


def test_haproxy_that_is_restarted_or_reloaded_afterwards_keeps_the_route(ready: Stage) -> None:
    assert ready.run("forward", verify=False)["direction"] == "forward"
    ready.proxy.stop()
    ready.proxy.start()
    serves(ready, "postgresql", set())
    ready.proxy.reload()
    time.sleep(1)
    ready.proxy.wait()
    serves(ready, "postgresql", set())
    assert ready.run("back")["direction"] == "back"
    ready.proxy.stop()
    ready.proxy.start()
    serves(ready, "sqlite", set())


def test_a_socket_that_is_gone_means_that_nothing_begins(ready: Stage) -> None:
    socket = Path(str(ready.proxy.endpoint.socket))
    hidden = socket.with_suffix(".hidden")
    socket.rename(hidden)
    told = ready.run("forward", verify=False)
    assert "nothing was held or changed" in told["error"], told
    hidden.rename(socket)
    serves(ready, "sqlite", set())


def test_a_job_that_writes_past_the_proxy_is_captured_before_the_fence_and_refused_behind_it(ready: Stage) -> None:
    process = ready.start("forward", "wait", "idle", verify=False, budget_ms=4000, lease_ms=6000)
    reached(process)
    written_elsewhere(ready.source, "INSERT INTO event VALUES (500001, 3, 'cron', '2026-01-02 03:04:05')")
    told = result(process)
    assert told["direction"] == "forward", told
    assert 500001 in ready.ids()
    with pytest.raises(subprocess.CalledProcessError):
        written_elsewhere(ready.source, "INSERT INTO event VALUES (500002, 3, 'cron', '2026-01-02 03:04:05')")
    with (
        closing(sqlite3.connect(ready.source)) as stray,
        pytest.raises(sqlite3.IntegrityError, match=str(ready.fence())),
    ):
        stray.execute("DELETE FROM event WHERE id = 500001")
    assert ready.run("verify")["verified"]["ok"]


def test_a_job_that_waits_for_sqlite_while_it_is_fenced_is_refused(ready: Stage) -> None:
    """It began before the fence, got SQLite's lock behind it, and is told so: its write is nowhere."""
    process = ready.start("forward", "wait", "fencing", verify=False, budget_ms=4000, lease_ms=6000)
    reached(process)
    late = ("INSERT INTO event VALUES (500003, 3, 'cron', '2026-01-02 03:04:05')",)
    with subprocess.Popen(["python3", "-c", _LATE, str(ready.source), *late], stdout=subprocess.PIPE, text=True) as job:
        time.sleep(0.5)
        assert job.poll() is None
        assert result(process)["direction"] == "forward"
        said, _ = job.communicate(timeout=20)
    assert str(ready.fence()) in said
    assert 500003 not in ready.ids()


_LATE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
try:
    connection.execute(sys.argv[2])
except sqlite3.Error as error:
    print(error)
"""
