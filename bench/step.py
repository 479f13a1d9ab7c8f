# SPDX-License-Identifier: GPL-3.0-or-later
"""One step of the engine in a process of its own: a request on standard input, the answer with its cost on output.

The cost is measured around the engine's own call: seconds, processor time, and the largest memory of this process and
of its workers.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bench  # noqa: F401 - lets the engine be imported
from cutover import bulk, checksum
from cutover.check import check_values
from cutover.errors import CutoverError
from cutover.finish import finish
from cutover.plan import model
from cutover.plan.choose import is_temporal
from cutover.source.connect import open_readonly
from cutover.source.describe import describe
from cutover.source.survey import survey
from cutover.structure import check_references
from cutover.target.connect import connect

Request = dict[str, Any]


def _profile(request: Request) -> Any:
    return survey(request["source"], is_temporal, request["workers"])


def _check(request: Request) -> Any:
    plan = model.from_dict(request["plan"])
    found = check_references(request["source"], plan)
    found += check_values(request["source"], plan, request["workers"])
    return [finding.as_dict() for finding in found]


def _copy(request: Request) -> Any:
    plan = model.from_dict(request["plan"])
    return bulk.copy(request["source"], request["url"], plan, "bench", request["workers"])


def _finish(request: Request) -> Any:
    with closing(open_readonly(request["source"])) as source:
        tables = describe(source, request["source"]).tables
    sequences = {table.name: table.sequence for table in tables if table.sequence is not None}
    with closing(connect(request["url"], autocommit=True)) as connection:
        return finish(
            connection, model.from_dict(request["plan"]), sequences, url=request["url"], workers=request["workers"]
        )


def _verify(request: Request) -> Any:
    plan = model.from_dict(request["plan"])
    return checksum.verify(request["source"], request["url"], plan, request["workers"])


STEPS: dict[str, Callable[[Request], Any]] = {
    "profile": _profile,
    "check": _check,
    "copy": _copy,
    "finish": _finish,
    "verify": _verify,
}


def _cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def _peak() -> int:
    """Bytes of the largest of this process and its workers."""
    # ru_maxrss of the process itself may be that of the program which started it.
    own = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return 1024 * max(int(own[1]) if own else 0, workers)


def main() -> int:
    """Do the step that standard input asks for."""
    request: Request = json.load(sys.stdin)
    began, cpu = time.perf_counter(), _cpu()
    try:
        answer = STEPS[request["step"]](request)
    except CutoverError as error:
        json.dump({"error": f"{request['step']}: {error}"}, sys.stdout)
        return 1
    seconds, cpu = time.perf_counter() - began, _cpu() - cpu
    json.dump({"answer": answer, "seconds": seconds, "cpu": cpu, "peak": _peak()}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
