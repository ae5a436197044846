"""Kinds that add rows, or replace whole partitions: `INCREMENTAL_BY_PARTITION` and `INCREMENTAL_UNMANAGED`.

A partition is what has the same values of `partitioned_by`. Those that occur in a batch are replaced by it, the others
stay; the rows without a value are a partition like any other.
"""

from __future__ import annotations

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.evaluation.rows import (
    Write,
    Written,
    begun,
    cast,
    conformed,
    key_names,
    keyed,
    names,
)
from isomesh_dagster.relation import quote

_BATCH = quote("_isomesh_batch")


def write_appended(session: Session, work: Write) -> Written:
    """Add the batch's rows to the others."""
    query, columns = begun(session, work)
    if work.interval is None:
        return Written(rows=0, columns=columns)
    return Written(rows=session.insert(work.physical, query, names(columns)), columns=columns)


def write_partitions(session: Session, work: Write) -> Written:
    """Replace the partitions that occur in the batch."""
    if work.is_first or work.interval is None:
        return write_appended(session, work)
    keys = work.texts.keys
    columns = tuple(session.columns(work.physical))
    # its rows are needed twice, and a query may not give the same ones again
    session.execute(f"CREATE TEMPORARY TABLE {_BATCH} AS\n{conformed(cast(work.query, work.typed), columns)}")
    # under names of their own, so that in the condition only the target has the model's columns
    session.execute(
        f"DELETE FROM {work.physical.sql}\nUSING (SELECT DISTINCT {keyed(keys)} FROM {_BATCH}) AS _replaced\n"
        f"WHERE {session.same(keys, [f'_replaced.{name}' for name in key_names(len(keys))])}"
    )
    rows = session.insert(work.physical, f"SELECT * FROM {_BATCH}", names(columns))
    session.execute(f"DROP TABLE {_BATCH}")
    return Written(rows=rows, columns=columns)
