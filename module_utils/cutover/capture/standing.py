# SPDX-License-Identifier: GPL-3.0-or-later
"""What the capture noted when it was installed, what stands in the file now, and how the two differ."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..plan.model import Plan
from ..source.describe import ASIDE, OWN_PREFIX
from ..source.sqltokens import tokens
from .names import CAPTURE, LOG, TRIGGER

#: CREATE TABLE of the note. structure, triggers: JSON, name → digest; ignored: JSON, tables that are not carried.
NOTE_TABLE = (
    f"CREATE TABLE {CAPTURE} (id TEXT NOT NULL, fingerprint TEXT NOT NULL, tables TEXT NOT NULL, structure TEXT NOT NULL, "
    "triggers TEXT NOT NULL, ignored TEXT NOT NULL, journal_mode TEXT)"
)


@dataclass(frozen=True)
class Note:
    """The row of CAPTURE. structure: object of the application → digest. triggers: of the capture → digest."""

    id: str
    fingerprint: str
    tables: tuple[str, ...]
    structure: dict[str, str]
    triggers: dict[str, str]
    ignored: frozenset[str]
    journal_mode: str | None

    def values(self) -> tuple[str | None, ...]:
        """The row, in the order of NOTE_TABLE."""
        return (
            self.id,
            self.fingerprint,
            json.dumps(self.tables),
            json.dumps(self.structure),
            json.dumps(self.triggers),
            json.dumps(sorted(self.ignored)),
            self.journal_mode,
        )


def read_note(connection: sqlite3.Connection) -> Note | None:
    """What was noted, None when the note or the log is gone."""
    there = {text(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not there.issuperset((CAPTURE, LOG)):
        return None
    row = connection.execute(f"SELECT * FROM {CAPTURE}").fetchone()
    if row is None:
        return None
    identifier, fingerprint, tables, structure, triggers, ignored, mode = (text(v) for v in row)
    return Note(
        identifier,
        fingerprint,
        tuple(json.loads(tables)),
        json.loads(structure),
        json.loads(triggers),
        frozenset(json.loads(ignored)),
        mode if row[6] is not None else None,
    )


def own_triggers(connection: sqlite3.Connection) -> dict[str, str]:
    """Name → SQL of the capture's triggers that stand."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    return {text(name): text(sql) for name, sql in rows if text(name).startswith(TRIGGER)}


def digests(objects: dict[str, str]) -> dict[str, str]:
    """Name → a digest of the text."""
    return {name: hashlib.sha256(sql.encode("utf-8", "surrogateescape")).hexdigest() for name, sql in objects.items()}


def ignored_tables(connection: sqlite3.Connection, plan: Plan) -> frozenset[str]:
    """Tables that are there and not in the plan: what becomes of them changes nothing."""
    carried = {table.name for table in plan.tables}
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    names = (text(name) for (name,) in rows)
    return frozenset(n for n in names if n not in carried and not n.startswith((OWN_PREFIX, "sqlite_")))


def structure(connection: sqlite3.Connection, ignored: Iterable[str]) -> dict[str, str]:
    """``kind name`` (and ``on`` its table) → SQL of the application's tables, views, triggers and unique indexes.

    Triggers that the fence set aside count as there.
    """
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    found: dict[str, str] = {}
    # A trigger names its table in whatever case it was written.
    skipped = {name.lower() for name in ignored}
    aside = False
    for kind, name, table, sql in ([text(value) for value in row] for row in rows):
        aside = aside or name == ASIDE
        if name.startswith(("sqlite_", OWN_PREFIX)) or table.lower() in skipped:
            continue
        if kind == "index" and not tokens(sql)[1].is_word("UNIQUE"):
            continue
        kind = "unique index" if kind == "index" else kind
        found[f"{kind} {name}" if kind in ("table", "view") else f"{kind} {name} on {table}"] = sql
    if aside:
        for name, table, sql in connection.execute(f"SELECT name, tbl_name, sql FROM {ASIDE}").fetchall():
            if text(table).lower() not in skipped:
                found[f"trigger {text(name)} on {text(table)}"] = text(sql)
    return found


def differences(noted: dict[str, str], now: dict[str, str]) -> list[str]:
    """What became of the objects, in words."""
    told = [f"{name} was dropped" for name in noted if name not in now]
    told += [f"{name} was created" for name in now if name not in noted]
    return told + [f"{name} was altered" for name in now if name in noted and noted[name] != now[name]]


def changed(connection: sqlite3.Connection, note: Note) -> list[str]:
    """What is no longer as it was when the capture was installed, in words; empty when the log tells everything."""
    told = differences(note.structure, digests(structure(connection, note.ignored)))
    there = digests(own_triggers(connection))
    damaged = {_table_of(name, note) for name, digest in note.triggers.items() if there.get(name) != digest}
    # A table that is gone or altered is told already.
    named = " ".join(told)
    return told + [
        f"table {name} lost the triggers of its capture (it was made anew, or they were dropped)"
        for name in sorted(damaged)
        if f"table {name} " not in named
    ]


def _table_of(trigger: str, note: Note) -> str:
    return note.tables[int(trigger[len(TRIGGER) :].split("_")[0])]


def text(value: Any) -> str:
    """A text of SQLite, however the connection hands it out."""
    return bytes(value).decode("utf-8", "surrogateescape") if isinstance(value, (bytes, bytearray)) else str(value)
