"""Files whose macros ask for columns of relations: read once those are known, and so after the models they follow from.

Nothing is ordered beforehand: what is asked for is answered, and whatever that needs is answered before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from isomesh_dagster.cache.columns import ColumnInference
from isomesh_dagster.cache.facts import FileFacts
from isomesh_dagster.errors import GraphError, IsomeshError
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import KnownColumns


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaiting:
    """A file that cannot be read yet: what its models will be called, and the relations whose columns it asks for."""

    path: str
    names: tuple[str, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """Goal: the models of a file."""

    path: str


@dataclass(frozen=True, slots=True)
class _Columns:
    """Goal: the columns of a relation."""

    name: str


_Goal = _File | _Columns

ReadFile = Callable[[str, Mapping[str, KnownColumns | None]], FileFacts | Awaiting]
"""The facts of the file at a path, given columns of relations; `Awaiting` when it asks for others, too."""


class AwaitingFiles:
    """Reads the files that wait, one after the other.

    `models` are those of all other files by name. `known` fills with the columns that were asked for; None where nobody
    knows them. Errors of files are collected in `errors`, and what waits for such a file is left out without a word.
    """

    def __init__(
        self,
        files: Iterable[Awaiting],
        models: Mapping[str, Model],
        inference: ColumnInference,
        read: ReadFile,
    ) -> None:
        self.known: dict[str, KnownColumns | None] = {}
        self.errors: list[IsomeshError] = []
        self._waiting = {file.path: file for file in files}
        self._owners = {name: file.path for file in self._waiting.values() for name in file.names}
        self._models = dict(models)
        self._inference = inference
        self._read = read
        self._failed: set[str] = set()
        self._facts: list[FileFacts] = []

    def read(self) -> list[FileFacts]:
        """The facts of all files that can be read."""
        while self._waiting:
            self._reach(_File(next(iter(self._waiting))))
        return self._facts

    @property
    def undeclared(self) -> frozenset[str]:
        """The tables that are asked for, or that models read, and that are no models."""
        read = {name for model in self._models.values() for name in model.depends_on}
        return frozenset({*self.known, *read} - self._models.keys() - self._owners.keys())

    def _reach(self, goal: _Goal) -> None:
        stack: list[_Goal] = [goal]
        while stack:
            needed = next((need for need in self._needs(stack[-1]) if not self._is_done(need)), None)
            if needed is None:
                self._do(stack[-1])
                if self._is_done(stack[-1]):
                    stack.pop()
            elif needed in stack:
                self.errors.append(_cycle([*stack[stack.index(needed) :], needed]))
                for waiting in stack:
                    self._fail(waiting)
                return
            else:
                stack.append(needed)

    def _is_done(self, goal: _Goal) -> bool:
        return goal.name in self.known if isinstance(goal, _Columns) else goal.path not in self._waiting

    def _needs(self, goal: _Goal) -> Iterable[_Goal]:
        if isinstance(goal, _File):
            return [_Columns(name) for name in self._waiting[goal.path].relations] if goal.path in self._waiting else []
        if goal.name in self._owners:
            owner = _File(self._owners[goal.name])
            if not self._is_done(owner):
                return [owner]
        model = self._models.get(goal.name)
        if model is None or model.columns is not None or not model.rendered:
            return []
        return [_Columns(parent) for parent in model.depends_on if parent in self._models or parent in self._owners]

    def _do(self, goal: _Goal) -> None:
        try:
            if isinstance(goal, _Columns):
                self._tell(goal)
                return
            if self._failed.intersection(self._waiting[goal.path].relations):
                self._fail(goal)
                return
            facts = self._read(goal.path, self.known)
        except IsomeshError as error:
            self.errors.append(error)
            self._fail(goal)
            return
        if isinstance(facts, Awaiting):
            self._waiting[goal.path] = facts
            return
        del self._waiting[goal.path]
        self._facts.append(facts)
        self._models.update({model.name: model for model in facts.models})

    def _tell(self, goal: _Columns) -> None:
        """The columns of a relation, when all that they follow from is known or known to have failed."""
        model = self._models.get(goal.name)
        if goal.name in self._failed or (model is not None and self._failed.intersection(model.depends_on)):
            self._fail(goal)
            return
        self.known[goal.name] = None
        if model is None:
            return
        self._inference.add(model)
        columns = self._inference.known[goal.name]
        if columns is not None:
            is_declared = model.columns is not None
            self.known[goal.name] = KnownColumns(columns=columns, dialect=model.dialect, is_declared=is_declared)

    def _fail(self, goal: _Goal) -> None:
        if isinstance(goal, _Columns):
            self.known[goal.name] = None
            self._failed.add(goal.name)
        elif goal.path in self._waiting:
            self._failed.update(self._waiting.pop(goal.path).names)


def _cycle(goals: list[_Goal]) -> GraphError:
    names = [goal.name for goal in goals if isinstance(goal, _Columns)]
    if names[0] != names[-1] or len(names) == 1:
        names.append(names[0])
    return GraphError(
        f"columns follow from each other: {' → '.join(reversed(names))}",
        path=next((goal.path for goal in goals if isinstance(goal, _File)), None),
        hint="list the columns in one of these models instead of asking for them",
    )
