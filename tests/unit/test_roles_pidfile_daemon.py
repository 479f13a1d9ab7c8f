# SPDX-License-Identifier: GPL-3.0-or-later
"""The module pidfile_daemon, on a daemon of a few lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.project import run_module

DAEMON = """
import os, signal, sys, time
folder = sys.argv[1]
if os.fork():
    os._exit(0)
os.setsid()
null = os.open(os.devnull, os.O_RDWR)
for stream in (0, 1, 2):
    os.dup2(null, stream)
signal.signal(signal.SIGHUP, lambda *_: open(folder + "/reloads", "a").write("x"))
if len(sys.argv) > 2:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(folder + "/pid", "w").write(str(os.getpid()))
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    time.sleep(1)
"""


class Daemon:
    """The daemon's files and the module's usual arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid_file = folder / "pid"
        script = folder / "daemon.py"
        script.write_text(DAEMON)
        self.argv = [sys.executable, str(script), str(folder)]

    def run(self, state: str, check: bool = False, **more: Any) -> dict[str, Any]:
        """Run the module."""
        arguments = {
            "state": state,
            "pid_file": str(self.pid_file),
            "match": f"{self.folder}/daemon.py",
            "argv": self.argv,
            "timeout": 10,
        }
        return run_module("pidfile_daemon", check, **{**arguments, **more})


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that is ended after the test."""
    made = Daemon(tmp_path)
    try:
        yield made
    finally:
        made.run("stopped", stop_signal="KILL")


def test_start_reload_restart_stop(daemon: Daemon) -> None:
    assert daemon.run("started", check=True)["changed"]
    assert not daemon.pid_file.exists()

    started = daemon.run("started")
    assert started["changed"]
    assert not started["was_running"]
    again = daemon.run("started")
    assert not again["changed"]
    assert again["pid"] == started["pid"] == int(daemon.pid_file.read_text())

    reloaded = daemon.run("reloaded")
    assert reloaded["changed"]
    assert reloaded["pid"] == started["pid"]
    deadline = time.monotonic() + 5
    while not (daemon.folder / "reloads").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (daemon.folder / "reloads").read_text() == "x"

    restarted = daemon.run("restarted")
    assert restarted["pid"] != started["pid"]
    assert daemon.run("stopped")["changed"]
    assert not daemon.pid_file.exists()
    assert not daemon.run("stopped")["changed"]
    assert daemon.run("reloaded")["changed"], "what does not run is started instead"


def test_a_playbook_that_gives_way_starts_what_does_not(daemon: Daemon) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may raise a priority again")
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, 10)
    try:
        pid = daemon.run("started")["pid"]
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, usual)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 0


def test_pid_of_another_process_is_not_touched(daemon: Daemon) -> None:
    """After a reboot the number in an old pid file may belong to anything, here to process 1."""
    daemon.pid_file.write_text("1\n")
    assert not daemon.run("stopped")["changed"]
    assert daemon.run("started")["pid"] != 1


def test_failing_start_shows_why(daemon: Daemon) -> None:
    answer = daemon.run("started", argv=[sys.executable, "-c", "raise SystemExit('no such address')"])
    assert answer["failed"]
    assert "no such address" in answer["msg"]


def test_start_without_a_daemon_ends_in_time(daemon: Daemon) -> None:
    answer = daemon.run("started", argv=[sys.executable, "-c", "pass"], timeout=1)
    assert answer["failed"]
    assert "did not name a running process" in answer["msg"]


def test_stop_does_not_kill(daemon: Daemon) -> None:
    pid = daemon.run("started", argv=[*daemon.argv, "stubborn"])["pid"]
    answer = daemon.run("stopped", timeout=1)
    assert answer["failed"]
    assert f"Process {pid}" in answer["msg"]
    assert Path(f"/proc/{pid}").exists()


def test_unknown_signal(daemon: Daemon) -> None:
    daemon.run("started")
    assert "not a signal" in daemon.run("reloaded", reload_signal="NONSENSE")["msg"]
