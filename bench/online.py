#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the demo's application to PostgreSQL and back by the playbooks, again and again under load, and say what it cost.

A demo of its own, in its own folder and on its own ports, goes through `demo/under_load.py -- ansible-playbook
playbooks/cutover.yml` and `… rollback.yml` as `make cutover` and `make rollback` do it. With two scales it also compares
how long writes were held: the hold depends on what is written meanwhile, and not on how much is there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import ROOT, BenchError, capture
from cutover import checksum, replication, service
from cutover.errors import CutoverError
from cutover.plan.model import from_dict as plan_from_dict
from cutover.workers import default_workers

WAYS = {
    "cutover": ("playbooks/cutover.yml", "switched_online"),
    "rollback": ("playbooks/rollback.yml", "switched_back"),
}
PLACE = Path("/var/lib/pg-cutover-bench")
#: What the load has left to follow is carried over in so many seconds.
CAUGHT_UP_SECONDS = 120.0
#: How far the median hold of the larger database may be from that of the smaller one.
NEAR = 0.3


@dataclass
class Step:
    """One playbook under load. parts: milliseconds of the hold by what they were spent on. different: rows by which both
    databases differ, every row compared: on the way there behind the switch, on the way back when the load has ended."""

    way: str
    figures: dict[str, Any]
    lost: int
    hold_ms: float
    drained: int
    attempts: int
    parts: dict[str, float]
    verify_seconds: float
    different: int
    seconds: float

    @property
    def faults(self) -> int:
        """Failed requests, stale reads, lost writes, rows that differ."""
        return int(self.figures["failed"]) + int(self.figures["stale"]) + self.lost + self.different


class Demo:
    """The demo of the benchmark, in one size."""

    def __init__(self, scale: float, base: int, folder: Path) -> None:
        self._folder, self.port = folder, base + 80
        self._environment = {
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "PG_CUTOVER_DEMO_DIR": str(PLACE),
            "DEMO_SCALE": str(scale),
        }
        self._variables = folder / "variables.json"
        self._variables.write_text(json.dumps(_variables(base)))

    def _play(self, playbook: str) -> list[str]:
        """The command that runs a playbook."""
        program = str(ROOT / ".venv/bin/ansible-playbook")
        return [program, "-i", str(ROOT / "inventories/demo"), "-e", f"@{self._variables}", str(ROOT / playbook)]

    def run(self, playbook: str) -> None:
        """Run a playbook that must succeed. Raises BenchError."""
        if self._call(self._play(playbook), playbook):
            raise BenchError(self._said(playbook))

    def _call(self, command: list[str], playbook: str) -> int:
        """Run a command to its end; its exit status. Its output goes to a file."""
        with self._log(playbook).open("wb") as output:
            process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Asked, not killed: what it started has to end before the demo is removed.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            process.terminate()
            process.wait()
            raise

    def _log(self, playbook: str) -> Path:
        return self._folder / f"{Path(playbook).stem}.out"

    def _said(self, playbook: str) -> str:
        return f"{playbook} failed:\n{self._log(playbook).read_text()[-3000:]}"

    def step(self, way: str, rate: float, write_share: float) -> Step:
        """One way, under load."""
        playbook, phase = WAYS[way]
        known, out = len(self._events()), self._folder / "load.json"
        out.unlink(missing_ok=True)
        command = [
            *(sys.executable, str(ROOT / "demo/under_load.py"), "--port", str(self.port), "--rate", str(rate)),
            *("--write-share", str(write_share), "--state-dir", str(PLACE / "state"), "--out", str(out), "--"),
        ]
        began = time.monotonic()
        status = self._call([*command, *self._play(playbook)], playbook)
        seconds = time.monotonic() - began
        done = {e["phase"]: e["detail"] for e in self._events()[known:] if e["state"] == "done"}
        if phase not in done or not out.exists():
            raise BenchError(self._said(playbook))
        report, told = json.loads(out.read_text()), done[phase]
        proof = done["verify_switched"] if way == "cutover" else self._compare()
        step = Step(
            way=way,
            figures=report["summary"],
            lost=len(report["check"]["lost"]) + len(report["check"]["unknown"]),
            hold_ms=told["hold_ms"],
            drained=told["drained"],
            attempts=told["attempts"],
            parts={name: value for name, value in told.items() if name.endswith("_ms") and name != "hold_ms"},
            verify_seconds=proof["seconds"],
            different=sum(
                table[name]
                for table in proof["tables"]
                for name in ("rows_different", "rows_only_source", "rows_only_target")
            ),
            seconds=seconds,
        )
        # The load's own verdict makes the status 1 too.
        if status and not step.faults:
            raise BenchError(self._said(playbook))
        return step

    @staticmethod
    def _compare() -> dict[str, Any]:
        """Every row of both databases, while PostgreSQL follows and nobody writes. Raises BenchError."""
        folder = str(PLACE / "state")
        try:
            until = time.monotonic() + CAUGHT_UP_SECONDS
            while replication.look(folder, count=True)["lag_changes"]:
                if time.monotonic() > until:
                    raise BenchError(f"after {CAUGHT_UP_SECONDS:.0f} s without load PostgreSQL has not caught up")
                time.sleep(0.2)
            config = service.load(replication.config_file(folder))
            began = time.monotonic()
            found = checksum.verify(
                config["source_path"], config["target_url"], plan_from_dict(config["plan"]), default_workers()
            )
        except CutoverError as error:
            raise BenchError(f"the databases cannot be compared: {error.message}") from None
        return {**found, "seconds": time.monotonic() - began}

    @staticmethod
    def _events() -> list[dict[str, Any]]:
        try:
            lines = (PLACE / "state/journal.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]


def _variables(base: int) -> dict[str, Any]:
    """What sets the benchmark's demo apart from the demo. base: its ports are base + 80, 81, 82, 432 and 433."""
    return {
        "cutover_name": "bench",
        "cutover_strategy": "online",
        "cutover_source_wal": True,
        "cutover_watch_seconds": 3,
        "cutover_report_dir": str(PLACE / "reports"),
        "cutover_secrets_dir": str(PLACE / "secrets"),
        "demo_application_port": base + 81,
        "demo_green_port": base + 82,
        "haproxy_bind": [f"127.0.0.1:{base + 80}"],
        "postgresql_port": base + 432,
        "pgbouncer_listen_port": base + 433,
        "postgresql_cluster_name": "pgcutover_bench",
    }


@contextmanager
def _demo(scale: float, base: int) -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="pg-cutover-bench-") as name:
        demo = Demo(scale, base, Path(name))
        if PLACE.exists():
            # Left from a run that was killed.
            demo.run("demo/down.yml")
        try:
            demo.run("demo/up.yml")
            yield demo
        finally:
            demo.run("demo/down.yml")


# ---------------------------------------------------------------- tables


def _table(scale: float, steps: list[Step]) -> None:
    print(f"\nScale {scale:g}:\n")
    print(
        "| step | requests | failed | lost | stale | longest wait | hold | attempts | drained | proved in | different | run |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for step in steps:
        f = step.figures
        print(
            f"| {step.way} | {f['requests']} | {f['failed']} | {step.lost} | {f['stale']} | {f['longest_wait_ms']:.0f} ms "
            f"| {step.hold_ms:.1f} ms | {step.attempts} | {step.drained} | {step.verify_seconds:.1f} s "
            f"| {step.different} | {step.seconds:.0f} s |"
        )
    print()
    for way in WAYS:
        chosen = [step for step in steps if step.way == way]
        holds = [step.hold_ms for step in chosen]
        print(f"{way}: held {median(holds):.1f} ms (median), {max(holds):.1f} ms (worst)")
        names = list(dict.fromkeys(name for step in chosen for name in step.parts))
        parts = {name: median([step.parts.get(name, 0.0) for step in chosen]) for name in names}
        rest = median([step.hold_ms - sum(step.parts.values()) for step in chosen])
        print("  " + ", ".join(f"{name[:-3]} {value:.1f}" for name, value in parts.items()) + f", other {rest:.1f} ms")
    requests = sum(step.figures["requests"] for step in steps)
    print(f"{requests} requests, {sum(step.faults for step in steps)} failed, lost, stale or different", flush=True)


def _compare(results: dict[float, list[Step]]) -> bool:
    """Print the ratio of the holds; whether each is near 1."""
    small, large = min(results), max(results)
    near = True
    print(f"\nScale {large:g} against {small:g}:")
    for way in WAYS:
        first, second = (median([s.hold_ms for s in results[scale] if s.way == way]) for scale in (small, large))
        near = near and abs(second / first - 1) <= NEAR
        print(f"  {way}: median hold {second / first:.2f} times as long ({second:.1f} and {first:.1f} ms)")
    return near


# ---------------------------------------------------------------- command line


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = _options(arguments)
    # A request to end takes the way of Ctrl-C, so that the demo is removed; Ctrl-C too, where a shell that starts this in the
    # background has it ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    results: dict[float, list[Step]] = {}
    try:
        for scale in options.scale:
            steps = results[scale] = []
            with _demo(scale, options.ports) as demo:
                for _ in range(options.cycles):
                    for way in WAYS:
                        steps.append(demo.step(way, options.rate, options.write_share))
                        last = steps[-1]
                        print(f"{way}: held {last.hold_ms:.1f} ms, {last.faults} faults", file=sys.stderr, flush=True)
            _table(scale, steps)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    near = len(results) < 2 or _compare(results)
    if options.capture:
        print("\nWhat the change log costs a statement:\n", flush=True)
        capture.main()
    faults = sum(step.faults for steps in results.values() for step in steps)
    return 1 if options.check and (faults or not near) else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--cycles", type=int, default=5, metavar="N", help="cutovers, and as many rollbacks (default: 5)"
    )
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second (default: 300)")
    parser.add_argument("--write-share", type=float, default=0.3, help="share of writes (default: 0.3)")
    parser.add_argument(
        "--scale", type=_scales, default=[1.0], metavar="X,…", help="sizes of the demo, such as 1,10 (default: 1)"
    )
    parser.add_argument("--ports", type=int, default=35000, metavar="N", help="its ports begin here (default: 35000)")
    parser.add_argument("--no-capture", dest="capture", action="store_false", help="without the cost of the change log")
    parser.add_argument(
        "--assert",
        dest="check",
        action="store_true",
        help="exit status 1 when anything failed, was lost, stale or different, or the holds of two sizes differ by more than "
        f"{NEAR:.0%}",
    )
    options = parser.parse_args(arguments)
    if options.cycles < 1 or options.rate <= 0:
        parser.error("--cycles and --rate are more than 0")
    return options


def _scales(text: str) -> list[float]:
    found = [float(part) for part in text.split(",")]
    if min(found) <= 0:
        raise argparse.ArgumentTypeError("a scale is more than 0")
    return found


if __name__ == "__main__":
    sys.exit(main())
