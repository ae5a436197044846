"""Laws of a fingerprint: what people may do to a file without making another model, and what they may not."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.dialect.tokens import tokenize
from isomesh_dagster.graph.order import build_graph
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.parse import parse_model
from isomesh_dagster.model.render import LOADING, render
from isomesh_dagster.snapshot.fingerprint import fingerprints, own
from isomesh_dagster.snapshot.snapshot import Fingerprint
from isomesh_dagster_tests.model.test_parse import context

FILES = {
    "models/a.sql": """MODEL (name s.a, kind FULL, owner team, tags (x, y), audits (not_null(columns := (id))));
SELECT id, 7 AS n, 'it''s' AS t, v + 1.5 AS w FROM raw.t WHERE v > 3 AND k IN ('p', 'q') LIMIT 100""",
    "models/b.sql": """MODEL (name s.b, kind INCREMENTAL_BY_TIME_RANGE (time_column ds, lookback 2), cron '@hourly');
SET x = 5;
SELECT ds, @factor * n AS n, @IF(@start_ds > '2024-01-01', 11, 12) AS late FROM s.a JOIN s.c USING (id)
WHERE ds BETWEEN @start_ds AND @end_ds""",
    "models/c.sql": """MODEL (name s.c, kind INCREMENTAL_BY_UNIQUE_KEY (
  unique_key (id, COALESCE(k, 'none')), merge_filter target.ds > @start_ds AND target.n < 9));
@DEF(most, 40);
SELECT id, k, n, ds, CASE WHEN n > @most THEN 'big' ELSE 'small' END AS size FROM s.a, raw.u WHERE n <> 41""",
}
CONTEXT = context(variables={"factor": 3})
GAPS = st.sampled_from((" ", "\n", "  \t ", " /* a note; 'x' */ ", " -- a note ( ; \n"))
_LITERAL = re.compile(r"(?<![\w.@'])\d+(?:\.\d+)?(?![\w.'])|(?<=')(?:p|q|big|small|none|it|2024-01-01)(?=')")


def parsed(texts: dict[str, str]) -> dict[str, Model]:
    models = [model for path, text in texts.items() for model in parse_model(text, path, CONTEXT).models]
    return {model.name: model for model in models}


def printed(texts: dict[str, str]) -> dict[str, Fingerprint]:
    models = parsed(texts)
    return fingerprints(build_graph(models), {name: own(model) for name, model in models.items()})


EXPECTED = printed(FILES)


@st.composite
def restyled(draw: st.DrawFn, path: str) -> str:
    """A file with other gaps between its words, with comments in them, and keywords in another case."""
    text = FILES[path]
    source = tokenize(text, "duckdb")
    pieces: list[str] = []
    for k, token in enumerate(source.tokens):
        word = text[token.start : token.end + 1]
        if word in ("SELECT", "FROM", "WHERE", "AND", "AS", "BETWEEN", "CASE", "WHEN", "MODEL", "JOIN", "IN", "LIMIT"):
            word = draw(st.sampled_from((word, word.lower(), word.title())))
        # what a comment before MODEL or behind a column says is a description, which is metadata and no row
        touching = source.adjacent(k)
        has_gap = k + 1 < len(source.tokens) and not touching
        pieces += (word, draw(GAPS) if has_gap else "")
    return "".join(pieces)


@settings(max_examples=60)
@given(st.data())
def test_layout_comments_keyword_case_and_the_order_of_files_change_nothing(data: st.DataObject) -> None:
    paths = data.draw(st.permutations(sorted(FILES)))
    assert printed({path: data.draw(restyled(path)) for path in paths}) == EXPECTED


@settings(max_examples=60)
@given(st.data())
def test_any_literal_that_rows_depend_on_changes_the_model_and_its_readers(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(FILES)))
    text = FILES[path]
    body = text.index(";\n") if path != "models/c.sql" else text.index("unique_key")
    places = [found for found in _LITERAL.finditer(text) if found.start() > body]
    place = data.draw(st.sampled_from(places))
    other = data.draw(st.integers(1000, 9999).map(str))
    edited = printed({**FILES, path: text[: place.start()] + other + text[place.end() :]})
    name = f"s.{path[7]}"
    assert edited[name].data != EXPECTED[name].data
    readers = {"s.a": {"s.a", "s.b", "s.c"}, "s.b": {"s.b"}, "s.c": {"s.b", "s.c"}}[name]
    assert {one for one in EXPECTED if edited[one].version != EXPECTED[one].version} == readers


@settings(max_examples=40)
@given(st.data())
def test_what_is_rendered_is_rendered_once_and_for_all(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(FILES)))
    (model,) = parsed({path: data.draw(restyled(path))}).values()
    day = data.draw(st.integers(0, 20_000)) * 86_400_000
    moment = replace(LOADING, start=day, end=day + 86_400_000, stage="evaluating")
    once = render(model, moment)
    assert render(model, moment) == once
    again = render(replace(model, query=once.query, pre_statements=once.pre, post_statements=once.post), moment)
    assert (again.query, again.pre, again.post) == (once.query, once.pre, once.post)
    assert not again.used_variables
