# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command and end everything it started, also what it detached.

    contain.py COMMAND [ARGUMENT...]

This process makes itself the reaper of its descendants (Linux: PR_SET_CHILD_SUBREAPER). A server that a test
starts and forgets, however it detaches itself, thus becomes a child of this process instead of escaping to
process 1, and is found by its parent, never by its name. What is still there when the command ends is named,
stopped, and makes the run fail: a check that leaves servers behind would meet them again in its next run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
# Time for processes that are ending anyway, then between asking and forcing.
PATIENCE = 5.0


def describe() -> dict[int, tuple[int, str]]:
    """Return parent and command line of every live process."""
    found: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it ended while we looked
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if state != "Z":
                found[int(entry.name)] = (int(parent), command)
    return found


def descendants() -> dict[int, str]:
    """Return the live descendants of this process with their command lines."""
    everything = describe()
    ours: dict[int, str] = {}
    parents = {os.getpid()}
    while parents:
        children = {pid: line for pid, (parent, line) in everything.items() if parent in parents and pid not in ours}
        ours.update(children)
        parents = set(children)
    return ours


def bury() -> None:
    """Collect the processes that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def remaining_after(seconds: float) -> dict[int, str]:
    """Wait until no descendant is left, at most so long; return those that are."""
    end = time.monotonic() + seconds
    while True:
        bury()
        left = descendants()
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


def stop_all() -> list[str]:
    """End every descendant; return the command lines of those that had to be told."""
    told = remaining_after(PATIENCE)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        for pid in remaining_after(0):
            with suppress(ProcessLookupError):
                os.kill(pid, name)
        if not remaining_after(PATIENCE):
            break
    return [f"{pid} {line}" for pid, line in sorted(told.items())]


def wait_for(child: subprocess.Popen[bytes]) -> int:
    """Wait for the command; collect meanwhile what was orphaned to us, as process 1 would.

    Whoever stops a server waits until its number is gone, and the number of a zombie is not.
    """
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode


def main(command: list[str]) -> int:
    """Run the command; return its status, or 70 when it succeeded but left processes behind."""
    if not command:
        print("usage: contain.py COMMAND [ARGUMENT...]", file=sys.stderr)
        return 64
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        print(f"contain: prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return 71
    child = subprocess.Popen(command)

    def pass_on(number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    status = wait_for(child)
    left = stop_all()
    if left:
        print("contain: these were still running and have been stopped:", *left, sep="\n  ", file=sys.stderr)
    if status < 0:
        return 128 - status
    return status or (70 if left else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
