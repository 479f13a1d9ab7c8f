# SPDX-License-Identifier: GPL-3.0-or-later
"""Medians and ratios of the measurements, as a table for people and as JSON; the facts of the machine beside them."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psycopg2

from bench.inputs import KINDS, Input
from bench.measure import Repeat
from bench.memory import MOST_BYTES, Peak
from bench.mistakes import summary as summarised
from bench.project import Cost
from cutover.plan.model import Plan
from support.postgres import Cluster

_HEAD = (
    "| | seconds | lowest–highest | MB/s | rows/s | of one COPY | of {cores} COPYs | CPU s, client + server | peak MB |"
)


def facts(cluster: Cluster, cores: int) -> dict[str, Any]:
    """What the figures depend on. The machine's name is not among it."""
    with closing(psycopg2.connect(cluster.superuser_url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version')")
        server = (cursor.fetchone() or ("",))[0]
        cursor.execute("SELECT name, current_setting(name) FROM pg_settings WHERE source = 'configuration file'")
        settings = dict(cursor.fetchall())
    hidden = ("listen_addresses", "unix_socket_directories")
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": cores,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "psycopg2": version("psycopg2-binary"),
        "postgresql": str(server).split()[0],
        "settings": {name: value for name, value in sorted(settings.items()) if name not in hidden},
    }


def heading(machine: dict[str, Any]) -> str:
    """The machine in two lines, with what absolute times are worth."""
    versions = f"Python {machine['python']}, SQLite {machine['sqlite']}, PostgreSQL {machine['postgresql']}"
    text = (
        f"{machine['date']}; {machine['cores']} cores, {machine['memory_bytes'] / 1e9:.0f} GB, {versions}, "
        "client and server on this machine.\n"
        "The ratios are the result; absolute times are those of this machine and this hour."
    )
    if machine["load"] > 0.5:
        text += f"\nOther work was running at the start (load {machine['load']}): expect wide spreads."
    return text


def summary(
    item: Input, plan: Plan, repeats: list[Repeat], cores: int, mistakes: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The medians of an input. A ratio is the median of the ratios within each repeat; above 1 is faster than COPY."""
    rows = sum(table.rows for table in plan.tables)
    labels = {
        "stream": "server-side COPY, 1 stream",
        "streams": f"server-side COPY, {cores} streams",
        "profile": "profile (with integrity_check)",
        "check": "check of every value",
        "copy": f"copy, {cores} workers",
        "copy_1": "copy, 1 worker",
        "finish": "keys, indexes, ANALYZE",
        "both": "copy, keys, indexes, ANALYZE",
        "verify": "verify every row",
        "copy_uuid": "UUID keys: copy",
        "finish_uuid": "UUID keys: keys, indexes, ANALYZE",
        "verify_uuid": "UUID keys: verify every row",
        "pgloader": "pgloader, with keys and indexes",
        "duckdb": "DuckDB, without keys and indexes",
    }
    rivals = [name for name in mistakes if all(name in repeat for repeat in repeats)]
    lines = []
    for name, label in labels.items():
        if name != "both" and name not in repeats[0]:
            continue
        costs = [_both(repeat) if name == "both" else repeat[name] for repeat in repeats]
        seconds = median(cost.seconds for cost in costs)
        lines.append(
            {
                "step": name,
                "label": label,
                "seconds": seconds,
                "lowest": min(cost.seconds for cost in costs),
                "highest": max(cost.seconds for cost in costs),
                "mb_per_second": item.bytes / seconds / 1e6,
                "rows_per_second": rows / seconds,
                "of_one_copy": median(r["stream"].seconds / c.seconds for r, c in zip(repeats, costs)),
                "of_parallel_copy": median(r["streams"].seconds / c.seconds for r, c in zip(repeats, costs)),
                "client_cpu": median(cost.client_cpu for cost in costs),
                "server_cpu": median(cost.server_cpu for cost in costs),
                "peak": max(cost.peak for cost in costs),
            }
        )
    return {
        "input": item.name,
        "scale": item.scale,
        "bytes": item.bytes,
        "rows": rows,
        "tables": len(plan.tables),
        "verify_of_copy": median(repeat["verify"].seconds / repeat["copy"].seconds for repeat in repeats),
        "uuid_of_copy": median(repeat["copy_uuid"].seconds / repeat["copy"].seconds for repeat in repeats),
        "uuid_of_keep": median(_whole(repeat, "_uuid") / _whole(repeat, "") for repeat in repeats),
        "times_faster": {
            # Like with like: pgloader makes keys and indexes, DuckDB does not.
            name: median(
                repeat[name].seconds / (_both(repeat) if name == "pgloader" else repeat["copy"]).seconds
                for repeat in repeats
            )
            for name in rivals
        },
        "mistakes": mistakes,
        "steps": lines,
        "repeats": [{name: asdict(cost) for name, cost in repeat.items()} for repeat in repeats],
    }


def _whole(repeat: Repeat, ids: str) -> float:
    """Seconds of copy, keys and proof."""
    return sum(repeat[step + ids].seconds for step in ("copy", "finish", "verify"))


def _both(repeat: Repeat) -> Cost:
    copy, finish = repeat["copy"], repeat["finish"]
    return Cost(
        copy.seconds + finish.seconds,
        copy.client_cpu + finish.client_cpu,
        copy.server_cpu + finish.server_cpu,
        max(copy.peak, finish.peak),
    )


def table(found: dict[str, Any], cores: int) -> str:
    """The summary of an input in Markdown."""
    size = f"{found['bytes'] / 1e6:.0f} MB, {found['rows']:,} rows, tables: {found['tables']}"
    lines = [
        f"{found['input']}: {KINDS[found['input']]}",
        f"Scale {found['scale']:g}: {size}; medians of {len(found['repeats'])}.",
        "",
        _HEAD.format(cores=cores),
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for step in found["steps"]:
        lines.append(
            f"| {step['label']} | {step['seconds']:.2f} | {step['lowest']:.2f}–{step['highest']:.2f} "
            f"| {step['mb_per_second']:.0f} | {step['rows_per_second']:,.0f} "
            f"| {step['of_one_copy']:.2f} | {step['of_parallel_copy']:.2f} "
            f"| {step['client_cpu']:.1f} + {step['server_cpu']:.1f} | {_megabytes(step['peak'])} |"
        )
    lines.append(
        f"\nVerification takes {found['verify_of_copy']:.2f} times as long as the copy. With UUID keys the copy takes"
        f" {found['uuid_of_copy']:.2f} times as long, copy, keys and proof together {found['uuid_of_keep']:.2f} times."
    )
    for name, times in found["times_faster"].items():
        what = "copy, keys, indexes, ANALYZE" if name == "pgloader" else "copy"
        lines.append(f"\n{name} takes {times:.2f} times as long as this project's {what}. What it got wrong:\n")
        lines += [f"- {line}" for line in summarised(found["mistakes"][name])]
        lines += [f"- it says: {line}" for line in found["mistakes"][name]["errors"][:3]]
    return "\n".join(lines)


def growth_table(found: dict[str, Any]) -> str:
    """The growth in Markdown."""
    lines = ["| step | B, seconds | C, seconds | times |", "|---|---:|---:|---:|"]
    steps = {**found["steps"], "all": [sum(pair) for pair in zip(*found["steps"].values())]}
    for step, (small, large) in steps.items():
        lines.append(f"| {step} | {small:.2f} | {large:.2f} | {large / small:.2f} |")
    return f"C has {found['factor']:g} times the rows of B.\n\n" + "\n".join(lines)


def memory_table(peaks: list[Peak]) -> str:
    """Peak memory in Markdown."""
    lines = ["| input | source MB | step | peak MB of the largest process |", "|---|---:|---|---:|"]
    for peak in peaks:
        lines.append(
            f"| {peak.input} at scale {peak.scale:g} | {peak.source_bytes / 1e6:.0f} | {peak.step} "
            f"| {_megabytes(peak.bytes)} |"
        )
    lines.append(f"\nThe most that is allowed: {_megabytes(MOST_BYTES)} MB.")
    return "\n".join(lines)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f}" if size else ""


def write_json(folder: Path, kind: str, content: dict[str, Any]) -> Path:
    """Write a result to a file named after the time."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path
