"""What is doubtful in a query, with the line where it stands."""

from __future__ import annotations

import json

import pytest

from isomesh_dagster.dialect.findings import Finding, QueryFindings, query_findings
from isomesh_dagster.relation import Column

SCHEMA = {
    "a.t": [Column(name="x", type="INT"), Column(name="y")],
    "a.u": [Column(name="x", type="INT"), Column(name="z")],
}


def found(sql: str) -> QueryFindings:
    return query_findings(sql, "duckdb", SCHEMA)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT t.x, u.z FROM a.t JOIN a.u ON t.x = u.x",
        "SELECT x, z FROM a.t JOIN a.u USING (x)",
        "SELECT COUNT(*) AS n FROM (SELECT * FROM a.t)",
        "SELECT x FROM b.unknown JOIN a.t USING (k)",  # b.unknown may have it
        "SELECT k FROM b.unknown",
        "SELECT s.x FROM a.t AS s WHERE EXISTS (SELECT * FROM a.u WHERE u.x = s.x)",
    ],
)
def test_nothing_is_doubtful(sql: str) -> None:
    assert found(sql) == QueryFindings()


@pytest.mark.parametrize(
    ("sql", "line", "text"),
    [
        ("SELECT *\nFROM a.t", 1, "*"),
        ("SELECT\n  y,\n  t.*\nFROM a.t", 3, "t.*"),
        ("SELECT x FROM a.t UNION ALL\nSELECT * FROM a.u", 2, "*"),
    ],
)
def test_stars(sql: str, line: int, text: str) -> None:
    star = found(sql).star
    assert star is not None
    assert star.text == text
    assert star.line == line
    assert found(sql).unexpanded is None


def test_stars_over_what_nobody_knows() -> None:
    assert found("SELECT t.y, v.* FROM a.t JOIN b.v ON true").unexpanded == Finding(text="b.v", line=1)
    assert found("SELECT t.* FROM a.t JOIN b.v ON true").unexpanded is None


@pytest.mark.parametrize(
    ("sql", "line", "text"),
    [
        ("SELECT\n  q\nFROM a.t", 2, "has a column `q`"),
        ("SELECT t.x\nFROM a.t\nWHERE z > 1", 3, "`z`"),
        ("SELECT\n  x\nFROM a.t\nJOIN a.u ON t.x = u.x", 2, "a.t or a.u"),
        ("SELECT t.q FROM a.t", None, "`q`"),
    ],
)
def test_columns_that_do_not_resolve(sql: str, line: int | None, text: str) -> None:
    unresolved = found(sql).unresolved
    assert unresolved is not None
    assert text in unresolved.text
    assert unresolved.line == line


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT x, MAX(y) FROM a.t GROUP BY x", "column 2, `MAX(y)`"),
        ("SELECT x, y AS X FROM a.t", "column 2 is called `x`"),
        ("SELECT 1 UNION ALL SELECT x FROM a.t", "column 1, `1`"),
    ],
)
def test_columns_without_a_name_of_their_own(sql: str, text: str) -> None:
    unnamed = found(sql).unnamed
    assert unnamed is not None
    assert text in unnamed.text


def test_what_cannot_be_read_has_no_findings() -> None:
    assert found("SELECT FROM WHERE") == QueryFindings()
    assert found("") == QueryFindings()


def test_findings_survive_a_trip_through_json() -> None:
    for sql in ("SELECT *, 1 FROM b.v", "SELECT q FROM a.t", "SELECT x FROM a.t"):
        findings = found(sql)
        assert QueryFindings.from_json(json.loads(json.dumps(findings.to_json()))) == findings
