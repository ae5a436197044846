"""Migration: tables that stay get the columns of their new definition, in the transaction that swaps the views.

`prepare` asks, outside of it, which columns the new definitions give; `migrate` alters the tables inside of it and
makes every view of ours that reads one again, those of other environments too. Until then, who reads such a table reads
a stand-in: the table as it will be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import EngineError, PlanError, WriteConflict
from isomesh_dagster.evaluation.rows import cast
from isomesh_dagster.evaluation.texts import Surroundings, Texts, view_query
from isomesh_dagster.model import kinds
from isomesh_dagster.model.kinds import Embedded
from isomesh_dagster.plan.migration import Columns, allowed_changes, column_changes
from isomesh_dagster.plan.plan import Migrate
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.homes import check_others
from isomesh_dagster.relation import Column, ColumnChange, Relation, quote
from isomesh_dagster.snapshot.environment import Target, View
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId
from isomesh_dagster.state.protocol import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Alteration:
    """A table that stays, and the columns its new definition gives it. `only_adds`: it loses and casts nothing, and is
    asked for no allowance: columns that were dropped come back empty.
    """

    step: Migrate
    wanted: tuple[tuple[str, str], ...]
    only_adds: bool = False

    @property
    def relation(self) -> Relation:
        """The table."""
        return table_of(self.step.snapshot)

    def changes(self, current: Columns) -> tuple[ColumnChange, ...]:
        """What is done to the table as it is. Raises PlanError for what must not be done."""
        changes = column_changes(current, self.wanted)
        if self.only_adds:
            return tuple(change for change in changes if change.was is None)
        return allowed_changes(self.step, changes)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a migration will do: `alterations`, parents first; `stand_ins`, by model, queries in the engine's dialect
    that give a table as it will be; `waiting`, models whose definition reads what is not built yet.
    """

    alterations: tuple[Alteration, ...] = ()
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()


def prepare(session: Session, steps: Iterable[Migrate], around: Surroundings, *, only_adds: bool = False) -> Prepared:
    """Ask the warehouse what the new definitions give. Not inside a transaction.

    Raises PlanError for a change that must not be made.
    """
    alterations: list[Alteration] = []
    stand_ins: dict[str, str] = {}
    waiting: list[str] = []
    for step in steps:
        snapshot = step.snapshot
        try:
            wanted = definition_columns(session, snapshot, replace(around, stand_ins=stand_ins), runs_statements=True)
        except EngineError:
            waiting.append(snapshot.name)
            continue
        alteration = Alteration(step=step, wanted=wanted, only_adds=only_adds)
        alterations.append(alteration)
        current = session.columns(alteration.relation)
        changes = alteration.changes(current)
        if changes:
            stand_ins[snapshot.name] = stand_in(alteration.relation, current, changes)
    return Prepared(alterations=tuple(alterations), stand_ins=stand_ins, waiting=tuple(waiting))


def bring_back(
    session: Session, snapshots: Sequence[Snapshot], shown: Mapping[str, Snapshot], around: Surroundings
) -> tuple[tuple[Alteration, ...], tuple[str, ...]]:
    """What earlier definitions (`snapshots`, parents first) need of tables that later ones have altered, and sentences
    about what does not come back. `shown` is what the environment shows until now. Raises PlanError when a definition
    cannot be read any more.
    """
    prepared = prepare(session, [Migrate(snapshot=one) for one in snapshots], around, only_adds=True)
    if prepared.waiting:
        raise PlanError(
            f"the definition of that time reads what is not there any more: {', '.join(prepared.waiting)}",
            hint="check out the files of that time and plan: what is missing is built again",
        )
    notes = []
    for alteration in prepared.alterations:
        snapshot, table = alteration.step.snapshot, alteration.relation
        now = shown.get(snapshot.name)
        current = session.columns(table)
        wanted = {name.lower() for name, _ in alteration.wanted}
        empty = [change.name for change in alteration.changes(current)]
        extra = [name for name, _ in current if name.lower() not in wanted]
        if not empty and not extra and (now is None or now.physical != table or now.id == snapshot.id):
            continue
        parts = [f"{snapshot.name}: {table} keeps the rows that later definitions wrote"]
        if empty:
            parts.append(f"{', '.join(empty)} {'comes' if len(empty) == 1 else 'come'} back without values")
        if extra:
            parts.append(f"{', '.join(extra)} {'stays' if len(extra) == 1 else 'stay'}, empty in new rows")
        notes.append("; ".join(parts))
    return prepared.alterations, tuple(notes)


def definition_columns(
    session: Session, snapshot: Snapshot, around: Surroundings, *, runs_statements: bool = False
) -> tuple[tuple[str, str], ...]:
    """The columns that the definition gives its table, in the engine's spelling. Raises EngineError when it reads what
    is not there. `runs_statements`: the model's statements may be run for it, in a transaction that is taken back,
    since its query may read what they make.
    """
    texts = Texts(snapshot, around)
    typed = texts.typed()
    if typed is not None and all(column.type != "UNKNOWN" for column in typed):
        # asked all the same: the engine spells types in its own way
        items = ", ".join(f"CAST(NULL AS {column.type}) AS {quote(column.name)}" for column in typed)
        columns = session.query_columns(f"SELECT {items}")
    else:
        columns = _query_columns(session, texts, typed, runs_statements=runs_statements)
    managed = texts.of_kind(None).managed
    if managed:
        items = ", ".join(f"CAST(NULL AS {column.type}) AS {quote(column.name)}" for column in managed)
        columns = [*columns, *session.query_columns(f"SELECT {items}")]
    return tuple(columns)


class _TakenBack(Exception):
    """Ends a transaction of which nothing may stay."""


def _query_columns(
    session: Session, texts: Texts, typed: tuple[Column, ...] | None, *, runs_statements: bool
) -> list[tuple[str, str]]:
    text = texts.batch(None, is_new=False)
    query = cast(text.query, typed)
    try:
        return session.query_columns(query)
    except EngineError:
        if not text.pre or not runs_statements:
            raise
    columns: list[tuple[str, str]] = []
    with suppress(_TakenBack), session.transaction():
        for statement in text.pre:
            session.execute(statement)
        columns = session.query_columns(query)
        raise _TakenBack
    return columns


def table_of(snapshot: Snapshot) -> Relation:
    """The snapshot's table."""
    if snapshot.physical is None:
        raise PlanError("has no table to migrate", model=snapshot.name)
    return snapshot.physical


def holds_rows(snapshot: Snapshot) -> bool:
    """Whether the snapshot has a table of its own."""
    return snapshot.physical is not None and not isinstance(snapshot.model.kind, kinds.View)


def in_order(snapshots: Mapping[str, Snapshot]) -> list[Snapshot]:
    """The snapshots, parents before children."""
    ordered: dict[str, Snapshot] = {}

    def visit(name: str) -> None:
        snapshot = snapshots.get(name)
        if snapshot is None or name in ordered:
            return
        for parent in snapshot.parents:
            visit(parent.name)
        ordered[name] = snapshot

    for name in sorted(snapshots):
        visit(name)
    return list(ordered.values())


def migrate(
    session: Session,
    state: StateStore,
    alterations: Sequence[Alteration],
    around: Surroundings,
    environment: str,
) -> set[str]:
    """Inside the transaction of the swap: alter the tables, and make the views that read them again.

    `around` is what `environment` shows afterwards. Returns the physical relations (dotted) whose columns may have
    changed: altered tables, and views over them. Making those views of `environment` again that show them is left to
    the caller, and so is telling the state what is loaded of the `standing` views: those that nobody shows are gone.
    """
    todo: list[tuple[Alteration, tuple[ColumnChange, ...]]] = []
    for alteration in alterations:
        changes = alteration.changes(session.columns(alteration.relation))
        if changes or alteration.only_adds:
            todo.append((alteration, changes))
    if not todo:
        return set()
    tables = {str(alteration.relation) for alteration, _ in todo}
    around = replace(around, stand_ins={})
    mine = tuple(readers(tables, around))
    changed = tables | {str(relation) for relation, _ in mine}
    shown = warehouse.all_shown(session)
    others = [_Other.of(session, state, one, changed) for one in shown if one.name != environment]
    check_others(shown, environment, changed)
    remade = _Remade(session=session, around=around, mine=mine, others=[one for one in others if one.views])
    _drop_left(session, state, tables, changed, shown, environment)
    if any(change.was is not None for _, changes in todo for change in changes):
        remade.detach()  # an engine may not let a column go from under a view
    for alteration, changes in todo:
        if changes:
            session.alter_table(alteration.relation, changes)
    remade.make()
    return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Other:
    """Another environment that shows what is altered: its snapshots, and by model the view and what it stands on, of
    which `columns` are those the view has.
    """

    name: str
    snapshots: Mapping[str, Snapshot]
    target: Target
    views: Mapping[str, View]
    columns: Mapping[str, Columns]

    @classmethod
    def of(cls, session: Session, state: StateStore, shown: warehouse.Shown, changed: Collection[str]) -> _Other:
        views = {name: view for name, view in shown.target.views.items() if view.physical in changed}
        found = state.snapshots(shown.target.snapshots.values()) if views else {}
        return cls(
            name=shown.name,
            snapshots={one.name: one for one in found.values()},
            target=shown.target,
            views=views,
            columns={name: session.columns(Relation.parse(view.view)) for name, view in views.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remade:
    """The views that read what is altered, made again: `mine`, those of the new definitions with their queries, and
    those of other environments, which keep the columns they have: what a table has no more is empty there.
    """

    session: Session
    around: Surroundings
    mine: Sequence[tuple[Relation, str]]
    others: Sequence[_Other]

    def detach(self) -> None:
        """None of them reads anything until it is made; each has its columns."""
        relations = {str(relation) for relation, _ in self.mine}
        for other in self.others:
            relations.update(view.view for view in other.views.values())
            relations.update(str(relation) for relation, _ in self._theirs(other, {}))
        for name in sorted(relations):
            relation = Relation.parse(name)
            if columns := self.session.columns(relation):
                items = ", ".join(f"CAST(NULL AS {kind}) AS {quote(column)}" for column, kind in columns)
                self.session.replace_view(relation, f"SELECT {items} WHERE FALSE")

    def make(self) -> None:
        """Make them. Raises EngineError that names environment and view when one cannot be."""
        for relation, query in self.mine:
            self.session.replace_view(relation, query)
        done = {str(relation) for relation, _ in self.mine}
        for other in self.others:
            shapes = self._shapes(other)
            theirs = set()
            for relation, query in self._theirs(other, shapes):
                theirs.add(str(relation))
                if str(relation) not in done:
                    self._replace(other, relation, query)
                    done.add(str(relation))
            for name, view in other.target.views.items():
                if name in other.views or view.physical in theirs:
                    self._replace(other, Relation.parse(view.view), shapes.get(name) or self._shown(view))

    def _shown(self, view: View) -> str:
        return view_query(view.physical, view.view, self.session.default_catalog)

    def _theirs(self, other: _Other, shapes: Mapping[str, str]) -> Iterator[tuple[Relation, str]]:
        stands_on = {view.physical for view in other.views.values()}
        return readers(stands_on, replace(self.around, snapshots=other.snapshots, stand_ins=shapes))

    def _shapes(self, other: _Other) -> dict[str, str]:
        """By model, the query that gives what it stands on with all columns of its view; none where it has them all."""
        shapes = {}
        for name, view in other.views.items():
            physical = Relation.parse(view.physical)
            shape = keeping(physical, self.session.columns(physical), other.columns[name])
            if shape is not None:
                shapes[name] = shape
        return shapes

    def _replace(self, other: _Other, relation: Relation, query: str) -> None:
        try:
            self.session.replace_view(relation, query)
        except WriteConflict:
            raise
        except EngineError as error:
            raise EngineError(
                f"environment {other.name!r} could not show {relation} any more: {error.message}",
                hint=f"plan {other.name} again, or end it: `isomesh invalidate {other.name}`; nothing was changed",
            ) from error


def keeping(relation: Relation, present: Columns, columns: Columns) -> str | None:
    """A query that gives the relation, which has the columns `present`, with all of `columns`, in their order: those it
    does not have are empty. None when it has them all.
    """
    names = {name.lower(): name for name, _ in present}
    if all(name.lower() in names for name, _ in columns):
        return None
    before = {name.lower() for name, _ in columns}
    items = [
        quote(names[name.lower()]) if name.lower() in names else f"CAST(NULL AS {kind}) AS {quote(name)}"
        for name, kind in columns
    ]
    items += [quote(name) for name, _ in present if name.lower() not in before]
    return f"SELECT {', '.join(items)} FROM {relation.sql}"


def standing(state: StateStore, tables: Collection[str]) -> list[Snapshot]:
    """All views the state knows that read the tables (dotted), directly or through one another, parents first."""
    known = {one.id: one for one in state.snapshots_named(None)}
    found: dict[SnapshotId, Snapshot] = {}
    reading: dict[SnapshotId, bool] = {}

    def reads(one: Snapshot) -> bool:
        if one.id not in reading:
            above = [known[parent] for parent in one.parents if parent in known]
            through = [reads(parent) for parent in above]  # all of them: what they read is found first
            passes = isinstance(one.model.kind, kinds.View | Embedded)
            reading[one.id] = passes and (any(through) or any(str(parent.physical) in tables for parent in above))
            if reading[one.id] and one.physical is not None:
                found[one.id] = one
        return reading[one.id]

    for one in known.values():
        reads(one)
    return list(found.values())


def _drop_left(
    session: Session,
    state: StateStore,
    tables: Collection[str],
    changed: Collection[str],
    shown: Sequence[warehouse.Shown],
    environment: str,
) -> None:
    """Drop the views over the tables that no environment shows any more, and the environment's views over these, which
    the swap makes or drops: they read a table that is gone. What the environment showed once, a rollback makes again;
    the others no longer count as built.
    """
    elsewhere = {view.physical for one in shown if one.name != environment for view in one.target.views.values()}
    left = {
        str(one.physical): one
        for one in standing(state, tables)
        if str(one.physical) not in changed and str(one.physical) not in elsewhere
    }
    before = {one for promotion in state.promotions(environment) for one in promotion.target.snapshots.values()}
    for target in (one.target for one in shown if one.name == environment):
        for view in target.views.values():
            if view.physical in left:
                session.drop(Relation.parse(view.view), view=True)
    for name, one in reversed(left.items()):
        session.drop(Relation.parse(name), view=True)
        if one.id not in before:
            warehouse.forget(session, name)


def readers(tables: Collection[str], around: Surroundings) -> Iterator[tuple[Relation, str]]:
    """The physical views that read what is in `tables` (dotted), directly or through one another, parents first, each
    with its query.
    """
    reached: set[str] = set()
    for snapshot in in_order(around.snapshots):
        if str(snapshot.physical) in tables:
            reached.add(snapshot.name)
            continue
        if not isinstance(snapshot.model.kind, kinds.View | Embedded):
            continue
        if not any(parent.name in reached for parent in snapshot.parents):
            continue
        if isinstance(snapshot.model.kind, kinds.View):
            texts = Texts(snapshot, around)
            yield table_of(snapshot), cast(texts.batch(None, is_new=False).query, texts.typed())
        reached.add(snapshot.name)


def stand_in(relation: Relation, current: Columns, changes: Sequence[ColumnChange]) -> str:
    """A query that gives the table as it is after the changes."""
    by_name = {change.name: change for change in changes if change.was is not None}
    items = []
    for name, _ in current:
        change = by_name.get(name)
        if change is None:
            items.append(quote(name))
        elif change.type is not None:
            items.append(f"CAST({quote(name)} AS {change.type}) AS {quote(name)}")
    items += [f"CAST(NULL AS {change.type}) AS {quote(change.name)}" for change in changes if change.was is None]
    return f"SELECT {', '.join(items)} FROM {relation.sql}"
