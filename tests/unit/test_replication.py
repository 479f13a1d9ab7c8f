# SPDX-License-Identifier: GPL-3.0-or-later
"""The replication seen from outside: its configuration, how far it is in words, and waiting for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cutover import replication
from cutover.errors import CutoverError
from cutover.follow.state import State, write
from cutover.lock import ReplicationLock
from cutover.progress import line
from cutover.service import load, state_file
from support.engine import planned

FOLLOWING = State(
    "follow", "following", lag_changes=312, lag_seconds=0.4, rate=1840.4, predicted_hold_ms=14.2, position=9
)


@pytest.fixture
def config(tmp_path: Path, make_sqlite: Any) -> dict[str, Any]:
    """A configuration as the module makes it."""
    path = make_sqlite("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')")
    return {
        "name": "test",
        "state_dir": str(tmp_path),
        "source_path": str(path),
        "plan": planned(path)[0].as_dict(),
        "target_url": "postgresql://u:p@127.0.0.1:1/d",
        "direction": "follow",
        "limits": {},
    }


def say(folder: Path, state: State) -> None:
    write(state_file(str(folder)), state)


# ---------------------------------------------------------------- the configuration


def test_the_configuration_is_written_once_and_for_its_owner_only(tmp_path: Path, config: dict[str, Any]) -> None:
    assert replication.configure(str(tmp_path), config, check_mode=True) == (None, True)
    assert not Path(replication.config_file(str(tmp_path))).exists()
    before = os.umask(0)
    try:
        digest, changed = replication.configure(str(tmp_path), config)
    finally:
        os.umask(before)
    assert changed
    assert Path(replication.config_file(str(tmp_path))).stat().st_mode & 0o777 == 0o600
    assert load(replication.config_file(str(tmp_path)))["digest"] == digest
    assert replication.configure(str(tmp_path), config) == (digest, False)


def test_more_rows_are_nothing_new_another_column_is(tmp_path: Path, config: dict[str, Any]) -> None:
    digest, _ = replication.configure(str(tmp_path), config)
    grown = json.loads(json.dumps(config))
    grown["plan"]["tables"][0]["rows"] = 5_000
    grown["plan"]["source"]["size_bytes"] = 1 << 30
    assert replication.configure(str(tmp_path), grown) == (digest, False)
    grown["plan"]["tables"][0]["columns"][1]["type"] = "varchar(9)"
    other, changed = replication.configure(str(tmp_path), grown)
    assert changed
    assert other != digest
    for key, value in (("direction", "reverse"), ("target_url", "postgresql://u:q@h/d"), ("limits", {"batch": 5})):
        assert replication.configure(str(tmp_path), {**grown, key: value})[1], key


@pytest.mark.parametrize("damage", ["{", "[]", '{"plan": 7}', ""])
def test_a_damaged_configuration_is_written_anew(tmp_path: Path, config: dict[str, Any], damage: str) -> None:
    path = Path(replication.config_file(str(tmp_path)))
    path.write_text(damage)
    assert replication.configure(str(tmp_path), config)[1]
    assert load(str(path))["direction"] == "follow"


def test_a_configuration_that_was_opened_to_others_is_written_anew(tmp_path: Path, config: dict[str, Any]) -> None:
    digest, _ = replication.configure(str(tmp_path), config)
    path = Path(replication.config_file(str(tmp_path)))
    path.chmod(0o644)
    assert replication.configure(str(tmp_path), config) == (digest, True)
    assert path.stat().st_mode & 0o777 == 0o600


# ---------------------------------------------------------------- how far it is


def test_nothing_has_been_heard(tmp_path: Path) -> None:
    found = replication.look(str(tmp_path))
    assert (found["running"], found["state"], found["text"]) == (False, None, "none")
    with ReplicationLock(str(tmp_path)):
        assert replication.look(str(tmp_path))["text"] == f"process {os.getpid()} is about to begin"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "following: 312 changes behind, 1,840/s, hold predicted 14 ms"),
        ({"lag_changes": 1, "lag_seconds": 75.0, "rate": None}, "following: 1 change behind (75 s), hold predicted 14 ms"),
        ({"lag_changes": 0, "lag_seconds": 75.0}, "following: 0 changes behind, 1,840/s, hold predicted 14 ms"),
        ({"direction": "reverse", "predicted_hold_ms": None}, "carrying back: 312 changes behind, 1,840/s"),
        ({"state": "waiting", "reason": "PostgreSQL does not answer"}, "waiting: PostgreSQL does not answer; 312 changes behind"),
        ({"state": "throttled", "reason": "WAL", "lag_changes": None}, "throttled: WAL; how far behind is not known"),
    ],
)  # fmt: skip
def test_a_process_at_work_in_words(tmp_path: Path, changed: dict[str, Any], text: str) -> None:
    with ReplicationLock(str(tmp_path), {"config": "c", "program": "p"}):
        say(tmp_path, replace(FOLLOWING, at=time.time(), **changed))
        found = replication.look(str(tmp_path))
    assert found["text"] == text
    assert (found["running"], found["stale"], found["config"], found["program"]) == (True, False, "c", "p")
    assert 0 <= found["age_seconds"] < 5


def test_a_state_without_a_process_says_so(tmp_path: Path) -> None:
    say(tmp_path, replace(FOLLOWING, at=time.time() - 600))
    found = replication.look(str(tmp_path))
    assert found["text"] == "does not run, and was last heard of 10 min ago (following); 312 changes behind"
    say(tmp_path, replace(FOLLOWING, state="stopped", reason="table t was altered", at=time.time() - 600))
    assert replication.look(str(tmp_path))["text"] == "stopped: table t was altered; 312 changes behind"
    with ReplicationLock(str(tmp_path)):
        say(tmp_path, replace(FOLLOWING, at=time.time() - 40))
        found = replication.look(str(tmp_path))
    assert found["stale"]
    assert found["text"].startswith(f"process {os.getpid()} was last heard of 40 s ago (following)")


# ---------------------------------------------------------------- waiting


def later(seconds: float, work: Any) -> threading.Timer:
    timer = threading.Timer(seconds, work)
    timer.start()
    return timer


def test_it_waits_for_lag_hold_and_the_postponing_file(tmp_path: Path) -> None:
    postpone, progress = tmp_path / "not-yet", tmp_path / "progress"
    postpone.touch()
    with ReplicationLock(str(tmp_path)):
        say(tmp_path, FOLLOWING)

        def closer() -> None:
            say(tmp_path, replace(FOLLOWING, lag_changes=10, at=time.time()))

        later(0.7, closer)
        later(1.9, postpone.unlink)
        timer = later(1.4, lambda: seen.append(line(json.loads(progress.read_text()))))
        seen: list[str] = []
        began = time.monotonic()
        # The time for which it is only postponed is none of the second that it may take.
        found = replication.wait_close(str(tmp_path), 100, 20, str(postpone), 1, str(progress))
        assert time.monotonic() - began > 1.8
        timer.join()
    assert found["lag_changes"] == 10
    assert seen == [
        f"postponed until {postpone} is removed; following: 10 changes behind, 1,840/s, hold predicted 14 ms"
    ]


@pytest.mark.parametrize(
    ("changed", "lag", "hold"),
    [
        ({}, 311, 50),
        ({}, 500, 14),
        ({"predicted_hold_ms": None}, 500, 50),
        ({"lag_changes": None}, 500, 50),
        ({"state": "waiting", "reason": "PostgreSQL does not answer"}, 500, 50),
    ],
)
def test_what_is_not_close_is_waited_for_until_the_deadline(
    tmp_path: Path, changed: dict[str, Any], lag: int, hold: float
) -> None:
    with ReplicationLock(str(tmp_path)):
        say(tmp_path, replace(FOLLOWING, at=time.time(), **changed))
        with pytest.raises(CutoverError, match="after 1 s it is not close enough"):
            replication.wait_close(str(tmp_path), lag, hold, None, 1)
        say(tmp_path, replace(FOLLOWING, at=time.time()))
        assert replication.wait_close(str(tmp_path), 312, 14.2, None, 1)["lag_changes"] == 312


def test_a_stopped_one_is_not_waited_for(tmp_path: Path) -> None:
    say(tmp_path, replace(FOLLOWING, state="stopped", reason="table t was altered"))
    with pytest.raises(CutoverError, match="has stopped: table t was altered"):
        replication.wait_close(str(tmp_path), 100, 20)


def test_one_that_does_not_run_is_missed_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "_GRACE_SECONDS", 1.0)
    say(tmp_path, FOLLOWING)
    with pytest.raises(CutoverError, match="is not at work: it does not run"):
        replication.wait_close(str(tmp_path), 1000, 1000)


def test_the_start_is_waited_for_by_configuration_and_process(tmp_path: Path) -> None:
    folder, since = str(tmp_path), time.time()
    say(tmp_path, replace(FOLLOWING, at=since - 5))
    with pytest.raises(CutoverError, match="no process runs"):
        replication.wait_started(folder, "c", since, 0.3)
    with ReplicationLock(folder, {"config": "other"}):
        say(tmp_path, replace(FOLLOWING, at=time.time()))
        with pytest.raises(CutoverError, match=f"process {os.getpid()} holds"):
            replication.wait_started(folder, "c", since, 0.3)
    with ReplicationLock(folder, {"config": "c"}):
        assert replication.wait_started(folder, "c", since, 5)["state"] == "following"
    say(tmp_path, replace(FOLLOWING, state="stopped", reason="readable by others", at=time.time()))
    with pytest.raises(CutoverError, match="has stopped: readable by others"):
        replication.wait_started(folder, "c", since, 5)


def test_the_end_is_waited_for(tmp_path: Path) -> None:
    replication.wait_gone(str(tmp_path), 0.1)
    with ReplicationLock(str(tmp_path)):
        with pytest.raises(CutoverError, match=f"process {os.getpid()} still carries"):
            replication.wait_gone(str(tmp_path), 0.3)
    replication.wait_gone(str(tmp_path), 0.3)


def test_a_judgement_that_cannot_be_made_is_not_free_of_loss(tmp_path: Path, config: dict[str, Any]) -> None:
    assert "cannot be read" in replication.judge(str(tmp_path))["text"]
    replication.configure(str(tmp_path), config)
    judged = replication.judge(str(tmp_path))
    assert judged["free_of_loss"] is False
    assert "PostgreSQL cannot be reached" in judged["text"]


def test_everything_is_forgotten(tmp_path: Path, config: dict[str, Any]) -> None:
    replication.configure(str(tmp_path), config)
    say(tmp_path, FOLLOWING)
    paths = replication.forget(str(tmp_path), check_mode=True)
    assert len(paths) == 2
    assert all(os.path.exists(path) for path in paths)
    assert replication.forget(str(tmp_path)) == paths
    assert replication.forget(str(tmp_path)) == []


# ---------------------------------------------------------------- files beside the database


@pytest.mark.skipif(os.geteuid() != 0, reason="changes owners: needs root")
def test_root_leaves_the_files_beside_a_wal_database_to_its_owner(make_sqlite: Any) -> None:
    """The service runs as root; the application, which is not root, has to go on with the files that it made."""
    # Not pytest's tmp_path: its parents are closed to others.
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        path = make_sqlite("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY)")
        _written_as_root_then_as_owner(Path(shutil.move(path, folder)))


def _written_as_root_then_as_owner(path: Path) -> None:
    os.chown(path, 65534, 65534)
    path.chmod(0o660)
    script = """
import os, sqlite3, sys
if sys.argv[2] == "owner":
    os.setgid(65534); os.setuid(65534)
else:
    os.umask(0o077)
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO t DEFAULT VALUES")
print([(os.stat(sys.argv[1] + end).st_uid, oct(os.stat(sys.argv[1] + end).st_mode & 0o777)) for end in ("-wal", "-shm")], flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path), "root"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "[(65534, '0o660'), (65534, '0o660')]\n"
        # While root holds them open, and after it was killed with them in place.
        for _ in range(2):
            done = subprocess.run(
                ["/usr/bin/python3", "-c", script, str(path), "owner"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            process.kill()
            process.wait()
