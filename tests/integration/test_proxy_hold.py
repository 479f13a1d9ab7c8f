# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hold does to requests of every kind, with a real HAProxy and the role's configuration."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cutover.switch.proxy import KINDS, Proxies, ProxyError
from support.certificates import Authority
from support.proxies import HaProxy, application, executed, free_port, haproxy, now_ms

#: Long beside what the tests do while requests wait, short beside a client's patience.
LEASE_MS = 5000


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    with application("blue") as blue, application("green") as green:
        yield blue, green


@pytest.fixture
def proxy(tmp_path: Path, ports: tuple[int, int]) -> Iterator[HaProxy]:
    tmp_path.chmod(0o755)
    with haproxy(tmp_path / "proxy", *ports) as running:
        yield running


@pytest.fixture
def proxies(proxy: HaProxy) -> Iterator[Proxies]:
    with Proxies([proxy.endpoint], timeout=5) as found:
        found.check()
        yield found


class Waiting(threading.Thread):
    """A request in a thread of its own."""

    def __init__(self, proxy: HaProxy, *arguments: Any) -> None:
        super().__init__(daemon=True)
        self.work = lambda: proxy.request(*arguments)
        self.answer: Any = None
        self.ended = 0.0
        self.start()

    def run(self) -> None:
        self.answer = self.work()
        self.ended = time.monotonic()

    def result(self) -> Any:
        self.join(10)
        assert not self.is_alive()
        return self.answer


def test_requests_wait_and_go_where_the_route_says_then(proxy: HaProxy, proxies: Proxies, record_property: Any) -> None:
    proxies.hold(now_ms() + LEASE_MS)
    waiting = [Waiting(proxy, "POST" if number % 2 else "GET", f"/?n={number}") for number in range(20)]
    time.sleep(0.2)
    assert not [request for request in waiting if request.ended]
    assert proxies.in_flight("blue") == proxies.in_flight("green") == 0
    proxies.route("green")
    released = time.monotonic()
    proxies.release()
    assert {request.result()["side"] for request in waiting} == {"green"}
    last = max(request.ended for request in waiting) - released
    record_property("last_of_20_after_release_ms", round(last * 1000, 1))
    assert last < 2, "released long before the hold would have expired"


def test_hold_ends_by_itself(proxy: HaProxy, proxies: Proxies) -> None:
    started = time.monotonic()
    proxies.hold(now_ms() + 300)
    assert proxy.request("POST", "/")["side"] == "blue"
    assert time.monotonic() - started >= 0.25
    # The key still holds its old value, and costs nothing any more.
    started = time.monotonic()
    assert proxy.request("POST", "/")["side"] == "blue"
    assert time.monotonic() - started < 0.25
    assert proxies.state()[0]["held_ms"] == 0


def test_a_hold_can_be_prolonged(proxy: HaProxy, proxies: Proxies) -> None:
    proxies.hold(now_ms() + 300)
    waiting = Waiting(proxy)
    proxies.hold(now_ms() + LEASE_MS)
    time.sleep(0.6)
    assert waiting.is_alive()
    proxies.release()
    assert waiting.result()["side"] == "blue"


def test_reads_pass_where_only_writes_are_held(tmp_path: Path, ports: tuple[int, int]) -> None:
    tmp_path.chmod(0o755)
    with haproxy(tmp_path / "proxy", *ports, haproxy_hold="writes") as proxy, Proxies([proxy.endpoint], 5) as proxies:
        proxies.check()
        proxies.hold(now_ms() + LEASE_MS)
        write = Waiting(proxy, "POST")
        for _ in range(3):
            assert proxy.request("GET")["side"] == "blue"
        assert write.is_alive()
        proxies.release()
        assert write.result()["side"] == "blue"


def test_parked_requests_start_one_after_the_other(tmp_path: Path, ports: tuple[int, int]) -> None:
    tmp_path.chmod(0o755)
    with haproxy(tmp_path / "proxy", *ports, haproxy_release_rate=50) as proxy, Proxies([proxy.endpoint], 5) as proxies:
        proxies.check()
        proxies.hold(now_ms() + LEASE_MS)
        waiting = [Waiting(proxy, "POST", "/paced") for _ in range(20)]
        time.sleep(0.3)
        proxies.release()
        assert [request.result()["side"] for request in waiting] == ["blue"] * 20
    begins = sorted(begin for _, path, begin, _ in executed(ports[0]) if path == "/paced")
    # Twenty at fifty a second take 0.4 s; threads share the rate unevenly.
    assert (begins[-1] - begins[0]) / 1e9 > 0.15


def test_slow_write_is_seen_in_flight(proxy: HaProxy, proxies: Proxies) -> None:
    slow = Waiting(proxy, "POST", "/?ms=700")
    until = time.monotonic() + 5
    while not proxies.in_flight("blue", ["write"]) and time.monotonic() < until:
        time.sleep(0.005)
    assert proxies.in_flight("blue", ["write"]) == 1
    assert proxies.in_flight("blue", ["read"]) == 0
    proxies.hold(now_ms() + LEASE_MS)
    with pytest.raises(ProxyError, match=r"1 request.* still in flight on blue_read, blue_write after"):
        proxies.wait_idle("blue", KINDS, time.monotonic() + 0.1)
    proxies.wait_idle("blue", KINDS, time.monotonic() + 5)
    assert slow.result()["side"] == "blue"


def test_upload_under_way_is_in_flight_until_it_is_whole(proxy: HaProxy, proxies: Proxies) -> None:
    with closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=10)) as client:
        client.sendall(
            b"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n" + b"x" * 1000
        )
        until = time.monotonic() + 5
        while not proxies.in_flight("blue", ["write"]) and time.monotonic() < until:
            time.sleep(0.005)
        proxies.hold(now_ms() + LEASE_MS)
        with pytest.raises(ProxyError, match="open upload"):
            proxies.wait_idle("blue", KINDS, time.monotonic() + 0.1)
        client.sendall(b"x" * 199000)
        proxies.wait_idle("blue", KINDS, time.monotonic() + 5)
        assert b'"body": 200000' in received(client)


def test_upload_that_begins_in_the_hold_arrives_whole(proxy: HaProxy, proxies: Proxies) -> None:
    proxies.hold(now_ms() + LEASE_MS)
    # More than HAProxy's buffer: the client waits with the rest.
    waiting = Waiting(proxy, "POST", "/", b"x" * 3_000_000)
    time.sleep(0.2)
    proxies.wait_idle("blue", KINDS, time.monotonic() + 5)
    proxies.route("green")
    proxies.release()
    assert waiting.result() == {"side": "green", "path": "/", "body": 3_000_000}


def test_stream_is_in_flight_as_long_as_it_lasts(proxy: HaProxy, proxies: Proxies) -> None:
    with closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=10)) as client:
        client.sendall(b"GET /stream?ms=600 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in client.recv(4096)
        proxies.hold(now_ms() + LEASE_MS)
        with pytest.raises(ProxyError, match="1 request"):
            proxies.wait_idle("blue", KINDS, time.monotonic() + 0.1)
        # Who holds writes only does not wait for it, and it goes on meanwhile.
        proxies.wait_idle("blue", ["write"], time.monotonic() + 1)
        assert b"data: blue" in received(client)


def test_pipelined_requests_keep_their_order(proxy: HaProxy, proxies: Proxies) -> None:
    proxies.hold(now_ms() + LEASE_MS)
    with closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=10)) as client:
        for number in range(3):
            last = b"Connection: close\r\n" if number == 2 else b""
            client.sendall(b"POST /n%d HTTP/1.1\r\nHost: x\r\n%sContent-Length: 2\r\n\r\nab" % (number, last))
        time.sleep(0.1)
        proxies.route("green")
        proxies.release()
        text = received(client)
    assert [text.index(b"/n%d" % number) for number in range(3)] == sorted(text.index(b"/n%d" % n) for n in range(3))
    assert text.count(b'"green"') == 3


def test_http2(tmp_path: Path, ports: tuple[int, int]) -> None:
    tmp_path.chmod(0o755)
    port = free_port()
    with (
        haproxy(tmp_path / "proxy", *ports, haproxy_bind=[f"127.0.0.1:{port} proto h2"]) as proxy,
        Proxies([proxy.endpoint], 5) as proxies,
    ):
        proxies.check()
        proxies.hold(now_ms() + LEASE_MS)
        urls = [f"http://127.0.0.1:{port}/h2-{number}" for number in range(3)]
        command = [
            "curl",
            "--silent",
            "--http2-prior-knowledge",
            "--parallel",
            "--parallel-immediate",
            "--data",
            "x",
            *urls,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            time.sleep(0.3)
            assert client.poll() is None
            proxies.route("green")
            proxies.release()
            out, _ = client.communicate(timeout=10)
        assert out.count(b'"green"') == 3


def test_tls_at_the_proxy(tmp_path: Path, ports: tuple[int, int]) -> None:
    tmp_path.chmod(0o755)
    authority = Authority(tmp_path / "authority")
    port = free_port()
    bind = f"127.0.0.1:{port} ssl crt {authority.sign('site', server=True)[0]} alpn h2,http/1.1"
    with haproxy(tmp_path / "proxy", *ports, haproxy_bind=[bind]) as proxy, Proxies([proxy.endpoint], 5) as proxies:
        proxies.check()
        proxies.hold(now_ms() + LEASE_MS)
        clients = [
            subprocess.Popen(
                [
                    "curl",
                    "--silent",
                    "--cacert",
                    str(authority.path),
                    version,
                    "--data",
                    "x",
                    f"https://127.0.0.1:{port}/",
                ],
                stdout=subprocess.PIPE,
            )
            for version in ("--http1.1", "--http2")
        ]
        time.sleep(0.4)
        assert [client.poll() for client in clients] == [None, None]
        proxies.route("green")
        proxies.release()
        for client in clients:
            assert b'"green"' in client.communicate(timeout=10)[0]


def test_websocket_is_a_read_in_flight_and_stays_where_it_is(proxy: HaProxy, proxies: Proxies) -> None:
    hello = (
        b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=10)) as client:
        client.sendall(hello)
        assert b" 101 " in client.recv(4096)
        proxies.hold(now_ms() + LEASE_MS)
        assert proxies.in_flight("blue", ["read"]) == 1
        with pytest.raises(ProxyError, match="1 request"):
            proxies.wait_idle("blue", KINDS, time.monotonic() + 0.1)
        proxies.wait_idle("blue", ["write"], time.monotonic() + 1)
        # No hold reaches what goes over it.
        client.sendall(b"write")
        assert client.recv(4096) == b"blue write"
        proxies.route("green")
        proxies.release()
        client.sendall(b"again")
        assert client.recv(4096) == b"blue again"
    with closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=10)) as client:
        client.sendall(hello)
        assert b" 101 " in client.recv(4096)
        client.sendall(b"new")
        assert client.recv(4096) == b"green new"


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("sent", [1000, 100], ids=["whole", "in_the_upload"])
def test_client_gone_while_it_waits(
    proxy: HaProxy, proxies: Proxies, ports: tuple[int, int], reset: bool, sent: int
) -> None:
    """A whole request is executed once, as it is when a client goes without waiting for the answer; never in the hold."""
    path = f"/gone-{reset}-{sent}"
    proxies.hold(now_ms() + LEASE_MS)
    client = socket.create_connection(("127.0.0.1", proxy.port))
    client.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" % path.encode() + b"x" * sent)
    time.sleep(0.1)
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    time.sleep(0.5)
    assert proxies.in_flight("blue") == 0
    assert path not in [entry[1] for port in ports for entry in executed(port)]
    proxies.route("green")
    proxies.release()
    # The others are served, whatever became of that one.
    assert proxy.request()["side"] == "green"
    time.sleep(0.1)
    assert [entry[1] for entry in executed(ports[0])].count(path) == 0
    assert [entry[1] for entry in executed(ports[1])].count(path) == (1 if sent == 1000 else 0)


def test_maintenance_that_begins_in_the_hold_is_obeyed(proxy: HaProxy, proxies: Proxies) -> None:
    proxies.hold(now_ms() + LEASE_MS)
    waiting = Waiting(proxy, "POST")
    time.sleep(0.1)
    runtime = proxies.proxies[0].runtime
    runtime.set_entry(str(proxy.map_file), "maintenance", "writes", True)
    proxies.release()
    assert waiting.result() == 503
    assert proxy.request("GET")["side"] == "blue"


def received(client: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)
