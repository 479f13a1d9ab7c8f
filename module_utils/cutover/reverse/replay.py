# SPDX-License-Identifier: GPL-3.0-or-later
"""Replaying changed rows of PostgreSQL into the fenced SQLite file."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any, Callable

from ..plan.model import Plan
from .changes import Key


@dataclass
class Replayed:
    """What a batch did. logged: entries of the outbox. written, deleted: rows of SQLite. more: whether entries are left.

    keys: table → keys that were replayed, for ``verify``. whole: tables that were refreshed from end to end.
    """

    logged: int = 0
    written: int = 0
    deleted: int = 0
    more: bool = False
    keys: dict[str, list[Key]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()


def open_source(path: str, timeout: float = 10.0) -> sqlite3.Connection:
    """The source as a replay needs it: writable, values undecoded, no foreign keys or triggers of triggers at work."""
    raise NotImplementedError


class Replayer:
    """Replays for one plan; keep one for as long as possible, it remembers what the tables look like."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def batch(
        self, source: sqlite3.Connection, target: Any, limit: int, before_commit: Callable[[str], None] | None = None
    ) -> Replayed:
        """Take at most ``limit`` entries, replay them, commit SQLite, then PostgreSQL.

        source: from ``open_source``. target: not in autocommit, no transaction open. before_commit: called with an exported
        snapshot of PostgreSQL when SQLite has been committed; when nothing is left in the outbox, both sides are equal
        under it. Raises NoWayBack for what SQLite cannot take, SourceError, TargetError; nothing is changed then.
        """
        raise NotImplementedError

    def apply(self, source: sqlite3.Connection, cursor: Any, limit: int | None = None) -> Replayed:
        """The same inside the caller's transactions, without a commit: for the critical section.

        source: from ``open_source``, after its BEGIN IMMEDIATE. cursor: in REPEATABLE READ before its first query (LOCK TABLE
        is none), or in READ COMMITTED when nobody can write. Raises as ``batch``.
        """
        raise NotImplementedError

    def verify(self, source: sqlite3.Connection, cursor: Any, replayed: Replayed) -> None:
        """Compare the replayed rows as SQLite has them now with PostgreSQL's own canonical texts. Raises CutoverError."""
        raise NotImplementedError
