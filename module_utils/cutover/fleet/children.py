# SPDX-License-Identifier: GPL-3.0-or-later
"""The tenants' own runs: so many processes at once, none of which outlives the run that started it unnoticed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..lock import started

_EVERY_SECONDS = 0.5
#: How long a run may take to end after it was told to, before it is killed.
_GRACE_SECONDS = 30.0
_SET_DEATH_SIGNAL = 1
_PLAY = re.compile(r"^PLAY \[(?P<name>.*?)\] \*+$")
_TOLD = re.compile(r"^  \[[^\]]+\] (?P<line>.+)$")


@dataclass(frozen=True)
class Child:
    """One tenant's run. environment: what it gets besides the fleet's own. folder: where it is started."""

    name: str
    argv: tuple[str, ...]
    log: str
    environment: Mapping[str, str]
    folder: str


@dataclass(frozen=True)
class Ended:
    """How it ended. code: of the process; None when it was never started, or was stopped."""

    name: str
    code: int | None
    began: float
    seconds: float
    stopped: bool = False


class Owner:
    """The ansible-playbook that wants all this. Without a number nobody is waited for."""

    def __init__(self, pid: int, since: str) -> None:
        self._pid, self._since = pid, since

    def gone(self) -> bool:
        """Whether it has ended."""
        return bool(self._pid) and (started(self._pid) != self._since or _zombie(self._pid))


class _Running:
    def __init__(self, child: Child) -> None:
        self.child, self.began = child, time.time()
        self._from = time.monotonic()
        # For the operator's eyes: it holds what the run prints.
        log = os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.process = subprocess.Popen(
                child.argv,
                env={**os.environ, **child.environment},
                cwd=child.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        finally:
            os.close(log)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def ended(self, stopped: bool) -> Ended:
        code = self.process.wait()
        return Ended(self.child.name, code, self.began, round(time.monotonic() - self._from, 1), stopped and code != 0)


def _end_with_parent() -> None:
    """Between fork and exec: the kernel ends the run when the process that watches it is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


def _zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def run(children: list[Child], at_once: int, owner: Owner, say: Callable[[str], None]) -> list[Ended]:
    """Run all of them; one that fails stops no other. When the owner is gone or this process is told to end, those under
    way are told to end and the rest is not started."""
    told = {"end": False}

    def end(*_: object) -> None:
        told["end"] = True

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    waiting = list(children)
    running: list[_Running] = []
    ended: list[Ended] = []
    try:
        while (waiting or running) and not told["end"] and not owner.gone():
            while waiting and len(running) < max(1, at_once):
                running.append(_Running(waiting.pop(0)))
            say(_line(running, ended, len(children)))
            time.sleep(_EVERY_SECONDS)
            for each in [one for one in running if one.process.poll() is not None]:
                running.remove(each)
                ended.append(each.ended(False))
    finally:
        ended += _stop(running)
        for number, handler in before.items():
            signal.signal(number, handler)
    return ended + [Ended(child.name, None, time.time(), 0.0, True) for child in waiting]


def _stop(running: list[_Running]) -> list[Ended]:
    for each in running:
        each.signal(signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while any(each.process.poll() is None for each in running) and time.monotonic() < deadline:
        time.sleep(0.1)
    for each in running:
        if each.process.poll() is None:
            each.signal(signal.SIGKILL)
    return [each.ended(True) for each in running]


def _line(running: list[_Running], ended: list[Ended], total: int) -> str:
    failed = sum(1 for one in ended if one.code)
    head = f"{len(ended)} of {total} tenants done" + (f", {failed} of them failed" if failed else "")
    return " · ".join([head, *(f"{one.child.name}: {where(one.child.log)}" for one in running)])


def where(log: str) -> str:
    """What a run is doing, by the end of its log: its play, and what a long step says of itself."""
    play, line = "starting", ""
    for text in tail(log).splitlines():
        if match := _PLAY.match(text):
            play, line = match["name"], ""
        elif match := _TOLD.match(text):
            line = match["line"]
    return f"{play} ({line})" if line else play


def tail(log: str, size: int = 65536) -> str:
    """The end of a log."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
