# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of a host are given another login; a host without one on PostgreSQL is refused, not passed over."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.playbooks import ansible
from support.project import ROOT

pytestmark = pytest.mark.slow

PASSWORD = "n3w-and-secret"


class Healthy(BaseHTTPRequestHandler):
    """An application on PostgreSQL."""

    def do_GET(self) -> None:
        body = json.dumps({"database": "postgresql"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def health() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/health"
    server.shutdown()
    server.server_close()


def rotate(folder: Path, health: str, *, serving: bool, fails: bool = False) -> str:
    """Run the entry point; what it printed, on one line."""
    given = {
        "run_tasks": "rotate",
        "application_env_file": str(folder / "shop.env"),
        "application_restart_method": "command",
        "application_restart_command": ["touch", str(folder / "restarted")],
        "application_health_url": health,
        "application_green_stop_command": ["true"],
        "application_green_start_command": ["touch", str(folder / "restarted")],
        "application_green_health_url": health,
        "application_health_timeout": 5,
        "application_rotate_users": ["shop_app", "shop_app_rotating"],
        "application_rotate_user": "shop_app_rotating",
        "application_rotate_password": PASSWORD,
        "application_rotate_serving": serving,
        "ansible_python_interpreter": sys.executable,
    }
    (folder / "given.json").write_text(json.dumps(given))
    playbook = str(ROOT / "tests/e2e/application/run.yml")
    done = ansible("-i", "shop,", "-c", "local", "-vv", "--diff", playbook, "-e", f"@{folder / 'given.json'}")
    assert (done.returncode != 0) == fails, done.stdout[-6000:]
    assert PASSWORD not in done.stdout
    return " ".join(done.stdout.split())


@pytest.mark.parametrize(
    "line", [None, "DATABASE_URL=postgresql://somebody:x@h/shop\n", "DATABASE_URL=sqlite:////s.db\n"]
)
def test_host_that_would_be_locked_out_is_refused(tmp_path: Path, health: str, line: str | None) -> None:
    if line is not None:
        (tmp_path / "shop.env").write_text(line)
    said = rotate(tmp_path, health, serving=True, fails=True)
    assert "shop has no environment file in which DATABASE_URL is a URL of shop_app or shop_app_rotating" in said
    assert str(tmp_path / "shop.env.green") in said
    # Before the cutover nobody is locked out.
    rotate(tmp_path, health, serving=False)
    assert not (tmp_path / "restarted").exists()


@pytest.mark.parametrize(
    ("name", "scheme"), [("shop.env", "postgresql"), ("shop.env", "postgis"), ("shop.env.green", "pgsql")]
)
def test_one_instance_with_the_login_is_enough(tmp_path: Path, health: str, name: str, scheme: str) -> None:
    (tmp_path / "shop.env").write_text("DATABASE_URL=sqlite:////s.db\n")
    (tmp_path / name).write_text(f"DATABASE_URL={scheme}://shop_app:old@h/shop\n")
    rotate(tmp_path, health, serving=True)
    assert (tmp_path / "restarted").exists()
    assert (tmp_path / name).read_text() == f"DATABASE_URL={scheme}://shop_app_rotating:{PASSWORD}@h/shop\n"
