# SPDX-License-Identifier: GPL-3.0-or-later
"""A release after the move: it changes and drops things by the names that earlier migrations gave them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    """Change what is there."""
    with op.batch_alter_table("ticket") as batch:
        batch.add_column(sa.Column("helper_id", sa.Integer(), nullable=True))
        batch.create_foreign_key("fk_ticket_helper_id_person", "person", ["helper_id"], ["id"])
        batch.alter_column("order", type_=sa.String(200), server_default="none")
        batch.alter_column("small", type_=sa.Integer())
        batch.drop_constraint(op.f("ck_ticket_not_negative"), type_="check")
        batch.drop_constraint("uq_ticket_person_order", type_="unique")
        batch.drop_constraint("uq_ticket_reference", type_="unique")
        batch.drop_constraint("fk_ticket_country_site", type_="foreignkey")
        batch.drop_index("ix_ticket_urgent")
        batch.drop_column("photo")
    with op.batch_alter_table("step") as batch:
        batch.drop_index("ix_step_ticket_id")
        batch.drop_constraint("pk_step", type_="primary")
        batch.create_primary_key("pk_step", ["id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TYPE ticket_state ADD VALUE 'LOST'")
    op.rename_table("site", "place")
