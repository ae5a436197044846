"""Data frames in and out of DuckDB, whichever library they are of."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from isomesh_dagster.errors import EngineError, ModelError
from isomesh_dagster.relation import Relation

FRAMES = [
    pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
    pl.LazyFrame({"a": [1, 2], "b": ["x", None]}),
    pa.table({"a": [1, 2], "b": ["x", None]}),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: f"{type(frame).__module__}.{type(frame).__name__}")
def test_a_frame_is_a_relation_while_it_is_needed(session, frame):
    with session.transaction(), session.frame(frame) as name, session.frame(frame) as other:
        assert name != other
        session.replace_table(Relation(schema="s", name="t"), f"SELECT * FROM {name}")
    assert session.fetch("SELECT * FROM s.t ORDER BY a") == [(1, "x"), (2, None)]
    with pytest.raises(EngineError, match="does not exist"):
        session.fetch(f"SELECT * FROM {name}")


def test_a_failed_statement_leaves_the_session_usable(session):
    with pytest.raises(EngineError, match="Conversion"), session.transaction(), session.frame(FRAMES[0]) as name:
        session.execute(f"SELECT CAST(b AS INT) FROM {name}")
    assert session.fetch("SELECT 1") == [(1,)]


@pytest.mark.parametrize("thing", [[1, 2], {"a": [1]}, pd.DataFrame(), pa.table({}), None], ids=repr)
def test_other_things_are_refused(session, thing):
    with pytest.raises(ModelError, match="is no data frame with columns"), session.frame(thing):
        pass


@pytest.mark.parametrize(
    ("library", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table)]
)
def test_rows_come_as_the_frame_that_is_asked_for(session, library, kind):
    found = session.fetch_frame("SELECT 1 AS a, 'x' AS b", library)
    assert type(found) is kind
    assert [str(name) for name in getattr(found, "column_names", found.columns)] == ["a", "b"]


def test_a_library_that_is_not_there_is_named(session):
    with pytest.raises(EngineError, match="modin is not installed"):
        session.fetch_frame("SELECT 1", "modin")
