# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of a cutover without downtime: everything at once, before anything was changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any, Callable

from .capture import cost, install, wal
from .errors import CutoverError, Finding
from .plan.model import Plan
from .source.connect import ERRORS, explain, open_readonly
from .source.describe import OWN_PREFIX, file_size
from .source.sqltokens import quote

#: From these on everything that the triggers, the log and the replay are made of is there.
_PYTHON = (3, 9)
_SQLITE = (3, 31)
_PSYCOPG = (2, 8)
#: A share of the time of a single-row write that the triggers may take before it is worth a warning.
_COST = 0.3
#: The log and SQLite's own WAL grow while the snapshot is copied.
_MARGIN = 256 << 20
#: Whole copies of the source that a cutover keeps in its folder.
_COPIES = ("backup.sqlite", "snapshot.sqlite", "proof.sqlite")


@dataclass(frozen=True)
class Asked:
    """What the inventory says of an online cutover.

    proxies, green: how many proxies, and instances on PostgreSQL, it names. wal: whether the file may be put into WAL mode.
    keyless_rows: how many rows a table may have that is refreshed whole because nothing names its rows. folder: where the
    snapshot goes. rehearse: also try the capture, and time its triggers on a scratch copy; takes a few seconds.
    """

    proxies: int
    green: int
    folder: str
    wal: bool = False
    keyless_rows: int = 10_000
    rehearse: bool = True


def asked(data: dict[str, Any]) -> Asked:
    """What the inventory says, from plain data; what is not given has its default. Raises CutoverError."""
    known = {field.name for field in fields(Asked)}
    try:
        return Asked(**{name: value for name, value in data.items() if name in known and value is not None})
    except TypeError as error:
        raise CutoverError(f"the check of an online cutover lacks what it needs: {error}.") from None


def check(path: str, plan: Plan, of: Asked) -> list[Finding]:
    """The findings, the worst first. The source is only read."""
    found = [*_versions(), *_inventory(of), *_space(path, of.folder)]
    looks: list[Callable[[], Iterable[Finding]]] = [lambda: _journal(path, of.wal), lambda: _structure(path, plan, of)]
    if of.rehearse:
        looks.append(lambda: _rehearsed(path, plan, of.folder))
    for look in looks:
        # What one of them stumbles over does not hide what the next one finds.
        try:
            found += look()
        except CutoverError as error:
            found += [finding for finding in [Finding("error", error.message)] if finding not in found]
    order = ("error", "warning", "info")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _versions() -> Iterator[Finding]:
    if sys.version_info < _PYTHON:
        yield Finding(
            "error", f"Python {sys.version.split()[0]} on this host is too old: 3.9 or newer runs the replication."
        )
    if sqlite3.sqlite_version_info < _SQLITE:
        yield Finding(
            "error",
            f"SQLite {sqlite3.sqlite_version} in this host's Python ({sys.executable}) is too old: "
            f"{'.'.join(map(str, _SQLITE))} or newer follows and replays. Set ansible_python_interpreter to a newer one.",
        )
    try:
        import psycopg2
    except ImportError:
        yield Finding(
            "error",
            f"{sys.executable} on this host lacks psycopg2, which the replication needs: install python3-psycopg2.",
        )
        return
    told = str(getattr(psycopg2, "__version__", "0.0"))
    if tuple(int(part) for part in told.split()[0].split(".")[:2]) < _PSYCOPG:
        yield Finding("error", f"psycopg2 {told} on this host is too old: 2.8 or newer is needed.")


def _inventory(of: Asked) -> Iterator[Finding]:
    otherwise = "or set cutover_strategy: maintenance"
    if not of.proxies:
        yield Finding(
            "error",
            "no proxy is in the inventory (group proxy), and without one writes cannot be held for the moment of the "
            f"switch: put HAProxy in front of the application (role haproxy), {otherwise}.",
        )
    if not of.green:
        yield Finding(
            "error",
            "no instance of the application on PostgreSQL is in the inventory (haproxy_green_servers is empty), to which the "
            f"proxy could switch: name those that the role application starts, {otherwise}.",
        )


def _space(path: str, folder: str) -> Iterator[Finding]:
    """Backup, snapshot and the copy that is compared with are whole copies of the file; those that are there are made anew."""
    there = folder
    while not os.path.isdir(there) and there != os.path.dirname(there):
        there = os.path.dirname(there)
    with contextlib.suppress(OSError):
        there_already = sum(file_size(os.path.join(folder, name)) for name in _COPIES)
        needed = max(3 * file_size(path) - there_already, file_size(path)) + _MARGIN
        free = shutil.disk_usage(there).free
        if free < needed:
            yield Finding(
                "error",
                f"{there} has {free >> 20} MiB free, and backup, snapshot and proof with the changes that come in meanwhile need "
                f"{needed >> 20} MiB: make room there, or set cutover_state_dir to a larger disk.",
            )


def _journal(path: str, consent: bool) -> Iterator[Finding]:
    before = wal.arrange(path, consent, check_mode=True)
    if before != "wal":
        yield Finding(
            "info",
            f"{path}: is in journal mode {before} and is put into WAL mode when the cutover begins, as cutover_source_wal "
            "allows; put back when it is called off. Every program that opens the file has to be on this host.",
        )


def _structure(path: str, plan: Plan, of: Asked) -> list[Finding]:
    with closing(open_readonly(path)) as connection:
        try:
            connection.execute("BEGIN")
            return [*_keyless(connection, plan, of.keyless_rows), *_side_effects(connection, plan)]
        except ERRORS as error:
            raise explain(path, error) from None


def _keyless(connection: sqlite3.Connection, plan: Plan, limit: int) -> Iterator[Finding]:
    for table in plan.tables:
        if table.key:
            continue
        # Counted now, and no further than it matters: the plan's number may be old.
        query = f"SELECT count(*) FROM (SELECT 1 FROM {quote(table.name)} LIMIT ?)"
        rows = int(connection.execute(query, (limit + 1,)).fetchone()[0])
        if rows > limit:
            yield Finding(
                "error",
                f"nothing names its rows (no primary key, no unique index over NOT NULL columns), so each change would "
                f"refresh the whole table, which has more than {limit:,} rows: add a key, raise "
                "cutover_online_keyless_rows if the hold may be longer, or set cutover_strategy: maintenance.",
                table.name,
            )
        elif rows:
            yield Finding(
                "info",
                f"nothing names its rows, so the whole table ({rows:,} rows) is refreshed whenever it changed.",
                table.name,
            )


def _side_effects(connection: sqlite3.Connection, plan: Plan) -> Iterator[Finding]:
    """What the log does not see, and the replay of the way back does not do."""
    virtual = [entry.object for entry in plan.not_carried if entry.kind == "virtual table"]
    for name in virtual:
        yield Finding(
            "warning",
            "is a virtual table: it carries no triggers, so it is neither followed nor replayed. After a rollback it does "
            "not know what was written on PostgreSQL; build it again then (FTS: INSERT INTO "
            f"{quote(name)}({quote(name)}) VALUES ('rebuild')).",
            name,
        )
    carried = {table.name.lower() for table in plan.tables}
    own = connection.execute(
        "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, ?) <> ? ORDER BY name",
        (len(OWN_PREFIX), OWN_PREFIX),
    ).fetchall()
    names = [name for name, table in own if table.lower() in carried]
    if names:
        yield Finding(
            "info",
            f"the application's triggers in SQLite ({_some(names)}) do not fire for what is carried back from PostgreSQL, and "
            "stand again after a rollback. What they write into tables that are not carried is missing then.",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _rehearsed(path: str, plan: Plan, folder: str) -> Iterator[Finding]:
    install.install(path, plan, check_mode=True)
    measured = cost.measure(path, plan, folder if os.path.isdir(folder) else None)
    if not measured:
        return
    share, more = float(measured["share"]), float(measured["cost_seconds"]) * 1e6
    told = (
        f"the triggers that log the changes add {more:,.1f} µs to a write of a single row, {share:.0%} of the time of "
        "one that waits for no disk and shares its transaction with no other"
    )
    advice = ". Watch the application while it is followed, and choose an hour with few writes" if share > _COST else ""
    yield Finding("warning" if advice else "info", f"{told}{advice}.", measured["table"])
