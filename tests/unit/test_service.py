# SPDX-License-Identifier: GPL-3.0-or-later
"""The replication's process: what it refuses, how it ends, who starts it again. The loop in it only counts here."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cutover.errors import CutoverError
from cutover.follow import state as states
from cutover.lock import Locked, ReplicationLock, replicating
from cutover.service import AGAIN, OPERATOR, STOPPED, load
from cutover.source.fence import lift_fence, raise_fence

ENGINE = Path(__file__).resolve().parents[2] / "module_utils"

# A loop that works in batches of a moment; the file `fault` beside its state says how it is to end.
PROGRAM = f"""
import os, sys, time
sys.path.insert(0, {str(ENGINE)!r})
from cutover import daemon, service
from cutover.errors import CutoverError
from cutover.follow.state import State, write



daemon.keep.__defaults__ = (0.3,)  # the pause

class Loop:
    def __init__(self, config):
        self.folder, self.direction = config["state_dir"], config["direction"]

    def run(self, stop):
        count = 0
        while not stop():
            count += 1
            with open(self.folder + "/batches", "a") as file:
                file.write("begun ")
                file.flush()
                time.sleep(0.05)
                file.write("done\\n")
            write(service.state_file(self.folder), State(self.direction, "following", lag_changes=0, position=count))
            if os.path.exists(self.folder + "/fault"):
                how = open(self.folder + "/fault").read()
                os.unlink(self.folder + "/fault")
                if how == "refuse":
                    raise CutoverError("table t was altered")
                raise OSError(how)

service.Follower = service.Reverser = Loop
raise SystemExit(service.main())
"""


class Service:
    """One migration's state, source and configuration, and processes that serve it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "state"
        self.folder.mkdir()
        self.source = folder / "app.sqlite"
        self.config = folder / "config.json"
        self.pid_file, self.log = folder / "pid", folder / "log"
        self.program = folder / "program.py"
        self.program.write_text(PROGRAM)
        self.write()

    def write(self, mode: int = 0o600, **changed: Any) -> None:
        data = {
            "name": "test",
            "state_dir": str(self.folder),
            "source_path": str(self.source),
            "plan": {"version": 1},
            "target_url": "postgresql://u:hidden-word@127.0.0.1:1/d",
            "direction": "follow",
            **changed,
        }
        self.config.unlink(missing_ok=True)
        self.config.write_text(json.dumps(data))
        self.config.chmod(mode)

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self.program), "--config", str(self.config), *more],
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self) -> tuple[int, str]:
        """Status and words of a process that ends by itself."""
        process = self.start()
        try:
            said = process.communicate(timeout=20)[1]
        finally:
            process.kill()
        return process.returncode, said

    def background(self) -> int:
        """The number of a keeper that was started as a daemon."""
        process = self.start("--daemon", "--pid-file", str(self.pid_file), "--log", str(self.log))
        assert process.wait(20) == 0, process.communicate()[1]
        until(self.pid_file.exists)
        return int(self.pid_file.read_text())

    def state(self) -> states.State:
        found = states.read(str(self.folder / "replication.json"))
        assert found is not None
        return found

    def at_work(self) -> int:
        """The number of the process that replicates, once it does."""
        until(lambda: (replicating(str(self.folder)) or {}).get("pid") and self.batches() > 0)
        holder = replicating(str(self.folder))
        assert holder is not None
        return int(holder["pid"])

    def batches(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "batches").read_text().count("done")
        return 0


def until(true: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def service(tmp_path: Path, make_sqlite: Any) -> Iterator[Service]:
    """A service that is ended after the test."""
    made = Service(tmp_path)
    make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY)").rename(made.source)
    try:
        yield made
    finally:
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int(made.pid_file.read_text()), signal.SIGKILL)
        holder = replicating(str(made.folder))
        if holder:
            os.kill(int(holder["pid"]), signal.SIGKILL)


# ---------------------------------------------------------------- the configuration


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o666])
def test_a_configuration_that_others_may_read_is_refused(service: Service, mode: int) -> None:
    service.write(mode)
    code, said = service.ended()
    assert code == OPERATOR
    assert f"mode {mode:04o}" in said
    assert "hidden-word" not in said
    assert service.batches() == 0


def test_a_configuration_of_another_user_is_refused(service: Service) -> None:
    if os.geteuid() != 0:
        pytest.skip("gives a file away: needs root")
    os.chown(service.config, 65534, 65534)
    code, said = service.ended()
    assert (code, "belong to the user" in said) == (OPERATOR, True)


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"target_url": ""}, "lacks target_url"), ({"plan": None}, "lacks plan"), ({"direction": "both"}, "'both'")],
)
def test_a_configuration_that_is_not_whole_is_refused(service: Service, changed: dict[str, Any], says: str) -> None:
    service.write(**changed)
    with pytest.raises(CutoverError, match=says):
        load(str(service.config))
    assert service.ended()[0] == OPERATOR


def test_what_is_no_configuration_is_refused(service: Service) -> None:
    service.config.write_text("[]")
    assert "is not the configuration" in service.ended()[1]
    service.config.write_text("{")
    assert "is not the configuration" in service.ended()[1]
    service.config.unlink()
    assert "cannot be read" in service.ended()[1]


def test_the_digest_names_the_contents(service: Service) -> None:
    first = load(str(service.config))["digest"]
    service.write(direction="reverse")
    assert load(str(service.config))["digest"] != first
    assert load(str(service.config))["limits"] == {}


# ---------------------------------------------------------------- the direction


def test_nothing_is_carried_from_sqlite_while_the_fence_stands(service: Service) -> None:
    raise_fence(str(service.source), "attempt-1")
    code, said = service.ended()
    assert code == OPERATOR
    assert "the fence attempt-1 stands" in said
    assert service.batches() == 0
    assert (service.state().state, service.state().reason) == ("stopped", said.splitlines()[-1].split(" ", 2)[2])


def test_nothing_is_carried_to_sqlite_while_no_fence_stands(service: Service) -> None:
    service.write(direction="reverse")
    code, said = service.ended()
    assert code == OPERATOR
    assert "no fence stands" in said
    assert service.batches() == 0
    raise_fence(str(service.source), "attempt-1")
    with service.start() as process:
        service.at_work()
        process.terminate()
    assert process.returncode == STOPPED
    lift_fence(str(service.source))
    assert service.ended()[0] == OPERATOR


def test_a_source_that_is_not_there_may_be_there_the_next_time(service: Service) -> None:
    service.source.rename(service.source.with_suffix(".away"))
    code, said = service.ended()
    assert code == AGAIN
    assert "there is no such file" in said
    assert service.state().state == "waiting"


# ---------------------------------------------------------------- its life


def test_it_finishes_its_batch_and_ends_when_told(service: Service) -> None:
    with service.start() as process:
        assert service.at_work() == process.pid
        began = time.monotonic()
        process.terminate()
        process.wait(10)
    assert process.returncode == STOPPED
    assert time.monotonic() - began < 3
    lines = (service.folder / "batches").read_text().splitlines()
    assert set(lines) == {"begun done"}, "no batch was cut off"
    state = service.state()
    assert (state.state, state.reason, state.position) == ("stopped", "stopped as asked", len(lines))
    assert (service.folder / "replication.json").stat().st_mode & 0o777 == 0o600
    assert replicating(str(service.folder)) is None


@pytest.mark.parametrize(("fault", "code", "state"), [("refuse", OPERATOR, "stopped"), ("no route", AGAIN, "waiting")])
def test_the_status_says_whether_another_start_may_help(service: Service, fault: str, code: int, state: str) -> None:
    (service.folder / "fault").write_text(fault)
    ended, said = service.ended()
    assert ended == code
    assert service.state().state == state
    assert str(service.state().reason) in said
    assert ("table t was altered" if fault == "refuse" else "OSError: no route") in str(service.state().reason)


def test_a_second_one_is_refused_and_disturbs_nobody(service: Service) -> None:
    with service.start() as process:
        pid = service.at_work()
        with pytest.raises(Locked, match=f"process {pid} carries"):
            ReplicationLock(str(service.folder), patience=0.2).__enter__()
        before = service.batches()
        until(lambda: service.batches() > before)
        assert process.poll() is None
        process.terminate()
    with ReplicationLock(str(service.folder), {"direction": "switch"}):
        holder = replicating(str(service.folder))
        assert holder is not None
        assert (holder["pid"], holder["direction"]) == (os.getpid(), "switch")
    assert replicating(str(service.folder)) is None


def test_a_killed_one_leaves_no_lock(service: Service) -> None:
    with service.start() as process:
        service.at_work()
        process.kill()
    assert replicating(str(service.folder)) is None
    with service.start() as process:
        service.at_work()
        process.terminate()
    assert process.returncode == STOPPED


# ---------------------------------------------------------------- without a service manager


def test_the_daemon_starts_again_what_was_killed(service: Service) -> None:
    keeper = service.background()
    first = service.at_work()
    assert first != keeper
    os.kill(first, signal.SIGKILL)
    until(lambda: (replicating(str(service.folder)) or {}).get("pid") not in (None, first))
    assert lives(keeper)
    (service.folder / "fault").write_text("no route")
    second = service.at_work()
    until(lambda: (replicating(str(service.folder)) or {}).get("pid") not in (None, second))
    last = service.at_work()
    os.kill(keeper, signal.SIGTERM)
    until(lambda: not lives(keeper))
    assert not lives(last)
    assert not service.pid_file.exists()
    assert service.state().reason == "stopped as asked"
    assert service.log.stat().st_mode & 0o777 == 0o600
    assert "OSError: no route" in service.log.read_text()
    assert "hidden-word" not in service.log.read_text()


def test_the_daemon_that_may_not_begin_says_why_to_whoever_started_it(service: Service) -> None:
    raise_fence(str(service.source), "attempt-1")
    process = service.start("--daemon", "--pid-file", str(service.pid_file), "--log", str(service.log))
    assert "the fence attempt-1 stands" in process.communicate(timeout=20)[1]
    assert process.returncode == OPERATOR
    until(lambda: not service.pid_file.exists())
    lift_fence(str(service.source))
    service.background()
    process = service.start("--daemon", "--pid-file", f"{service.pid_file}2", "--log", str(service.log))
    assert "carries changes for this migration already" in process.communicate(timeout=20)[1]
    assert process.returncode == OPERATOR


def test_the_daemon_tries_again_what_may_pass(service: Service) -> None:
    away = service.source.with_suffix(".away")
    service.source.rename(away)
    service.background()
    until(lambda: service.log.read_text().count("there is no such file") > 1)
    away.rename(service.source)
    service.at_work()


def test_the_daemon_stays_down_for_the_operator(service: Service) -> None:
    keeper = service.background()
    service.at_work()
    (service.folder / "fault").write_text("refuse")
    until(lambda: not lives(keeper))
    assert replicating(str(service.folder)) is None
    assert service.state().reason == "table t was altered"


def test_the_daemons_child_ends_with_it(service: Service) -> None:
    keeper = service.background()
    child = service.at_work()
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not lives(child))
    assert replicating(str(service.folder)) is None


def test_the_daemon_says_what_is_wrong_before_it_goes_into_the_background(service: Service) -> None:
    service.write(0o644)
    process = service.start("--daemon", "--pid-file", str(service.pid_file), "--log", str(service.log))
    assert "mode 0644" in process.communicate(timeout=20)[1]
    assert process.returncode == OPERATOR
    assert not service.pid_file.exists()


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.1, 0.2])
def test_the_daemon_ends_whenever_it_is_told(service: Service, moment: float) -> None:
    """Also between a fork and the handlers of the child."""
    keeper = service.background()
    time.sleep(moment)
    os.kill(keeper, signal.SIGTERM)
    until(lambda: not lives(keeper))
    assert replicating(str(service.folder)) is None
    assert not service.pid_file.exists()


def test_a_state_of_another_version_is_no_state(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert states.read(str(path)) is None
    states.write(str(path), states.State("follow", "following", position=7))
    known = states.read(str(path))
    assert known is not None
    assert known.position == 7
    path.write_text(json.dumps({**dataclasses.asdict(known), "colour": "red"}))
    assert states.read(str(path)) == known
    path.write_text('{"state": "foll')
    assert states.read(str(path)) is None
