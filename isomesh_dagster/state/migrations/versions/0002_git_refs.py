"""The refs of a repository that drive environments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from isomesh_dagster.state.tables import Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table, empty: the next look at the remote fills it."""
    op.create_table(
        "git_refs",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("commit_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=True),
        sa.Column("changed_at", Moment(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ref", name=op.f("git_refs_pk")),
    )
    op.create_index(op.f("git_refs_environment_ix"), "git_refs", ["environment"])


def downgrade() -> None:
    """Drop it: what was waiting for somebody is asked again by the next look."""
    op.drop_index(op.f("git_refs_environment_ix"), table_name="git_refs")
    op.drop_table("git_refs")
