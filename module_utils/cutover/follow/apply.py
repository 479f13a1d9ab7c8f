# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing the rows that a range of the change log names to what they are now in the source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..capture.changes import Changes, Key
from ..errors import CutoverError
from ..plan.model import Plan


class NeedsMore(CutoverError):
    """The range cannot be applied by itself: a row of it depends on changes behind it. Roll back, read a longer range."""


@dataclass
class Applied:
    """What was applied: by table of the source the keys that have a row now, those that have none, and the tables that
    were refreshed whole. through: the position reached. rows: rows written or deleted. rebuilt: constraints that had to be
    taken off and put back."""

    through: int
    rows: int = 0
    upserted: dict[str, list[Key]] = field(default_factory=dict)
    deleted: dict[str, list[Key]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    rebuilt: list[str] = field(default_factory=list)


class Applier:
    """Applies changes for one plan; keeps what it has prepared for each table, so use one for many batches."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def apply(self, source: Any, cursor: Any, changes: Changes, may_rebuild: bool) -> Applied:
        """Write the rows that ``changes`` names as the source has them now; idempotent. Does not commit, nor advance.

        source: a connection with text_factory bytearray, inside the (read or write) transaction in which ``changes`` was
        read. cursor: of a psycopg2 connection that is not in autocommit; after any error its transaction is of no use.
        may_rebuild: what no order of statements can do may take foreign keys off and put them back.
        Raises Refused for what PostgreSQL or the plan does not take, NeedsMore when ``changes`` is not all that waits and
        depends on the rest, TargetError and SourceError.
        """
        raise NotImplementedError

    def verify(self, source: Any, cursor: Any, applied: Applied) -> None:
        """Read the rows that were applied back from PostgreSQL and compare them with the source's, all of them.

        In the transactions of ``apply``. Raises CutoverError naming the first rows that differ.
        """
        raise NotImplementedError
