# SPDX-License-Identifier: GPL-3.0-or-later
"""An application that was switched to PostgreSQL: copied, captured, fenced, let in; and the way back."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from cutover import checksum
from cutover.access import open_access
from cutover.plan.model import Plan
from cutover.reverse import capture
from cutover.reverse.changes import waiting
from cutover.reverse.replay import Replayed, Replayer, open_source
from cutover.source.connect import surrogate_text
from cutover.source.fence import raise_fence
from cutover.target.connect import connect
from support import engine, existing
from support.following import arranged, began
from support.independent import execute, fetch
from support.postgres import Cluster


def application_role(postgres: Cluster, database: str) -> tuple[str, str]:
    """A new role without any right in the owner's ``database``, and its URL."""
    name, password = f"app_{secrets.token_hex(4)}", secrets.token_hex(8)
    execute(postgres.superuser_url(), f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    return name, postgres.url(name, password, database.rpartition("/")[2])


@dataclass
class Switched:
    """source: the fenced file. owner, app: URLs of the engine's and the application's role."""

    source: Path
    owner: str
    app: str
    plan: Plan
    replayer: Replayer = field(init=False)

    def __post_init__(self) -> None:
        self.replayer = Replayer(self.plan)

    def run(self, *statements: str) -> None:
        """The application runs statements, in one transaction."""
        execute(self.app, *statements)

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the source."""
        with closing(sqlite3.connect(self.source)) as connection:
            connection.text_factory = surrogate_text
            return connection.execute(query, values).fetchall()

    def target(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of PostgreSQL."""
        return fetch(self.owner, query)

    def waiting(self) -> int:
        """Entries in the outbox."""
        with closing(connect(self.owner, autocommit=True)) as connection, connection.cursor() as cursor:
            return waiting(cursor, self.plan.own).count

    def replay(self, limit: int = 1_000) -> Replayed:
        """Replay everything that waits now, ``limit`` entries at a time; the sum of it."""
        whole = Replayed()
        with closing(open_source(str(self.source))) as source, closing(connect(self.owner)) as target:
            while True:
                one = self.replayer.batch(source, target, limit)
                whole.logged += one.logged
                whole.written += one.written
                whole.deleted += one.deleted
                if not one.more:
                    return whole

    def batch(self, limit: int) -> Replayed:
        """Replay one batch."""
        with closing(open_source(str(self.source))) as source, closing(connect(self.owner)) as target:
            return self.replayer.batch(source, target, limit)

    def prove(self) -> dict[str, Any]:
        """Replay, then compare all rows under the last batch's snapshot, whatever is written meanwhile."""
        results: list[dict[str, Any]] = []

        def compare(snapshot: str) -> None:
            results.append(checksum.verify(str(self.source), self.owner, self.plan, 1, snapshot=snapshot))

        with closing(open_source(str(self.source))) as source, closing(connect(self.owner)) as target:
            assert not self.replayer.batch(source, target, 10_000_000, compare).more
        return results[0]

    def assert_equal(self) -> None:
        """Both sides hold the same rows, and the change log has nothing of the replay."""
        result = self.prove()
        assert not result["differences"], result["differences"][:10]
        assert result["ok"], result["tables"]
        assert self.waiting() == 0, "not all was replayed"


def switch(
    postgres: Cluster,
    path: Path,
    owner: str,
    overrides: Mapping[str, Any] | None = None,
    ids: str = "keep",
    tables: str = "derive",
    follows: bool = False,
    name: str = "test",
) -> Switched:
    """Move a file to PostgreSQL, make the way back ready, fence the file and let a new role of the application in."""
    if tables == "existing":
        plan = existing.migrate(path, owner, overrides, name).plan
    else:
        plan, _ = engine.planned(path, overrides, name, ids)
        # follows: as a cutover does that is followed, from a snapshot with its position in the change log.
        copied = arranged(path, owner, plan) if follows else path
        engine.create(owner, plan)
        engine.copy(copied, owner, plan, workers=1)
        engine.finish(copied, owner, plan, workers=1)
        if follows:
            began(path, copied, owner, plan)
    role, app = application_role(postgres, owner)
    with closing(connect(owner)) as connection:
        assert capture.install(connection, plan)
        assert capture.install(connection, plan) == []
        with connection, connection.cursor() as cursor:
            assert capture.problems(cursor, plan) == []
        raise_fence(str(path), "test-1")
        open_access(connection, plan, role)
    return Switched(path, owner, app, plan)


@contextmanager
def session(url: str) -> Iterator[Any]:
    """A session of the application, in a transaction."""
    with closing(psycopg2.connect(url)) as connection:
        yield connection
