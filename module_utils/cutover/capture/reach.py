# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a copy of the source, or PostgreSQL at a position, can be brought up to date by the change log as it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ..source.connect import open_readonly
from .changes import position
from .install import inspect
from .names import LOG


def holds_after(connection: sqlite3.Connection, reached: int) -> bool:
    """Whether the log holds every change after the position ``reached``: nothing behind it was pruned."""
    oldest = connection.execute(f"SELECT min(seq) FROM {LOG}").fetchone()[0]
    return reached <= position(connection) and (oldest is None or oldest <= reached + 1)


def reaches(source_path: str, copy_path: str) -> bool:
    """Whether the source's change log leads from the state of a copy, which holds the log too, to the source's own."""
    with closing(open_readonly(source_path)) as source, closing(open_readonly(copy_path)) as copy:
        mine, theirs = inspect(source), inspect(copy)
        if mine is None or theirs is None or mine.id != theirs.id or mine.fingerprint != theirs.fingerprint:
            return False
        return holds_after(source, position(copy))
