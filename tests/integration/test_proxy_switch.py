# SPDX-License-Identifier: GPL-3.0-or-later
"""Holding and switching again and again under load, with one proxy and with several, and what happens when one fails."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from cutover.switch import mapfile
from cutover.switch.proxy import KINDS, Endpoint, Proxies, ProxyError, older_workers
from cutover.switch.runtime import Runtime
from support.project import run_module
from support.proxies import HaProxy, Load, application, executed, free_port, haproxy, now_ms, servers

LEASE_MS = 3000


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    with application("blue") as blue, application("green") as green:
        yield blue, green


@pytest.fixture
def pair(tmp_path: Path, ports: tuple[int, int]) -> Iterator[tuple[HaProxy, HaProxy]]:
    tmp_path.chmod(0o755)
    with haproxy(tmp_path / "first", *ports) as first, haproxy(tmp_path / "second", *ports) as second:
        yield first, second


def switch(proxies: Proxies, there: str, back: str) -> tuple[float, float]:
    """One hold with a switch in it: when it began and when it was over (monotonic seconds)."""
    proxies.check()
    deadline = now_ms() + LEASE_MS
    begin = time.monotonic()
    proxies.hold(deadline)
    proxies.wait_idle(back, KINDS, time.monotonic() + 2)
    proxies.confirm(deadline)
    proxies.route(there)
    proxies.release()
    return begin, time.monotonic()


@pytest.mark.parametrize("number", [1, 2], ids=["one_proxy", "two_proxies"])
def test_ten_switches_under_load(tmp_path: Path, ports: tuple[int, int], number: int, record_property: Any) -> None:
    tmp_path.chmod(0o755)
    sides = ["green", "blue"] * 5
    with ExitStack() as stack:
        running = [stack.enter_context(haproxy(tmp_path / f"p{index}", *ports)) for index in range(number)]
        proxies = stack.enter_context(Proxies([proxy.endpoint for proxy in running], timeout=5))
        loads = [stack.enter_context(Load(proxy.port, rate=300 // number)) for proxy in running]
        time.sleep(0.3)
        holds = []
        for there in sides:
            holds.append(switch(proxies, there, "blue" if there == "green" else "green"))
            time.sleep(0.2)
        time.sleep(0.3)
    answers = [answer for load in loads for answer in load.answers]
    assert [problem for load in loads for problem in load.problems] == []
    assert len(answers) > 300
    assert {answer.side for answer in answers} == {"blue", "green"}
    # What one side began, no request of the other side overlaps: reads and writes switch together.
    runs = sorted(
        (begin, end, side)
        for side, port in zip(("blue", "green"), ports)
        for _, path, begin, end in executed(port)
        if path == "/?ms=2"
    )
    changes = [(one, other) for one, other in zip(runs, runs[1:]) if one[2] != other[2]]
    assert len(changes) == len(sides)
    for one, other in changes:
        assert max(end for _, end, side in runs if side == one[2] and end <= other[0] + 50_000_000) <= other[0]
    lengths = [(end - begin) * 1000 for begin, end in holds]
    record_property("hold_ms", f"median {statistics.median(lengths):.1f}, longest {max(lengths):.1f}")
    record_property("slowest_request_ms", round(max(a.end - a.begin for a in answers) * 1000, 1))
    print(
        f"\n{len(answers)} requests; hold {statistics.median(lengths):.1f} ms, longest {max(lengths):.1f}; "
        f"slowest request {max(a.end - a.begin for a in answers) * 1000:.1f} ms"
    )


def test_nothing_is_held_when_one_of_two_is_dead(pair: tuple[HaProxy, HaProxy]) -> None:
    first, second = pair
    with Proxies([first.endpoint, second.endpoint], timeout=1) as proxies:
        second.stop()
        with pytest.raises(ProxyError, match="did not answer on second"):
            proxies.check()
        assert mapfile.entries_of(first.map_file.read_text())["hold"] == "0"
        assert first.request()["side"] == "blue"


def test_hold_is_taken_back_when_one_dies_after_the_check(pair: tuple[HaProxy, HaProxy]) -> None:
    first, second = pair
    with Proxies([first.endpoint, second.endpoint], timeout=1) as proxies:
        proxies.check()
        second.stop()
        with pytest.raises(ProxyError, match="second"):
            proxies.hold(now_ms() + 60_000)
        assert first.request()["side"] == "blue"
        assert proxies.proxies[0].state()["held_ms"] == 0
        assert "error" in proxies.state()[1]


def test_a_proxy_that_hangs_costs_no_more_than_the_deadline(pair: tuple[HaProxy, HaProxy], tmp_path: Path) -> None:
    first, _ = pair
    path = tmp_path / "deaf.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        deaf = Endpoint(name="deaf", map_path="/nowhere", socket=str(path))
        with Proxies([first.endpoint, deaf], timeout=0.5) as proxies:
            started = time.monotonic()
            with pytest.raises(ProxyError, match="deaf"):
                proxies.check()
            assert time.monotonic() - started < 3


def test_confirm_notices_a_reload(pair: tuple[HaProxy, HaProxy]) -> None:
    first, _ = pair
    with Proxies([first.endpoint], timeout=2) as proxies, Proxies([first.endpoint], timeout=2) as others:
        proxies.check()
        deadline = now_ms() + LEASE_MS
        proxies.hold(deadline)
        proxies.confirm(deadline)
        before = proxies.state()[0]["pid"]
        first.reload()
        until = time.monotonic() + 10
        while others.state()[0].get("pid") in (before, None) and time.monotonic() < until:
            others.proxies[0].close()
            time.sleep(0.02)
        with pytest.raises(ProxyError, match="restarted or reloaded"):
            proxies.confirm(deadline)
        # The new process reads the file, in which the hold stands as well.
        state = others.state()[0]
        assert state["pid"] != before
        assert state["hold"] == str(deadline) or state["held_ms"] > 0
        # Both processes learn of the switch and of the release.
        proxies.route("green")
        proxies.release()
        others.proxies[0].close()
        assert (others.state()[0]["route"], others.state()[0]["hold"]) == ("green", "0")


def test_confirm_notices_that_the_hold_has_expired(pair: tuple[HaProxy, HaProxy]) -> None:
    first, _ = pair
    with Proxies([first.endpoint], timeout=2) as proxies:
        proxies.check()
        deadline = now_ms() + 100
        proxies.hold(deadline)
        time.sleep(0.15)
        with pytest.raises(ProxyError, match="has expired"):
            proxies.confirm(deadline)


def test_deadline_is_told_in_the_time_of_the_proxy(
    pair: tuple[HaProxy, HaProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = pair
    # Not as the clock of another machine, which a test does not have: as the difference to it.
    monkeypatch.setattr(Runtime, "clock", lambda _: -7.0)
    with Proxies([first.endpoint], timeout=2) as proxies:
        proxies.check()
        deadline = now_ms() + 20_000
        proxies.hold(deadline)
        assert proxies.state()[0]["hold"] == str(deadline - 7000)
        proxies.confirm(deadline)
        monkeypatch.setattr(Runtime, "clock", lambda _: 8000.0)
        with pytest.raises(ProxyError, match="set it right"):
            proxies.check()


def test_old_process_is_noticed_before_the_hold(pair: tuple[HaProxy, HaProxy]) -> None:
    first, _ = pair
    with Proxies([first.endpoint], timeout=2) as proxies:
        before = proxies.state()[0]["pid"]
        slow = threading.Thread(target=first.request, args=("POST", "/?ms=1500"))
        slow.start()
        time.sleep(0.2)
        first.reload()
        until = time.monotonic() + 10
        while proxies.state()[0]["pid"] == before and time.monotonic() < until:
            proxies.proxies[0].close()
            time.sleep(0.02)
        assert older_workers(proxies.state()[0]["pid"]) == [before]
        with pytest.raises(ProxyError, match=f"old process {before} still serves"):
            proxies.check()
        answer = run_module("haproxy_runtime", socket=first.endpoint.socket, action="wait_alone", deadline=0.1)
        assert "still serves after 0.1 s" in answer["msg"]
        slow.join()
        answer = run_module("haproxy_runtime", socket=first.endpoint.socket, action="wait_alone", deadline=10)
        assert not answer.get("failed")
        proxies.check()


def test_restart_goes_on_where_the_file_says(pair: tuple[HaProxy, HaProxy]) -> None:
    first, _ = pair
    with Proxies([first.endpoint], timeout=2) as proxies:
        switch(proxies, "green", "blue")
        assert proxies.notes == []
    first.stop()
    first.start()
    assert first.request()["side"] == "green"


def test_reload_is_refused_while_the_map_says_more_than_its_file(pair: tuple[HaProxy, HaProxy]) -> None:
    first, _ = pair
    arguments = {"socket": first.endpoint.socket, "action": "may_reload", "path": str(first.map_file)}
    with Proxies([first.endpoint], timeout=2) as proxies:
        assert not run_module("haproxy_runtime", **arguments).get("failed")
        proxies.check()
        proxies.hold(now_ms() + 20_000)
        assert "Requests are held" in run_module("haproxy_runtime", **arguments)["msg"]
        proxies.release()
        proxies.route("green")
        text = first.map_file.read_text()
        first.map_file.write_text(mapfile.with_entries(text, {"route": "blue"}))
        assert "route is green" in run_module("haproxy_runtime", **arguments)["msg"]
        first.map_file.write_text(text)
        assert not run_module("haproxy_runtime", **arguments).get("failed")


def test_file_that_cannot_be_written_is_a_note(pair: tuple[HaProxy, HaProxy]) -> None:
    first, _ = pair
    first.map_file.rename(first.map_file.with_suffix(".gone"))
    with Proxies([first.endpoint], timeout=2) as proxies:
        switch(proxies, "green", "blue")
        assert first.request()["side"] == "green"
        assert "cutover.map could not be written" in proxies.notes[0]


def test_unhealthy_side_and_missing_side(tmp_path: Path, ports: tuple[int, int]) -> None:
    tmp_path.chmod(0o755)
    with haproxy(tmp_path / "first", *ports) as first, Proxies([first.endpoint], timeout=2) as proxies:
        assert proxies.healthy("green")
        first.request("POST", "/sick")
        until = time.monotonic() + 10
        while proxies.healthy("blue") and time.monotonic() < until:
            time.sleep(0.05)
        assert "blue_read/app1 is" in proxies.unhealthy("blue")[0]
        assert proxies.healthy("green")
        first.request("POST", "/well")
    with haproxy(tmp_path / "alone", ports[0]) as alone, Proxies([alone.endpoint], timeout=2) as proxies:
        proxies.check(("blue",))
        with pytest.raises(ProxyError, match="no backend named green_read, green_write"):
            proxies.check()


def test_health_is_asked_of_every_server(tmp_path: Path, ports: tuple[int, int]) -> None:
    """One of two instances down: requests would be served, but the switch waits."""
    tmp_path.chmod(0o755)
    with haproxy(tmp_path / "p", *ports) as proxy:
        proxy.stop()
        proxy.variables["haproxy_green_servers"] = servers(ports[1], free_port())
        proxy.start(wait=False)
        with Proxies([proxy.endpoint], timeout=2) as proxies:
            until = time.monotonic() + 10
            reasons = ["not asked yet"]
            while (not reasons or "app2" not in reasons[0]) and time.monotonic() < until:
                time.sleep(0.05)
                with suppress(ProxyError):
                    reasons = proxies.unhealthy("green")
            assert reasons
            assert not [reason for reason in reasons if "app2" not in reason]


def test_server_that_was_never_checked_is_not_healthy(tmp_path: Path, ports: tuple[int, int]) -> None:
    """HAProxy counts a server as up from the start; nothing listens behind this one."""
    tmp_path.chmod(0o755)
    with haproxy(tmp_path / "p", *ports) as proxy:
        proxy.stop()
        proxy.variables.update(haproxy_green_servers=servers(free_port()), haproxy_health_interval="3600s")
        proxy.start(wait=False)
        with Proxies([proxy.endpoint], timeout=2) as proxies:
            until = time.monotonic() + 10
            while "error" in proxies.state()[0] and time.monotonic() < until:
                time.sleep(0.05)
            assert not proxies.healthy("green")
