# SPDX-License-Identifier: GPL-3.0-or-later
"""bench/online.py asked to end in the middle of a playbook: what it runs is asked in turn, ends, and the demo is removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.project import ROOT

#: The benchmark with a demo that is nothing but two files, and a playbook that takes its time to end.
_BENCH = """
import sys
from contextlib import contextmanager
from pathlib import Path

from bench import online

folder = Path(sys.argv[1])

class Demo(online.Demo):
    def _play(self, playbook):
        return ["bash", "-c", f"echo $$ >{folder}/pid; trap 'sleep 1; rm {folder}/pid; exit 1' TERM INT; "
                              "while :; do sleep 0.1; done"]

@contextmanager
def demo(scale, base):
    try:
        yield Demo(scale, base, folder)
    finally:
        (folder / "removed").write_text("with the playbook" if (folder / "pid").exists() else "alone")

online._demo = demo
sys.exit(online.main(["--cycles", "1", "--no-capture", "--ports", "1"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_asked(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _BENCH, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        # As a shell without a terminal starts what it has in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        start_new_session=True,
    )
    pid = tmp_path / "pid"
    until = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert (tmp_path / "removed").read_text() == "alone"
