# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch in a process of its own: ``python switch_engine.py ACTION CONFIG [HOW STEP]``.

Prints its result as JSON, or {"error": …}. kill: it ends itself with SIGKILL at the step, and its whole process group;
orphan: its guardian does nothing either; unguarded: it ends at once; wait: it prints the step's name and waits for a line on standard input;
slow: it takes PAUSE seconds longer after the step; unheld: the same, but nothing is held and nothing fenced.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from cutover.errors import CutoverError
from cutover.source import fence
from cutover.switch import back, config, critical, forward, gate, guardian, settle, steps
from cutover.switch.proxy import Proxies

PAUSE = 0.1


def _until_the_end(receiving: int) -> None:
    while os.read(receiving, 64):
        pass


def _without_the_hold() -> None:
    """A switch as one would write it who thinks that a few milliseconds do not matter."""

    def nothing(*_: Any) -> float:
        return 0.0

    fence.statements = lambda *_: []
    for name in ("hold", "confirm", "wait_idle"):
        setattr(Proxies, name, nothing)


def main() -> None:
    """Do it."""
    action, path, *rest = sys.argv[1:]
    given = config.from_dict(json.loads(Path(path).read_text()))
    how, where = rest or ("", "")

    if how == "orphan":
        # A guardian that is killed together with the engine.
        guardian._watch = lambda receiving, settle: _until_the_end(receiving)

    if how == "unguarded":
        guardian._watch = lambda receiving, settle: None

    if how == "unheld":
        _without_the_hold()

    def reached(name: str) -> None:
        if name != where:
            return
        if how in ("kill", "orphan"):
            os.killpg(0, signal.SIGKILL)
        if how in ("slow", "unheld"):
            time.sleep(PAUSE)
            return
        print(json.dumps({"reached": name}), flush=True)
        sys.stdin.readline()

    steps.reached = reached
    try:
        if action == "gate":
            result = gate.check(given)
        elif action == "settle":
            with critical.alone(given):
                result = {"direction": settle.settle(given)}
        elif action == "verify":
            result = {"verified": forward.verify(given)}
        else:
            result = forward.run(given) if action == "forward" else back.run(given)
    except CutoverError as error:
        result = {"error": error.message, "kind": type(error).__name__}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
