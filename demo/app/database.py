# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: the one place that knows how SQLite and PostgreSQL connections differ."""

from __future__ import annotations

import json
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from flask import current_app
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.orm import Session

SQLITE_BUSY_SECONDS = 5.0
POSTGRESQL_CONNECT_SECONDS = 5
# As many connections as a worker has threads: two workers stay under PgBouncer's pool.
POOL_SIZE = 4
POOL_WAIT_SECONDS = 5.0


def open_engine(database_url: str) -> Engine:
    """An engine for a `sqlite:///` or `postgresql://` URL."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        # The error would show the URL, and the URL may hold a password.
        raise ValueError("DATABASE_URL is not a URL that can be read") from None
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    if url.get_backend_name() in ("postgresql", "postgres"):
        return _postgresql_engine(url)
    raise ValueError(f"DATABASE_URL is for {url.get_backend_name()}; sqlite and postgresql are known")


@contextmanager
def session() -> Iterator[Session]:
    """A session of the current application; commits at the end, rolls back on any exception."""
    with Session(current_app.extensions["engine"], expire_on_commit=False) as opened, opened.begin():
        yield opened


@contextmanager
def reading() -> Iterator[Session]:
    """A session that only reads. On PostgreSQL each statement is a transaction of its own, as a read-committed one would see
    it: BEGIN and COMMIT around it would be two more ways to the server and back."""
    with Session(current_app.extensions["reading engine"], expire_on_commit=False) as opened:
        yield opened


def reading_engine(engine: Engine) -> Engine:
    """The same connections, for `reading`."""
    return engine.execution_options(isolation_level="AUTOCOMMIT") if engine.dialect.name == "postgresql" else engine


def _sqlite_engine(url: URL) -> Engine:
    # mode=rw: a wrong path is an error, not a new and empty database.
    location = f"file:{quote(url.database or '')}"
    engine = create_engine(
        URL.create("sqlite", database=location, query={"mode": "rw", "uri": "true"}),
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        json_serializer=_to_json,
        connect_args={"timeout": SQLITE_BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    return engine


def _postgresql_engine(url: URL) -> Engine:
    """Fit for PgBouncer in transaction pooling: nothing here outlives a transaction.

    psycopg2 sends no server-side prepared statements, no session setting is made, and `hstore` look-ups
    on connect are off. A look before use replaces connections that a restart of PgBouncer cut.
    """
    engine = create_engine(
        url.set(drivername="postgresql+psycopg2"),
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_recycle=300,
        use_native_hstore=False,
        json_serializer=_to_json,
        connect_args={"connect_timeout": POSTGRESQL_CONNECT_SECONDS},
    )

    @event.listens_for(engine, "checkout")
    def look(connection: Any, _record: object, _proxy: object) -> None:
        # Nothing was asked, so what there is to read is the server's farewell. A ping would be a way there and back each time.
        poll = select.poll()
        if not connection.closed:
            poll.register(connection.fileno(), select.POLLIN)
            if not poll.poll(0):
                return
        raise InvalidatePoolError

    return engine


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
