# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the log still tells everything: the tables are those it was installed for, and all its triggers are there."""

from __future__ import annotations

import sqlite3

from ..errors import SourceChanged
from ..plan.model import Plan
from . import standing

_MOST_NAMED = 5


class Guard:
    """Watches the structure of a source. One object for each follower; ``check`` is one pragma while nothing changes.

    plan: None where whoever looks does not apply what the log says.

    A table that is dropped and made again exactly as it was, with the same triggers, between two looks is not seen.
    """

    def __init__(self, path: str, plan: Plan | None = None) -> None:
        self.path = path
        self.plan = plan
        #: The identity of the log, from the first check on.
        self.id: str | None = None
        self._version: int | None = None

    def check(self, connection: sqlite3.Connection) -> None:
        """Raise SourceChanged when what was captured can no longer be trusted.

        Call it in each read transaction that reads the log, and in the critical section under the write lock.
        VACUUM, ANALYZE and indexes that are not unique are fine. After SourceChanged call ``install.remove``: the
        capture is of no more use, and triggers without their log would make the application's writes fail.
        """
        version = connection.execute("PRAGMA schema_version").fetchone()[0]
        if version == self._version:
            return
        note = standing.read_note(connection)
        if note is None:
            raise self._changed("the change log was dropped (a tool that drops tables it does not know does that)")
        if self.id is not None and note.id != self.id:
            raise self._changed("the change log was replaced by another one")
        if self.plan is not None and note.tables != tuple(table.name for table in self.plan.tables):
            raise self._changed("the capture was installed for other tables than those of the plan")
        told = standing.changed(connection, note)
        if told:
            more = f" and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
            raise self._changed("; ".join(told[:_MOST_NAMED]) + more)
        self.id, self._version = note.id, version

    def _changed(self, what: str) -> SourceChanged:
        return SourceChanged(
            f"{self.path}: {what}. What was followed so far is void. Stop what changes the structure (deploys, schema "
            "migrations) until the cutover is done, and run cutover.yml again: the copy starts over."
        )
