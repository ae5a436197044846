"""Migration: tables that stay get the columns of their new definition, in the transaction that swaps the views.

`prepare` asks, outside of it, which columns the new definitions give; `migrate` alters the tables inside of it and
makes every view of ours that reads one again, those of other environments too. Until then, who reads such a table reads
a stand-in: the table as it will be.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import EngineError, IsomeshError, PlanError
from isomesh_dagster.execution import warehouse
from isomesh_dagster.execution.rows import cast
from isomesh_dagster.execution.texts import Surroundings, Texts, view_query
from isomesh_dagster.model.kinds import Embedded, View
from isomesh_dagster.plan.migration import Columns, allowed_changes, column_changes
from isomesh_dagster.plan.plan import Migrate
from isomesh_dagster.relation import ColumnChange, Relation, quote
from isomesh_dagster.snapshot.environment import Target
from isomesh_dagster.snapshot.snapshot import Snapshot
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
            wanted = definition_columns(session, snapshot, replace(around, stand_ins=stand_ins))
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


def definition_columns(session: Session, snapshot: Snapshot, around: Surroundings) -> tuple[tuple[str, str], ...]:
    """The columns that the definition gives its table, in the engine's spelling. Raises EngineError when it reads what
    is not there.
    """
    texts = Texts(snapshot, around)
    typed = texts.typed()
    if typed is not None and all(column.type != "UNKNOWN" for column in typed):
        # asked all the same: the engine spells types in its own way
        items = ", ".join(f"CAST(NULL AS {column.type}) AS {quote(column.name)}" for column in typed)
        columns = session.query_columns(f"SELECT {items}")
    else:
        columns = session.query_columns(cast(texts.batch(None, is_new=False).query, typed))
    managed = texts.of_kind(None).managed
    if managed:
        items = ", ".join(f"CAST(NULL AS {column.type}) AS {quote(column.name)}" for column in managed)
        columns = [*columns, *session.query_columns(f"SELECT {items}")]
    return tuple(columns)


def table_of(snapshot: Snapshot) -> Relation:
    """The snapshot's table."""
    if snapshot.physical is None:
        raise PlanError("has no table to migrate", model=snapshot.name)
    return snapshot.physical


def holds_rows(snapshot: Snapshot) -> bool:
    """Whether the snapshot has a table of its own."""
    return snapshot.physical is not None and not isinstance(snapshot.model.kind, View)


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
    target: Target,
    environment: str,
) -> set[str]:
    """Inside the transaction of the swap: alter the tables, and make the views that read them again.

    `around` and `target` are what `environment` shows afterwards. Returns the physical relations (dotted) whose columns
    may have changed: altered tables, and views over them. Making those views of `environment` again that show them is
    left to the caller.
    """
    todo: list[tuple[Alteration, tuple[ColumnChange, ...]]] = []
    lost: set[str] = set()
    for alteration in alterations:
        changes = alteration.changes(session.columns(alteration.relation))
        if changes or alteration.only_adds:
            todo.append((alteration, changes))
            lost.update(change.name.lower() for change in changes if change.was is not None)
    if not todo:
        return set()
    tables = {str(alteration.relation) for alteration, _ in todo}
    physical = {str(relation): query for relation, query in _readers(tables, around)}
    changed = tables | physical.keys()
    virtual: dict[str, str] = {}
    for other in warehouse.all_shown(session):
        if other.name == environment:
            continue
        found = {one.name: one for one in state.snapshots(other.target.snapshots.values()).values()}
        theirs = {
            str(relation): query
            for relation, query in _readers(tables, replace(around, snapshots=found, stand_ins={}), lost)
        }
        physical.update((relation, query) for relation, query in theirs.items() if relation not in physical)
        shown = [view for view in other.target.views.values() if view.physical in tables or view.physical in theirs]
        virtual.update((view.view, view_query(view.physical)) for view in shown)
    if lost:
        _drop_left(session, state, tables, around, {*physical, *virtual}, environment)
    for alteration, changes in todo:
        if changes:
            session.alter_table(alteration.relation, changes)
    for name, query in (*physical.items(), *virtual.items()):
        session.replace_view(Relation.parse(name), query)
    return changed


def _drop_left(
    session: Session, state: StateStore, tables: set[str], around: Surroundings, kept: Collection[str], environment: str
) -> None:
    """Drop the physical views over the tables that only the environment's old target shows, and its views over these,
    which the swap makes or drops: they may read what goes, and an engine may not let it go from under them.
    """
    shown = warehouse.shown(session, environment)
    if shown is None:
        return
    elsewhere = {
        view.physical
        for other in warehouse.all_shown(session)
        if other.name != environment
        for view in other.target.views.values()
    }
    old = {one.name: one for one in state.snapshots(shown.target.snapshots.values()).values()}
    left = [
        str(relation)
        for relation, _ in _readers(tables, replace(around, snapshots=old, stand_ins={}))
        if str(relation) not in kept and str(relation) not in elsewhere
    ]
    for view in shown.target.views.values():
        if view.physical in left:
            session.drop(Relation.parse(view.view), view=True)
    for name in reversed(left):
        session.drop(Relation.parse(name), view=True)


def _readers(tables: set[str], around: Surroundings, lost: Collection[str] = ()) -> Iterator[tuple[Relation, str]]:
    """The physical views that read the tables, directly or through one another, parents first, each with its query.

    With `lost`, names of columns that go or change: a view that may read one of them is left as it is, and so is all
    that reads it; that is for views of other environments, which are told what they read is gone when they are asked.
    """
    reached: set[str] = set()
    for snapshot in in_order(around.snapshots):
        if str(snapshot.physical) in tables:
            reached.add(snapshot.name)
        if not isinstance(snapshot.model.kind, View | Embedded):
            continue
        if not any(parent.name in reached for parent in snapshot.parents):
            continue
        if lost and not _words(snapshot.model.rendered).isdisjoint(lost):
            continue
        if isinstance(snapshot.model.kind, View):
            texts = Texts(snapshot, around)
            try:
                query = cast(texts.batch(None, is_new=False).query, texts.typed())
            except IsomeshError:
                if lost:
                    continue
                raise
            yield table_of(snapshot), query
        reached.add(snapshot.name)


_WORD = re.compile(r"\w+")


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


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
