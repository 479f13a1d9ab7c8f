# SPDX-License-Identifier: GPL-3.0-or-later
"""The role application with a real systemd: units of blue and green; a socket that keeps the requests of a restart."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.postgres import free_port
from support.project import ROOT
from support.user_systemd import Systemd, running

BEFORE = "DATABASE_URL=sqlite:////srv/shop.sqlite\n"
URL = "postgresql://app:s3cr%40t@127.0.0.1:6432/app"
# It takes its listener from systemd, and its database from the environment that systemd read.
APPLICATION = """
import json, os, socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"database": os.environ["DATABASE_URL"].partition(":")[0]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
server.serve_forever()
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes a namespace: needs root")


@dataclass
class Shop:
    """An application that systemd starts at the first request."""

    folder: Path
    systemd: Systemd
    port: int
    answers: list[str] = field(default_factory=list)
    longest: float = 0.0

    def role(self, tasks: str, *, fails: bool = False, **variables: Any) -> str:
        given = {
            "run_tasks": tasks,
            "application_env_file": str(self.folder / "shop.env"),
            "application_database_url": URL,
            "application_systemd_unit": "shop.service",
            "application_systemd_socket": "shop.socket",
            "application_socket_hold_file": str(self.folder / "hold"),
            "application_health_url": f"http://127.0.0.1:{self.port}/health",
            "application_health_timeout": 20,
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        file = self.folder / "variables.json"
        file.write_text(json.dumps(given))
        done = self.systemd.run(
            *(str(ROOT / ".venv/bin/ansible-playbook"), "-i", "shop,", "-c", "local", "-vv", "--diff"),
            *(str(Path(__file__).with_name("run.yml")), "-e", f"@{file}"),
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            LC_ALL="C.UTF-8",
            ANSIBLE_NOCOLOR="1",
        )
        assert "s3cr" not in done.stdout, "the password is in the output"
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        return done.stdout

    def ask(self) -> str:
        began = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=60) as answer:
                return str(json.load(answer)["database"])
        except OSError as error:
            return f"failed: {error}"
        finally:
            self.longest = max(self.longest, time.monotonic() - began)

    def state(self) -> str:
        return self.systemd.run("systemctl", "show", "--property=SubState", "--value", "shop.service").stdout.strip()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "shop.env").write_text(BEFORE)
    (tmp_path / "shop.py").write_text(APPLICATION)
    port = free_port()
    with running(tmp_path) as systemd:
        systemd.unit("shop.socket", f"[Socket]\nListenStream=127.0.0.1:{port}\nBacklog=1024\n")
        start = f"ExecStart={sys.executable} {tmp_path}/shop.py"
        systemd.unit("shop.service", f"[Service]\nEnvironmentFile={tmp_path}/shop.env\n{start}\n")
        made = Shop(tmp_path, systemd, port)
        output = made.role("socket_hold", fails=True)
        assert "shop.socket is inactive, not active" in output
        assert systemd.run("systemctl", "start", "shop.socket").returncode == 0
        assert made.ask() == "sqlite"
        yield made


def test_no_request_fails_while_the_application_is_away(shop: Shop) -> None:
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            shop.answers.append(shop.ask())
            time.sleep(0.02)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    try:
        shop.role("socket_hold")
        assert shop.state() == "start-pre"
        shop.role("socket_hold")
        held = len(shop.answers)
        time.sleep(1)
        assert len(shop.answers) == held, "nobody answers, and nobody writes"
        shop.role("socket_switch")
        assert shop.ask() == "postgresql"
        shop.role("socket_hold")
        shop.role("socket_restore")
        assert shop.ask() == "sqlite"
    finally:
        done.set()
        for thread in clients:
            thread.join(90)
    assert set(shop.answers) == {"sqlite", "postgresql"}, [answer for answer in shop.answers if "failed" in answer]
    turns = [answer for before, answer in zip(["", *shop.answers], shop.answers) if answer != before]
    assert turns == ["sqlite", "postgresql", "sqlite"], "never two at once"
    assert shop.longest > 1, "they waited"
    assert (shop.folder / "shop.env").read_text() == BEFORE
    assert shop.systemd.run("ls", "/run/systemd/system").stdout.split() == [
        "shop.service",
        "shop.service.d",
        "shop.socket",
    ]
    assert shop.systemd.run("ls", "/run/systemd/system/shop.service.d").stdout == "", "no drop-in stays"


def test_the_hold_ends_by_itself_and_can_be_called_off(shop: Shop) -> None:
    shop.role("socket_hold", application_socket_hold_seconds=3)
    assert shop.ask() == "sqlite", "whatever became of the playbook"
    shop.role("socket_release")
    assert not (shop.folder / "hold").exists()
    shop.role("socket_hold")
    shop.role("socket_release")
    assert shop.ask() == "sqlite"
    assert "needs application_restart_method systemd" in shop.role(
        "socket_hold", fails=True, application_systemd_socket=""
    )


def test_units_of_blue_and_green(shop: Shop) -> None:
    """Green is an instance of a template; blue's socket goes with blue, as a request would start it again."""
    green_port = free_port()
    fixed = APPLICATION.replace("server.socket.close()\nserver.socket = socket.socket(fileno=3)\n", "")
    fixed = fixed.replace(", 0), Handler, bind_and_activate=False)", ', int(os.environ["PORT"])), Handler)')
    (shop.folder / "green.py").write_text(fixed)
    start = f"EnvironmentFile={shop.folder}/%i.env\nExecStart={sys.executable} {shop.folder}/green.py"
    shop.systemd.unit("green@.service", f"[Service]\n{start}\n[Install]\nWantedBy=default.target\n")
    green = {
        "application_grace_seconds": 0,
        "application_green_systemd_unit": "green@next.service",
        "application_green_env_file": str(shop.folder / "next.env"),
        "application_green_env": {"PORT": str(green_port)},
        "application_green_health_url": f"http://127.0.0.1:{green_port}/health",
    }

    def states() -> list[str]:
        """Of blue's socket, of blue, of green, and whether green starts with the host."""
        units = ("shop.socket", "shop.service", "green@next.service")
        active = [shop.systemd.run("systemctl", "is-active", unit).stdout.strip() for unit in units]
        return [*active, shop.systemd.run("systemctl", "is-enabled", units[-1]).stdout.strip()]

    shop.role("green_prepare", **green)
    assert states() == ["active", "active", "active", "enabled"]
    assert "changed=0" in shop.role("green_prepare", **green)
    shop.role("blue_stop", **green)
    assert states() == ["inactive", "inactive", "active", "enabled"]
    assert "refused" in shop.ask()
    shop.role("blue_start", **green)
    shop.role("blue_healthy", **green)
    shop.role("green_stop", **green)
    assert states() == ["active", "active", "inactive", "disabled"]
