"""From what changed to snapshots: one pass over the graph gives every model category, version and physical table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.kinds import Embedded, External, View, is_physical
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.automatic import AutoCategorize
from isomesh_dagster.plan.categorize import judge_direct, judge_indirect
from isomesh_dagster.plan.choices import Choices, Chooser, insisted
from isomesh_dagster.plan.columns import ColumnCatalog
from isomesh_dagster.plan.diff import Diff, metadata_words, text_diff
from isomesh_dagster.plan.forward_only import KEEPS_TABLE, NO_FORWARD_ONLY, ForwardOnly
from isomesh_dagster.plan.judgement import ALL, Judgement
from isomesh_dagster.plan.plan import NEW, Change, ChangeType, Decision
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.fingerprint import digest
from isomesh_dagster.snapshot.naming import Convention, physical_relation, preview_relation
from isomesh_dagster.snapshot.snapshot import Category, Fingerprint, Snapshot


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
    forward_only: ForwardOnly = NO_FORWARD_ONLY,
    diff_rendered: bool = False,
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
    that are known keep their names. `forward_only` says which changes keep the shown version although rows change, and
    whether a preview shows them. `diff_rendered`: texts are compared with their macros expanded.
    """
    judge = _Judge(graph=graph, shown=shown, columns=columns, macros=macros, forward_only=forward_only)
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
        parents = [snapshots[parent] for parent in graph.parents[name]]
        like = [one for one in (old, *by_name.get(name, ())) if one is not None]
        tables = _Tables(model, like, by_name.get(name, ()), built, forward_only.altered, convention)
        snapshots[name] = _placed(
            Snapshot(
                model=model,
                fingerprint=fingerprints[name],
                version=_version(model, fingerprints[name], judgement, old, parents),
                category=judgement.category,
                physical=None,
                parents=tuple(parent.id for parent in parents),
            ),
            old,
            parents,
            tables,
            forward_only,
            from_files=name in from_files,
        )
        if isinstance(model.kind, View) and judgement.category in (Category.INDIRECT_NON_BREAKING, Category.METADATA):
            repoints.add(name)
        changes.append(_change(name, change, judgement, old, model, diff_rendered=diff_rendered))
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
        self,
        *,
        graph: ModelGraph,
        shown: Mapping[str, Snapshot],
        columns: ColumnCatalog,
        macros: ProjectMacros,
        forward_only: ForwardOnly,
    ) -> None:
        self._graph = graph
        self._forward_only = forward_only
        self._kept: set[str] = set()
        self._macros = macros
        self._shown = shown
        self._new_columns = columns
        self._old_columns = ColumnCatalog({name: snapshot.model for name, snapshot in shown.items()})
        self._hits: dict[str, frozenset[str]] = {}
        self._additions: dict[str, frozenset[str]] = {}

    def of(self, name: str, change: ChangeType, chooser: Chooser) -> Judgement:
        judgement = self._judge(name, change, chooser)
        if _keeps(judgement):
            self._kept.add(name)
        if judgement.changed:
            self._hits[name] = judgement.changed
        if judgement.added or judgement.reordered:
            self._additions[name] = judgement.added
        return judgement

    def _judge(self, name: str, change: ChangeType, chooser: Chooser) -> Judgement:
        if change is ChangeType.ADDED:
            # nothing in this environment read it as a model before, so for its readers everything about it is new; but
            # of a table that was there before somebody declared it
            new = self._graph.models[name]
            changed = frozenset[str]() if isinstance(new.kind, External) else ALL
            return chooser.of_new(new, Judgement(category=Category.BREAKING, reason=NEW, changed=changed))
        if change is ChangeType.METADATA:
            told = metadata_words(self._shown[name].model, self._graph.models[name])
            return Judgement(category=Category.METADATA, reason=told)
        old, new = self._shown[name].model, self._graph.models[name]
        hits, additions = self._of_parents(name)
        own: Judgement | None = None
        if change is ChangeType.DIRECT:
            schemas = self._old_columns.schema(name), self._new_columns.schema(name)
            own = judge_direct(old, new, *schemas, self._macros)
            kept = self._forward_only.of_edit(old, new, own, chooser.chosen(name))
            if kept is not None:
                return kept
            own = chooser.of_edit(new, own)
            if own.changed == ALL or not (hits or additions):
                return own
        inherited = judge_indirect(
            old, new, self._old_columns.schema(name), self._new_columns.schema(name), hits, additions
        )
        kept = self._forward_only.of_reader(old, new, inherited, {*hits, *additions}, self._kept)
        inherited = inherited if kept is None else kept
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
    # what is built anew from its own edit reads what its parents keep: there is nothing to keep for them
    is_anew = own.category in (Category.NON_BREAKING, Category.BREAKING) and _keeps(inherited)
    graver = own if is_anew or _WEIGHT[own.category] >= _WEIGHT[inherited.category] else inherited
    if _WEIGHT[inherited.category] == 0:
        return own
    changed = ALL if ALL in (own.changed, inherited.changed) else own.changed | inherited.changed
    reading = inherited.reason.removesuffix(f"; {KEEPS_TABLE}") if is_anew else inherited.reason
    return Judgement(
        category=graver.category,
        reason=f"{own.reason}; {reading}" if own.reason != reading else own.reason,
        changed=changed,
        added=own.added | inherited.added,
        reordered=own.reordered or inherited.reordered,
    )


def _keeps(judgement: Judgement) -> bool:
    return judgement.category is Category.FORWARD_ONLY


def _version(
    model: Model,
    fingerprint: Fingerprint,
    judgement: Judgement,
    old: Snapshot | None,
    parents: Iterable[Snapshot],
) -> str:
    if isinstance(model.kind, View | Embedded):
        # nothing but text over its parents' tables: the same definition over the same tables is the same object
        tables = [upstream_table(parent) for parent in parents]
        return digest([fingerprint.data, sorted(tables)], size=8)
    return old.version if judgement.category in _REUSING and old is not None else fingerprint.version


_REUSING = (Category.METADATA, Category.INDIRECT_NON_BREAKING, Category.FORWARD_ONLY)


def upstream_table(snapshot: Snapshot) -> str:
    """What a reader of this snapshot really reads: its table or view, or the version of an embedded query, or an
    external table.
    """
    return str(snapshot.physical) if snapshot.physical is not None else f"{snapshot.name}@{snapshot.version}"


class _Tables:
    """The tables of one model: what a version is called, and which are right for its files."""

    def __init__(
        self,
        model: Model,
        like: Iterable[Snapshot],
        known: Iterable[Snapshot],
        built: frozenset[str],
        altered: frozenset[str],
        convention: Convention,
    ) -> None:
        self._model = model
        self._like = tuple(like)
        self._known = sorted(known, key=lambda one: one.id)
        self._built = built
        self._altered = altered
        self.convention = convention

    def of(self, version: str) -> Relation:
        """The table of this version: as an earlier snapshot of it calls it, whatever the convention is now."""
        for one in self._like:
            if one.version == version and one.physical is not None:
                return one.physical
        return physical_relation(self._model, version, self.convention)

    def right(self, version: str, *, from_files: bool) -> str:
        """`version`, unless only another version of the very same files has rows, or the table of that name has taken
        in forward-only changes since it was made. `from_files`: what is built already does not count.
        """
        table = str(self.of(version))
        if table not in self._altered and (from_files or table in self._built):
            return version
        whole = self._built - self._altered
        for snapshot in () if from_files else self._known:
            if str(snapshot.physical) in whole and not snapshot.is_preview:
                return snapshot.version
        candidate, again = version, 0
        while str(self.of(candidate)) in self._altered:
            again += 1
            candidate = digest([version, again], size=8)
        return candidate


def _placed(
    made: Snapshot,
    old: Snapshot | None,
    parents: Sequence[Snapshot],
    tables: _Tables,
    forward_only: ForwardOnly,
    *,
    from_files: bool,
) -> Snapshot:
    """The snapshot with its version and its table, `old` being what is shown now. What reads a preview is one."""
    model = made.model
    stays = old is not None and made.category in _REUSING  # a version that is equal by chance may be another table
    reads_preview = any(parent.is_preview for parent in parents)
    if isinstance(model.kind, View | Embedded | External):  # no rows of its own: the version tells what it reads
        physical = tables.of(made.version) if is_physical(model.kind) else None
        made = replace(made, physical=physical, is_preview=reads_preview)
        return (forward_only.shown_by_production(made) if reads_preview else None) or made
    keeps = made.category is Category.FORWARD_ONLY
    if (keeps and forward_only.previews) or (reads_preview and not stays):
        read = sorted(upstream_table(parent) for parent in parents)
        version = digest([made.fingerprint.version, "preview", read], size=8)
        physical = preview_relation(model, version, tables.convention)
        made = replace(made, version=version, physical=physical, is_preview=True)
        return forward_only.shown_by_production(made) or made
    version = made.version if stays else tables.right(made.version, from_files=from_files)
    return replace(
        made, version=version, physical=tables.of(version), is_preview=old is not None and stays and old.is_preview
    )


def _change(
    name: str,
    change: ChangeType,
    judgement: Judgement,
    old: Snapshot | None,
    new: Model,
    *,
    diff_rendered: bool,
) -> Change:
    # a star reader whose columns change is still an indirect change: nobody edited it
    shows_text = change in (ChangeType.DIRECT, ChangeType.METADATA) and old is not None
    columns = judgement.changed | judgement.added
    return Change(
        model=name,
        change=change,
        category=judgement.category,
        reason=judgement.reason,
        diff=text_diff(old.model, new, rendered=diff_rendered) if shows_text and old is not None else "",
        columns=tuple(sorted(columns - ALL)),
    )
