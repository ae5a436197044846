"""The graph: order, reach, cycles."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.errors import GraphError
from isomesh_dagster.graph.order import build_graph
from isomesh_dagster.model.kinds import Full
from isomesh_dagster.model.model import Model


def models(**reads: str):
    return {
        name: Model(
            name=name, path=f"models/{name}.sql", dialect="duckdb", kind=Full(), depends_on=tuple(parents.split())
        )
        for name, parents in reads.items()
    }


def test_parents_come_first_and_unknown_tables_stay_out():
    graph = build_graph(models(c="b raw", b="a", a="a raw"))
    assert graph.order == ("a", "b", "c")
    assert graph.parents == {"c": ("b",), "b": ("a",), "a": ()}
    assert graph.children["a"] == ("b",)
    assert graph.descendants(["a"]) == {"b", "c"}
    assert graph.ancestors(["c"]) == {"a", "b"}


def test_a_cycle_is_shown_as_a_path():
    with pytest.raises(GraphError) as caught:
        build_graph(models(a="c", b="a", c="b", d="c"))
    assert "a → b → c → a" in caught.value.message
    assert caught.value.path == "models/a.sql"


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=40), st.randoms())
def test_the_order_respects_every_edge_and_ignores_insertion_order(edges, random):
    reads: dict[str, set[str]] = {f"m{i:02}": set() for i in range(16)}
    for left, right in edges:
        if left != right:
            reads[f"m{max(left, right):02}"].add(f"m{min(left, right):02}")
    items = [(name, " ".join(sorted(parents))) for name, parents in reads.items()]
    graph = build_graph(models(**dict(items)))
    place = {name: index for index, name in enumerate(graph.order)}
    assert all(place[parent] < place[name] for name, parents in reads.items() for parent in parents)
    random.shuffle(items)
    assert build_graph(models(**dict(items))).order == graph.order


def test_what_audits_read_comes_first_and_is_no_parent():
    made = models(a="", b="z", z="")
    made["a"] = replace(made["a"], audit_reads=("b", "raw"))
    graph = build_graph(made)
    assert graph.order == ("z", "b", "a")
    assert graph.parents["a"] == ()
    assert graph.descendants(["b"]) == set()
    made["b"] = replace(made["b"], depends_on=("a",))
    with pytest.raises(GraphError, match=r"models form a cycle"):
        build_graph(made)
