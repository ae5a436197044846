"""Drawings of graphs: what must hold for any of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.graph.layers import draw


@st.composite
def graphs(draw_: st.DrawFn) -> tuple[list[str], dict[str, list[str]]]:
    names = [f"m{n}" for n in range(draw_(st.integers(0, 25)))]
    parents = {
        name: draw_(st.lists(st.sampled_from(names[:at]), unique=True, max_size=4)) if at else []
        for at, name in enumerate(names)
    }
    return names, parents


@given(graphs())
def test_parents_stand_left_and_nothing_overlaps(graph: tuple[list[str], dict[str, list[str]]]) -> None:
    order, parents = graph
    drawing = draw(order, parents)
    assert draw(order, parents) == drawing
    places = drawing.places
    assert list(places) == order
    for name in order:
        for parent in parents[name]:
            assert places[parent].layer < places[name].layer
            assert len(drawing.route(parent, name)) == places[name].layer - places[parent].layer - 1
    layers: dict[int, list[tuple[float, float]]] = {}
    for place in places.values():
        assert place.height >= 0
        layers.setdefault(place.layer, []).append((place.height, 1.0))
    for (_, layer), height in drawing.passes.items():
        layers[layer].append((height, 0.45))
    for row in layers.values():
        row.sort()
        for (upper, above), (lower, below) in pairwise(row):
            assert lower - upper >= (above + below) / 2 - 0.02  # heights are rounded


def test_a_line_is_straight_and_roots_stand_beside_their_readers() -> None:
    drawing = draw(["a", "b", "late", "c"], {"b": ["a"], "c": ["b", "late"]})
    assert [drawing.places[name].layer for name in ("a", "b", "c", "late")] == [0, 1, 2, 1]
    assert draw(["a", "b", "c"], {"b": ["a"], "c": ["b"]}).places["c"].height == 0


def test_an_empty_graph() -> None:
    assert draw([], {}).places == {}
