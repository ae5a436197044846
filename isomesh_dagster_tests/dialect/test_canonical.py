"""Laws of the canonical text: what must not change it, what must."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.dialect.canonical import canonical_tokens, digest, tokenize
from isomesh_dagster.errors import ModelError

QUERIES = (
    ("duckdb", "SELECT t.id, a + 1.5e3 AS x, \"Q b\", 'it''s' FROM db.t AS t WHERE a->>'k' <> $1 GROUP BY ALL"),
    ("postgres", "SELECT a::int, E'\\n', $x$ body $x$ FROM \"Db\".t WHERE a <@ b ORDER BY 1 DESC NULLS LAST LIMIT 3"),
    (
        "snowflake",
        "SELECT $$ raw 'x' $$, c:path.to::string, IFF(a, 1, 0) FROM db.t QUALIFY row_number() OVER (ORDER BY a) = 1",
    ),
    ("spark", "SELECT /*+ BROADCAST(t) */ `a b`, explode(m) FROM db.t LATERAL VIEW inline(x) AS y"),
    ("bigquery", "SELECT r'\\d', \"str\", b'x', STRUCT(1 AS a) FROM `p.d.T`, UNNEST([1, 2]) AS u WHERE Col = TRUE"),
    ("clickhouse", "SELECT toDate(Ts) AS Left, t.Order, {p:String} FROM db.T FINAL WHERE x IN (1, 2) GROUP BY 1"),
    ("tsql", "SELECT TOP 3 [a b], N'x', 0xAF FROM dbo.[t] WITH (NOLOCK) WHERE a != 1"),
    ("mysql", "SELECT `A`, x'AF', \"s\" FROM db.T LEFT JOIN u USING (Id) WHERE a LIKE '%x'"),
)
FOLDING = ("duckdb", "postgres", "snowflake", "spark", "tsql")
GAPS = st.sampled_from((" ", "\n", "\t  ", " /* note; 'x' */ ", ' -- note " ; \n', "\r\n"))


@st.composite
def restyled(draw: st.DrawFn) -> tuple[str, str, str]:
    """A dialect, a query, and the query with other layout, comments, case and semicolons."""
    dialect, sql = draw(st.sampled_from(QUERIES))
    pieces = [draw(GAPS)]
    for token in tokenize(sql, dialect):
        text = sql[token.start : token.end + 1]
        if text.isidentifier() and dialect in FOLDING and token.token_type.name not in ("IDENTIFIER", "HEREDOC_STRING"):
            text = draw(st.sampled_from((text, text.upper(), text.lower(), text.title())))
        pieces += (text, draw(GAPS))
    return dialect, sql, "".join(pieces) + draw(st.sampled_from(("", ";", " ;\n;", "; -- end")))


@given(restyled())
def test_layout_comments_and_case_change_nothing(case: tuple[str, str, str]) -> None:
    dialect, sql, other = case
    assert canonical_tokens(other, dialect) == canonical_tokens(sql, dialect)
    assert digest(other, dialect) == digest(sql, dialect)


@pytest.mark.parametrize(("dialect", "sql"), QUERIES)
def test_canonical_text_is_its_own_canonical_text(dialect: str, sql: str) -> None:
    text = canonical_tokens(sql, dialect)
    assert canonical_tokens(text, dialect) == text


@given(st.data())
def test_every_token_counts(data: st.DataObject) -> None:
    dialect, sql = data.draw(st.sampled_from(QUERIES))
    token = data.draw(st.sampled_from(tokenize(sql, dialect)))
    without = sql[: token.start] + " " + sql[token.end + 1 :]
    assert canonical_tokens(without, dialect) != canonical_tokens(sql, dialect)


@given(st.text(st.characters(exclude_characters="'\\", exclude_categories=["Cs"]), max_size=8), st.data())
def test_the_inside_of_a_string_is_kept_to_the_letter(text: str, data: st.DataObject) -> None:
    other = data.draw(st.text(st.characters(exclude_characters="'\\", exclude_categories=["Cs"]), max_size=8))
    same = digest(f"SELECT '{text}'", "duckdb") == digest(f"SELECT '{other}'", "duckdb")
    assert same == (text == other)


@pytest.mark.parametrize(
    ("dialect", "one", "other"),
    [
        ("duckdb", "SELECT 'A'", "SELECT 'a'"),
        ("duckdb", 'SELECT "A" FROM t', 'SELECT "a" FROM t'),
        ("duckdb", 'SELECT "a" FROM t', "SELECT a FROM t"),
        ("duckdb", "SELECT '1'", "SELECT 1"),
        ("duckdb", "SELECT 'a b'", "SELECT 'a  b'"),
        ("duckdb", "SELECT (a + b) * c", "SELECT a + b * c"),
        ("spark", "SELECT /*+ BROADCAST(t) */ a FROM t", "SELECT a FROM t"),
        ("bigquery", "SELECT a FROM d.T", "SELECT a FROM d.t"),
        ("clickhouse", "SELECT A FROM t", "SELECT a FROM t"),
        ("clickhouse", "SELECT t.Left FROM t", "SELECT t.left FROM t"),
        ("clickhouse", "SELECT 1 AS Left", "SELECT 1 AS left"),
        ("mysql", "SELECT a FROM T", "SELECT a FROM t"),
        ("postgres", "SELECT a <@ b", "SELECT a < @b"),
        ("duckdb", "CALL f(1)", "CALL f(2)"),
    ],
)
def test_what_may_mean_something_else_differs(dialect: str, one: str, other: str) -> None:
    assert digest(one, dialect) != digest(other, dialect)


@pytest.mark.parametrize(
    ("dialect", "one", "other"),
    [
        ("clickhouse", "SELECT a FROM t GROUP BY a", "select a from t group  by a"),
        ("bigquery", "SELECT a FROM d.T", "select a\nfrom d.T;"),
        ("duckdb", "CALL  f( 1 ) -- c", "call f(1);"),
        ("duckdb", "SELECT 1", "SELECT 1 /* GROUP */ ;;"),
        ("snowflake", "SELECT /* new */ id FROM DB.T -- c", "select ID from db.t"),
    ],
)
def test_what_means_the_same_is_the_same(dialect: str, one: str, other: str) -> None:
    assert digest(one, dialect) == digest(other, dialect)


def test_digests_do_not_move_with_the_sql_library() -> None:
    """They name tables in warehouses: when this fails after an upgrade, every model would be built again."""
    assert [digest(sql, dialect) for dialect, sql in QUERIES] == [
        "1112b2dfe928da3b70fd135e9b7803c3",
        "fa69b02552c4c779b9e50f53877b0980",
        "3535ff07a9a34cb65cafa355a32efc48",
        "f891a26c2ef0c4bce27377a34562866f",
        "bfd927e19a9785adc06f296cfb6075d5",
        "344677aa7b363dc11cef519a4bbacc5d",
        "52c2e83ec4c677f22ab5f9f2e1c27f10",
        "aa3cafc1a4f7d966fa658c563468cb4a",
    ]


@pytest.mark.parametrize(
    ("sql", "line", "column"),
    [("SELECT 1,\n  'abc", 2, 3), ("SELECT 'a', 1 /* x", 1, 15), ('SELECT "a', 1, 8), ("SELECT 'a', 'b", 1, 13)],
)
def test_an_open_quote_is_told_by_its_place(sql: str, line: int, column: int) -> None:
    with pytest.raises(ModelError) as caught:
        canonical_tokens(sql, "duckdb")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.hint


def test_an_unknown_dialect_is_told_with_a_near_one() -> None:
    with pytest.raises(ModelError, match="unknown dialect 'duckbd'") as caught:
        digest("SELECT 1", "duckbd")
    assert caught.value.hint == "did you mean duckdb?"


def test_nothing_is_an_empty_text() -> None:
    assert canonical_tokens("  -- nothing\n;", "duckdb") == ""


def test_a_warm_start_needs_no_sql_library() -> None:
    code = (
        "import sys, isomesh_dagster.dialect.canonical, isomesh_dagster.dialect.query, isomesh_dagster.dialect.summary;"
        "sys.exit('sqlglot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
