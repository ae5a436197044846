"""From what changed to snapshots: one pass over the graph gives every model category, version and physical table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.kinds import Embedded, External, View, is_physical
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.categorize import ALL, Judgement, judge_direct, judge_indirect
from isomesh_dagster.plan.choices import Choices, Chooser, insisted
from isomesh_dagster.plan.columns import ColumnCatalog
from isomesh_dagster.plan.diff import Diff, text_diff
from isomesh_dagster.plan.plan import Change, ChangeType, Decision
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.fingerprint import digest
from isomesh_dagster.snapshot.naming import Convention, physical_relation
from isomesh_dagster.snapshot.snapshot import Category, Fingerprint, Snapshot

if TYPE_CHECKING:
    from isomesh_dagster.model.settings import AutoCategorize


def decide(
    graph: ModelGraph,
    fingerprints: Mapping[str, Fingerprint],
    shown: Mapping[str, Snapshot],
    difference: Diff,
    known: Iterable[Snapshot],
    columns: ColumnCatalog,
    built: frozenset[str] = frozenset(),
    macros: ProjectMacros = NO_MACROS,
    *,
    choices: Choices = MappingProxyType({}),
    reasons: Mapping[str, str] = MappingProxyType({}),
    automatic: AutoCategorize | None = None,
    convention: Convention = "schema_and_table",
) -> Decision:
    """Categorize every change and choose each snapshot's version.

    `shown` are the snapshots of the environment compared with, `known` snapshots of the state with the same name
    and identity as a changed model, `columns` the columns of the new models, `macros` the project's own as they are
    now, `built` the physical relations (dotted) that hold rows. Versions: content-addressed where rows change; the
    shown version is kept where they don't; among versions that are right for the same files one that is already
    built is taken, so that what a preview built is what a deployment shows.

    `choices` are categories people chose for models that are edited or new, `reasons` what those among them that were
    recorded say for themselves. `automatic` says which edits are left to
    them (None: none are); PlanError when one of these was not chosen. `convention` is how new tables are called; those
    that are known keep their names.
    """
    judge = _Judge(graph=graph, shown=shown, columns=columns, macros=macros)
    chooser, from_files = Chooser(choices, automatic, reasons), insisted(choices, graph)
    by_name: dict[str, list[Snapshot]] = {}
    for snapshot in known:
        by_name.setdefault(snapshot.name, []).append(snapshot)
    snapshots: dict[str, Snapshot] = {}
    changes: list[Change] = []
    repoints: set[str] = set()
    for name in graph.order:
        if name not in difference.changed:
            snapshots[name] = shown[name]
            continue
        model, change = graph.models[name], difference.changed[name]
        judgement = judge.of(name, change, chooser)
        old = shown.get(name)
        version = _version(model, fingerprints[name], judgement, old, snapshots, graph)
        like = [one for one in (old, *by_name.get(name, ())) if one is not None]
        if not isinstance(model.kind, View | Embedded | External) and name not in from_files:
            is_built = str(_relation(model, version, like, convention)) in built
            version = version if is_built else _already_built(version, by_name.get(name, ()), built)
        snapshots[name] = Snapshot(
            model=model,
            fingerprint=fingerprints[name],
            version=version,
            category=judgement.category,
            physical=_relation(model, version, like, convention) if is_physical(model.kind) else None,
            parents=tuple(snapshots[parent].id for parent in graph.parents[name]),
        )
        if isinstance(model.kind, View) and judgement.category in (Category.INDIRECT_NON_BREAKING, Category.METADATA):
            repoints.add(name)
        changes.append(_change(name, change, judgement, old, model))
    chooser.refuse_undecided()
    changes.extend(
        Change(model=name, change=ChangeType.REMOVED, category=None, reason="no longer in the project")
        for name in difference.removed
    )
    return Decision(
        snapshots=snapshots,
        changes=tuple(changes),
        repoints=frozenset(repoints),
        choices={name: category for name, category in choices.items() if name in difference.changed},
    )


class _Judge:
    """Judgements in build order; remembers which columns of each model changed, for its readers."""

    def __init__(
        self, *, graph: ModelGraph, shown: Mapping[str, Snapshot], columns: ColumnCatalog, macros: ProjectMacros
    ) -> None:
        self._graph = graph
        self._macros = macros
        self._shown = shown
        self._new_columns = columns
        self._old_columns = ColumnCatalog({name: snapshot.model for name, snapshot in shown.items()})
        self._hits: dict[str, frozenset[str]] = {}
        self._additions: dict[str, frozenset[str]] = {}

    def of(self, name: str, change: ChangeType, chooser: Chooser) -> Judgement:
        judgement = self._judge(name, change, chooser)
        if judgement.changed:
            self._hits[name] = judgement.changed
        if judgement.added or judgement.reordered:
            self._additions[name] = judgement.added
        return judgement

    def _judge(self, name: str, change: ChangeType, chooser: Chooser) -> Judgement:
        if change is ChangeType.ADDED:
            # nothing in this environment read it as a model before, so for its readers everything about it is new
            new_one = Judgement(category=Category.BREAKING, reason="new in this environment", changed=ALL)
            return chooser.of_new(self._graph.models[name], new_one)
        if change is ChangeType.METADATA:
            return Judgement(category=Category.METADATA, reason="only properties that do not touch rows")
        old, new = self._shown[name].model, self._graph.models[name]
        hits, additions = self._of_parents(name)
        own: Judgement | None = None
        if change is ChangeType.DIRECT:
            schemas = self._old_columns.schema(name), self._new_columns.schema(name)
            own = judge_direct(old, new, *schemas, self._macros)
            own = chooser.of_edit(new, own)
            if own.changed == ALL or not (hits or additions):
                return own
        inherited = judge_indirect(
            old, new, self._old_columns.schema(name), self._new_columns.schema(name), hits, additions
        )
        return inherited if own is None else _combined(own, inherited)

    def _of_parents(self, name: str) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
        parents = self._graph.parents[name]
        return (
            {parent: self._hits[parent] for parent in parents if parent in self._hits},
            {parent: self._additions[parent] for parent in parents if parent in self._additions},
        )


_WEIGHT = {
    Category.METADATA: 0,
    Category.INDIRECT_NON_BREAKING: 0,
    Category.NON_BREAKING: 1,
    Category.INDIRECT_BREAKING: 2,
    Category.BREAKING: 3,
    Category.FORWARD_ONLY: 3,
}


def _combined(own: Judgement, inherited: Judgement) -> Judgement:
    """A model edited itself while its parents changed: the graver category, all changed columns."""
    graver = own if _WEIGHT[own.category] >= _WEIGHT[inherited.category] else inherited
    if _WEIGHT[inherited.category] == 0:
        return own
    changed = ALL if ALL in (own.changed, inherited.changed) else own.changed | inherited.changed
    return Judgement(
        category=graver.category,
        reason=f"{own.reason}; {inherited.reason}" if own.reason != inherited.reason else own.reason,
        changed=changed,
        added=own.added | inherited.added,
        reordered=own.reordered or inherited.reordered,
    )


def _version(
    model: Model,
    fingerprint: Fingerprint,
    judgement: Judgement,
    old: Snapshot | None,
    snapshots: Mapping[str, Snapshot],
    graph: ModelGraph,
) -> str:
    if isinstance(model.kind, View | Embedded):
        # nothing but text over its parents' tables: the same definition over the same tables is the same object
        tables = [upstream_table(snapshots[parent]) for parent in graph.parents[model.name]]
        return digest([fingerprint.data, sorted(tables)], size=8)
    reuses = judgement.category in (Category.METADATA, Category.INDIRECT_NON_BREAKING)
    return old.version if reuses and old is not None else fingerprint.version


def upstream_table(snapshot: Snapshot) -> str:
    """What a reader of this snapshot really reads: its table or view, or the version of an embedded query, or an
    external table.
    """
    return str(snapshot.physical) if snapshot.physical is not None else f"{snapshot.name}@{snapshot.version}"


def _relation(model: Model, version: str, like: Iterable[Snapshot], convention: Convention) -> Relation:
    """The table of this version: as an earlier snapshot of it calls it, whatever the convention is now."""
    for one in like:
        if one.version == version and one.physical is not None:
            return one.physical
    return physical_relation(model, version, convention)


def _already_built(version: str, known: Iterable[Snapshot], built: frozenset[str]) -> str:
    """`version`, unless only another version of the very same files has rows."""
    for snapshot in sorted(known, key=lambda one: one.id):
        if snapshot.physical is not None and str(snapshot.physical) in built and snapshot.version != version:
            return snapshot.version
    return version


def _change(name: str, change: ChangeType, judgement: Judgement, old: Snapshot | None, new: Model) -> Change:
    # a star reader whose columns change is still an indirect change: nobody edited it
    shows_text = change in (ChangeType.DIRECT, ChangeType.METADATA) and old is not None
    columns = judgement.changed | judgement.added
    return Change(
        model=name,
        change=change,
        category=judgement.category,
        reason=judgement.reason,
        diff=text_diff(old.model, new) if shows_text and old is not None else "",
        columns=tuple(sorted(columns - ALL)),
    )
