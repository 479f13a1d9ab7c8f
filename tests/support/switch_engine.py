# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch in a process of its own: ``python switch_engine.py ACTION CONFIG [kill|orphan|wait STEP]``.

Prints its result as JSON, or {"error": …}. kill: it ends itself with SIGKILL at the step, and its whole process group;
orphan: its guardian does nothing either; unguarded: it ends at once; wait: it prints the step's name and waits for a line on standard input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from cutover.errors import CutoverError
from cutover.switch import back, config, critical, forward, gate, guardian, settle, steps


def _until_the_end(receiving: int) -> None:
    while os.read(receiving, 64):
        pass


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

    def reached(name: str) -> None:
        if name != where:
            return
        if how in ("kill", "orphan"):
            os.killpg(0, signal.SIGKILL)
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
