"""Column lineage over hand-written reads, and the reads of real queries."""

from __future__ import annotations

import json

import pytest

from isomesh_dagster.dialect.summary import summarize
from isomesh_dagster.graph.lineage import ColumnLineage, ColumnReads, Step
from isomesh_dagster.relation import Column


def reads(sql: str, **tables: str) -> ColumnReads:
    schema = {name.replace("__", "."): [Column(name=each) for each in its.split()] for name, its in tables.items()}
    return ColumnReads.of(summarize(sql, "duckdb", schema))


RAW = {"raw__t": "a b c"}
MIDDLE = reads("SELECT a + b AS x, c AS y FROM raw.t WHERE b > 0", **RAW)
TOP = reads("SELECT MAX(x) AS m, COUNT(*) AS n FROM m.middle GROUP BY y", m__middle="x y")
LINEAGE = ColumnLineage({"m.middle": MIDDLE, "m.top": TOP})


def flat(step: Step) -> list[str]:
    name = f"rows of {step.model}" if step.is_rows else f"{step.model}.{step.column}"
    return [name, *(f"> {line}" for each in step.next for line in flat(each))]


def test_reads_are_columns_and_rows() -> None:
    assert MIDDLE.columns == {"x": (("raw.t", "a"), ("raw.t", "b")), "y": (("raw.t", "c"),)}
    assert MIDDLE.rows == (("raw.t", "b"),)
    assert TOP.columns == {"m": (("m.middle", "x"),), "n": ()}
    assert TOP.rows == (("m.middle", "y"),)


def test_upstream_goes_down_to_what_no_model_makes() -> None:
    assert flat(LINEAGE.upstream("m.top", "m")) == ["m.top.m", "> m.middle.x", "> > raw.t.a", "> > raw.t.b"]
    assert flat(LINEAGE.upstream("m.top", "n")) == ["m.top.n"]


def test_downstream_tells_columns_and_rows() -> None:
    assert flat(LINEAGE.downstream("raw.t", "b")) == [
        "raw.t.b",
        "> m.middle.x",
        "> > m.top.m",
        "> rows of m.middle",
    ]
    assert flat(LINEAGE.downstream("raw.t", "c")) == ["raw.t.c", "> m.middle.y", "> > rows of m.top"]


def test_what_stands_elsewhere_is_told_once() -> None:
    lineage = ColumnLineage(
        {
            "m.a": ColumnReads(columns={"x": (("raw.t", "a"),)}),
            "m.b": ColumnReads(columns={"y": (("m.a", "x"),), "z": (("m.a", "x"),)}),
            "m.c": ColumnReads(columns={"w": (("m.b", "y"), ("m.b", "z"))}),
        }
    )
    tree = lineage.upstream("m.c", "w")
    assert [step.next[0].is_again for step in tree.next] == [False, True]


def test_a_model_that_reads_itself_ends() -> None:
    lineage = ColumnLineage({"m.a": ColumnReads(columns={"x": (("m.a", "x"), ("raw.t", "a"))}, rows=(("m.a", "x"),))})
    assert flat(lineage.upstream("m.a", "x")) == ["m.a.x", "> raw.t.a"]
    assert flat(lineage.downstream("m.a", "x")) == ["m.a.x", "> rows of m.a"]


def test_a_whole_row_is_every_column() -> None:
    lineage = ColumnLineage({"m.a": ColumnReads(columns={"x": (("raw.t", "*"),)})})
    assert flat(lineage.downstream("raw.t", "anything")) == ["raw.t.anything", "> m.a.x"]


def test_what_cannot_be_told_says_why() -> None:
    lineage = ColumnLineage({"m.a": ColumnReads(opaque="a pivot")})
    assert lineage.upstream("m.a", "x").opaque == "a pivot"


@pytest.mark.parametrize("value", [MIDDLE, TOP, ColumnReads(opaque="why")])
def test_reads_survive_a_trip_through_json(value: ColumnReads) -> None:
    assert ColumnReads.from_json(json.loads(json.dumps(value.to_json()))) == value
