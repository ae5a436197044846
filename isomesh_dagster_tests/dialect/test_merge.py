"""Pieces of a MERGE: clauses and expressions, for the engine that runs them."""

from __future__ import annotations

import pytest

from isomesh_dagster.dialect.merge import condition, expression_columns, matched_clauses, qualified
from isomesh_dagster.errors import ModelError


def test_what_is_set_loses_its_table_and_nothing_else_does() -> None:
    clauses = (
        "WHEN MATCHED AND source.v > target.v THEN UPDATE SET target.v = COALESCE(source.v, target.v), w = 1\n"
        "WHEN MATCHED THEN DELETE"
    )
    assert matched_clauses(clauses, "duckdb", "duckdb") == (
        "WHEN MATCHED AND source.v > target.v THEN UPDATE SET v = COALESCE(source.v, target.v), w = 1 "
        "WHEN MATCHED THEN DELETE"
    )


@pytest.mark.parametrize(
    ("clauses", "told"),
    [
        ("WHEN NOT MATCHED THEN INSERT (a) VALUES (1)", "is no WHEN MATCHED clause"),
        ("WHEN NOT MATCHED BY SOURCE THEN DELETE", "is no WHEN MATCHED clause"),
        ("WHEN MATCHED THEN UPDATE SET", "sets nothing"),
        ("WHEN MATCHED THEN DELETE; DROP TABLE x", "is not one piece of SQL"),
        ("DELETE", "cannot be read"),
        ("WHEN MATCHED THEN DELETE 'open", "cannot be read"),
    ],
)
def test_clauses_that_are_none(clauses: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        matched_clauses(clauses, "duckdb", "duckdb")


def test_columns_of_an_expression_become_those_of_a_table() -> None:
    assert qualified("COALESCE(a, lower(\"B c\"), 'x')", "target", "duckdb", "duckdb") == (
        "COALESCE(target.a, LOWER(target.\"B c\"), 'x')"
    )
    assert expression_columns('coalesce(A, "B", a)', "postgres") == ("a", "B")
    assert condition("`a` = 1", "bigquery", "duckdb") == '"a" = 1'
    assert condition("source.a in (select `a` from x.y)", "bigquery", "duckdb") == ('source.a IN (SELECT "a" FROM x.y)')


@pytest.mark.parametrize("text", ["a, b", "a AS x", "*", "a FROM t", "(SELECT 1)", "1 +", "a; b"])
def test_what_is_no_expression_is_told(text: str) -> None:
    with pytest.raises(ModelError, match=r"is not one|cannot be read|asks other tables"):
        expression_columns(text, "duckdb")
