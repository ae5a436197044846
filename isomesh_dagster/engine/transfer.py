"""Files and data frames on their way to and from a server: DuckDB, in memory, reads and makes them.

So every engine takes the same CSV files and the same data frames, by the same rules. What goes between is a CSV file in
which text is quoted and a missing value is not, which is how `COPY … (FORMAT csv)` reads and writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isomesh_dagster.config.connections import DuckDBConnection
from isomesh_dagster.engine import postgres_types as types
from isomesh_dagster.engine.duckdb import DuckDBWarehouse
from isomesh_dagster.engine.duckdb_session import DuckDBSession
from isomesh_dagster.relation import Relation, literal, quote

Columns = list[tuple[str, str]]
"""Name and type of each column in order, types in DuckDB's spelling."""

_ROWS = Relation(schema="main", name="rows")


def csv_of_seed(path: str, names: Sequence[str] | None, settings: dict[str, Any], target: Path) -> Columns:
    """Write the rows of a seed's file to `target`. `names` are the columns wanted, as text; None: all, of the types
    that the model format infers. Raises EngineError for one that the file has not.
    """
    with _memory() as session:
        session.load_csv(_ROWS, path, None if names is None else [(name, "UNKNOWN") for name in names], settings)
        return _written(session, _ROWS.sql, target)


def csv_of_frame(frame: Any, target: Path) -> Columns:
    """Write the rows of a data frame of pandas, polars or pyarrow to `target`. Raises as `Session.frame`."""
    with _memory() as session, session.frame(frame) as name:
        session.replace_table(_ROWS, f"SELECT * FROM {name}")  # a column of missing values only gets a type
        return _written(session, _ROWS.sql, target)


def frame_of_csv(source: Path, columns: Columns, library: str) -> Any:
    """The rows of a file as a data frame of `library`, with these columns. Bytes are hexadecimal, lists JSON."""
    given = ", ".join(
        f"'c{number}': '{'VARCHAR' if kind == 'BLOB' or types.is_list(kind) else kind}'"
        for number, (_, kind) in enumerate(columns)
    )
    items = ", ".join(f"{_read(f'c{number}', kind)} AS {quote(name)}" for number, (name, kind) in enumerate(columns))
    options = "header = false, delim = ',', quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false"
    with _memory() as session:
        return session.fetch_frame(
            f"SELECT {items} FROM read_csv({literal(str(source))}, columns = {{{given}}}, "
            f"{options}, auto_detect = false, parallel = false)",
            library,
        )


@contextmanager
def _memory() -> Iterator[DuckDBSession]:
    warehouse = DuckDBWarehouse(DuckDBConnection())
    try:
        with warehouse.session() as session:
            yield session
    finally:
        warehouse.close()


def _written(session: DuckDBSession, rows: str, target: Path) -> Columns:
    columns = session.columns(_ROWS)
    items = ", ".join(_write(quote(name), kind) for name, kind in columns)
    session.execute(
        f"COPY (SELECT {items} FROM {rows}) TO {literal(str(target))} (FORMAT csv, HEADER false, FORCE_QUOTE *)"
    )
    return columns


def _write(column: str, kind: str) -> str:
    if kind == "BLOB":
        return f"'\\x' || hex({column})"
    if types.is_list(kind):
        text = "replace(replace(CAST(x AS VARCHAR), '\\', '\\\\'), '\"', '\\\"')"
        items = f"[CASE WHEN x IS NULL THEN 'NULL' ELSE '\"' || {text} || '\"' END FOR x IN {column}]"
        return f"'{{' || array_to_string({items}, ',') || '}}'"
    return f"CAST(to_json({column}) AS VARCHAR)" if types.is_nested(kind) else column


def _read(column: str, kind: str) -> str:
    if kind == "BLOB":
        return f"unhex({column})"
    return f"from_json({column}, '[\"{kind[:-2]}\"]')" if types.is_list(kind) else column
