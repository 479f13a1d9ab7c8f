# SPDX-License-Identifier: GPL-3.0-or-later
"""The role haproxy sets up two proxies; one host commands both, the other one with certificates of the role's making."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cutover.switch.proxy import KINDS, Proxies, ProxyError
from support.playbooks import ansible
from support.proxies import application, free_port, now_ms

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


class Stack:
    """The two proxies."""

    def __init__(self, folder: Path, blue: int, green: int) -> None:
        self.folder = folder
        self.ports = [free_port() for _ in range(3)]
        self.variables = {"folder": str(folder), "ports": self.ports, "blue": blue, "green": green}

    def play(self, playbook: str, *arguments: str, fails: bool = False, **variables: Any) -> str:
        """Run a playbook."""
        given = json.dumps({**self.variables, **variables})
        done = ansible("-i", str(HERE / "hosts.yml"), str(HERE / playbook), "-e", given, *arguments)
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        return done.stdout

    def endpoints(self) -> list[dict[str, Any]]:
        """What the fact haproxy_endpoints said."""
        found: list[dict[str, Any]] = json.loads((self.folder / "endpoints.json").read_text())
        return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if os.geteuid() != 0:
        pytest.skip("runs HAProxy as the role does: needs root")
    folder = tmp_path_factory.mktemp("proxies")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    with application("blue") as blue, application("green") as green:
        made = Stack(folder, blue, green)
        try:
            made.play("run.yml")
            yield made
        finally:
            made.play("stop.yml")


def test_second_run_changes_nothing(stack: Stack) -> None:
    recap = stack.play("run.yml").split("PLAY RECAP")[1]
    assert set(re.findall(r"changed=(\d+)", recap)) == {"0"}, recap


def test_both_proxies_are_commanded_from_one_host(stack: Stack) -> None:
    endpoints = stack.endpoints()
    assert [endpoint["name"] for endpoint in endpoints] == ["first", "second"]
    assert ["socket" in endpoint for endpoint in endpoints] == [True, False]
    with Proxies(endpoints, timeout=5) as proxies:
        until = time.monotonic() + 10
        while (proxies.unhealthy("blue") or proxies.unhealthy("green")) and time.monotonic() < until:
            time.sleep(0.1)
        proxies.check()
        deadline = now_ms() + 5000
        proxies.hold(deadline)
        proxies.wait_idle("blue", KINDS, time.monotonic() + 5)
        proxies.confirm(deadline)
        proxies.route("green")
        proxies.release()
        assert [state["route"] for state in proxies.state()] == ["green", "green"]
        # In memory only at the second: a reload would undo it, so the role does not reload. The first one's file knows.
        output = stack.play("run.yml", "--limit", "second", fails=True, haproxy_retry_after=31)
        assert "A reload would change what HAProxy does now: route is green" in output
        assert "route green" in (stack.folder / "first/pg-cutover/cutover.map").read_text()
        proxies.route("blue")
        proxies.check()


def test_maintenance_refuses_writes_at_both(stack: Stack) -> None:
    stack.play("maintenance.yml", tasks="on")
    with Proxies(stack.endpoints(), timeout=5) as proxies:
        assert [state["maintenance"] for state in proxies.state()] == ["writes", "writes"]
        stack.play("maintenance.yml", tasks="off")
        assert [state["maintenance"] for state in proxies.state()] == ["off", "off"]


def test_keys_are_for_root_only(stack: Stack) -> None:
    private = [
        *stack.folder.glob("secrets/proxy/*.key"),
        *stack.folder.glob("client/*"),
        *stack.folder.glob("*/pg-cutover/admin/*"),
    ]
    assert len(private) == 3 + 3 + 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert stat.S_IMODE((stack.folder / "secrets" / "proxy").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in stack.folder.glob("*/run/admin.sock")} == {0o600}


def test_server_certificate_is_no_client_certificate(stack: Stack) -> None:
    endpoint = stack.endpoints()[1]
    secrets = stack.folder / "secrets" / "proxy"
    wrong = {**endpoint, "certificate": str(secrets / "proxy-second.pem"), "key": str(secrets / "proxy-second.key")}
    with Proxies([wrong], timeout=5) as proxies, pytest.raises(ProxyError, match="did not answer"):
        proxies.check()


def test_a_certificate_that_ends_soon_is_renewed_by_a_reload(stack: Stack) -> None:
    presented = stack.folder / "second/pg-cutover/admin"
    # Reads what an earlier test has written and not let it read.
    stack.play("certificate.yml")
    before = {path.name: path.read_bytes() for path in presented.iterdir()}
    assert "changed=0" in stack.play("certificate.yml").split("PLAY RECAP")[1]
    stack.play("certificate.yml", haproxy_admin_renew_days=91)
    after = {path.name: path.read_bytes() for path in presented.iterdir()}
    assert [name for name in before if before[name] != after[name]] == ["server.pem"]
    with Proxies(stack.endpoints(), timeout=5) as proxies:
        proxies.check()


def test_green_that_serves_is_not_taken_away(stack: Stack) -> None:
    maps = list(stack.folder.glob("*/pg-cutover/cutover.map"))
    before = [path.read_text() for path in maps]
    try:
        for path in maps:
            path.write_text(path.read_text().replace("route blue", "route green"))
        output = stack.play("run.yml", fails=True, haproxy_green_servers=[])
        assert "go to green, and haproxy_green_servers is empty" in output
    finally:
        for path, text in zip(maps, before):
            path.write_text(text)
