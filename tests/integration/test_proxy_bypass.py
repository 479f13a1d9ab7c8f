# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that do not come through the proxy are counted; those of a real HAProxy are not."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cutover.errors import CutoverError
from cutover.switch import bypass
from support.project import run_module
from support.proxies import application, haproxy


def test_only_those_beside_the_proxy(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with application("blue") as port, haproxy(tmp_path / "proxy", port) as proxy:
        # Keeps a connection from HAProxy to the application open.
        with closing(socket.create_connection(("127.0.0.1", proxy.port))) as through:
            through.sendall(b"POST /?ms=1500 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            time.sleep(0.3)
            everything = bypass.connections([port], programs=())
            assert everything.get("127.0.0.1", 0) >= 1, "HAProxy's connection is there"
            with (
                closing(socket.create_connection(("127.0.0.1", port))),
                closing(socket.create_connection(("127.0.0.1", port))),
            ):
                assert bypass.connections([port]) == {"127.0.0.1": 2}
                assert bypass.connections([port], proxies=["127.0.0.1"]) == {}
                assert bypass.connections([port], proxies=["localhost"]) == {}, "a proxy may be given by its name"
                with pytest.raises(CutoverError, match=r"the address of the proxy nowhere\.invalid"):
                    bypass.connections([port], proxies=["nowhere.invalid"])
                with pytest.raises(CutoverError, match=r"2 from 127\.0\.0\.1"):
                    bypass.wait([port], (), time.monotonic() + 0.3)
                answer = run_module("cutover_connections", ports=[port])
                assert answer["peers"] == {"127.0.0.1": 2}
                assert "restart the application once" in answer["message"]
                assert run_module("cutover_connections", ports=[port], deadline=0.2)["failed"]
            bypass.wait([port], (), time.monotonic() + 5)
            assert run_module("cutover_connections", ports=[port], deadline=5)["count"] == 0


def test_both_families() -> None:
    with closing(socket.socket(socket.AF_INET6)) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port))), closing(socket.create_connection(("::1", port))):
            assert bypass.connections([port]) == {"127.0.0.1": 1, "::1": 1}
        assert bypass.connections([port]) == {}


CHURN = """
import socket, sys, time
open("/proc/self/comm", "w").write("churner")
print(flush=True)
while True:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))):
        time.sleep(0.02)
"""


@pytest.fixture
def churned() -> Iterator[int]:
    """The port of an application to which a program, churner, connects for moments, again and again."""
    with (
        application("blue") as port,
        subprocess.Popen([sys.executable, "-c", CHURN, str(port)], stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield port
        finally:
            process.kill()


def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the connection of a moment ago has gone when it is looked for who has it."""
    scan = bypass._sockets

    def late(wanted: Callable[[str], bool]) -> tuple[set[str], set[str]]:
        time.sleep(0.05)
        return scan(wanted)

    monkeypatch.setattr(bypass, "_sockets", late)


def test_a_proxy_that_connects_anew_for_each_request_is_none_beside_it(
    churned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch)
    assert [bypass.connections([churned], programs=("churner",)) for _ in range(20)] == [{}] * 20


def test_who_connects_for_moments_beside_the_proxy_is_found(churned: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch)
    assert {"127.0.0.1": 1} in [bypass.connections([churned]) for _ in range(20)]
