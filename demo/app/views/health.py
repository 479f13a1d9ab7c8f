# SPDX-License-Identifier: GPL-3.0-or-later
"""GET /health: which database serves, and whether it takes writes."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

blueprint = Blueprint("health", __name__)

# A health check does not queue behind a long write.
SQLITE_PROBE_MILLIS = 250

_POSTGRESQL_STATE = text(
    """
    SELECT current_setting('server_version') AS version,
           current_setting('transaction_read_only') = 'off'
           AND coalesce(has_table_privilege(to_regclass('messages'), 'INSERT'), false) AS writable
    """
)
# The smallest write that fires triggers; it is always rolled back.
_SQLITE_PROBE = text("UPDATE tags SET color = color WHERE id = (SELECT min(id) FROM tags)")


@blueprint.get("/health")
def health() -> tuple[Response, int]:
    """200 while the database answers reads; `writable` tells about writes."""
    engine: Engine = current_app.extensions["engine"]
    database = engine.dialect.name
    try:
        with engine.connect() as connection:
            version, writable = (_sqlite if database == "sqlite" else _postgresql)(connection)
    except DBAPIError as error:
        current_app.logger.warning("health: %s", error.orig)
        return jsonify(status="error", database=database, server=None, writable=False), 503
    return jsonify(status="ok", database=database, server=version, writable=writable), 200


def _postgresql(connection: Connection) -> tuple[str, bool]:
    row = connection.execute(_POSTGRESQL_STATE).one()
    return row.version, row.writable


def _sqlite(connection: Connection) -> tuple[str, bool]:
    version: str = connection.scalar(text("SELECT sqlite_version() FROM sqlite_schema LIMIT 1")) or ""
    patience = connection.scalar(text("PRAGMA busy_timeout"))
    connection.execute(text(f"PRAGMA busy_timeout = {SQLITE_PROBE_MILLIS}"))
    try:
        connection.execute(_SQLITE_PROBE)
        return version, True
    except DBAPIError:
        return version, False
    finally:
        connection.rollback()
        connection.execute(text(f"PRAGMA busy_timeout = {patience}"))
