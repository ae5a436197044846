"""What is to be built again although it is recorded, and the ticks that said so."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table, empty: ticks count from the last promotion then."""
    op.create_table(
        "restatements",
        sa.Column("physical", sa.Text(), nullable=False),
        sa.Column("tick_ms", sa.BigInteger(), nullable=True),
        sa.Column("pending", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("physical", name=op.f("restatements_pk")),
    )


def downgrade() -> None:
    """Drop it: what was pending is not built again."""
    op.drop_table("restatements")
