"""Files laid out: headers in order, every comment in its place, and files that are left alone."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.dialect.style import Style
from isomesh_dagster.lint.files import formatted

MESSY = """\
-- What it is,
-- in two lines.
model ( -- open
  cron '@daily', -- every day
  -- about the name
  name a.b, kind incremental_by_time_range(time_column ds -- the day
  , batch_size 3),
  /* the tags */ tags [x, y],
  audits (not_null(columns := (a)), unique_values(columns := (b)) -- last
  ), grain (a,   b)
  -- end
)
;
@DEF(x, 1);
-- set it
SET x = 1; -- trailing
SET y   =  2;

select a,   -- first
 b from c -- from c
; -- after
ON_VIRTUAL_UPDATE_BEGIN;
create index  x on y (z);
on_virtual_update_end;
AUDIT (name q, dialect postgres);
select * from @this_model where a=1
-- bye
"""

NEAT = """\
-- What it is,
-- in two lines.
MODEL (
  -- about the name
  name a.b,
  kind INCREMENTAL_BY_TIME_RANGE (
    time_column ds, -- the day
    batch_size 3
  ),
  -- open
  cron '@daily', -- every day
  grain (a, b),
  /* the tags */
  tags [x, y],
  audits (
    not_null(columns := (a)),
    unique_values(columns := (b)) -- last
  )
  -- end
);

@DEF(x, 1);
-- set it
SET x = 1; -- trailing
SET y   =  2;

SELECT
  a, -- first
  b
FROM c; -- from c
-- after
ON_VIRTUAL_UPDATE_BEGIN;
create index  x on y (z);
ON_VIRTUAL_UPDATE_END;

AUDIT (
  name q,
  dialect postgres
);

SELECT *
FROM @this_model
WHERE
  a = 1
-- bye
"""


def form(text: str, **style: object) -> str:
    result = formatted(text, "duckdb", Style(**style))  # type: ignore[arg-type]
    assert result.why is None
    return result.text


def test_a_whole_file() -> None:
    assert form(MESSY) == NEAT
    assert form(NEAT) == NEAT


def test_jinja_stays_as_it_is() -> None:
    text = dedent("""\
        MODEL (
          name a.b
        );

        JINJA_QUERY_BEGIN;
        select   {{ x }} -- {% if y %}
        from t;
        JINJA_END;
        """)
    assert form(text) == text


def test_a_file_without_a_last_semicolon_or_line_break() -> None:
    assert form("MODEL (name a.b); select 1 as x -- one") == "MODEL (\n  name a.b\n);\n\nSELECT 1 AS x -- one\n"
    assert form("MODEL (name a.b);\nselect 1 as x;", append_newline=False).endswith("SELECT 1 AS x;")


def test_semicolons_after_nothing_go() -> None:
    assert form("MODEL (name a.b);;\n-- still here\n; select 1 as x;;") == (
        "MODEL (\n  name a.b\n);\n\n-- still here\nSELECT 1 AS x;\n"
    )


def test_macros_among_the_properties_keep_their_place() -> None:
    text = "MODEL (\n  cron '@daily',\n  @IF(@x, tags (a)),\n  name a.b\n);\n\nSELECT 1 AS x\n"
    assert form(text) == text


def test_queries_that_are_left_are_told() -> None:
    result = formatted("MODEL (\n  name a.b\n);\n\n@UNION('all', x,   y)\n", "duckdb", Style())
    assert result.text.endswith("@UNION('all', x,   y)\n")
    assert result.left == (5,)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("MODEL (name a.b, formatting false);\nselect  1", "formatting false"),
        ("MODEL (name a.b, formatting off);\nselect  1", "formatting false"),
        ("MODEL (name a.b);\nselect 'open", "not closed"),
        ("MODEL (name a.b, , cron '@daily');\nselect 1", "two commas"),
        ("MODEL (name a.b, name c.d);\nselect 1", "given twice"),
    ],
)
def test_files_that_are_left_alone(text: str, why: str) -> None:
    result = formatted(text, "duckdb", Style())
    assert result.text == text
    assert why in (result.why or "")


WORDS = re.split(
    " ",
    "MODEL ( name a.b , kind FULL , tags ( x , y ) , columns ( a INT , b TEXT ) ) ; SELECT a , b FROM c ;",
)
PIECES = ["-- c\n", "/* d */ ", "\n", "\n\n", " ", "/* e\n f */\n"]


@settings(max_examples=100)
@given(fillers=st.lists(st.sampled_from(PIECES), min_size=60, max_size=60), width=st.sampled_from([30, 80]))
def test_any_comment_anywhere_survives(fillers: list[str], width: int) -> None:
    text = "".join(word + (filler or " ") + " " for word, filler in zip(WORDS, fillers, strict=False))
    result = formatted(text, "duckdb", Style(max_text_width=width))
    assert result.why is None, result.why
    for comment in ("-- c", "/* d */", "/* e\n f */"):
        assert result.text.count(comment) == text.count(comment)
    assert form(result.text, max_text_width=width) == result.text
