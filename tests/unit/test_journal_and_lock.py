# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal survives a torn write; the locks keep two runs apart and let go of the dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cutover.errors import CutoverError
from cutover.journal import Journal, make_state_dir, state_dir
from cutover.lock import LEASE_SECONDS, EngineLock, Locked, RunLock

ENGINE = Path(__file__).resolve().parents[2] / "module_utils"


def test_events_come_back_in_order_and_numbered(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.append("begin", "r1")
    journal.append("phase", "r1", "copy", "done", {"tables": {"ä": 1}})
    events = journal.events()
    assert [(event["seq"], event["event"]) for event in events] == [(1, "begin"), (2, "phase")]
    assert events[1]["detail"] == {"tables": {"ä": 1}}
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_line_cut_short_by_a_crash_is_left_out_and_closed_off(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.append("begin", "r1")
    path = tmp_path / "journal.jsonl"
    path.write_text(path.read_text() + '{"seq": 2, "event": "pha')
    assert len(journal.events()) == 1
    journal.append("phase", "r2", "copy", "started")
    assert [event["seq"] for event in journal.events()] == [1, 2]
    assert [event["run"] for event in journal.events()] == ["r1", "r2"]


def test_damage_in_the_middle_is_no_torn_line(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"seq": 1, "ev\n' + json.dumps({"seq": 2}) + "\n")
    with pytest.raises(CutoverError, match="line 1 is damaged"):
        Journal(str(tmp_path)).events()


def test_the_state_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    make_state_dir(str(folder))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert state_dir("app", "/given") == "/given"


def test_a_second_run_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    lock = RunLock(str(tmp_path))
    lock.acquire("r1", {"host": "one", "pid": "7"}, "cutover.yml")
    with pytest.raises(Locked, match=r"cutover\.yml is at work") as refused:
        lock.acquire("r2", {"host": "two", "pid": "8"}, "rollback.yml")
    assert refused.value.holder["run"] == "r1"
    lock.acquire("r1", {"host": "one", "pid": "7"}, "cutover.yml")
    assert not lock.release("r2")
    assert lock.release("r1")
    lock.acquire("r2", {"host": "two", "pid": "8"}, "rollback.yml")


def test_a_dead_run_is_taken_over_at_once_or_after_its_lease(tmp_path: Path) -> None:
    lock = RunLock(str(tmp_path))
    lock.acquire("r1", {}, "cutover.yml")
    lock.acquire("r2", {}, "cutover.yml", takeover=True)
    path = tmp_path / "run.lock"
    held = json.loads(path.read_text())
    held["renewed"] -= LEASE_SECONDS + 1
    path.write_text(json.dumps(held))
    lock.acquire("r3", {}, "cutover.yml")
    assert (lock.holder() or {})["run"] == "r3"


def test_a_run_on_the_same_machine_is_judged_by_its_process_not_by_time(tmp_path: Path) -> None:
    lock = RunLock(str(tmp_path))
    here = {"host": "one", "boot": "b", "numbers": "pid:[1]", "pid": "7"}
    lock.acquire("r1", here, "cutover.yml")
    _let_the_lease_end(tmp_path)
    with pytest.raises(Locked, match="or end it"):
        lock.acquire("r2", {**here, "pid": "8"}, "cutover.yml")
    lock.acquire("r2", {**here, "host": "two"}, "cutover.yml")


def test_a_silent_run_with_an_engine_at_work_is_not_dead(tmp_path: Path) -> None:
    lock = RunLock(str(tmp_path))
    lock.acquire("r1", {"host": "one"}, "cutover.yml")
    _let_the_lease_end(tmp_path)
    with EngineLock(str(tmp_path)), pytest.raises(Locked, match="when its copy or comparison ends"):
        lock.acquire("r2", {"host": "two"}, "cutover.yml")
    lock.acquire("r2", {"host": "two"}, "cutover.yml")


def test_a_run_that_lost_the_lock_does_nothing_more(tmp_path: Path) -> None:
    lock = RunLock(str(tmp_path))
    lock.acquire("r1", {}, "cutover.yml")
    lock.renew("r1", {}, "cutover.yml")
    lock.acquire("r2", {}, "rollback.yml", takeover=True)
    with pytest.raises(Locked, match=r"rollback\.yml \(run r2\) has it"):
        lock.renew("r1", {}, "cutover.yml")
    lock.release("r2")
    with pytest.raises(Locked, match="nobody has it"):
        lock.renew("r1", {}, "cutover.yml")


def test_a_lock_that_was_cut_short_is_still_held(tmp_path: Path) -> None:
    lock = RunLock(str(tmp_path))
    lock.acquire("r1", {"host": "one"}, "cutover.yml")
    path = tmp_path / "run.lock"
    path.write_text(path.read_text() + "6.25}")
    assert (lock.holder() or {})["run"] == "r1"


def _let_the_lease_end(folder: Path) -> None:
    path = folder / "run.lock"
    held = json.loads(path.read_text())
    held["renewed"] -= LEASE_SECONDS + 1
    path.write_text(json.dumps(held))


def test_an_engine_that_a_killed_run_left_behind_is_ended(tmp_path: Path) -> None:
    program = (
        f"import sys, time; sys.path.insert(0, {str(ENGINE)!r})\n"
        "from cutover.lock import EngineLock\n"
        f"with EngineLock({str(tmp_path)!r}):\n"
        "    print('held', flush=True); time.sleep(120)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as orphan:
        assert orphan.stdout is not None
        assert orphan.stdout.readline() == "held\n"
        with EngineLock(str(tmp_path)):
            assert orphan.wait(30) == -signal.SIGTERM


def test_the_engine_lock_does_not_end_a_process_that_merely_got_the_number(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        try:
            (tmp_path / "engine.lock").write_text(f"{stranger.pid} 1")
            with EngineLock(str(tmp_path)):
                time.sleep(0.1)
            assert stranger.poll() is None
            assert os.path.exists(f"/proc/{stranger.pid}")
        finally:
            stranger.kill()
