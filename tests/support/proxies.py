# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy with the role's own configuration, on free ports, and applications behind it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import yaml

from cutover.switch.proxy import Endpoint, Proxies

from .project import ROOT

ROLE = ROOT / "roles" / "haproxy"
BACKEND = Path(__file__).with_name("http_backend.py")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses at the moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def render(folder: Path, **variables: Any) -> str:
    """The role's haproxy.cfg, with everything below ``folder`` and, without root rights, no chroot."""
    # As Ansible's module template sets it.
    environment = jinja2.Environment(  # noqa: S701 - this is no web page
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    values = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
        "ansible_managed": "for a test",
        "haproxy_log": "",
        "haproxy_hold": "all",
        "haproxy_admin_socket": str(folder / "admin.sock"),
        "haproxy_chroot": str(folder) if os.geteuid() == 0 else "",
        "haproxy_health_interval": "100ms",
        "haproxy_config_directory": str(folder),
        "_haproxy_marker": "pg-cutover, role haproxy",
        "_haproxy_map_file": str(folder / "cutover.map"),
        "_haproxy_pages_directory": str(folder),
        "_haproxy_admin_certificate": str(folder / "server.pem"),
        "_haproxy_admin_ca": str(folder / "ca.pem"),
        "_haproxy_inner_socket": "/inner/admin.sock" if os.geteuid() == 0 else str(folder / "inner" / "admin.sock"),
        **variables,
    }
    return environment.from_string((ROLE / "templates" / "haproxy.cfg.j2").read_text()).render(values)


def servers(*ports: int) -> list[dict[str, Any]]:
    """The role's list of servers."""
    return [{"name": f"app{number}", "address": "127.0.0.1", "port": port} for number, port in enumerate(ports, 1)]


@dataclass
class HaProxy:
    """A running HAProxy."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def map_file(self) -> Path:
        """The map's file."""
        return self.folder / "cutover.map"

    @property
    def endpoint(self) -> Endpoint:
        """Its admin socket."""
        return Endpoint(name=self.folder.name, map_path=str(self.map_file), socket=str(self.folder / "admin.sock"))

    def start(self, wait: bool = True) -> None:
        """Start it, and wait until every server is up."""
        (self.folder / "haproxy.cfg").write_text(render(self.folder, **self.variables))
        self.process = subprocess.Popen(["haproxy", "-W", "-f", str(self.folder / "haproxy.cfg")])
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it answers with every server up."""
        until = time.monotonic() + 20
        while True:
            try:
                with Proxies([self.endpoint]) as proxies:
                    proxies.check(self.sides)
                    if all(proxies.healthy(side) for side in self.sides):
                        return
            except Exception:
                if time.monotonic() > until:
                    raise
            assert time.monotonic() < until, "a server did not come up"
            time.sleep(0.02)

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that it has."""
        return ("blue", "green") if self.variables.get("haproxy_green_servers") else ("blue",)

    def reload(self) -> None:
        """Let a new worker take over."""
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR2)

    def stop(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def request(self, method: str = "GET", path: str = "/", body: bytes | None = None, timeout: float = 10) -> Any:
        """One request through it, over a connection of its own: the answer's JSON, or its status."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            connection.request(method, path, body)
            answer = connection.getresponse()
            text = answer.read()
            return json.loads(text) if answer.status == 200 else answer.status


@contextmanager
def application(side: str) -> Iterator[int]:
    """An application behind the proxy; its port."""
    port = free_port()
    with subprocess.Popen([sys.executable, str(BACKEND), str(port), side], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield port
        finally:
            process.kill()


def executed(port: int) -> list[list[Any]]:
    """What an application executed: [method, path, begin, end]."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/log")
        answer: list[list[Any]] = json.loads(connection.getresponse().read())
        return answer


@contextmanager
def haproxy(folder: Path, blue: int, green: int | None = None, **variables: Any) -> Iterator[HaProxy]:
    """HAProxy in front of one or two applications."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    (folder / "inner").mkdir(exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(folder / "inner", "haproxy", "haproxy")
    shutil.copy(ROLE / "files" / "hold.lua", folder)
    for page in ("maintenance.html", "maintenance.json"):
        (folder / page).write_text("maintenance\n")
    (folder / "cutover.map").write_text("# a comment\nmaintenance off\nroute blue\nhold 0\n")
    port = free_port()
    proxy = HaProxy(
        folder,
        port,
        variables={
            "haproxy_bind": [f"127.0.0.1:{port}"],
            "haproxy_servers": servers(blue),
            "haproxy_green_servers": servers(green) if green else [],
            **variables,
        },
    )
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()


def now_ms() -> int:
    """Epoch milliseconds."""
    return int(time.time() * 1000)


@dataclass
class Answer:
    """What a client saw: status, side, when it asked and when it had the answer (monotonic seconds)."""

    method: str
    status: int
    side: str
    begin: float
    end: float


class Load:
    """Clients that keep their connections, ``rate`` requests a second together, three of ten are writes.

    Open loop: a request is due at its time, whether or not the one before it was answered quickly.
    """

    def __init__(self, port: int, rate: int = 300, clients: int = 24) -> None:
        self.port = port
        self.answers: list[Answer] = []
        self.problems: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._client, args=(number, clients / rate), daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _client(self, number: int, period: float) -> None:
        due = time.monotonic() + period * number / len(self._threads)
        count = number
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due += period
                count += 1
                method = "POST" if count % 10 < 3 else "GET"
                begin = time.monotonic()
                try:
                    connection.request(method, "/?ms=2", b"x" if method == "POST" else None)
                    response = connection.getresponse()
                    text = response.read()
                    side = json.loads(text)["side"] if response.status == 200 else ""
                except (OSError, http.client.HTTPException, ValueError) as error:
                    self.problems.append(f"{method}: {error!r}")
                    connection.close()
                    continue
                self.answers.append(Answer(method, response.status, side, begin, time.monotonic()))
                if response.status != 200:
                    self.problems.append(f"{method}: {response.status}")
