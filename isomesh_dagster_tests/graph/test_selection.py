"""Selections: what each word means, the laws of sets, and errors that point at their place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.errors import SelectionError
from isomesh_dagster.graph.order import ModelGraph, build_graph
from isomesh_dagster.graph.selection import parse_selection, select
from isomesh_dagster.model.kinds import Full, Seed
from isomesh_dagster.model.model import Model


def model(name: str, reads: str = "", tags: str = "", **more: object) -> Model:
    values: dict[str, object] = {
        "name": name,
        "path": f"models/{name.replace('.', '/')}.sql",
        "dialect": "duckdb",
        "kind": Full(),
        "depends_on": tuple(reads.split()),
        "tags": tuple(tags.split()),
    }
    return Model(**{**values, **more})  # type: ignore[arg-type]


def graph(*models: Model) -> ModelGraph:
    return build_graph({one.name: one for one in models})


SHOP = graph(
    model("raw.lines", kind=Seed(path="seeds/lines.csv", content_hash="0")),
    model("staging.lines", "raw.lines", "nightly pii"),
    model("staging.people", "", "PII"),
    model("core.orders", "staging.lines staging.people"),
    model("marts.revenue", "core.orders", "nightly"),
    model("marts.people", "staging.people"),
    model("a+b.c&d"),
)
EVERYTHING = set(SHOP.models)
CHANGED = {
    "main": frozenset({"models/core/orders.sql", "models/gone.sql", "README.md"}),
    "feature/x": frozenset({"seeds/lines.csv"}),
    "same": frozenset(),
}


def chosen(*texts: str) -> set[str]:
    return set(select([parse_selection(text) for text in texts], SHOP, changed=CHANGED))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("core.orders", "core.orders"),
        ("CORE.Orders", "core.orders"),
        ('"core.orders"', "core.orders"),
        ("staging.*", "staging.lines staging.people"),
        ("*.people", "staging.people marts.people"),
        ("staging.?????", "staging.lines"),
        ("nothing.*", ""),
        ('"a+b.c&d"', "a+b.c&d"),
        ("tag:nightly", "staging.lines marts.revenue"),
        ("tag:pii", "staging.lines staging.people"),
        ("tag:n*", "staging.lines marts.revenue"),
        ("tag:z*", ""),
        ("git:main", "core.orders"),
        ("git:main+", "core.orders marts.revenue"),
        ("git:feature/x", "raw.lines"),
        ("git:same", ""),
        ("resource_type:audit", ""),
        ("+core.orders", "raw.lines staging.lines staging.people core.orders"),
        ("core.orders+", "core.orders marts.revenue"),
        ("+staging.lines+", "raw.lines staging.lines core.orders marts.revenue"),
        ("+(core.orders | marts.people)", "raw.lines staging.lines staging.people core.orders marts.people"),
        ("(staging.people & tag:pii)+", "staging.people core.orders marts.people marts.revenue"),
        ("staging.* & ^tag:nightly", "staging.people"),
        ("staging.*&^tag:nightly|core.orders", "staging.people core.orders"),
        ("core.orders | staging.* & tag:nightly", "core.orders staging.lines"),
        ("(core.orders | staging.*) & tag:nightly", "staging.lines"),
        ("^+core.orders", "marts.revenue marts.people a+b.c&d"),
        ("^^core.orders", "core.orders"),
    ],
)
def test_what_an_expression_selects(text: str, names: str) -> None:
    assert chosen(text) == set(names.split())


def test_models_are_all_of_type_model_and_no_expression_selects_nothing() -> None:
    assert chosen("resource_type:model") == EVERYTHING
    assert chosen() == set()


def test_the_answer_comes_in_build_order() -> None:
    everything = parse_selection("*")
    assert select([everything], SHOP) == SHOP.order


@pytest.mark.parametrize(
    ("text", "column", "message", "hint"),
    [
        ("core.ordrs", 1, "no model is named 'core.ordrs'", "did you mean 'core.orders'?"),
        ("marts.* | ^+core.ordrs+", 13, "no model is named", "did you mean 'core.orders'?"),
        ("tag:nigthly", 1, "no model has the tag 'nigthly'", "did you mean 'nightly'?"),
        ("core.orders & tga:pii", 15, "no selector is called 'tga'", "did you mean 'tag:'?"),
        ("kind:full", 1, "no selector is called 'kind'", "there are tag:, git:, resource_type:"),
        ("resource_type:modle", 1, "no resource type", "did you mean 'model'?"),
        ("tag:", 1, "a value is missing", None),
        ("", 1, "the expression ends", None),
        ("core.orders &", 14, "the expression ends", None),
        ("core.orders staging.lines", 13, "expected & (both) or | (either)", None),
        ("| core.orders", 1, "there is |", None),
        ("(core.orders", 1, "not closed", None),
        ("core.orders)", 12, "without its opening", None),
        ("+^core.orders", 2, "expected the name of a model", "write ^+a"),
        ('core."orders', 6, "this quote is not closed", None),
        ("^" * 200, 101, "within each other", None),
        ("(" * 5000, 101, "within each other", None),
    ],
)
def test_errors_point_at_their_place(text: str, column: int, message: str, hint: str | None) -> None:
    with pytest.raises(SelectionError) as caught:
        chosen(text)
    error = caught.value
    assert error.column == column
    assert message in error.message
    first_mark = error.message.splitlines()[-1].index("^") - 3
    assert first_mark == column
    assert (error.hint or "").startswith(hint) if hint is not None else error.hint is None


def test_the_branches_to_ask_git_about_are_known_before() -> None:
    assert parse_selection('^(git:main+ | tag:x) & git:"a&b"').branches == {"main", "a&b"}


# ── laws ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = [f"s{number % 3}.m{number:02}" for number in range(10)]
TAGS = ("red", "blue")


@st.composite
def graphs(draw: st.DrawFn) -> ModelGraph:
    edges = draw(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25))
    models = []
    for number, name in enumerate(NAMES):
        reads = sorted({NAMES[low] for low, high in edges if low < high == number})
        # every tag is there at least once, so that it is known
        tags = draw(st.sets(st.sampled_from(TAGS))) if number else set(TAGS)
        models.append(model(name, " ".join(reads), " ".join(sorted(tags))))
    return graph(*models)


ATOMS = st.sampled_from([*NAMES, "s0.*", "s1.*", "*", "none.*", "tag:red", "tag:blue"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(("^({})", "+({})", "({})+", "+({})+", "({})")), inner).map(
            lambda pair: pair[0].format(pair[1])
        ),
        st.tuples(inner, st.sampled_from(("&", "|", " & ", " | ")), inner).map(
            lambda three: f"({three[0]}){''.join(three[1:2])}({three[2]})"
        ),
    ),
    max_leaves=6,
)


def of(text: str, within: ModelGraph) -> set[str]:
    return set(select([parse_selection(text)], within))


@given(graphs(), EXPRESSIONS, EXPRESSIONS, EXPRESSIONS)
def test_selections_are_an_algebra_of_sets(within: ModelGraph, a: str, b: str, c: str) -> None:
    everything = set(within.models)
    assert of(f"({a}) & ({b})", within) == of(a, within) & of(b, within)
    assert of(f"({a}) | ({b})", within) == of(a, within) | of(b, within)
    assert of(f"^({a})", within) == everything - of(a, within)
    assert of(f"^(({a}) & ({b}))", within) == of(f"^({a}) | ^({b})", within)
    assert of(f"({a}) | ({b}) & ({c})", within) == of(a, within) | (of(b, within) & of(c, within))
    assert set(select([parse_selection(a), parse_selection(b)], within)) == of(f"({a}) | ({b})", within)


@given(graphs(), EXPRESSIONS)
def test_plus_adds_ancestors_before_and_descendants_behind(within: ModelGraph, a: str) -> None:
    start = of(a, within)
    up, down = of(f"+({a})", within), of(f"({a})+", within)
    assert up == start | within.ancestors(start)
    assert down == start | within.descendants(start)
    assert of(f"+({a})+", within) == up | down
    assert of(f"+(+({a}))", within) == up
    # whoever is among the ancestors of one has that one among its descendants
    for name in up:
        assert within.descendants([name]) & start or name in start


@given(st.text(alphabet='ab.*?:"+&|^() \n', max_size=20))
def test_any_text_is_understood_or_told(text: str) -> None:
    try:
        selected = set(select([parse_selection(text)], SHOP, changed=CHANGED))
    except SelectionError as error:
        place = error.column or 0
        assert_place(place, text)
    else:
        assert selected <= EVERYTHING


def assert_place(place: int, text: str) -> None:
    assert 1 <= place <= len(text) + 1
