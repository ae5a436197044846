"""Which models a plan is about: all of the files, or some of the files and the others as the environment shows them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isomesh_dagster.errors import PlanError, SelectionError
from isomesh_dagster.graph.order import ModelGraph, build_graph
from isomesh_dagster.snapshot.fingerprint import OwnFingerprint, fingerprints
from isomesh_dagster.snapshot.snapshot import Fingerprint, Snapshot

if TYPE_CHECKING:
    from isomesh_dagster.plan.columns import ColumnCatalog
    from isomesh_dagster.project.front import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The models a plan shall show. `is_whole` when these are just the project's files."""

    graph: ModelGraph
    fingerprints: Mapping[str, Fingerprint]
    is_whole: bool

    def columns(self, project: Project) -> ColumnCatalog:
        """The columns of these models, inferred as they are asked for."""
        from isomesh_dagster.plan.columns import ColumnCatalog

        return project.column_catalog() if self.is_whole else ColumnCatalog(self.graph.models)


def whole(project: Project) -> Scope:
    """All the project's files."""
    return Scope(graph=project.graph, fingerprints=project.fingerprints, is_whole=True)


def known_models(project: Project, shown: Mapping[str, Snapshot]) -> ModelGraph:
    """What a selection may name: the models of the files, and those that are only shown."""
    if shown.keys() <= project.models.keys():
        return project.graph
    return build_graph({**{name: one.model for name, one in shown.items()}, **project.models})


def limited(project: Project, shown: Mapping[str, Snapshot], names: Collection[str]) -> Scope:
    """The files' models among `names`; all others as they are shown: one that is not shown is not there, one that the
    files do not have any more stays.

    Raises PlanError when one of `names` reads a model that is new and not among them: nothing would be there to read.
    """
    models = {name: one.model for name, one in shown.items() if name not in names}
    own = {
        name: OwnFingerprint(data=shown[name].fingerprint.data, metadata=shown[name].fingerprint.metadata)
        for name in models
    }
    for name in names:
        if name in project.models:
            models[name] = project.models[name]
            own[name] = project.own[name]
    for name in names:
        model = models.get(name)
        lost = sorted(one for one in model.depends_on if one in project.models and one not in models) if model else []
        if model is not None and lost:
            raise PlanError(
                f"reads {', '.join(lost)}, which is new and not selected",
                model=name,
                path=model.path,
                line=model.line,
                hint=f"select what it reads as well: '+{name}'",
            )
    graph = build_graph(models)
    return Scope(graph=graph, fingerprints=fingerprints(graph, own), is_whole=False)


def named(project: Project, expressions: Iterable[str], graph: ModelGraph, option: str) -> tuple[str, ...]:
    """The models that the selections name, parents before children. Raises SelectionError when there are none."""
    from isomesh_dagster.git.changes import changed_paths
    from isomesh_dagster.graph.selection import parse_selection, select

    texts = list(expressions)
    selections = [parse_selection(text) for text in texts]
    branches = {branch for selection in selections for branch in selection.branches}
    changed = {branch: changed_paths(project.root, branch) for branch in sorted(branches)}
    found = select(selections, graph, changed=changed)
    if texts and not found:
        raise SelectionError(f"{option} selects no model: {', '.join(texts)}", hint="`isomesh models` lists them")
    return found
