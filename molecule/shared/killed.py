#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a playbook and kill it, with everything it started on the controller, when a phase of its own begins.

    killed.py CONTAINER JOURNAL PHASE PLAYBOOK [ARGUMENT...]

The journal is read in the container of the source's host. Exit status: 0 when it was killed there, 1 when the playbook ended
before; what it printed comes out in either case.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

LIMIT_SECONDS = 900


def phases(container: str, journal: str) -> list[str]:
    """The phases that have begun so far, as the journal names them."""
    read = subprocess.run(["docker", "exec", container, "cat", journal], capture_output=True, text=True, check=False)  # noqa: S607
    # A last line that is being written is left out.
    events = [json.loads(line) for line in read.stdout.split("\n")[:-1]]
    return [event["phase"] for event in events if event["event"] == "phase" and event["state"] == "started"]


def main(container: str, journal: str, phase: str, command: list[str]) -> int:
    """The command line."""
    known = len(phases(container, journal))
    with tempfile.TemporaryFile("w+") as said:
        run = subprocess.Popen(
            ["ansible-playbook", *command],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        end = time.monotonic() + LIMIT_SECONDS
        try:
            while phase not in phases(container, journal)[known:]:
                if run.poll() is not None or time.monotonic() > end:
                    break
                time.sleep(0.1)
            alive = run.poll() is None
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        said.seek(0)
        print(said.read())
    reached = phase in phases(container, journal)[known:]
    print(f"killed in the phase {phase}" if alive and reached else f"it ended before the phase {phase} began")
    return 0 if alive and reached else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
