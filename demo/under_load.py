#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command, such as a cutover, while load is on the demo, and say what the load saw.

    under_load.py --rate 300 -- ansible-playbook -i inventories/demo playbooks/cutover.yml

The load begins some seconds before the command and ends some seconds after it. Then every acknowledged write is asked
for. Exit status: that of the command; if it succeeded, 1 when a request failed, a read was stale or a write was lost.
An application that does not serve is no reason against the command: it runs, without load and without figures. So it is with a
second load on the same demo.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

LOAD = Path(__file__).resolve().with_name("load.py")
DEMO_DIR = os.environ.get("PG_CUTOVER_DEMO_DIR") or "/var/lib/pg-cutover-demo"
# After the last request: its timeout, then the patience of the check, then asking for every write.
LOAD_ENDS_SECONDS = 900.0
# Elsewhere the controller has a machine of its own; here it shares the cores with the application.
GIVES_WAY = ("nice", "-n", "10")
# A command that was interrupted from the terminal has this long to notice; then it is told.
NOTICE_SECONDS = 3.0


class Interrupted(Exception):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = _options(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with tempfile.TemporaryDirectory(prefix="pg-cutover-load-") as folder:
        try:
            return _under_load(options, Path(folder))
        except Interrupted as caught:
            return 128 + caught.number


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(number)


def _under_load(options: argparse.Namespace, folder: Path) -> int:
    if not options.rate:
        return _command(options)
    with _alone(options.port) as alone:
        if not alone:
            return _without_load(
                options, f"another one is on port {options.port}, and each would take the other's writes for a loss"
            )
        return _with_load(options, folder)


@contextlib.contextmanager
def _alone(port: int) -> Iterator[bool]:
    """Whether no other load of this kind is on a port: each goes by what it wrote to documents itself."""
    with socket.socket(socket.AF_UNIX) as held:
        try:
            # A name of the kernel's, which ends with the process that has it.
            held.bind(f"\0pg-cutover-load-{port}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            yield False
        else:
            yield True


def _without_load(options: argparse.Namespace, reason: str) -> int:
    print(f"No load, and so no figures: {reason}", file=sys.stderr)
    return _command(options)


def _command(options: argparse.Namespace) -> int:
    with _ended_with_us(subprocess.Popen(options.command)) as command:
        return _code(command)


def _with_load(options: argparse.Namespace, folder: Path) -> int:
    journal = Path(options.state_dir) / "journal.jsonl"
    known = len(_events(journal) or [])
    with _ended_with_us(_start_load(options, folder)) as load:
        if not _begun(load, folder, options.before):
            return _without_load(options, _said(folder))
        with _ended_with_us(subprocess.Popen([*GIVES_WAY, *options.command])) as command:
            code = _code(command)
        time.sleep(options.after)
        (folder / "done").touch()
        with contextlib.suppress(subprocess.TimeoutExpired):
            load.wait(LOAD_ENDS_SECONDS)
    good = _tell(options, folder, _hold(journal, known))
    return code or (0 if good else 1)


def _start_load(options: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            [
                *(sys.executable, str(LOAD), "--port", str(options.port), "--check"),
                *("--rate", str(options.rate), "--write-share", str(options.write_share)),
                *("--begun-file", str(folder / "begun")),
                *("--until-file", str(folder / "done"), "--summary", str(folder / "summary")),
                *(["--maintenance"] if options.maintenance else []),
                *(["--out", str(options.out)] if options.out else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def _begun(load: subprocess.Popen[bytes], folder: Path, seconds: float) -> bool:
    """Whether the load has begun, and is still there after so long."""
    while not (folder / "begun").exists():
        if load.poll() is not None:
            return False
        time.sleep(0.05)
    with contextlib.suppress(subprocess.TimeoutExpired):
        load.wait(seconds)
    return load.poll() is None


def _code(command: subprocess.Popen[bytes]) -> int:
    """How a command ended, as a shell tells it."""
    code = command.wait()
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Any:
    """Whatever happens here, the process has ended afterwards. A playbook is never killed, only asked."""
    try:
        yield process
    except Interrupted as caught:
        # A Ctrl-C reached it as well, being in the terminal's foreground too.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(NOTICE_SECONDS if caught.number == signal.SIGINT else 0)
        _send(process, caught.number)
        process.wait()
        raise
    finally:
        _send(process, signal.SIGTERM)
        process.wait()


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)


# ---------------------------------------------------------------- what came of it


def _events(journal: Path) -> list[dict[str, Any]] | None:
    """The journal's events; None where it cannot be read. A last line that is being written is left out."""
    try:
        lines = journal.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines if line]
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        return None


def _hold(journal: Path, known: int) -> str:
    """How long writes were held, from what the runs since then noted."""
    events = _events(journal)
    if events is None:
        return f"unknown ({journal} cannot be read)"
    told = [event["detail"] for event in events[known:] if "hold_ms" in (event.get("detail") or {})]
    # The engine notes a switch itself, and the playbook what the engine returned: one hold.
    held = {detail.get("attempt", place): float(detail["hold_ms"]) for place, detail in enumerate(told)}
    return " + ".join(f"{value:.1f} ms" for value in held.values()) or "none"


def _said(folder: Path) -> str:
    return (folder / "said").read_text(encoding="utf-8", errors="replace").strip()


def _tell(options: argparse.Namespace, folder: Path, hold: str) -> bool:
    """Print the figures; whether they are good."""
    try:
        report = json.loads((folder / "summary").read_text(encoding="utf-8"))
    except FileNotFoundError:
        print(f"The load ended without figures:\n{_said(folder)}", file=sys.stderr)
        return False
    figures, check = report["summary"], report["check"]
    by_database = ", ".join(f"{count} by {name}" for name, count in figures["writes_by_database"].items())
    lost = len(check["lost"])
    rows = [
        ("requests", f"{figures['requests']} ({options.rate:g} a second, {options.write_share:.0%} writes)"),
        ("failures", str(figures["failed"])),
        ("lost writes", f"{lost} of {check['acknowledged']}"),
        ("stale reads", str(figures["stale"])),
        ("longest wait", f"{figures['longest_wait_ms']:.1f} ms"),
        ("hold", hold),
        ("latency", f"p50 {figures['latency_ms']['p50']:.1f} ms, p99 {figures['latency_ms']['p99']:.1f} ms"),
        ("writes", by_database or "none"),
    ]
    if len(figures["databases"]) > 1:
        rows.append(("taken by", " → ".join(figures["databases"])))
    if options.maintenance:
        rows.insert(2, ("answered 503", str(figures["unavailable"])))
    if check["unknown"]:
        rows.append(("not answered for", f"{len(check['unknown'])} writes"))
    print("\nUnder load:")
    for name, value in rows:
        print(f"  {name:<16} {value}")
    for reason, count in sorted(figures["failures"].items()):
        print(f"  {'':<16} failed: {count} × {reason}")
    for name in check["lost"][:10]:
        print(f"  {'':<16} lost: {name}")
    return not (figures["failed"] or figures["stale"] or lost or check["unknown"])


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=18080, help="port on 127.0.0.1 (default: 18080, HAProxy)")
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second, 0 for none (default: 300)")
    parser.add_argument("--write-share", type=float, default=0.3, help="share of writes, 0 to 1 (default: 0.3)")
    parser.add_argument("--before", type=float, default=3.0, help="seconds of load before the command (default: 3)")
    parser.add_argument("--after", type=float, default=3.0, help="seconds of load after it (default: 3)")
    parser.add_argument("--maintenance", action="store_true", help="503 is expected, and no failure")
    parser.add_argument("--state-dir", default=f"{DEMO_DIR}/state", help="where the journal lies that tells the hold")
    parser.add_argument("--out", type=Path, help="write every request to this JSON file")
    parser.add_argument("command", nargs="+", help="what to run")
    options = parser.parse_args(arguments)
    if options.rate < 0 or options.before <= 0 or options.after < 0:
        parser.error("--rate, --before and --after are not negative, and --before is more than 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
