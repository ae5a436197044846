"""The text diff of two definitions: what a person changed, nothing that only looks different."""

from __future__ import annotations

from dataclasses import replace

from isomesh_dagster.model.audits import BUILT_IN
from isomesh_dagster.model.kinds import Full
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.plan.diff import metadata_words, text_diff

NOT_NULL = AuditCall(
    name="not_null", query=BUILT_IN["not_null"].query, arguments={"columns": "(a)", "condition": "TRUE"}
)
OWN = AuditCall(name="own", query="SELECT *\nFROM @this_model", blocking=False)
MODEL = Model(
    name="s.a",
    path="models/s/a.sql",
    dialect="duckdb",
    kind=Full(),
    query="SELECT 1 AS a, 2 AS b",
    audits=(NOT_NULL, OWN),
    column_descriptions={"a": "one", "b": "two"},
)


def test_the_order_of_mappings_is_no_difference() -> None:
    turned = replace(
        MODEL,
        column_descriptions={"b": "two", "a": "one"},
        audits=(replace(NOT_NULL, arguments={"condition": "TRUE", "columns": "(a)"}), OWN),
    )
    assert text_diff(MODEL, turned) == ""


def test_an_audit_is_told_as_the_model_calls_it() -> None:
    stricter = replace(
        MODEL,
        audits=(replace(NOT_NULL, arguments={"columns": "(a, b)", "condition": "b > 0"}), replace(OWN, query="x")),
    )
    changed = [line for line in text_diff(MODEL, stricter).splitlines()[2:] if line.startswith(("+", "-"))]
    assert changed == [
        "-audit: not_null(columns := (a))",
        "+audit: not_null(columns := (a, b), condition := b > 0)",
        "-  SELECT *",
        "-  FROM @this_model",
        "+  x",
    ]


def test_a_query_is_compared_line_by_line() -> None:
    changed = replace(MODEL, query="SELECT 1 AS a, 3 AS b")
    assert text_diff(MODEL, changed).splitlines()[-2:] == ["-SELECT 1 AS a, 2 AS b", "+SELECT 1 AS a, 3 AS b"]


def test_metadata_is_told_by_property() -> None:
    new = replace(
        MODEL,
        cron="@weekly",
        owner="somebody",
        description="A text that nobody wants to read in the middle of a plan",
        audits=(NOT_NULL, replace(OWN, blocking=True)),
    )
    assert metadata_words(MODEL, new) == (
        "audit own changed; cron: @daily → @weekly; description added; owner: somebody"
    )
    assert metadata_words(new, replace(new, owner=None, audits=(NOT_NULL,))) == "audit own removed; owner removed"
    assert metadata_words(MODEL, MODEL) == "only properties that do not touch rows"
