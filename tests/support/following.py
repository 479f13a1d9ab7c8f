# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a source for tests: capture, a snapshot that is copied, and batches from its position on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutover.capture import changes, install
from cutover.follow import position
from cutover.follow.steps import ALL, Done, Steps
from cutover.plan.model import Plan
from cutover.source.connect import open_readonly
from cutover.target.connect import connect
from support import engine


@dataclass
class Followed:
    """A source, the target that holds a snapshot of it, and what follows."""

    path: Path
    url: str
    plan: Plan
    steps: Steps
    source: Any
    target: Any

    def write(self, *statements: str, checked: bool = True) -> None:
        """Write to the source in one transaction; unless ``checked`` without enforcing foreign keys, SQLite's default."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA foreign_keys = {'on' if checked else 'off'}")
            for statement in ("BEGIN", *statements, "COMMIT"):
                connection.execute(statement)

    def follow(self, limit: int = ALL, may_rebuild: bool = True) -> list[Done]:
        """Apply everything, each batch proved."""
        done: list[Done] = []
        while not done or done[-1].logged:
            done.append(self.steps.once(self.source, self.target, limit, may_rebuild, prove=True))
        return done

    def position(self) -> int:
        """Up to which position of the log the target has everything."""
        with self.target, self.target.cursor() as cursor:
            standing = position.read(cursor, self.plan.own)
        assert standing is not None
        return standing.position

    def rebuilt(self, done: list[Done]) -> list[str]:
        """The constraints that had to be taken off."""
        return [name for one in done if one.applied for name in one.applied.rebuilt]

    def equal(self) -> None:
        """Fail unless all rows of both sides are equal."""
        verified = engine.verify(self.path, self.url, self.plan)
        assert verified["differences"] == []
        assert verified["ok"]


def arranged(path: Path, url: str, plan: Plan) -> Path:
    """Capture the source, make a snapshot; returns it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
    install.install(str(path), plan)
    snapshot = path.with_name("snapshot.sqlite")
    with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(snapshot)) as copy:
        connection.backup(copy)
    return snapshot


def began(path: Path, snapshot: Path, url: str, plan: Plan) -> None:
    """Note in the target that it holds the snapshot."""
    with closing(open_readonly(str(snapshot))) as source, closing(connect(url)) as target:
        found = install.inspect(source)
        assert found is not None
        with target, target.cursor() as cursor:
            position.begin(cursor, plan.own, found.id, changes.position(source))


@contextmanager
def opened(path: Path, url: str, plan: Plan) -> Iterator[Followed]:
    """The connections that batches need."""
    source = open_readonly(str(path), bytearray)
    target = connect(url, settings={"synchronous_commit": "off"})
    try:
        yield Followed(path, url, plan, Steps(str(path), plan), source, target)
    finally:
        source.close()
        target.close()


@contextmanager
def following(
    path: Path, url: str, overrides: Mapping[str, Any] | None = None, ids: str = "keep"
) -> Iterator[Followed]:
    """Plan, capture, snapshot, copy, finish; what follows can begin."""
    plan, findings = engine.planned(path, overrides, ids=ids)
    assert engine.errors(findings) == []
    snapshot = arranged(path, url, plan)
    engine.create(url, plan)
    engine.copy(snapshot, url, plan)
    engine.finish(snapshot, url, plan)
    began(path, snapshot, url, plan)
    with opened(path, url, plan) as followed:
        yield followed
