# SPDX-License-Identifier: GPL-3.0-or-later
"""One long step of the engine in a process of its own: to be killed, or to have its memory measured.

Read as a program: {step, source, target, plan, position, workers, range_bytes, many_rows} as JSON on standard input; answers
{result | error, peak_mb: {parent, workers}} on standard output.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from cutover import bulk, checksum, ranges, setaside
from cutover.check import check_values
from cutover.errors import CutoverError
from cutover.finish import finish
from cutover.plan.model import Plan, from_dict
from cutover.target.connect import connect
from support.project import ROOT


def started(step: str, source: Path, target: str, plan: Plan, **more: Any) -> subprocess.Popen[str]:
    """Start a step as a process; the caller waits for it or ends it."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'module_utils'}:{ROOT / 'tests'}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "support.steps"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    arguments = {"step": step, "source": str(source), "target": target, "plan": plan.as_dict(), **more}
    json.dump(arguments, process.stdin)
    process.stdin.close()
    process.stdin = None
    return process


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a step and return its answer."""
    output, _ = process.communicate(timeout=300)
    found: dict[str, Any] = json.loads(output)
    return found


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The worker processes of a step."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def _peak_mb() -> dict[str, int]:
    # Not ru_maxrss of this process: it begins with that of the process that started it.
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"parent": int(own.split()[1]) // 1024, "workers": children // 1024}


def main() -> None:
    """Run the step that standard input asks for."""
    asked = json.load(sys.stdin)
    if "range_bytes" in asked:
        ranges.plan_ranges.__defaults__ = (asked["range_bytes"],)
    setaside.MANY_ROWS = asked.get("many_rows", setaside.MANY_ROWS)
    plan, workers = from_dict(asked["plan"]), asked.get("workers", 2)
    result: Any
    try:
        if asked["step"] == "copy":
            result = bulk.copy(asked["source"], asked["target"], plan, asked["position"], workers)
        elif asked["step"] == "verify":
            result = checksum.verify(asked["source"], asked["target"], plan, workers)
        elif asked["step"] == "finish":
            with closing(connect(asked["target"], autocommit=True)) as connection:
                result = finish(connection, plan, {})
        else:
            result = [finding.as_dict() for finding in check_values(asked["source"], plan, workers)]
    except CutoverError as error:
        print(json.dumps({"error": error.message}))
    else:
        print(json.dumps({"result": result, "peak_mb": _peak_mb()}))


if __name__ == "__main__":
    main()
