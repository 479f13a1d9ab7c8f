# SPDX-License-Identifier: GPL-3.0-or-later
"""Peak memory of copy and verify, on an input and on one four times larger."""

from __future__ import annotations

from dataclasses import dataclass

from bench.inputs import Input
from bench.measure import note
from bench.project import make_plan, run_step, verify
from bench.server import empty_tables
from support.postgres import Cluster

#: What no process of the engine may exceed, whatever the size of the source.
MOST_BYTES = 150_000_000
GROWTH = 4


@dataclass(frozen=True)
class Peak:
    """The largest process of a step on an input."""

    input: str
    scale: float
    source_bytes: int
    step: str
    bytes: int


def measure(cluster: Cluster, item: Input, workers: int) -> list[Peak]:
    """Copy and verify once; returns the peak of each."""
    note(f"{item.name} at scale {item.scale:g}: copy and verify")
    plan = make_plan(item, workers)
    with empty_tables(cluster, plan) as database:
        _, copied = run_step("copy", item, workers, plan, database.url)
        run_step("finish", item, workers, plan, database.url)
        verified = verify(item, workers, plan, database.url)
    return [
        Peak(item.name, item.scale, item.bytes, "copy", copied.peak),
        Peak(item.name, item.scale, item.bytes, "verify", verified.peak),
    ]
