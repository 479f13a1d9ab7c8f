# SPDX-License-Identifier: GPL-3.0-or-later
"""A column more, and a row that every workshop has."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    """Add and fill."""
    with op.batch_alter_table("site") as batch:
        batch.add_column(sa.Column("address", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("site") as batch:
        batch.alter_column("address", server_default=None)
    site = sa.table("site", sa.column("country"), sa.column("number"), sa.column("address"))
    op.bulk_insert(site, [{"country": "FI", "number": 0, "address": "the workshop"}])
