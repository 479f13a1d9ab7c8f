# SPDX-License-Identifier: GPL-3.0-or-later
"""A process beside the engine that settles the switch when the engine is killed in the middle of it.

It is forked before the engine opens a connection, so that it shares none, and stands in a session of its own, out of
reach of what ends the engine. The engine tells it over a pipe when an attempt begins and ends. The end of the pipe
without an end of the attempt means that the engine is gone: the guardian settles at once, within the hold's lease.
It keeps the engine's lock meanwhile, because the lock's file is open in both. While the engine lives it only waits.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from typing import Callable

from ..errors import CutoverError

LOG_FILE = "guardian.log"
_ARMED, _AT_EASE = b"A", b"E"
_MOST_FILES = 65536


class Guardian:
    """The engine's end of the pipe. settle: what is called when the engine is gone, in the other process."""

    def __init__(self, folder: str, settle: Callable[[], str], keep: int) -> None:
        """Start the process. keep: a file descriptor that it leaves open, the lock's."""
        receiving, self._sending = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _detach(folder, receiving, keep, settle)
        os.close(receiving)
        # The first child only forks the second, whose parent is then init: nobody has to wait for it.
        os.waitpid(child, 0)

    def arm(self) -> None:
        """From now on the end of this process is to be settled."""
        self._tell(_ARMED)

    def at_ease(self) -> None:
        """The attempt is over and all is in order."""
        self._tell(_AT_EASE)

    def dismiss(self) -> None:
        """Let the process end. It settles first when the attempt is not over."""
        with contextlib.suppress(OSError):
            os.close(self._sending)
        self._sending = -1

    def _tell(self, word: bytes) -> None:
        try:
            os.write(self._sending, word)
        except OSError as error:
            raise CutoverError(
                f"the guardian process of the switch is gone ({error.strerror}); nothing was begun. Run again."
            ) from None


def _detach(folder: str, receiving: int, keep: int, settle: Callable[[], str]) -> None:
    """Never returns. What the engine has open is closed by number; its objects are not touched."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        log = os.open(os.path.join(folder, LOG_FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, stream in ((null, 0), (log, 1), (log, 2)):
            os.dup2(number, stream)
        low = 3
        for number in sorted({receiving, keep}):
            os.closerange(low, number)
            low = number + 1
        os.closerange(low, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MOST_FILES))
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        _watch(receiving, settle)
    except BaseException:  # noqa: BLE001 - there is nobody above to whom it could be told
        _say(traceback.format_exc())
    finally:
        os._exit(0)


def _watch(receiving: int, settle: Callable[[], str]) -> None:
    state = _AT_EASE
    while True:
        words = os.read(receiving, 64)
        if not words:
            break
        state = words[-1:]
    if state != _ARMED:
        return
    _say("the engine is gone in the middle of a switch; settling")
    began = time.monotonic()
    try:
        _say(f"settled: {settle()} ({(time.monotonic() - began) * 1000:.0f} ms)")
    except CutoverError as error:
        _say(f"not settled, the next run does it: {error.message}")


def _say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        os.write(2, f"pg-cutover {stamp} guardian: {text}\n".encode())
