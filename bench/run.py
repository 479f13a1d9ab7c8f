#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure this project beside PostgreSQL's own COPY of the same rows, on a temporary server, in one run."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import ROOT, BenchError, inputs, memory, packing, peers, report
from bench.measure import Bench, Repeat, growth, note
from bench.server import Server
from cutover.workers import default_workers
from support.postgres import Cluster, ClusterError


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = _options(arguments)
    # A request to end takes the way of Ctrl-C, so that server and files are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="pg-cutover-bench-") as folder:
            return _run(options, Path(folder))
    except (BenchError, ClusterError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--memory", action="store_true", help="memory of copy and verify on A and on A 4 times larger")
    mode.add_argument("--growth", action="store_true", help="only B and C, which is B ten times larger; takes long")
    mode.add_argument("--profile", action="store_true", help="where the engine's own processor time goes; no server")
    parser.add_argument("--inputs", default="A,B", help="which inputs (default: A,B)")
    parser.add_argument("--scale-a", type=float, default=1.0, metavar="X", help="0.01 to 10; 1 is 540 MB (default: 1)")
    parser.add_argument("--scale-b", type=float, default=1.0, metavar="X", help="1 is 3 million rows (default: 1)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--no-peers", action="store_true", help="without pgloader and DuckDB")
    parser.add_argument("--copy-format", choices=["text", "binary"], default="text", help="of the limit's files")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON file")
    options = parser.parse_args(arguments)
    options.inputs = options.inputs.upper().split(",")
    if unknown := set(options.inputs) - {"A", "B"}:
        parser.error(f"there is no input {', '.join(sorted(unknown))}; choose from A and B")
    if options.repeats < 1 or options.scale_b <= 0:
        parser.error("repeats and scales must be positive")
    return options


def _run(options: argparse.Namespace, folder: Path) -> int:
    wanted = [(name, {"A": options.scale_a, "B": options.scale_b}[name]) for name in options.inputs]
    if options.memory:
        wanted = [("A", options.scale_a), ("A", options.scale_a * memory.GROWTH)]
    if options.growth:
        wanted = [("B", options.scale_b), ("C", options.scale_b * 10)]
    note("writing the inputs: " + ", ".join(f"{name} at scale {scale:g}" for name, scale in wanted))
    made = [inputs.make(name, scale, folder) for name, scale in wanted]
    if options.profile:
        for item in made:
            print(packing.report(item, default_workers()))
        return 0
    inputs.check_room(made)
    cluster = Server.start()
    try:
        return (_memory if options.memory else _growth if options.growth else _speed)(options, cluster, made)
    finally:
        cluster.stop()


def _speed(options: argparse.Namespace, cluster: Cluster, made: list[inputs.Input]) -> int:
    cores = default_workers()
    machine = report.facts(cluster, cores)
    rivals = () if options.no_peers else peers.NAMES
    if rivals:
        peers.prepare()
    benches = [Bench(cluster, item, cores, options.copy_format, rivals) for item in made]
    taken: list[list[Repeat]] = [[] for _ in made]
    for number in range(options.repeats):
        for bench, repeats in zip(benches, taken):
            note(f"{bench.item.name}: repeat {number + 1} of {options.repeats}")
            repeats.append(bench.repeat(number))
    found = [report.summary(b.item, b.plan, repeats, cores, b.mistakes) for b, repeats in zip(benches, taken)]
    whole = {**machine, "copy_format": options.copy_format, "inputs": found}
    path = report.write_json(options.results, "bench", whole)
    print(report.heading(machine), *[report.table(f, cores) for f in found], f"Written to {path}", sep="\n\n")
    return _verdict(max(r[step].peak for repeats in taken for r in repeats for step in ("copy", "copy_1", "verify")))


def _memory(options: argparse.Namespace, cluster: Cluster, made: list[inputs.Input]) -> int:
    cores = default_workers()
    machine = report.facts(cluster, cores)
    peaks = [peak for item in made for peak in memory.measure(cluster, item, cores)]
    path = report.write_json(options.results, "memory", {**machine, "peaks": [asdict(peak) for peak in peaks]})
    print(report.heading(machine), report.memory_table(peaks), f"Written to {path}", sep="\n\n")
    return _verdict(max(peak.bytes for peak in peaks))


def _growth(options: argparse.Namespace, cluster: Cluster, made: list[inputs.Input]) -> int:
    cores = default_workers()
    machine = report.facts(cluster, cores)
    found = growth(cluster, made[0], made[1], cores)
    path = report.write_json(options.results, "growth", {**machine, **found})
    print(report.heading(machine), report.growth_table(found), f"Written to {path}", sep="\n\n")
    return 0


def _verdict(peak: int) -> int:
    """The exit status: memory has a limit, speed has none."""
    if peak > memory.MOST_BYTES:
        print(f"bench: a process took {peak / 1e6:.0f} MB, more than {memory.MOST_BYTES / 1e6:.0f}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
