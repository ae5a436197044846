"""Rows of any one query, in the warehouse's own SQL."""

from __future__ import annotations

from typing import Any

from isomesh_dagster.dialect.query import analyse, without_terminator
from isomesh_dagster.engine.connection import Connection


def fetched(connection: Connection, sql: str, *, limit: int | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows, at most `limit` of them (None: all).

    Raises ModelError, with its place in `sql`, for anything but one query: nothing can be written by this.
    """
    dialect = connection.capabilities.dialect
    analyse(sql, dialect)
    query = without_terminator(sql, dialect)
    if limit is not None:
        query = f"SELECT * FROM (\n{query}\n) AS _rows LIMIT {int(limit)}"
    with connection.session() as session:
        return session.fetch_table(query)
