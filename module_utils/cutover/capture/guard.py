# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the log still tells everything: the tables are those it was installed for, and all its triggers are there."""

from __future__ import annotations

import sqlite3

from ..plan.model import Plan


class Guard:
    """Watches the structure of a source. One object for each follower; ``check`` is one pragma while nothing changes."""

    def __init__(self, path: str, plan: Plan) -> None:
        self.path = path
        self.plan = plan

    def check(self, connection: sqlite3.Connection) -> None:
        """Raise SourceChanged when what was captured can no longer be trusted.

        Call it in each read transaction that reads the log, and in the critical section under the write lock.
        VACUUM, ANALYZE and indexes that are not unique are fine. After SourceChanged call ``install.remove``: the
        capture is of no more use, and triggers without their log would make the application's writes fail.
        """
        raise NotImplementedError
