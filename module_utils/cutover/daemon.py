# SPDX-License-Identifier: GPL-3.0-or-later
"""A process in the background that starts its child again when that ends early, where no service manager does it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Collection
from typing import Callable

#: Seconds before a child that ended early is started again.
PAUSE_SECONDS = 5.0
#: Characters of a reason; a pipe takes that much in one piece.
_MOST = 2_000


#: Says to whoever started the daemon that it works (0, ""), or with which status and why it ended.
Tell = Callable[[int, str], None]


def detach(pid_file: str, log: str) -> Tell:
    """Go into the background: a session of its own, standard error into ``log``; write the number to ``pid_file``.

    Returns in the process that goes on. The one that was called ends when that has called what this returns, with the
    status and the words given to it.
    """
    listen, speak = os.pipe()
    if os.fork():
        os.close(speak)
        _leave(listen)
    os.close(listen)
    os.setsid()
    # Once more, so that it leads no session and can never get a terminal.
    if os.fork():
        os._exit(0)
    os.chdir("/")
    # What runs for days does not keep the priority of the run that started it.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    sys.stdout.flush()
    sys.stderr.flush()
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, stream in ((null, 0), (out, 1), (out, 2)):
        os.dup2(number, stream)
    for number in (null, out):
        if number > 2:
            os.close(number)
    temporary = f"{pid_file}.{os.getpid()}"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    os.replace(temporary, pid_file)

    def tell(status: int, words: str) -> None:
        # Only what is told first is heard.
        with contextlib.suppress(OSError):
            os.write(speak, f"{status} {words[:_MOST]}\n".encode(errors="replace"))

    return tell


def _leave(listen: int) -> None:
    with os.fdopen(listen, "rb") as heard:
        status, _, words = heard.readline().decode(errors="replace").strip().partition(" ")
    if words:
        print(words, file=sys.stderr, flush=True)
    os._exit(int(status) if status.isdigit() else 1)


def keep(
    child: Callable[[], int], pid_file: str, final: Collection[int], tell: Tell, pause: float = PAUSE_SECONDS
) -> int:
    """Run ``child`` in a process of its own, again and again until it ends with a status in ``final``, or until SIGTERM.

    SIGTERM is passed on to the child, which is waited for. The child is started with SIGTERM and SIGINT held back, until it
    has handlers of its own. tell: for a child that ended before it could say anything. Returns the child's last status,
    0 after SIGTERM; ``pid_file`` is removed.
    """
    asked, number = False, 0
    ending = {signal.SIGTERM, signal.SIGINT}

    def end(*_: object) -> None:
        nonlocal asked
        asked = True
        if number:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM)

    for which in ending:
        signal.signal(which, end)
    try:
        while True:
            # Held back around the fork: no signal may fall between a process and its handler.
            signal.pthread_sigmask(signal.SIG_BLOCK, ending)
            number = 0 if asked else os.fork()
            if number == 0 and not asked:
                os._exit(_run(child))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)
            if not number:
                return 0
            status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
            number = 0
            tell(status if status in final else 0, "")
            if status in final:
                return status
            deadline = time.monotonic() + pause
            while not asked and time.monotonic() < deadline:
                time.sleep(0.1)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pid_file)


def _run(child: Callable[[], int]) -> int:
    code = 1
    try:
        code = child()
    except BaseException:  # noqa: BLE001 - nothing may get past the fork into the keeper's code
        sys.excepthook(*sys.exc_info())
    sys.stderr.flush()
    return code
