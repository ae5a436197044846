"""What the last batches of each model took, so that a plan can tell what to expect."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table, empty: nothing is known of past builds."""
    op.create_table(
        "durations",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("recent", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("durations_pk")),
    )


def downgrade() -> None:
    """Drop it: plans tell no times."""
    op.drop_table("durations")
