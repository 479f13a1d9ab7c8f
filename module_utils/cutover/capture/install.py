# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting the capture into the SQLite file and taking it out again, each in one short write transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ..plan.model import Plan


@dataclass(frozen=True)
class Installed:
    """id: the log's identity. position: its highest position. queries: the statements run, none when it stood already."""

    id: str
    position: int
    queries: list[str]


@dataclass(frozen=True)
class Capture:
    """A capture that stands. id: the identity of its log: another id means other positions.

    fingerprint: of the plan it was last installed for. tables: names by their numbers in the log. journal_mode: what
    the file had before WAL was arranged, None when nothing was changed.
    """

    id: str
    fingerprint: str
    tables: tuple[str, ...]
    journal_mode: str | None


def install(path: str, plan: Plan, check_mode: bool = False) -> Installed:
    """Install the capture for the plan's tables; what stands and still holds is kept, with its id and position.

    A capture for other keys, or one whose triggers, log or tables were changed, is replaced by one with a new id.
    Raises Refused for a fenced source and for what triggers cannot follow, SourceError when the file cannot be had.
    """
    raise NotImplementedError


def remove(path: str, check_mode: bool = False) -> list[str]:
    """Take the capture out, also what is left of a damaged one; return the statements (to be) run."""
    raise NotImplementedError


def inspect(connection: sqlite3.Connection) -> Capture | None:
    """The capture that stands, None when there is none (or its log or description is gone)."""
    raise NotImplementedError
