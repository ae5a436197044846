"""One file, several models; and comments that describe columns."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.parse import ParsedFile
from isomesh_dagster.snapshot.fingerprint import own
from isomesh_dagster_tests.model.test_parse import model, parsed


def several(text: str) -> dict[str, Model]:
    found: ParsedFile = parsed(text, variables={"customer": "root", "limit": 3})
    return {one.name: one for one in found.models}


TWO = """MODEL (name @{customer}.orders, kind @{kind}, owner @owner,
  blueprints ((customer := c1, kind := FULL, owner := 'anna', field := amount), (customer := c2, kind := VIEW)));
SELECT id, @BLUEPRINT_VAR('field', price) AS money, @{customer} AS c, @limit AS n FROM raw.@{customer}_orders"""


def test_every_entry_makes_a_model() -> None:
    with pytest.raises(ModelError, match="@owner is not defined"):
        several(TWO)
    made = several(TWO.replace("kind := VIEW)", "kind := VIEW, owner := ben)"))
    assert list(made) == ["c1.orders", "c2.orders"]
    one, two = made.values()
    assert one.rendered == "SELECT id, amount AS money, c1 AS c, 3 AS n FROM raw.c1_orders"
    assert two.rendered == "SELECT id, price AS money, c2 AS c, 3 AS n FROM raw.c2_orders"
    assert (one.owner, two.owner) == ("anna", "ben")
    assert type(one.kind) is not type(two.kind)
    assert (one.depends_on, two.depends_on) == (("raw.c1_orders",), ("raw.c2_orders",))


def test_a_name_in_an_entry_may_be_written_as_the_variable_that_it_makes() -> None:
    header = "MODEL (name @target.m, blueprints ((@target := c1, note := '@this := a'), (@target := c2, note := 1)));"
    made = several(f"{header} SELECT @note AS note, @target AS target")
    assert [one.rendered for one in made.values()] == [
        "SELECT '@this := a' AS note, c1 AS target",
        "SELECT 1 AS note, c2 AS target",
    ]


def test_a_definition_wins_over_an_entry_and_that_over_the_configuration() -> None:
    header = "MODEL (name @{customer}.m, blueprints ((customer := c1)));"
    assert several(f"{header} SELECT '@customer', @customer AS a")["c1.m"].rendered == "SELECT '@customer', c1 AS a"
    hidden = several(f"{header} @DEF(customer, 'd'); SELECT @customer AS a")["c1.m"]
    assert hidden.rendered == "SELECT 'd' AS a"
    assert several("MODEL (name a.m); SELECT @customer AS a")["a.m"].rendered == "SELECT 'root' AS a"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT @BLUEPRINT_VAR('customer') AS a, @customer AS b",
        "JINJA_QUERY_BEGIN; SELECT {{ blueprint_var('customer') }} AS a, @customer AS b JINJA_END;",
    ],
)
def test_an_entry_can_be_read_where_a_definition_has_its_name(query: str) -> None:
    made = several(f"MODEL (name @{{customer}}.m, blueprints ((customer := c1)));\n@DEF(customer, 'd');\n{query}")
    assert made["c1.m"].rendered == "SELECT c1 AS a, 'd' AS b"


def test_only_what_a_model_reads_of_its_entry_counts() -> None:
    text = "MODEL (name m.@{k}, kind FULL, blueprints ((k := a, used := 1, unused := 1), (k := b, used := 2)));"
    text += "SELECT @used AS x"
    before, edited = several(text), several(text.replace("unused := 1", "unused := 2"))
    assert before == edited
    assert before["m.a"].blueprint == {"k": "a", "used": "1"}
    changed = several(text.replace("used := 2", "used := 3"))
    assert own(changed["m.a"]) == own(before["m.a"])
    assert own(changed["m.b"]) != own(before["m.b"])


def test_a_macro_may_give_the_entries() -> None:
    made = several("MODEL (name m.@{k}, blueprints @EACH([a, b], x -> (k := t_@x, c := x))); SELECT 1 AS @c")
    assert {name: one.rendered for name, one in made.items()} == {"m.t_a": "SELECT 1 AS a", "m.t_b": "SELECT 1 AS b"}


def test_an_entry_that_is_not_enabled_makes_none() -> None:
    text = "MODEL (name m.@{k}, enabled @on, blueprints ((k := a, on := true), (k := b, on := false))); SELECT 1 AS x"
    assert list(several(text)) == ["m.a"]


@pytest.mark.parametrize(
    ("blueprints", "told"),
    [
        ("((k := a), (k := a))", "two entries of `blueprints` make the model m.a"),
        ("((j := a, k := b), (j := c, k := b))", "m.b"),
        ("(a, b)", "is no entry"),
        ("x", "must be a list of entries"),
        ("((k := a, K := b))", "twice"),
        ("((), ())", "empty"),
        ("@nope", "not defined"),
    ],
)
def test_refused(blueprints: str, told: str) -> None:
    with pytest.raises(ModelError) as caught:
        several(f"MODEL (\n name m.@{{k}},\n blueprints {blueprints}\n); SELECT 1 AS x")
    assert told in str(caught.value)
    assert caught.value.line == 3


def test_a_macro_may_give_a_whole_property() -> None:
    text = "MODEL (name a.b, @IF(@limit = 3, kind FULL), @IF(@limit = 4, owner 'me')); SELECT 1 AS x"
    made = several(text)["a.b"]
    assert (type(made.kind).__name__, made.owner) == ("Full", None)


# --- comments


def test_a_comment_behind_a_column_describes_it_and_is_no_change() -> None:
    text = "MODEL (name a.b, kind FULL, column_descriptions (y = 'given'));\nSELECT x, -- the key\n y /* told */ FROM t"
    made = model(text)
    assert made.column_comments == {"x": "the key", "y": "told"}
    assert made.described_columns == {"x": "the key", "y": "given"}
    assert own(made) == own(model(text.replace("the key", "another").replace("/* told */", "")))


def test_comments_of_a_union_are_those_of_its_first_query_and_of_a_cte_none() -> None:
    text = "WITH q AS (SELECT a, -- inner\n b FROM t) SELECT a, -- outer\n b FROM q UNION SELECT 1, /* c */ 2"
    assert model(f"MODEL (name a.b);\n{text}").column_comments == {"a": "outer"}
