"""Values of properties: a small closed tree that keeps the source text."""

from __future__ import annotations

import pytest

from isomesh_dagster.dialect.values import (
    Call,
    Items,
    Pair,
    Raw,
    String,
    Value,
    Word,
    pairs,
    parse_columns,
    parse_value,
    split_expressions,
)
from isomesh_dagster.errors import ModelError


def shape(value: Value) -> object:
    """The value without its source texts, as nested tuples a person can read."""
    match value:
        case Word(text=text):
            return text
        case String(content=content):
            return ("string", content)
        case Items(items=items):
            return [shape(item) for item in items]
        case Call(name=name, arguments=arguments):
            return (name, *(shape(argument) for argument in arguments))
        case Pair(key=key, value=its):
            return {key: shape(its)}
        case Raw(text=text):
            return ("raw", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "a"),
        ("a.B.c", "a.B.c"),
        ('a."B c".d', 'a."B c".d'),
        ("1_000", "1_000"),
        ("-1.5", "-1.5"),
        ("TRUE", "TRUE"),
        ("'it''s'", ("string", "it's")),
        ("''", ("string", "")),
        ("()", []),
        ("(a)", ["a"]),
        ("[a, 'b']", ["a", ("string", "b")]),
        ("ARRAY['a']", [("string", "a")]),
        ("f()", ("f",)),
        ("f (a, g(b))", ("f", "a", ("g", "b"))),
        ("(k = v, k2 := 'w', k3 x)", [{"k": "v"}, {"k2": ("string", "w")}, {"k3": "x"}]),
        ("(K = 1, \"K\" = 2, 'K.x' = 3, a.B = 4)", [{"k": "1"}, {"K": "2"}, {"K.x": "3"}, {"a.b": "4"}]),
        (
            "(columns *, n -1, u coalesce(a, b))",
            [{"columns": ("raw", "*")}, {"n": "-1"}, {"u": ("coalesce", "a", "b")}],
        ),
        ("(a IS NULL, b DESC, NOT c)", [("raw", "a IS NULL"), ("raw", "b DESC"), ("raw", "NOT c")]),
        ("(a > 1, b + c)", [("raw", "a > 1"), ("raw", "b + c")]),
        ("(a = b = c)", [{"a": ("raw", "b = c")}]),
        ("(x := @y, z @y)", [{"x": ("raw", "@y")}, {"z": ("raw", "@y")}]),
        ("a = 1", ("raw", "a = 1")),
        ("a b", ("raw", "a b")),
        ("2020-01-01", ("raw", "2020-01-01")),
        ("(a) + (b)", ("raw", "(a) + (b)")),
    ],
)
@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "snowflake"])
def test_values(text: str, expected: object, dialect: str) -> None:
    value = parse_value(text, dialect)
    assert shape(value) == expected
    assert value.text == text


@pytest.mark.parametrize("text", ["(a, , b)", "f(x := )", "(a", "a)", "[a)", ""])
def test_broken_values_tell_the_line_of_their_property(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_value(text, "duckdb", 7)
    assert caught.value.line == 7


def test_an_open_quote_tells_its_own_line() -> None:
    with pytest.raises(ModelError, match="not closed") as caught:
        parse_value("(a,\n 'b)", "duckdb", 7)
    assert caught.value.line == 8


def test_content_of_quoted_words() -> None:
    words = [parse_value(text, "duckdb") for text in ('"My x"', "a", '"a"."b"')]
    assert [word.content for word in words if isinstance(word, Word)] == ["My x", "a", '"a"."b"']


def test_pairs_reads_settings_in_every_spelling() -> None:
    settings = pairs(parse_value("SEED (path 'x.csv', csv_settings (delimiter = ';'), n := 1)", "duckdb"))
    assert {key: shape(value) for key, value in settings.items()} == {
        "path": ("string", "x.csv"),
        "csv_settings": [{"delimiter": ("string", ";")}],
        "n": "1",
    }
    assert settings["csv_settings"].text == "(delimiter = ';')"
    assert pairs(parse_value("FULL", "duckdb")) == {}


@pytest.mark.parametrize("text", ["K (a, b)", "K (a = 1, A = 2)", "K (1)", "'x'"])
def test_pairs_refuses_what_is_no_setting(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        pairs(parse_value(text, "duckdb"), 3)
    assert caught.value.line == 3


@pytest.mark.parametrize("dialect", ["duckdb", "bigquery", "tsql"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a", ["a"]),
        ("(a)", ["a"]),
        ("(a, f(b, c))", ["a", "f(b, c)"]),
        ("a, b", ["a", "b"]),
        ("['a', 'b']", ["'a'", "'b'"]),
        ("(a + b) * c", ["(a + b) * c"]),
        ("(a), (b)", ["(a)", "(b)"]),
    ],
)
def test_split_expressions(text: str, expected: list[str], dialect: str) -> None:
    assert split_expressions(text, dialect) == expected


@pytest.mark.parametrize("dialect", ["duckdb", "bigquery", "spark", "postgres"])
def test_columns_with_commas_in_their_types(dialect: str) -> None:
    text = "(id INT, s STRUCT<a INT, b ARRAY<STRUCT<c INT, d DECIMAL(3, 1)>>>, m MAP<INT, INT>, t TIMESTAMP WITH TIME ZONE)"  # noqa: E501
    assert parse_columns(text, dialect) == [
        ("id", "INT"),
        ("s", "STRUCT<a INT, b ARRAY<STRUCT<c INT, d DECIMAL(3, 1)>>>"),
        ("m", "MAP<INT, INT>"),
        ("t", "TIMESTAMP WITH TIME ZONE"),
    ]
    assert parse_columns(
        "(`x y` INT, b INT[])" if dialect in ("bigquery", "spark") else '("x y" INT, b INT[])', dialect
    ) == [
        ("`x y`" if dialect in ("bigquery", "spark") else '"x y"', "INT"),
        ("b", "INT[]"),
    ]


@pytest.mark.parametrize("text", ["(a, b INT)", "(a INT,, b INT)"])
def test_columns_without_a_type_are_refused(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_columns(text, "duckdb", 4)
    assert caught.value.line == 4
