"""`INCREMENTAL_BY_UNIQUE_KEY`: one row for each key. A batch is merged into the table by its key.

Duplicates within a batch are removed by one rule, at the first load, at every later one and when the table is built
again: the latest row stays (`rows.one_per_key`). A key that is missing in part is a key like any other.
"""

from __future__ import annotations

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.execution.rows import (
    Columns,
    Write,
    Written,
    cast,
    create_empty,
    key_names,
    keyed,
    names,
    one_per_key,
    same,
)
from isomesh_dagster.relation import quote


def write_unique_key(session: Session, work: Write) -> Written:
    """Merge the batch."""
    query = cast(work.query, work.typed)
    if work.is_new:
        create_empty(session, work, query)
    columns = tuple(session.columns(work.physical))
    if work.interval is None:
        return Written(rows=0, columns=columns)
    rows = one_per_key(query, work.texts.keys, columns)
    if work.is_first:  # there is nothing to match
        return Written(rows=session.insert(work.physical, rows, names(columns)), columns=columns)
    return Written(rows=session.execute(_merge(work, rows, columns)), columns=columns)


def _merge(work: Write, rows: str, columns: Columns) -> str:
    texts = work.texts
    column_names = [quote(name) for name in names(columns)]
    source_keys = [f"source.{name}" for name in key_names(len(texts.keys))]
    condition = same(texts.target_keys, source_keys)
    if texts.merge_filter is not None:
        condition = f"{condition} AND ({texts.merge_filter})"
    matched = texts.when_matched
    if matched is None:
        matched = f"WHEN MATCHED THEN UPDATE SET {', '.join(f'{name} = source.{name}' for name in column_names)}"
    return (
        f"MERGE INTO {work.physical.sql} AS target\n"
        f"USING (\nSELECT {', '.join(column_names)}, {keyed(texts.keys)}\nFROM (\n{rows}\n) AS _batch\n) AS source\n"
        f"ON {condition}\n{matched}\n"
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(column_names)}) "
        f"VALUES ({', '.join(f'source.{name}' for name in column_names)})"
    )
