"""Where models stand in a drawing of their graph: parents left of children, few crossings, edges as flat as they go.

In: parents by name. Out: for each name its layer (from 0, left to right) and its height (in rows, from 0), and for
edges that pass layers the heights at which they pass them, so that no edge runs behind a model. The same graph always
gives the same drawing. Fast enough for thousands of models.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 16
_SORTED_SWEEPS = 12  # the first ones may reorder a layer, the others only move what is in it
_TRUNK = 0.45  # how much room a passing edge takes, beside 1 for a model


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of one model: a layer and a height, both from 0; models of one layer are at least one apart."""

    layer: int
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Places by name; and by `(parent, layer)` the height at which the parent's edges pass that layer."""

    places: Mapping[str, Place]
    passes: Mapping[tuple[str, int], float]

    def route(self, parent: str, child: str) -> tuple[float, ...]:
        """The heights at which the edge passes the layers between the two."""
        between = range(self.places[parent].layer + 1, self.places[child].layer)
        return tuple(self.passes[parent, layer] for layer in between)


def draw(order: Sequence[str], parents: Mapping[str, Sequence[str]]) -> Drawing:
    """The drawing of the graph of `order`, which has parents before children; `parents` are names in it."""
    layers = _layers(order, parents)
    settling = _Settling(order, parents, layers)
    for sweep in range(_SWEEPS):
        settling.sweep(leftwards=sweep % 2 == 1, sort=sweep < _SORTED_SWEEPS)
    settling.straighten()
    height = settling.height
    top = min((height[name] for name in order), default=0.0)
    return Drawing(
        places={name: Place(layer=layers[name], height=round(height[name] - top, 2)) for name in order},
        passes={key: round(height[key] - top, 2) for key in settling.trunks},
    )


def _layers(order: Sequence[str], parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The layer of each name: right of all its parents; roots move next to their first child."""
    layers: dict[str, int] = {}
    nearest: dict[str, int] = {}
    for name in order:
        layers[name] = max((layers[parent] + 1 for parent in parents.get(name, ())), default=0)
        for parent in parents.get(name, ()):
            nearest[parent] = min(nearest.get(parent, layers[name]), layers[name])
    for name in order:
        if not parents.get(name) and name in nearest:
            layers[name] = nearest[name] - 1
    return layers


class _Settling:
    """Heights that get better sweep by sweep. What stands in a layer is a name, or a trunk: `(parent, layer)`."""

    def __init__(self, order: Sequence[str], parents: Mapping[str, Sequence[str]], layers: Mapping[str, int]) -> None:
        self.trunks: dict[tuple[str, int], None] = {}
        self._left: dict[Hashable, list[Hashable]] = {name: [] for name in order}
        self._right: dict[Hashable, list[Hashable]] = {name: [] for name in order}
        self._rows: list[list[Hashable]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
        for name in order:
            self._rows[layers[name]].append(name)
            for parent in parents.get(name, ()):
                last: Hashable = parent
                for layer in range(layers[parent] + 1, layers[name]):
                    trunk = (parent, layer)
                    if trunk not in self.trunks:
                        self.trunks[trunk] = None
                        self._left[trunk], self._right[trunk] = [], []
                        self._rows[layer].append(trunk)
                        self._join(last, trunk)
                    last = trunk
                self._join(last, name)
        self.height: dict[Hashable, float] = {one: float(at) for row in self._rows for at, one in enumerate(row)}

    def _join(self, left: Hashable, right: Hashable) -> None:
        self._right[left].append(right)
        self._left[right].append(left)

    def sweep(self, *, leftwards: bool, sort: bool) -> None:
        """Draw every layer towards its neighbours on one side."""
        towards = self._right if leftwards else self._left
        for row in reversed(self._rows) if leftwards else self._rows:
            self._settle(row, {one: self._middle(one, towards[one]) for one in row}, sort=sort)

    def straighten(self) -> None:
        """Draw every layer towards both sides."""
        for row in self._rows:
            self._settle(row, {one: self._middle(one, self._left[one] + self._right[one]) for one in row}, sort=False)

    def _middle(self, one: Hashable, others: Sequence[Hashable]) -> float:
        return sum(self.height[other] for other in others) / len(others) if others else self.height[one]

    def _settle(self, row: list[Hashable], wanted: Mapping[Hashable, float], *, sort: bool) -> None:
        """Give a layer the heights closest to the wanted ones that keep the order and leave room for each."""
        if sort:
            row.sort(key=lambda one: wanted[one])
        offsets: list[float] = []  # how far each is below the first when all touch
        for at, one in enumerate(row):
            room = (self._room(row[at - 1]) + self._room(one)) / 2 if at else 0.0
            offsets.append(offsets[-1] + room if at else 0.0)
        blocks: list[tuple[float, int]] = []  # what pushes each other moves together: sum of wishes, how many
        for one, offset in zip(row, offsets, strict=True):
            total, count = wanted[one] - offset, 1
            while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
                before = blocks.pop()
                total, count = total + before[0], count + before[1]
            blocks.append((total, count))
        at = 0
        for total, count in blocks:
            for _ in range(count):
                self.height[row[at]] = total / count + offsets[at]
                at += 1

    def _room(self, one: Hashable) -> float:
        return _TRUNK if isinstance(one, tuple) else 1.0
