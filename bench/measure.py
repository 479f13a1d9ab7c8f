# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurements of one input, interleaved: in each repeat everything is measured once, in another order."""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import Any, Callable

from bench import BenchError, mistakes, peers
from bench.inputs import Input
from bench.limit import Piece, load, write
from bench.project import Cost, check, make_plan, run_step, verify
from bench.server import cpu_seconds, empty_tables, fingerprint, server_folder
from cutover.plan.model import Plan
from support.postgres import Cluster, Database

#: One repeat: by name of the measurement, its cost.
Repeat = dict[str, Cost]


def note(text: str) -> None:
    """Say on standard error what is going on."""
    print(text, file=sys.stderr, flush=True)


class Bench:
    """Measures one input on a running cluster."""

    def __init__(self, cluster: Cluster, item: Input, cores: int, form: str, rivals: tuple[str, ...] = ()) -> None:
        self._cluster = cluster
        self.item = item
        self._cores = cores
        note(f"{item.name}: preparing (a first copy, and the files for the limit)")
        self.plan: Plan = make_plan(item, cores)
        self._uuid: Plan = make_plan(item, cores, "uuid")
        self._rivals = rivals
        #: By peer, what its first copy holds other than it should, and the errors that it told of.
        self.mistakes: dict[str, dict[str, Any]] = {}
        self._prepare(form)

    def _prepare(self, form: str) -> None:
        """Copy and verify once, unmeasured: it warms the caches and gives the rows for the limit's files."""
        with empty_tables(self._cluster, self.plan) as database:
            run_step("copy", self.item, self._cores, self.plan, database.url)
            run_step("finish", self.item, self._cores, self.plan, database.url)
            verify(self.item, self._cores, self.plan, database.url)
            self._rows = fingerprint(self._cluster, database, self.plan)
            folder = server_folder(self._cluster, f"copy-{self.item.name}")
            self._pieces: list[Piece] = write(self._cluster, database, self.plan, folder, form)

    def repeat(self, number: int) -> Repeat:
        """Measure everything once. Raises BenchError when rows are not what they should be."""
        took: Repeat = {}
        turns: list[Callable[[Repeat], None]] = [
            lambda took: self._limit(took, "stream", 1),
            self._project,
            lambda took: self._limit(took, "streams", self._cores),
            self._one_worker,
            self._reading,
            self._ids,
            *[functools.partial(self._rival, name) for name in self._rivals],
        ]
        # Nothing is always first, or always behind the same.
        at = number % len(turns)
        for turn in turns[at:] + turns[:at]:
            turn(took)
        return took

    def _limit(self, took: Repeat, name: str, streams: int) -> None:
        with empty_tables(self._cluster, self.plan) as database:
            before = cpu_seconds(self._cluster)
            seconds = load(self._cluster, database, self._pieces, streams)
            self._keep(took, name, Cost(seconds), before)
            self._compare(database, name)

    def _project(self, took: Repeat) -> None:
        with empty_tables(self._cluster, self.plan) as database:
            for name in ("copy", "finish"):
                before = cpu_seconds(self._cluster)
                _, cost = run_step(name, self.item, self._cores, self.plan, database.url)
                self._keep(took, name, cost, before)
            before = cpu_seconds(self._cluster)
            self._keep(took, "verify", verify(self.item, self._cores, self.plan, database.url), before)

    def _one_worker(self, took: Repeat) -> None:
        with empty_tables(self._cluster, self.plan) as database:
            before = cpu_seconds(self._cluster)
            _, cost = run_step("copy", self.item, 1, self.plan, database.url)
            self._keep(took, "copy_1", cost, before)
            self._compare(database, "copy_1")

    def _ids(self, took: Repeat) -> None:
        """All that has to be done with integer keys as UUIDs, maps and proof included."""
        with empty_tables(self._cluster, self._uuid) as database:
            for name in ("copy", "finish"):
                before = cpu_seconds(self._cluster)
                _, cost = run_step(name, self.item, self._cores, self._uuid, database.url)
                self._keep(took, f"{name}_uuid", cost, before)
            before = cpu_seconds(self._cluster)
            self._keep(took, "verify_uuid", verify(self.item, self._cores, self._uuid, database.url), before)

    def _rival(self, name: str, took: Repeat) -> None:
        """A peer's copy with its own tables, in an empty database."""
        database = self._cluster.create_database()
        try:
            before = cpu_seconds(self._cluster)
            outcome = peers.run(name, self.item, self.plan, database.url, self.item.path.parent)
            self._keep(took, name, outcome.cost, before)
            if name not in self.mistakes:
                found = mistakes.find(self.item, self.plan, database.url, self._cores)
                self.mistakes[name] = {**found, "errors": outcome.errors}
        finally:
            self._cluster.drop_database(database)

    def _reading(self, took: Repeat) -> None:
        """What needs no server."""
        _, cost = run_step("profile", self.item, self._cores)
        self._keep(took, "profile", cost)
        self._keep(took, "check", check(self.item, self._cores, self.plan))

    def _keep(self, took: Repeat, name: str, cost: Cost, before: float | None = None) -> None:
        if before is not None:
            cost = dataclasses.replace(cost, server_cpu=cpu_seconds(self._cluster) - before)
        took[name] = cost
        note(f"{self.item.name}:   {name:9} {cost.seconds:7.2f} s")

    def _compare(self, database: Database, name: str) -> None:
        """Cheaper than another verification: the rows must be those of the copy that was verified."""
        found: Any = fingerprint(self._cluster, database, self.plan)
        if found != self._rows:
            wrong = [table for table in self._rows if found[table] != self._rows[table]]
            raise BenchError(f"{self.item.name}: {name} loaded other rows into {', '.join(wrong)}")


def growth(cluster: Cluster, small: Input, large: Input, cores: int) -> dict[str, Any]:
    """What B and C take, once each, one step after the other: {steps: {step: [small, large]}, factor: by rows}."""
    steps: dict[str, list[float]] = {"copy": [], "finish": [], "verify": []}
    for item in (small, large):
        note(f"{item.name} at scale {item.scale:g}: growth")
        plan = make_plan(item, cores)
        with empty_tables(cluster, plan) as database:
            for name in ("copy", "finish"):
                steps[name].append(run_step(name, item, cores, plan, database.url)[1].seconds)
            steps["verify"].append(verify(item, cores, plan, database.url).seconds)
    return {"factor": large.scale / small.scale, "steps": steps}
