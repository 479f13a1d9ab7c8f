# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic's environment: the engine comes from app.py."""

from alembic import context
from shop.models import Base

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite cannot alter tables in place, so Alembic makes them anew there.
        render_as_batch=engine.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()
