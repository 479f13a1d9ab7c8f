# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching the change log while the rows are copied, when no service follows yet.

Triggers without their log make the application's writes fail, so they are taken out at once, by a process beside the
one that copies: whatever that waits for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Callable

from ..errors import SourceChanged, SourceError
from ..source.connect import ERRORS, open_readonly
from ..source.fence import fence_id
from . import install
from .guard import Guard

#: Seconds between two looks, each a pragma in a transaction of its own.
_EVERY = 0.5
#: Seconds for taking out a capture that has come to nothing.
_TAKE_OUT = 10.0
_PR_SET_PDEATHSIG = 1
_SIGNAL = signal.SIGUSR1
_MOST = 1 << 16


@contextlib.contextmanager
def watched(path: str | None) -> Iterator[None]:
    """Watch the capture in the source at ``path``, if one is given, for as long as the block lasts.

    To be entered before anything is opened and in the main thread: a process is forked. Raises SourceChanged in the
    block, as soon as Python is at work there again, when the capture can no longer be trusted; it is taken out then.
    """
    if path is None:
        yield
        return
    receiving, sending = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()

    def tell(*_: Any) -> None:
        # Once is enough, and what cleans up behind it must not be disturbed.
        signal.signal(_SIGNAL, signal.SIG_IGN)
        raise SourceChanged(os.read(receiving, _MOST).decode("utf-8", "replace"))

    before = signal.signal(_SIGNAL, tell)
    child = os.fork()
    if child == 0:
        os.close(receiving)
        _child(path, parent, sending)
    os.close(sending)
    rest = b""
    try:
        yield
    finally:
        signal.signal(_SIGNAL, signal.SIG_IGN)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        # What it said in this very moment.
        rest = os.read(receiving, _MOST)
        signal.signal(_SIGNAL, before)
        os.close(receiving)
    if rest:
        raise SourceChanged(rest.decode("utf-8", "replace"))


def take_out(path: str, stop: Callable[[], bool] = lambda: False) -> None:
    """Remove a capture that has come to nothing, unless the source is fenced; gives up after some seconds."""
    until = time.monotonic() + _TAKE_OUT
    while True:
        try:
            with contextlib.closing(open_readonly(path)) as source:
                if fence_id(source) is not None:
                    return
            install.remove(path)
            return
        except SourceError:
            # What has to be told is why it came to nothing; cutover.yml takes it out as well.
            if stop() or time.monotonic() > until:
                return
            time.sleep(0.2)


def _child(path: str, parent: int, sending: int) -> None:
    """Never returns."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        reason = _lost(path, parent)
        if reason is not None:
            take_out(path)
            os.write(sending, reason.encode("utf-8", "replace"))
            os.kill(parent, _SIGNAL)
    finally:
        os._exit(0)


def _lost(path: str, parent: int) -> str | None:
    """Why the capture is void, as soon as it is; None when nobody waits for it any more."""
    guard = Guard(path)
    while os.getppid() == parent:
        try:
            with contextlib.closing(open_readonly(path)) as source:
                source.execute("BEGIN")
                guard.check(source)
        except SourceChanged as error:
            return error.message
        except (SourceError, *ERRORS):
            # Locked, or being replaced: what becomes of the file is seen by who reads it.
            pass
        time.sleep(_EVERY)
    return None
