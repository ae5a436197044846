"""Queries laid out: how they look, and that they stay the same queries with the same comments."""

from __future__ import annotations

import json
import random
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.dialect.canonical import canonical_tokens
from isomesh_dagster.dialect.layout import comments, laid_out
from isomesh_dagster.dialect.style import Style
from isomesh_dagster.dialect.tokens import tokenize
from isomesh_dagster.errors import ModelError

GOLDEN = Path(__file__).with_name("golden_categories.json")


def texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value] if value.lstrip()[:6].upper() in ("SELECT", "WITH A") or value.upper().startswith("WITH") else []
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    return [text for each in value for text in texts(each)] if isinstance(value, list) else []


def check(sql: str, expected: str, dialect: str = "duckdb", **style: object) -> None:
    expected = dedent(expected).strip()
    assert laid_out(sql, dialect, Style(**style)) == expected  # type: ignore[arg-type]


def test_clauses_stand_on_lines_of_their_own() -> None:
    check(
        """select a, b as c, count( * ) from x.t as t left join u using(a) inner join v on t.a=v.a and v.b<>1
           where a=1 and b between 1 and 2 group by a,2 having count(*)>1 qualify row_number() over (order by a)=1
           order by 1 desc nulls last limit 5 offset 2""",
        """
        SELECT
          a,
          b AS c,
          COUNT(*)
        FROM x.t AS t
        LEFT JOIN u
          USING (a)
        INNER JOIN v
          ON t.a = v.a AND v.b <> 1
        WHERE
          a = 1 AND b BETWEEN 1 AND 2
        GROUP BY
          a,
          2
        HAVING
          COUNT(*) > 1
        QUALIFY
          ROW_NUMBER() OVER (ORDER BY a) = 1
        ORDER BY
          1 DESC NULLS LAST
        LIMIT 5
        OFFSET 2
        """,
    )


def test_queries_inside_queries() -> None:
    check(
        "with a as (select 1 as x), b(y) as (select x from a) (select y from b) union all select max(x) from (from a)",
        """
        WITH a AS (
          SELECT 1 AS x
        ), b(y) AS (
          SELECT x
          FROM a
        )
        (
          SELECT y
          FROM b
        )
        UNION ALL
        SELECT MAX(x)
        FROM (
          FROM a
        )
        """,
    )


def test_what_is_too_long_is_broken_where_it_helps() -> None:
    check(
        """select coalesce(first_column, second_column, 'a default that is long') as found,
        case when a = 1 and b = 2 then 'x' else 'y' end as z, sum(x) over (partition by a, b order by c) as s from t
        where first_column = 1 or second_column = 2 or third_column between 3 and 4""",
        """
        SELECT
          COALESCE(
            first_column,
            second_column,
            'a default that is long'
          ) AS found,
          CASE
            WHEN a = 1 AND b = 2 THEN 'x'
            ELSE 'y'
          END AS z,
          SUM(x) OVER (
            PARTITION BY a, b
            ORDER BY c
          ) AS s
        FROM t
        WHERE
          first_column = 1
          OR second_column = 2
          OR third_column BETWEEN 3 AND 4
        """,
        max_text_width=36,
    )


def test_comments_stay_with_what_they_are_about() -> None:
    check(
        """-- what it is
        select a -- first
        , b, -- second
        -- about c
        c /* inside */ + 1 as d /* beside */
        from t -- the source
        -- why
        where x -- end""",
        """
        -- what it is
        SELECT
          a, -- first
          b, -- second
          -- about c
          c /* inside */ + 1 AS d /* beside */
        FROM t -- the source
        -- why
        WHERE
          x -- end
        """,
    )


def test_macros_stay_as_they_are() -> None:
    check(
        """select @IF(@gateway='a',   x, y) as v, @{pre}_z, @EACH([a,b], c -> c as @{c}_n) from @{schema}.t
        @WHERE(@on) a=1 and b = @start_ds @GROUP_BY(true) a""",
        """
        SELECT
          @IF(@gateway='a',   x, y) AS v,
          @{pre}_z,
          @EACH([a,b], c -> c as @{c}_n)
        FROM @{schema}.t
        @WHERE(@on)
          a = 1 AND b = @start_ds
        @GROUP_BY(true)
          a
        """,
    )


def test_names_keep_their_case() -> None:
    check("select Date, first, Name as Value, t.Group, left(a, 1) from T", """
        SELECT
          Date,
          first,
          Name AS Value,
          t.Group,
          LEFT(a, 1)
        FROM T
        """)  # fmt: skip
    check("select Sum(x) as n, Foo(x) from T", "SELECT\n  Sum(x) AS n,\n  Foo(x)\nFROM T", dialect="bigquery")
    check("select Sum(x) from t", "SELECT Sum(x)\nFROM t", normalize_functions=None)
    check("select Sum(x) from t", "SELECT sum(x)\nFROM t", normalize_functions="lower")


def test_leading_commas() -> None:
    check("select a, -- first\n b from t", "SELECT\n  a -- first\n  , b\nFROM t", leading_comma=True)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT 1",
        "@UNION('all', a, b)",
        "SET x = 1",
        "SELECT {{ x }} FROM t",
        "SELECT (a FROM t",
        "",
    ],
)
def test_what_is_no_plain_query_is_left(sql: str) -> None:
    assert laid_out(sql, "duckdb", Style()) is None


def test_hints_are_left() -> None:
    assert laid_out("SELECT /*+ BROADCAST(t) */ a FROM t", "spark", Style()) is None


SEEDS = [
    *sorted(set(texts(json.loads(GOLDEN.read_text()))))[::5],
    "with recursive a(x, y) as (select 1, 2 union all select x+1, y from a) select b.* replace (1 as y) from a join b"
    " using (x) left join lateral (select 1) as l on true full outer join c on c.x = a.x and c.y or c.z window w as"
    " (partition by x rows between 1 preceding and current row)",
    "select case a when 1 then 'x' else (select max(y) from t) end, extract(year from d), a::varchar(10)[], - -a,"
    " a - -1, [1,2][1], {'a': 1}, x -> x + 1, a[1:2], interval '1 day', $1, $$a'b$$ from t where exists(select 1)",
    "(select 1) union (select 2) except all (select 3) order by 1",
    "select * exclude (a, b), columns('x.*') from t pivot (sum(a) for b in (1,2)) as p, unnest(q) as e(f), @{x}.y",
]
FILLERS = [
    " -- c\n",
    "\n-- own\n",
    " /* in */ ",
    "\n/* two\n lines */\n",
    " /* end */\n",
    " /* a */ -- b\n",
    "\n\n",
    "  ",
]
STYLES = [Style(), Style(max_text_width=24, indent=4, pad=4, leading_comma=True)]


@settings(max_examples=150)
@given(
    sql=st.sampled_from(SEEDS),
    seed=st.integers(0, 10_000),
    style=st.sampled_from(STYLES),
    dialect=st.sampled_from(["duckdb", "postgres", "bigquery", "snowflake"]),
)
def test_the_same_words_and_comments_in_a_layout_that_is_final(sql: str, seed: int, style: Style, dialect: str) -> None:
    draw = random.Random(seed)
    messy, end = "", 0
    for token in tokenize(sql, "duckdb").tokens:
        gap = sql[end : token.start]
        messy += (draw.choice(FILLERS) if gap.isspace() and draw.random() < 0.3 else gap) + sql[
            token.start : token.end + 1
        ]
        end = token.end + 1
    try:
        before = tokenize(messy, dialect)
    except ModelError:
        return  # not a text of that dialect
    text = laid_out(messy, dialect, style)
    if dialect == "duckdb":
        assert text is not None
    if text is None:
        return
    assert canonical_tokens(text, dialect) == canonical_tokens(messy, dialect)
    assert comments(tokenize(text, dialect)) == comments(before)
    assert laid_out(text, dialect, style) == text
