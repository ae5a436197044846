"""The graph of a project's models and its build order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isomesh_dagster.errors import GraphError
from isomesh_dagster.model.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGraph:
    """Models and their edges. `order` has every parent before its children and is the same for the same models.

    `parents` and `children` hold models of the project only; tables that no model declares are not in the graph. What
    only a model's audits read comes before it in `order`, and is no parent.
    """

    models: Mapping[str, Model]
    parents: Mapping[str, tuple[str, ...]]
    children: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]

    def descendants(self, names: Iterable[str]) -> set[str]:
        """All models that read one of `names`, directly or through others; `names` themselves are not among them."""
        return _reach(names, self.children)

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """All models that `names` read, directly or through others; `names` themselves are not among them."""
        return _reach(names, self.parents)


def build_graph(models: Mapping[str, Model]) -> ModelGraph:
    """The graph of the models. A model may read itself; any longer cycle is a GraphError that shows its path."""
    parents = {
        name: tuple(parent for parent in model.depends_on if parent in models and parent != name)
        for name, model in models.items()
    }
    readers: dict[str, list[str]] = {name: [] for name in models}
    for name in sorted(models):
        for parent in parents[name]:
            readers[parent].append(name)
    children = {name: tuple(names) for name, names in readers.items()}
    earlier = {name: _earlier(model, parents[name], models) for name, model in models.items()}
    followers: dict[str, list[str]] = {name: list(names) for name, names in readers.items()}
    for name in sorted(models):
        for before in earlier[name][len(parents[name]) :]:
            followers[before].append(name)
    waiting = {name: len(names) for name, names in earlier.items()}
    ready = [name for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        name = heapq.heappop(ready)
        order.append(name)
        for child in followers[name]:
            waiting[child] -= 1
            if waiting[child] == 0:
                heapq.heappush(ready, child)
    if len(order) < len(models):
        raise _cycle_error(models, earlier, {name for name, count in waiting.items() if count})
    return ModelGraph(models=models, parents=parents, children=children, order=tuple(order))


def _earlier(model: Model, parents: tuple[str, ...], models: Mapping[str, Model]) -> tuple[str, ...]:
    """What must be built before the model: its parents, then what its audits read."""
    if not model.audit_reads:
        return parents
    return (*parents, *(name for name in model.audit_reads if name in models and name not in (model.name, *parents)))


def _reach(names: Iterable[str], edges: Mapping[str, tuple[str, ...]]) -> set[str]:
    start = list(names)
    seen: set[str] = set()
    todo = list(start)
    while todo:
        for following in edges.get(todo.pop(), ()):
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return seen.difference(start)


def _cycle_error(models: Mapping[str, Model], parents: Mapping[str, tuple[str, ...]], stuck: set[str]) -> GraphError:
    name = min(stuck)
    path = [name]
    seen = {name: 0}
    while True:
        name = min(parent for parent in parents[name] if parent in stuck)
        if name in seen:
            cycle = [*path[seen[name] :], name]
            break
        seen[name] = len(path)
        path.append(name)
    # `path` follows reads from reader to what it reads; people follow data, so it is shown the other way round
    shown = " → ".join(reversed(cycle))
    model = models[cycle[0]]
    return GraphError(
        f"models form a cycle: {shown}",
        path=model.path,
        line=model.line,
        model=model.name,
        hint="remove one of these references; a model may read only itself",
    )
