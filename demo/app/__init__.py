# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo application: documents, messages and orders of a few workspaces, on SQLite or PostgreSQL."""

from __future__ import annotations

from flask import Flask, Response, current_app
from sqlalchemy import Engine

from . import errors
from .config import load_settings
from .database import open_engine, reading_engine
from .views import documents, health, messages, overview

__all__ = ["create_app"]

MAX_REQUEST_BYTES = 1024 * 1024


def create_app(database_url: str | None = None) -> Flask:
    """Build the application on `database_url`, or on the one that the env file names."""
    engine = open_engine(database_url or load_settings().database_url)
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    # Text is shown as it is stored, and keys keep the order in which the views wrote them.
    app.json.ensure_ascii = False  # type: ignore[attr-defined]  # Flask declares the provider's base class
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask declares the provider's base class
    app.extensions["engine"] = engine
    app.extensions["reading engine"] = reading_engine(engine)
    for views in (overview, health, documents, messages):
        app.register_blueprint(views.blueprint)
    errors.register(app)
    app.after_request(_name_the_database)
    return app


def _name_the_database(response: Response) -> Response:
    """Which kind of database this instance uses, in every answer: how a load test tells blue from green."""
    response.headers["X-Database"] = engine_of(current_app).dialect.name
    return response


def engine_of(app: Flask) -> Engine:
    """The engine that `create_app` opened for `app`."""
    engine: Engine = app.extensions["engine"]
    return engine
