# SPDX-License-Identifier: GPL-3.0-or-later
"""The wrapper that runs a command under load: what it says, how it ends, and that it leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from werkzeug.serving import make_server

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

import seed
from app import create_app

from support.project import ROOT

PROGRAM = [sys.executable, str(ROOT / "demo/under_load.py"), "--before", "1", "--after", "0.5"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "app.sqlite"
    seed.seed(path, 0.01)
    return path


@pytest.fixture
def port(source: Path) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, create_app(f"sqlite:///{source}"), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def under_load(
    port: int, state: Path, *command: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "--port", str(port), "--rate", "40", "--state-dir", str(state), *options, "--", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def event(**detail: float | str) -> str:
    return json.dumps({"event": "phase", "phase": "switched_online", "state": "done", "detail": detail}) + "\n"


def figures(said: str) -> dict[str, str]:
    """The table."""
    lines = said.partition("Under load:\n")[2].splitlines()
    return {line[2:18].strip(): line[18:].strip() for line in lines}


def test_it_tells_what_the_load_saw_and_how_long_writes_were_held(port: int, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text(event(hold_ms=99.0))
    # As a cutover leaves it: the engine and then the playbook note the same switch.
    noted = event(hold_ms=12.34, attempt="one") * 2
    done = under_load(port, tmp_path, *script(f"open({str(journal)!r}, 'a').write({noted!r})"))
    assert done.returncode == 0, done.stderr
    table = figures(done.stdout)
    assert int(table["requests"].split()[0]) >= 40
    assert (table["failures"], table["stale reads"], table["hold"]) == ("0", "0", "12.3 ms")
    assert table["lost writes"].startswith("0 of ")
    assert table["writes"].endswith(" by sqlite")
    assert table["longest wait"].endswith(" ms")


def test_a_lost_write_fails_although_the_command_succeeds(port: int, source: Path, tmp_path: Path) -> None:
    text = (
        "import sqlite3, time; time.sleep(0.5); c = sqlite3.connect({!r}, timeout=9); "
        "c.execute('DELETE FROM messages WHERE \"writeId\" IS NOT NULL'); c.commit()"
    )
    done = under_load(port, tmp_path, *script(text.format(str(source))))
    assert done.returncode == 1
    assert int(figures(done.stdout)["lost writes"].split()[0]) > 0
    assert "lost: " in done.stdout


def test_503_fails_unless_a_maintenance_page_is_expected(port: int, source: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("CREATE TRIGGER closed BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'closed'); END")
        connection.commit()
    done = under_load(port, tmp_path, "true")
    assert done.returncode == 1
    assert "× 503" in done.stdout
    done = under_load(port, tmp_path, "true", options=("--maintenance",))
    assert done.returncode == 0, done.stdout
    assert int(figures(done.stdout)["answered 503"]) > 0


def test_the_status_of_a_failed_command_counts(port: int, tmp_path: Path) -> None:
    done = under_load(port, tmp_path, *script("raise SystemExit(7)"))
    assert done.returncode == 7
    assert figures(done.stdout)["failures"] == "0", "the figures are told all the same"


def test_without_load_only_the_command_runs(tmp_path: Path) -> None:
    done = under_load(1, tmp_path, *script("print('ran')"), options=("--rate", "0"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_two_loads_would_not_know_each_others_writes(port: int, tmp_path: Path) -> None:
    """Found by hand: each told hundreds of stale reads, which were the other's changes."""
    inner = [*PROGRAM, "--port", str(port), "--rate", "40", "--state-dir", str(tmp_path), "--", "true"]
    done = under_load(port, tmp_path, *inner)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"No load, and so no figures: another one is on port {port}" in done.stderr
    assert done.stdout.count("Under load:") == 1
    assert figures(done.stdout)["stale reads"] == "0"
    # Once the first has ended, there is room again.
    assert "Under load:" in under_load(port, tmp_path, "true").stdout


def test_an_application_that_does_not_serve_keeps_nobody_from_the_rollback(tmp_path: Path) -> None:
    done = under_load(1, tmp_path, *script("print('ran'); raise SystemExit(3)"))
    assert (done.returncode, done.stdout) == (3, "ran\n")
    assert "No load, and so no figures: load: no application on 127.0.0.1:1: refused" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_and_the_load(port: int, tmp_path: Path, number: signal.Signals) -> None:
    mark = tmp_path / "mark"
    command = script(f"import time; open({str(mark)!r}, 'w').close(); time.sleep(60)")
    process = subprocess.Popen(
        [*PROGRAM, "--port", str(port), "--rate", "20", "--state-dir", str(tmp_path), "--", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 20
        while not mark.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(20) == 128 + number
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
