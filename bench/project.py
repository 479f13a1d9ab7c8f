# SPDX-License-Identifier: GPL-3.0-or-later
"""This project's side: its steps, each run in a process of its own, and the plan that they share."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import BenchError
from bench.inputs import Input
from cutover.plan.derive import derive
from cutover.plan.model import Plan
from cutover.source import model as source_model
from cutover.source import profile as source_profile


@dataclass(frozen=True)
class Cost:
    """What a measurement took: seconds, processor time of client and server, bytes of the largest process."""

    seconds: float
    client_cpu: float = 0.0
    server_cpu: float = 0.0
    peak: int = 0


def run_step(step: str, item: Input, workers: int, plan: Plan | None = None, url: str = "") -> tuple[Any, Cost]:
    """Run a step of bench/step.py; returns its answer and its cost. Raises BenchError."""
    request = {
        "step": step,
        "source": str(item.path),
        "workers": workers,
        "plan": plan.as_dict() if plan else None,
        "url": url,
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("step.py"))],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    said: dict[str, Any] = (
        json.loads(done.stdout) if done.stdout else {"error": f"{step} ended with status {done.returncode}"}
    )
    if "error" in said:
        raise BenchError(f"{item.name}: {said['error']}")
    return said["answer"], Cost(said["seconds"], said["cpu"], peak=said["peak"])


def make_plan(item: Input, workers: int, ids: str = "keep") -> Plan:
    """The plan that the engine derives for an input, without any decision by an operator but for ``ids``."""
    surveyed, _ = run_step("profile", item, workers)
    profiles = {name: source_profile.from_dict(data) for name, data in surveyed["profiles"].items()}
    plan, findings = derive("bench", source_model.from_dict(surveyed["description"]), profiles, ids=ids)
    _no_errors(item, [finding.as_dict() for finding in findings])
    return plan


def check(item: Input, workers: int, plan: Plan) -> Cost:
    """Put every value through its codec. Raises BenchError when one is refused."""
    findings, cost = run_step("check", item, workers, plan)
    _no_errors(item, findings)
    return cost


def verify(item: Input, workers: int, plan: Plan, url: str) -> Cost:
    """Compare every row. Raises BenchError when one differs: a fast wrong copy is no result."""
    found, cost = run_step("verify", item, workers, plan, url)
    rows = sum(table["rows_source"] for table in found["tables"])
    if not found["ok"] or rows != sum(table.rows for table in plan.tables):
        raise BenchError(f"{item.name}: the copy is wrong: {found['differences'][:5]}")
    return cost


def _no_errors(item: Input, findings: list[dict[str, Any]]) -> None:
    errors = [finding for finding in findings if finding["severity"] == "error"]
    if errors:
        first = errors[0]
        raise BenchError(f"{item.name}: {first['table']}.{first['column']}: {first['message']}")
