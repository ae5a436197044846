"""The tables of the state, as the code of today sees them; `migrations/` makes them.

No foreign keys: a migration on SQLite rebuilds tables, which references would forbid, and all writers are in this room.
Big text columns come last, so that SQLite reads the small ones without them.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, microseconds kept; naive ones are refused. SQLite stores its UTC text, which sorts by
    time.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment needs a time zone: {value!r}")
        value = value.astimezone(timezone.utc)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "ck": "%(table_name)s_%(constraint_name)s_ck",
    }
)

version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""alembic's own table: one row, the revision the tables have."""

system = Table(
    "system",
    metadata,
    Column("singleton", Integer, primary_key=True, autoincrement=False),
    Column("uuid", Text, nullable=False),
    Column("gateway", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    CheckConstraint("singleton = 1", name="one_row"),
)
"""The stamp: at most one row, because its key is always 1."""

snapshots = Table(
    "snapshots",
    metadata,
    Column("identifier", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("algorithm", Integer, nullable=False),
    Column("physical", Text),
    Column("status", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("needed_at", Moment, nullable=False),
    Column("document", Text, nullable=False),
    CheckConstraint("status IN ('active', 'deleting')", name="status"),
    Index(None, "physical"),
    Index(None, "status"),
)
"""One row per snapshot; it never changes but for `status` and `needed_at`, when it was last known to be needed.

`document` is the whole snapshot as JSON, the other columns are read out of it for searching. The key starts with
`identifier` because everything looks snapshots up by it.
"""

intervals = Table(
    "intervals",
    metadata,
    Column("physical", Text, primary_key=True),
    Column("start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("end_ms", BigInteger, nullable=False),
    CheckConstraint("end_ms > start_ms", name="not_empty"),
)
"""What each physical relation holds: half-open, UTC, epoch milliseconds; rows of one relation are disjoint, not
adjacent.
"""

due_again = Table(
    "due_again",
    metadata,
    Column("physical", Text, primary_key=True),
    Column("start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("end_ms", BigInteger, nullable=False),
    CheckConstraint("end_ms > start_ms", name="not_empty"),
)
"""What each physical relation held and does not hold any more, as `intervals`: taken back by a restatement, lost, or
being made again.
"""

targets = Table(
    "targets",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("document", Text, nullable=False),
)
"""What some environment shows, showed or shall show, once per distinct value. `digest` is the sha-256 of `document`."""

environments = Table(
    "environments",
    metadata,
    Column("name", Text, primary_key=True),
    Column("plan_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("target", Text, nullable=False),
    Column("promoted_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("suffix_target", Text, nullable=False),
)
"""What each environment shows now. `target` is a digest."""

promotions = Table(
    "promotions",
    metadata,
    Column("environment", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("plan_id", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("promoted_at", Moment, nullable=False),
    Column("reason", Text, nullable=False),
)
"""The history of each environment. `target` is a digest."""

plans = Table(
    "plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("based_on", Text),
    Column("status", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("suffix_target", Text, nullable=False),
    Column("document", Text, nullable=False),
    CheckConstraint("status IN ('open', 'done', 'superseded')", name="status"),
    Index(None, "environment", "status"),
)
"""Plans that were begun. `target` is a digest."""

git_refs = Table(
    "git_refs",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("commit_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("shown", Text),
    Column("changed_at", Moment, nullable=False),
    Column("told", Text, nullable=False),
    Column("document", Text, nullable=False),
    Index(None, "environment"),
)
"""The refs of a repository that drive environments: what was last done about each. `shown` is the commit that its
environment shows, `document` a plan that waits for somebody, `told` what people were told.
"""

restatements = Table(
    "restatements",
    metadata,
    Column("physical", Text, primary_key=True),
    Column("tick_ms", BigInteger),
    Column("pending", Text, nullable=False),
)
"""Of physical relations that are restated automatically: the last tick that was heeded, and the recorded intervals that
are to be built again, as JSON pairs of epoch milliseconds.
"""

durations = Table(
    "durations",
    metadata,
    Column("model", Text, primary_key=True),
    Column("recent", Text, nullable=False),
)
"""What the last batches of each model took, oldest first: JSON pairs of interval units and seconds."""
