"""What was built once and is not any more: a plan builds it again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create its table."""
    op.create_table(
        "due_again",
        sa.Column("physical", sa.Text, nullable=False),
        sa.Column("start_ms", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("end_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("physical", "start_ms", name="due_again_pk"),
        sa.CheckConstraint("end_ms > start_ms", name="due_again_not_empty_ck"),
    )


def downgrade() -> None:
    """Drop it: what it tells is then built by the next `run` only."""
    op.drop_table("due_again")
