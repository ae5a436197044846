"""The first tables: system, snapshots, intervals, targets, environments, promotions, plans."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "system",
        sa.Column("singleton", sa.Integer, autoincrement=False),
        sa.Column("uuid", sa.Text, nullable=False),
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("singleton", name="system_pk"),
        sa.CheckConstraint("singleton = 1", name="system_one_row_ck"),
    )
    op.create_table(
        "snapshots",
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Integer, nullable=False),
        sa.Column("physical", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("needed_at", _MOMENT, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("identifier", "name", "version", name="snapshots_pk"),
        sa.CheckConstraint("status IN ('active', 'deleting')", name="snapshots_status_ck"),
    )
    op.create_index("snapshots_physical_ix", "snapshots", ["physical"])
    op.create_index("snapshots_status_ix", "snapshots", ["status"])
    op.create_table(
        "intervals",
        sa.Column("physical", sa.Text, nullable=False),
        sa.Column("start_ms", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("end_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("physical", "start_ms", name="intervals_pk"),
        sa.CheckConstraint("end_ms > start_ms", name="intervals_not_empty_ck"),
    )
    op.create_table(
        "targets",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="targets_pk"),
    )
    op.create_table(
        "environments",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("promoted_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("suffix_target", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="environments_pk"),
    )
    op.create_table(
        "promotions",
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("promoted_at", _MOMENT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("environment", "number", name="promotions_pk"),
    )
    op.create_table(
        "plans",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("based_on", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("suffix_target", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="plans_pk"),
        sa.CheckConstraint("status IN ('open', 'done', 'superseded')", name="plans_status_ck"),
    )
    op.create_index("plans_environment_status_ix", "plans", ["environment", "status"])
