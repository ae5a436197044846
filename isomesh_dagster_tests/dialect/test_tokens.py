"""Tokens with places: what splicing and errors rest on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import TokenType

from isomesh_dagster.dialect.tokens import is_word, tokenize
from isomesh_dagster.errors import ModelError

DIALECTS = ("duckdb", "postgres", "bigquery", "snowflake", "spark", "redshift", "tsql", "mysql", "clickhouse")


PIECES = "SELECT a ( ) [ ] { } , ; 'x' \"y\" 12 1.5 -- @ @x a_@x <@"


@given(st.lists(st.sampled_from([*PIECES.split(), "\n"])))
def test_tokens_lie_in_order_and_apart_and_brackets_pair(words: list[str]) -> None:
    source = tokenize(" ".join(words), "duckdb")
    ends = [-1] + [token.end for token in source.tokens]
    assert all(token.start > before for token, before in zip(source.tokens, ends, strict=False))
    for opening, closing in source.match.items():
        assert source.match[closing] == opening
        assert opening != closing


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_slice_is_the_authors_text(dialect: str) -> None:
    text = "SELECT  a , -- why\n 'x'   FROM t"
    source = tokenize(text, dialect)
    assert source.slice(1, 4) == "a , -- why\n 'x'"
    assert source.slice(2, 2) == ""
    assert source.line_column(text.index("'x'")) == (2, 2)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_macro_is_a_sign_and_a_word_in_every_dialect(dialect: str) -> None:
    source = tokenize("a_@x, @{y}_z", dialect)
    assert [token.text for token in source.tokens] == ["a_", "@", "x", ",", "@", "{", "y", "}", "_z"]
    assert list(source.holding("@", 0, 9)) == [1, 4]
    assert list(source.holding("@", 2, 4)) == []


def test_holding_skips_comments_and_counts_a_string_once() -> None:
    source = tokenize("a /* @x */, 'b@c@d' -- @", "duckdb")
    assert list(source.holding("@", 0, 3)) == [2]
    assert list(source.holding("@", 0, 0)) == []


@pytest.mark.parametrize("command", ["CALL f(@x, 'a;b')", "VACUUM @this_model", "EXECUTE p(@x)"])
def test_a_command_is_read_as_tokens_too(command: str) -> None:
    source = tokenize(f"SELECT 1; {command}; SELECT 2", "duckdb")
    assert "@" in [token.text for token in source.tokens]
    assert [source.text[token.start] for token in source.tokens if token.text == "@"] == ["@"]
    assert [source.slice(*part) for part in source.split(0, len(source.tokens), TokenType.SEMICOLON)] == [
        "SELECT 1",
        command,
        "SELECT 2",
    ]


def test_words_are_names_and_keywords_only() -> None:
    source = tokenize("SELECT a, 'b', \"c\", 1, _d FROM $$e$$", "duckdb")
    assert [token.text for token in source.tokens if is_word(token)] == ["SELECT", "a", "_d", "FROM"]


def test_split_keeps_empty_ranges_but_not_a_trailing_one() -> None:
    source = tokenize("a, f(b, c), , [d, e],", "duckdb")
    assert [source.slice(*part) for part in source.split(0, len(source.tokens))] == ["a", "f(b, c)", "", "[d, e]"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("SELECT 1,\n 'abc", 2), ('a\n\n"b', 3), ("/* x", 1), ("SELECT 'it''s' -- '\n, /* ' */ 'x", 2)],
)
def test_what_is_never_closed_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ModelError, match="not closed") as caught:
        tokenize(text, "duckdb")
    assert caught.value.line == line


def test_an_unknown_dialect_is_told_with_the_nearest() -> None:
    with pytest.raises(ModelError, match="Unknown dialect 'duckd'") as caught:
        tokenize("a", "duckd")
    assert caught.value.hint == "did you mean duckdb?"
