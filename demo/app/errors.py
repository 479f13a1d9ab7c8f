# SPDX-License-Identifier: GPL-3.0-or-later
"""Every error is JSON. A database that refuses or cannot be reached is a 503, to be tried again."""

from __future__ import annotations

from flask import Flask, Response, current_app, jsonify
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException

RETRY_AFTER_SECONDS = 5

# SQLSTATE classes and codes that say "not now" or "not for you".
_REFUSED_STATES = {
    "25006",  # read_only_sql_transaction
    "42501",  # insufficient_privilege: the rights to write were taken away
    "55P03",  # lock_not_available
    "P0001",  # raise_exception: a guard trigger
}
_UNAVAILABLE_CLASSES = ("08", "53", "57")  # connection, resources, operator intervention


def register(app: Flask) -> None:
    """Attach the handlers to `app`."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(exc.TimeoutError, _pool_exhausted)
    app.register_error_handler(exc.DBAPIError, _database_error)


def refusal_of(error: exc.DBAPIError) -> str | None:
    """`refused` or `unavailable` when trying again later may help; None for an error of our own."""
    origin = error.orig
    state = getattr(origin, "pgcode", None)
    if state is not None:
        if state in _REFUSED_STATES:
            return "refused"
        return "unavailable" if state.startswith(_UNAVAILABLE_CLASSES) else None
    name = getattr(origin, "sqlite_errorname", None)
    if name is not None:
        if name == "SQLITE_CONSTRAINT_TRIGGER" or name.startswith("SQLITE_READONLY"):
            return "refused"
        unavailable = name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_FULL"))
        return "unavailable" if unavailable else None
    # psycopg2 gives no SQLSTATE when there was no answer: nobody listens, or PgBouncer hung up.
    return "unavailable" if isinstance(error, exc.OperationalError) else None


def _http_error(error: HTTPException) -> tuple[Response, int]:
    return jsonify(error=error.name, message=error.description), error.code or 500


def _pool_exhausted(error: exc.TimeoutError) -> tuple[Response, int, dict[str, str]]:
    current_app.logger.warning("no free database connection: %s", error)
    return _try_again("unavailable", "All database connections are in use.")


def _database_error(
    error: exc.DBAPIError,
) -> tuple[Response, int] | tuple[Response, int, dict[str, str]]:
    refusal = refusal_of(error)
    # The driver's own words only: SQLAlchemy's text adds the statement and its values.
    current_app.logger.warning("database error (%s): %s", refusal or "failure", error.orig)
    if refusal == "refused":
        return _try_again(refusal, "The database does not take writes at the moment.")
    if refusal == "unavailable":
        return _try_again(refusal, "The database cannot be reached or is busy.")
    if isinstance(error, exc.IntegrityError):
        return jsonify(error="conflict", message="The change breaks a rule of the data."), 409
    return jsonify(error="database", message="The database reported an error; see the log."), 500


def _try_again(kind: str, message: str) -> tuple[Response, int, dict[str, str]]:
    return jsonify(error=kind, message=message), 503, {"Retry-After": str(RETRY_AFTER_SECONDS)}
