#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put load on the demo application and account for every request and every acknowledged write.

The loop is open: requests start when their time has come, whether or not earlier ones were answered, and a
latency counts from that moment. Only 127.0.0.1 is ever addressed.

    load.py --duration 60 --out load.json --check     run, then ask for every acknowledged write
    load.py --until-file done --check                 run until that file appears
    load.py --verify load.json                        ask again later, for example after a rollback

Exit status: 0 when no request failed, no read was stale and no write is missing; 1 otherwise. A 503 is a failure, unless
--maintenance says that a maintenance page is expected.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from loading.check import check_writes
from loading.http import Pool
from loading.report import summary, summary_lines
from loading.run import Plan, run

MAX_REQUESTS = 1_000_000
UNTIL_SECONDS = 3600.0


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = _options(arguments)
    pool = Pool(port=options.port, limit=options.connections, timeout=options.timeout)
    try:
        return asyncio.run(_verify(options, pool) if options.verify else _load(options, pool))
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1


async def _load(options: argparse.Namespace, pool: Pool) -> int:
    plan = Plan(
        rate=options.rate,
        write_share=options.write_share,
        duration=options.duration,
        seed=options.seed,
        until=options.until_file,
        begun=options.begun_file,
    )
    outcome = await run(plan, pool)
    report: dict[str, Any] = {"summary": summary(outcome, options.maintenance)}
    if options.check:
        report["check"] = await check_writes(pool, outcome.acknowledged, outcome.documents, outcome.name)
    for line in summary_lines(report["summary"]):
        print(line)
    good = report["summary"]["failed"] == 0 and report["summary"]["stale"] == 0
    if options.check:
        good = _say_check(report["check"]) and good
    if options.summary:
        # In one step: whoever waits for the file finds it whole.
        part = options.summary.with_name(f".{options.summary.name}.part")
        part.write_text(json.dumps(report) + "\n", encoding="utf-8")
        part.replace(options.summary)
    if options.out:
        report |= {"acknowledged": outcome.acknowledged, "documents": outcome.documents, "run": outcome.name}
        report["columns"] = ["at_seconds", "kind", "status", "milliseconds", "error"]
        report["requests"] = [request.row() for request in outcome.requests]
        options.out.write_text(json.dumps(report) + "\n", encoding="utf-8")
    if options.until_file and not options.until_file.exists():
        print(f"load: {options.until_file} did not appear within {options.duration:g} s", file=sys.stderr)
        good = False
    return 0 if good else 1


async def _verify(options: argparse.Namespace, pool: Pool) -> int:
    report = json.loads(options.verify.read_text(encoding="utf-8"))
    documents = {int(document): version for document, version in report["documents"].items()}
    check = await check_writes(pool, report["acknowledged"], documents, report["run"])
    return 0 if _say_check(check) else 1


def _say_check(check: dict[str, Any]) -> bool:
    print(
        f"writes: {check['acknowledged']} acknowledged, {check['present']} present, "
        f"{len(check['lost'])} lost, {len(check['unknown'])} not answered for"
    )
    for write_id in check["lost"][:10]:
        print(f"  lost: {write_id}")
    return not check["lost"] and not check["unknown"]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=18080, help="port on 127.0.0.1 (default: 18080, HAProxy)")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second (default: 50)")
    parser.add_argument("--write-share", type=float, default=0.3, help="share of writes, 0 to 1 (default: 0.3)")
    parser.add_argument("--duration", type=float, help="seconds (default: 30; with --until-file at most, 3600)")
    parser.add_argument("--until-file", type=Path, metavar="FILE", help="run until this file appears")
    parser.add_argument("--begun-file", type=Path, metavar="FILE", help="make this file when the load begins")
    parser.add_argument("--maintenance", action="store_true", help="503 is expected, and no failure")
    parser.add_argument("--connections", type=int, default=64, help="at most so many at once (default: 64)")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds a request may take (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="which sequence of requests (default: 1)")
    parser.add_argument("--out", type=Path, help="write the report and every request to this JSON file")
    parser.add_argument("--summary", type=Path, help="write the figures to this JSON file when all is done")
    parser.add_argument("--check", action="store_true", help="afterwards look for every acknowledged write")
    parser.add_argument("--verify", type=Path, metavar="FILE", help="no load: look for the writes of this report")
    options = parser.parse_args(arguments)
    if options.duration is None:
        most = min(UNTIL_SECONDS, MAX_REQUESTS / max(options.rate, 1.0))
        options.duration = most if options.until_file else 30.0
    if not 0 < options.port < 65536:
        parser.error("--port is a number from 1 to 65535")
    if not 0 <= options.write_share <= 1:
        parser.error("--write-share is a number from 0 to 1")
    if options.rate <= 0 or options.duration <= 0 or options.rate * options.duration > MAX_REQUESTS:
        parser.error(f"--rate times --duration is more than 0 and at most {MAX_REQUESTS} requests")
    if options.connections < 1 or options.timeout <= 0:
        parser.error("--connections and --timeout are more than 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
