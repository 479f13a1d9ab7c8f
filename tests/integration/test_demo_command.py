# SPDX-License-Identifier: GPL-3.0-or-later
"""demo/bin/demo-app starts and stops the application, by its own pid and nothing else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

import seed

COMMAND = Path(seed.__file__).parent / "bin" / "demo-app"


class Demo:
    """The command with a directory and a port of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            self.port: int = listener.getsockname()[1]
        self.pid_file = directory / "run" / "app.pid"

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(COMMAND), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "PG_CUTOVER_DEMO_DIR": str(self.directory),
                "DEMO_PORT": str(self.port),
                "DEMO_PYTHON": sys.executable,
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def health(self) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
            return json.load(answer)

    def processes(self) -> list[int]:
        """Every process that was started for this directory, whether or not a pid file tells of it."""
        mark = f"DEMO_PID_FILE={self.pid_file}".encode()
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in environ.read_bytes().split(b"\0"):
                    found.append(int(environ.parent.name))
        return found

    def pid(self) -> int:
        return int(self.pid_file.read_text(encoding="ascii"))


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    seed.seed(tmp_path / "app.sqlite", 0.01)
    env_file = tmp_path / "app.env"
    env_file.touch(mode=0o600)
    env_file.write_text(f"DATABASE_URL=sqlite:///{tmp_path}/app.sqlite\n", encoding="utf-8")
    command = Demo(tmp_path)
    yield command
    assert command("stop").returncode == 0
    assert command.processes() == []


def test_start_status_restart_stop(demo: Demo) -> None:
    assert demo("status").returncode == 3
    started = demo("start")
    assert started.returncode == 0, started.stderr
    assert "started (pid " in started.stdout
    assert demo.health()["database"] == "sqlite"
    first = demo.pid()
    assert "already running" in demo("start").stdout
    assert demo.pid() == first
    status = demo("status")
    assert (status.returncode, ", writable)" in status.stdout) == (0, True)
    assert demo("restart").returncode == 0
    assert demo.pid() != first
    assert f"stopped (pid {demo.pid()})" in demo("stop").stdout
    stopped = demo("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "demo-app: not running\n")
    with pytest.raises(OSError, match="refused"):
        demo.health()


def test_no_secret_in_argv_or_environment(demo: Demo) -> None:
    (demo.directory / "app.env").write_text(
        f"DATABASE_URL=sqlite:///{demo.directory}/app.sqlite\nSECRET_KEY=s3cret\n", encoding="utf-8"
    )
    assert demo("start").returncode == 0
    for name in ("cmdline", "environ"):
        content = Path(f"/proc/{demo.pid()}/{name}").read_bytes()
        assert b"s3cret" not in content
        assert b"sqlite:///" not in content


def test_a_stale_pid_file_never_leads_to_a_foreign_process(demo: Demo) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        demo.pid_file.parent.mkdir()
        demo.pid_file.write_text(f"{bystander.pid}\n", encoding="ascii")
        assert demo("status").returncode == 3
        assert "not running" in demo("stop").stdout
        assert bystander.poll() is None
        demo.pid_file.write_text(f"{bystander.pid}\n", encoding="ascii")
        assert demo("start").returncode == 0
        assert demo.pid() != bystander.pid
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n")


def test_a_port_in_use_is_said(demo: Demo) -> None:
    with closing(socket.create_server(("127.0.0.1", demo.port))):
        started = demo("start")
    assert started.returncode == 1
    assert f"port {demo.port} is in use by another process" in started.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "DATABASE_URL is missing or empty"),
        ("DATABASE_URL=mysql://u:s3cret@h/d\n", "DATABASE_URL is for mysql"),
        ("DATABASE_URL=postgresql://u:s3cret@h:port/d\n", "DATABASE_URL is not a URL that can be read"),
    ],
)
def test_wrong_settings_are_told_while_the_old_process_serves(demo: Demo, content: str, reason: str) -> None:
    assert demo("start").returncode == 0
    pid = demo.pid()
    (demo.directory / "app.env").write_text(content, encoding="utf-8")
    restarted = demo("restart")
    assert restarted.returncode == 1
    assert reason in restarted.stderr
    assert "s3cret" not in restarted.stderr + restarted.stdout
    assert demo.pid() == pid
    assert demo.health()["status"] == "ok"


# With 0 s the wait is over before gunicorn has written its pid file.
@pytest.mark.parametrize("seconds", ["0", "3"])
def test_a_start_without_a_database_fails_in_time_and_leaves_nothing(demo: Demo, seconds: str) -> None:
    (demo.directory / "app.env").write_text("DATABASE_URL=postgresql://u:s3cret@127.0.0.1:9/d\n", encoding="utf-8")
    started = demo("start", DEMO_WAIT=seconds)
    assert started.returncode == 1
    assert f"not healthy within {seconds} s (" in started.stderr
    assert "s3cret" not in started.stderr
    assert not demo.pid_file.exists()
    assert demo.processes() == []


@pytest.mark.parametrize("arguments", [[], ["begin"], ["start", "--port"], ["start", "--what", "x"]])
def test_a_wrong_call_shows_how_it_is_meant(demo: Demo, arguments: list[str]) -> None:
    called = demo(*arguments)
    assert called.returncode == 2
    assert called.stderr.startswith("Usage: demo-app")
