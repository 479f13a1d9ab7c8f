# SPDX-License-Identifier: GPL-3.0-or-later
"""A workshop written with SQLAlchemy and Alembic: `app.py create|fill|dump|work|later` on DATABASE_URL; answers JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, event


def main(wanted: str) -> object:
    """Run one command and return its answer."""
    url = os.environ["DATABASE_URL"]
    # SQLAlchemy's own spelling of the two addresses.
    url = "sqlite:///" + url.removeprefix("sqlite://") if url.startswith("sqlite") else "postgresql+psycopg" + url[10:]
    # Defaults such as now() mean UTC on SQLite; on PostgreSQL, in a column without a zone, they mean the session's zone.
    options = {} if url.startswith("sqlite") else {"connect_args": {"options": "-c timezone=UTC"}}
    engine = create_engine(url, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    if wanted in ("create", "later"):
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["engine"] = engine
        command.upgrade(config, "0002" if wanted == "create" else "head")
        return wanted
    import shop.work

    return getattr(shop.work, wanted)(engine)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
