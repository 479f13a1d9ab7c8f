# SPDX-License-Identifier: GPL-3.0-or-later
"""Other tools that move SQLite to PostgreSQL, each tuned until it survives the input; they are no dependency of the project."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT, BenchError
from bench.inputs import Input
from bench.project import Cost
from cutover.plan.model import Plan

#: A peer's own environment, so that nothing of it gets into the project's.
VENV = ROOT / ".cache" / "bench-peers"
_WHEELS = ("duckdb==1.5.5", "duckdb-extension-sqlite-scanner==1.5.5", "duckdb-extension-postgres-scanner==1.5.5")
NAMES = ("pgloader", "duckdb")
_MOST_SECONDS = 1800


@dataclass(frozen=True)
class Outcome:
    """What a peer took, and what it said went wrong."""

    cost: Cost
    errors: list[str]


def prepare() -> None:
    """Install what is missing: pgloader from Debian, DuckDB and its extensions from PyPI. Raises BenchError."""
    try:
        if shutil.which("pgloader") is None:
            subprocess.run([str(ROOT / ".ci" / "setup"), "--system", "pgloader"], check=True, stdout=sys.stderr)
        if not (VENV / "installed").exists():
            venv.create(VENV, with_pip=True, clear=True)
            subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", *_WHEELS], check=True, stdout=sys.stderr)
            (VENV / "installed").touch()
    except subprocess.CalledProcessError as error:
        raise BenchError(f"a peer cannot be installed ({error}); --no-peers goes without them") from None


def run(name: str, item: Input, plan: Plan, url: str, folder: Path) -> Outcome:
    """Let a peer copy the whole input into an empty database, with its own tables."""
    return (_pgloader if name == "pgloader" else _duckdb)(item, plan, url, folder)


def _timed(command: list[str], text: str | None = None) -> tuple[Cost, str]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=_MOST_SECONDS,
            env={**os.environ, "TZ": "UTC"},
        )  # fmt: skip
        said = done.stdout + (f"\nERROR ended with status {done.returncode}" if done.returncode else "")
    except subprocess.TimeoutExpired:
        said = f"ERROR still running after {_MOST_SECONDS} s"
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, cpu), said


def load_file(item: Input, plan: Plan, url: str) -> str:
    """pgloader's commands, with the casts without which it stops or changes values."""
    casts = ["type real to float8 drop typemod using float-to-string"]
    for table in plan.tables:
        for column in table.columns:
            if column.codec.startswith("epoch"):
                # Its own cast takes the number for a year.
                casts.append(f"column {table.name}.{column.name} to bigint drop typemod")
            elif column.codec in ("json", "jsonb"):
                # As json it stops at numbers that it writes the way Lisp does: 3.25d0.
                casts.append(f"column {table.name}.{column.name} to text drop typemod")
    # Small batches: with its defaults long text exhausts its heap.
    large = sum(table.bytes for table in plan.tables) > 1000 * sum(table.rows for table in plan.tables)
    batch = (
        "batch rows = 500, batch size = 8MB, prefetch rows = 500"
        if large
        else "batch rows = 25000, prefetch rows = 100000"
    )
    return (
        f"LOAD DATABASE FROM sqlite://{item.path} INTO {url}\n"
        f"WITH include drop, create tables, create indexes, reset sequences, workers = 4, concurrency = 1, {batch}\n"
        f"EXCLUDING TABLE NAMES LIKE 'sqlite_stat1'\n"
        f"CAST {', '.join(casts)};\n"
    )


def _pgloader(item: Input, plan: Plan, url: str, folder: Path) -> Outcome:
    file = folder / f"{item.name}.load"
    file.write_text(load_file(item, plan, url))
    cost, said = _timed(["pgloader", "--no-ssl-cert-verification", str(file)])
    return Outcome(cost, _errors(said))


def _duckdb(item: Input, plan: Plan, url: str, folder: Path) -> Outcome:
    request = {"source": str(item.path), "url": url, "tables": [table.name for table in plan.tables]}
    script = Path(__file__).with_name("duckdb_copy.py")
    cost, said = _timed([str(VENV / "bin" / "python"), str(script)], json.dumps(request))
    return Outcome(cost, _errors(said))


def _errors(said: str) -> list[str]:
    """The lines that speak of errors, without the addresses and keys of this run."""
    found = [line.partition("ERROR")[2].strip() for line in said.splitlines() if "ERROR" in line]
    found += ["heap exhausted" for line in said.splitlines() if "Heap exhausted" in line]
    return [line[:200] for line in found][:20]
