# SPDX-License-Identifier: GPL-3.0-or-later
"""The module haproxy_runtime, against a socket that answers as HAProxy does; tests/e2e has the real one."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.project import run_module

STAT = """# pxname,svname,qcur,qmax,scur,status,
application,FRONTEND,,,7,OPEN,
blue_read,BACKEND,0,1,5,{status},
blue_write,app1,0,0,9,no check,
blue_write,BACKEND,{queued},3,{busy},UP,
"""


class Proxy(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers one command a connection."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.path = folder / "admin.sock"
        self.map_file = folder / "cutover.map"
        self.map_file.write_text("# a comment\nmaintenance off\nroute blue\n")
        self.entries = {"maintenance": "off", "route": "blue"}
        self.commands: list[str] = []
        self.busy = [0]
        self.queued = 0
        self.status = ["UP"]
        self.deaf = False
        super().__init__(str(self.path), Handler)

    def answer(self, command: str) -> str:
        """What HAProxy says."""
        self.commands.append(command)
        words = command.split()
        if words[:2] == ["show", "stat"]:
            busy = self.busy.pop(0) if len(self.busy) > 1 else self.busy[0]
            status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
            return STAT.format(busy=busy, queued=self.queued, status=status)
        if words[1] == "map" and words[2] != str(self.map_file):
            return "Unknown map identifier. Please use #<id> or <file>.\n"
        if words[:2] == ["show", "map"]:
            return "".join(f"0x5581 {key} {value}\n" for key, value in self.entries.items())
        if words[0] in ("set", "add"):
            if (words[0] == "set") != (words[3] in self.entries):
                return "entry not found.\n"
            if not self.deaf:
                self.entries[words[3]] = words[4]
            return "\n"
        return "Unknown command.\n"


class Handler(socketserver.StreamRequestHandler):
    """One connection."""

    server: Proxy

    def handle(self) -> None:
        self.wfile.write(self.server.answer(self.rfile.readline().decode().strip()).encode())


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A proxy that answers while the test runs."""
    with Proxy(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def run(proxy: Proxy, action: str, check: bool = False, **more: Any) -> dict[str, Any]:
    """Run the module."""
    return run_module("haproxy_runtime", check, socket=str(proxy.path), action=action, **more)


def set_map(proxy: Proxy, value: str, check: bool = False, key: str = "maintenance") -> dict[str, Any]:
    """Set a map entry."""
    return run(proxy, "set_map", check, path=str(proxy.map_file), key=key, value=value)


def test_set_map_in_memory_and_in_the_file(proxy: Proxy) -> None:
    answer = set_map(proxy, "writes")
    assert answer["changed"]
    assert answer["entries"] == {"maintenance": "writes", "route": "blue"}
    assert answer["commands"] == [f"set map {proxy.map_file} maintenance writes"]
    assert proxy.map_file.read_text() == "# a comment\nmaintenance writes\nroute blue\n"
    assert not set_map(proxy, "writes")["changed"]


def test_a_new_key_is_added(proxy: Proxy) -> None:
    assert set_map(proxy, "1700000000000", key="hold_until")["changed"]
    assert proxy.entries["hold_until"] == "1700000000000"
    assert proxy.map_file.read_text().endswith("route blue\nhold_until 1700000000000\n")


@pytest.mark.parametrize("where", ["memory", "file"])
def test_half_done_is_finished(proxy: Proxy, where: str) -> None:
    if where == "memory":
        proxy.entries["maintenance"] = "all"
    else:
        proxy.map_file.write_text("maintenance all\n")
    assert set_map(proxy, "all")["changed"]
    assert proxy.entries["maintenance"] == "all"
    assert "maintenance all\n" in proxy.map_file.read_text()


def test_check_mode_changes_nothing(proxy: Proxy) -> None:
    assert set_map(proxy, "all", check=True)["changed"]
    assert proxy.entries["maintenance"] == "off"
    assert "maintenance off" in proxy.map_file.read_text()


def test_a_proxy_that_does_not_obey_is_an_error(proxy: Proxy) -> None:
    proxy.deaf = True
    answer = set_map(proxy, "all")
    assert answer["failed"]
    assert "answers maintenance=off" in answer["msg"]


@pytest.mark.parametrize("value", ["a b", "a;b", "a\nb", ""])
def test_values_that_the_socket_would_take_apart(proxy: Proxy, value: str) -> None:
    assert set_map(proxy, value)["failed"]
    assert not proxy.commands


def test_unknown_map(proxy: Proxy, tmp_path: Path) -> None:
    answer = run(proxy, "show_map", path=str(tmp_path / "other.map"))
    assert answer["failed"]
    assert "does not know the map" in answer["msg"]


def test_show_stat(proxy: Proxy) -> None:
    rows = run(proxy, "show_stat")["statistics"]
    assert rows[0]["svname"] == "FRONTEND"
    assert rows[-1] == {
        "pxname": "blue_write",
        "svname": "BACKEND",
        "qcur": "0",
        "qmax": "3",
        "scur": "0",
        "status": "UP",
    }
    assert len(rows) == 4


def test_wait_idle_looks_twice(proxy: Proxy) -> None:
    proxy.busy = [2, 1, 0, 1, 0]
    answer = run(proxy, "wait_idle", backends=["blue_write"], deadline=10)
    assert "failed" not in answer
    assert len(proxy.commands) == 6, "2, 1, 0, 1, 0 and 0 again"


@pytest.mark.parametrize(("busy", "queued"), [(3, 0), (0, 3)])
def test_wait_idle_has_an_end(proxy: Proxy, busy: int, queued: int) -> None:
    proxy.busy, proxy.queued = [busy], queued
    answer = run(proxy, "wait_idle", backends=["blue_write"], deadline=0.3)
    assert answer["failed"]
    assert "3 request(s) still in flight on blue_write after 0.3 s" in answer["msg"]


def test_unknown_backend_is_not_taken_for_an_idle_one(proxy: Proxy) -> None:
    answer = run(proxy, "wait_idle", backends=["blue_write", "nonsense"])
    assert answer["failed"]
    assert "no backend named nonsense" in answer["msg"]


def test_wait_up(proxy: Proxy) -> None:
    proxy.status = ["DOWN", "DOWN", "UP 1/2"]
    names = ["blue_read", "blue_write"]
    assert "failed" not in run(proxy, "wait_up", backends=names, deadline=10)
    assert len(proxy.commands) == 3
    proxy.status = ["DOWN"]
    answer = run(proxy, "wait_up", backends=names, deadline=0.3)
    assert answer["failed"]
    assert "No server of blue_read has passed" in answer["msg"]


def test_no_proxy(proxy: Proxy, tmp_path: Path) -> None:
    answer = run_module("haproxy_runtime", socket=str(tmp_path / "none"), action="show_stat")
    assert answer["failed"]
    assert "did not answer" in answer["msg"]
