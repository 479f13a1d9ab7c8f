# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run comes down to."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import Any

from .run import WRITES, Outcome, Request


def succeeded(request: Request) -> bool:
    """Answered as asked for."""
    return 200 <= request.status < 300


def summary(outcome: Outcome, maintenance: bool = False) -> dict[str, Any]:
    """The figures of a run.

    503 is a failure; where a maintenance page is expected, it is an answer with a meaning, counted as `unavailable` only.
    `longest_wait_ms` counts failed requests too; `late_ms` is the part of the waiting that the generator itself caused.
    """
    requests = outcome.requests
    unavailable = [request for request in requests if request.status == 503]
    stale = [request for request in requests if request.stale]
    failed = [
        r for r in requests if not (succeeded(r) or (r.status == 503 and maintenance) or (r.stale and r.status == 404))
    ]
    return {
        "started": datetime.fromtimestamp(outcome.started, timezone.utc).isoformat(timespec="milliseconds"),
        "requests": len(requests),
        "writes": sum(request.kind in WRITES for request in requests),
        "acknowledged": len(outcome.acknowledged),
        "failed": len(failed),
        "unavailable": len(unavailable),
        "stale": len(stale),
        "failures": dict(Counter(request.error or str(request.status) for request in failed)),
        "databases": outcome.databases,
        "writes_by_database": dict(outcome.writes_by_database),
        "longest_wait_ms": round(max((r.milliseconds for r in requests), default=0.0), 2),
        "latency_ms": _latency(requests),
        "write_latency_ms": _latency([request for request in requests if request.kind in WRITES]),
        "late_ms": _percentiles([request.late for request in requests]),
        "longest_pause_seconds": _longest_pause(requests),
        "longest_write_pause_seconds": _longest_pause([r for r in requests if r.kind in WRITES]),
    }


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The same for people."""

    def times(key: str) -> str:
        values = figures[key]
        return ", ".join(f"{name} {values[name]:.1f}" for name in ("p50", "p95", "p99", "max")) + " ms"

    by_database = ", ".join(f"{count} by {name}" for name, count in figures["writes_by_database"].items())
    lines = [
        f"requests: {figures['requests']}, of them {figures['writes']} writes",
        f"{figures['failed']} failed, {figures['unavailable']} answered 503, {figures['stale']} stale reads",
        f"longest wait: {figures['longest_wait_ms']:.1f} ms",
        f"latency: {times('latency_ms')}",
        f"latency of writes: {times('write_latency_ms')}",
        f"of that, late in the generator: {times('late_ms')}",
        f"longest time without a success: {figures['longest_pause_seconds']:.2f} s",
        f"longest time without a successful write: {figures['longest_write_pause_seconds']:.2f} s",
    ]
    if by_database:
        lines.append(f"writes taken: {by_database}")
    if figures["databases"]:
        lines.append(f"databases seen: {' → '.join(figures['databases'])}")
    lines += [f"  failed: {count} × {reason}" for reason, count in sorted(figures["failures"].items())]
    return lines


def _latency(requests: list[Request]) -> dict[str, float]:
    """Percentiles over successful requests."""
    return _percentiles([request.milliseconds for request in requests if succeeded(request)])


def _percentiles(times: list[float]) -> dict[str, float]:
    times = sorted(times) or [0.0]

    def at(share: float) -> float:
        return round(times[min(len(times) - 1, int(share * len(times)))], 2)

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": round(times[-1], 2)}


def _longest_pause(requests: list[Request]) -> float:
    """The longest time between two successes, from the start of the run to its last answer."""
    ends = sorted(r.at_seconds + r.milliseconds / 1000 for r in requests)
    good = sorted(r.at_seconds + r.milliseconds / 1000 for r in requests if succeeded(r))
    if not ends:
        return 0.0
    marks = [0.0, *good, ends[-1]]
    return round(max(later - earlier for earlier, later in zip(marks, marks[1:])), 3)
