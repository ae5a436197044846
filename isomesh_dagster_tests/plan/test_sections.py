"""How a long list of a plan is folded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.plan.sections import Item, Section, folded


def section(*items: Item) -> Section:
    return Section(title="To build", tone="build", items=items)


def test_a_short_list_stays() -> None:
    short = section(*(Item(name=f"s.m{number}") for number in range(20)))
    assert folded(short) is short


def test_a_long_list_tells_what_matters_then_its_schemas_in_order() -> None:
    views = [Item(name=f"staging.v{number}", label="view") for number in range(18)]
    heavy = [Item(name="core.b", label="whole table", weight=90), Item(name="core.a", label="whole table", weight=60)]
    rest = [Item(name=f"core.m{number}", label=("view", "whole table")[number % 2]) for number in range(5)]
    told = folded(section(*views, *rest, *heavy, Item(name="marts.one", label="view")))
    assert told.title == "To build (26)"
    assert [(item.name, item.label, item.text) for item in told.items] == [
        ("core.b", "whole table", ""),
        ("core.a", "whole table", ""),
        ("staging.*", "18 models", "view"),
        ("core.*", "5 other models", "3 × view, 2 × whole table"),
        ("marts.one", "view", ""),
    ]


def test_what_many_say_alike_is_told_and_what_each_says_for_itself_is_not() -> None:
    owners = section(*(Item(name=f"s.m{number}", text="owner: somebody") for number in range(30)))
    assert [item.text for item in folded(owners).items] == ["owner: somebody"]
    tables = section(*(Item(name=f"s.m{number}", text=f"isomesh__s.m{number}") for number in range(30)))
    assert [item.text for item in folded(tables).items] == [""]


def test_sentences_are_counted() -> None:
    told = folded(
        Section(
            title="Warnings",
            tone="warning",
            noun="warning",
            items=tuple(Item(name=f"beware of s.m{number}", weight=1) for number in range(30)),
        )
    )
    assert [item.name for item in told.items][9:] == ["beware of s.m9", "20 other warnings"]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), unique=True, max_size=200))
def test_nothing_is_lost_and_little_is_shown(names: list[tuple[int, int]]) -> None:
    whole = section(*(Item(name=f"s{schema}.m{number}", label="view", weight=number) for schema, number in names))
    told = folded(whole)
    assert len(told.items) <= 26
    if told is not whole:
        counted = [item.label.split()[0] for item in told.items if item not in whole.items]
        assert sum(map(int, counted)) + sum(item in whole.items for item in told.items) == len(names)
