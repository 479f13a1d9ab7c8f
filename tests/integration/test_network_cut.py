# SPDX-License-Identifier: GPL-3.0-or-later
"""The network to PostgreSQL is cut, silently as when a cable is pulled: while following, carrying back and switching."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeSqlite
from cutover.follow import state as states
from cutover.follow.carrier import PATIENCE
from cutover.switch import target
from cutover.switch.proxy import Proxies
from support import network
from support.following import following
from support.independent import fetch
from support.network import Cable
from support.postgres import Cluster
from support.project import ROOT
from support.reverse import switch
from support.switching import Load, Stage, reached, result, stage

ROWS = "CREATE TABLE t (id INTEGER PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), (2, 2);"
#: Seconds until a cut is noticed: the patience, and the pauses between two looks.
FOLLOWER_NOTICES, SWITCH_NOTICES = PATIENCE + 8.0, target.PATIENCE + 5.0


@pytest.fixture(scope="module")
def far() -> Iterator[tuple[Cluster, Cable]]:
    """A server behind a cable."""
    if not network.available():
        pytest.skip("makes a network namespace: needs root")
    with network.far_server() as made:
        yield made


@pytest.fixture
def cable(far: tuple[Cluster, Cable]) -> Iterator[Cable]:
    """The cable, plugged in afterwards."""
    yield far[1]
    far[1].plug()


@pytest.fixture
def ready(tmp_path: Path, far: tuple[Cluster, Cable]) -> Iterator[Stage]:
    """A migration ready to be switched."""
    tmp_path.chmod(0o755)
    with stage(tmp_path, far[0], far[0].create_database()) as made:
        yield made


def until(condition: Callable[[], Any], seconds: float = 20.0) -> float:
    """Wait for something, fail if it does not come; the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds, "it did not come"
        time.sleep(0.02)
    return time.monotonic() - began


@contextmanager
def service(given: dict[str, Any], folder: Path) -> Iterator[Callable[[], states.State]]:
    """The service as a process; gives what its state file says."""
    path = folder / "config.json"
    path.write_text(json.dumps({"name": "test", "state_dir": str(folder), "limits": {"load_per_cpu": 0}, **given}))
    path.chmod(0o600)
    command = [sys.executable, "-m", "cutover.service", "--config", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "module_utils")}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            yield lambda: states.read(str(folder / states.NAME)) or states.State("follow", "none")
            assert process.poll() is None
        finally:
            process.kill()


def test_following_waits_with_the_reason_and_goes_on(
    make_sqlite: MakeSqlite, far: tuple[Cluster, Cable], cable: Cable, tmp_path: Path
) -> None:
    database = far[0].create_database()
    with following(make_sqlite(ROWS), database.url) as followed:
        given = {
            "direction": "follow",
            "source_path": str(followed.path),
            "plan": followed.plan.as_dict(),
            "target_url": database.url,
        }
        with service(given, tmp_path) as state:
            until(lambda: state().state == "following" and state().reason is None)
            cable.pull()
            followed.write("UPDATE t SET v = 7 WHERE id = 1")
            until(lambda: state().state == "waiting", FOLLOWER_NOTICES)
            assert "PostgreSQL" in str(state().reason)
            followed.write("INSERT INTO t VALUES (3, 3)")
            cable.plug()
            until(lambda: fetch(database.url, "SELECT id, v FROM t ORDER BY id") == [(1, 7), (2, 2), (3, 3)])
            until(lambda: state().state == "following")
        followed.equal()


def test_carrying_back_waits_with_the_reason_and_goes_on(
    make_sqlite: MakeSqlite, far: tuple[Cluster, Cable], cable: Cable, tmp_path: Path
) -> None:
    switched = switch(far[0], make_sqlite(ROWS), far[0].create_database().url)
    given = {
        "direction": "reverse",
        "source_path": str(switched.source),
        "plan": switched.plan.as_dict(),
        "target_url": switched.owner,
    }
    with service(given, tmp_path) as state:
        until(lambda: state().state == "following" and state().reason is None)
        # In the same moment, so that it may be in the middle of it.
        switched.run("UPDATE t SET v = 7 WHERE id = 1", "INSERT INTO t VALUES (3, 3)")
        cable.pull()
        until(lambda: state().state == "waiting", FOLLOWER_NOTICES)
        assert "PostgreSQL" in str(state().reason)
        cable.plug()
        until(lambda: state().state == "following")
        switched.run("DELETE FROM t WHERE id = 2")
        until(lambda: switched.read("SELECT id, v FROM t ORDER BY id") == [(1, 7), (3, 3)])
    switched.assert_equal()


def on_blue(ready: Stage) -> None:
    """SQLite takes the writes, nothing is held."""
    assert ready.fence() is None
    with Proxies([ready.proxy.endpoint]) as proxies:
        [state] = proxies.state()
    assert (state["route"], state["held_ms"]) == ("blue", 0)


def test_cut_before_and_in_the_critical_section_it_stays_on_sqlite(ready: Stage, cable: Cable) -> None:
    with Load(ready.proxy.port) as load:
        for step in ("announced", "locked"):
            process = ready.start("forward", "wait", step, verify=False, attempts=2, budget_ms=500, lease_ms=1500)
            reached(process)
            cable.pull()
            began = time.monotonic()
            told = result(process)
            assert time.monotonic() - began < 2 * SWITCH_NOTICES, step
            assert "PostgreSQL" in told.get("error", ""), (step, told)
            on_blue(ready)
            before = len(load.acknowledged)
            until(lambda: len(load.acknowledged) > before + 5)  # noqa: B023 - used at once
            began = time.monotonic()
            told = ready.run("forward", verify=False)
            assert "cannot be reached" in told["error"], told
            assert time.monotonic() - began < SWITCH_NOTICES
            cable.plug()
        assert ready.run("forward")["verified"]["ok"]
        time.sleep(0.2)
    assert (load.failed, load.unread) == ([], [])
    assert load.longest_ms < 2000
    assert ready.writable() == ["postgresql"]
    assert load.acknowledged - ready.ids() == set()


def test_cut_behind_the_decision_nobody_writes_until_it_is_back(ready: Stage, cable: Cable) -> None:
    with Load(ready.proxy.port) as load:
        time.sleep(0.2)
    process = ready.start("forward", "wait", "fenced", verify=False, settle_seconds=1)
    reached(process)
    cable.pull()
    began = time.monotonic()
    told = result(process)
    assert time.monotonic() - began < 2 * SWITCH_NOTICES
    assert "the switch cannot be finished while PostgreSQL cannot be asked" in told["error"], told
    assert ready.fence() is not None
    cable.plug()
    assert ready.run("settle") == {"direction": "forward"}
    assert ready.writable() == ["postgresql"]
    with Load(ready.proxy.port) as more:
        time.sleep(0.3)
    assert (more.failed, more.unread) == ([], [])
    assert (load.acknowledged | more.acknowledged) - ready.ids() == set()


def test_cut_behind_the_decision_and_back_soon_the_switch_ends_by_itself(ready: Stage, cable: Cable) -> None:
    process = ready.start("forward", "wait", "fenced", verify=False, settle_seconds=30)
    reached(process)
    cable.pull()
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(2)
    assert process.poll() is None
    cable.plug()
    told = result(process)
    assert told["direction"] == "forward", told
    assert ready.writable() == ["postgresql"]


@pytest.mark.parametrize("step", ["locked", "closing", "closed"])
def test_cut_on_the_way_back_it_is_settled_when_the_network_is_back(ready: Stage, cable: Cable, step: str) -> None:
    assert ready.run("forward", verify=False)["direction"] == "forward"
    with Load(ready.proxy.port) as load:
        time.sleep(0.2)
    process = ready.start("back", "wait", step, attempts=1, budget_ms=500, lease_ms=1500, settle_seconds=1)
    reached(process)
    cable.pull()
    began = time.monotonic()
    told = result(process)
    assert time.monotonic() - began < 2 * SWITCH_NOTICES
    if step == "closed":
        assert told["direction"] == "back", told
    else:
        assert "error" in told, told
        assert ready.fence() is not None
    cable.plug()
    until(lambda: ready.run("settle").get("direction") == "nothing")
    # The COMMIT that was on its way may have arrived after all; PostgreSQL's record tells, and one side writes.
    expected = {"locked": [["postgresql"]], "closing": [["postgresql"], ["sqlite"]], "closed": [["sqlite"]]}
    assert ready.writable() in expected[step]
    assert load.acknowledged - ready.ids() == set()
    with Load(ready.proxy.port) as more:
        time.sleep(0.3)
    assert (more.failed, more.unread) == ([], [])
