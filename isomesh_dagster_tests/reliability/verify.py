"""What must be true of a system, found out without the code that makes it true: problems come out as sentences."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from isomesh_dagster.model import kinds
from isomesh_dagster.project import Project
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.interval import Interval, subtract, to_ms
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId
from isomesh_dagster_tests.reliability import files
from isomesh_dagster_tests.reliability.files import ALL, FIRST, NUMBERED, RAW_DAYS, SCHEMA

DAY = 86_400_000
START = to_ms(FIRST)
PHYSICAL = f"isomesh__{SCHEMA}"
PREVIEW = "__dev"
KEPT_PROMOTIONS = 3
Numbers = dict[str, int | None]
"""By snapshot, `name identifier version`, the number of the edit in its query; of m.days, how many columns it has."""


@dataclass(frozen=True)
class Known:
    """What the life knows of its system. `changes` says how often the raw data of a day changed; `dirty`: a change
    of it is on its way through the tables. `rested`: an environment whose last work came to its end; `held` are, by
    model, days it must have loaded; `promoted`: the work was a promotion, which closes all plans. `swept`: the janitor
    has just taken all it may.
    """

    changes: Mapping[int, int] = field(default_factory=dict)
    dirty: int | None = None
    rested: str | None = None
    held: Mapping[str, Collection[int]] = field(default_factory=dict)
    promoted: bool = False
    swept: bool = False


@dataclass
class Record:
    """The records of the warehouse, read in one go; views by the schema they are in, with its catalog if that is not
    the default one.
    """

    targets: dict[str, dict[str, list[str]]]
    plans: dict[str, str]
    loaded: dict[str, list[tuple[int, int]]]
    relations: dict[str, str]
    views: dict[str, dict[str, str]]

    def days(self, physical: str) -> set[int]:
        """The days that a table holds, counted from the first."""
        return {
            day
            for start, end in self.loaded.get(physical, ())
            for day in range((start - START) // DAY, (end - START) // DAY)
        }

    def end(self, physical: str) -> int:
        """How many days there were when the table was last made whole."""
        return max(((end - START) // DAY for start, end in self.loaded.get(physical, ()) if end > start), default=0)


def verify(project: Project, known: Known) -> dict[str, Any]:
    """`problems`, `numbers` of all snapshots, `plans` by environment, days `held` by environment and model."""
    state = project.state()
    snapshots = {one.id: one for one in state.snapshots_named(ALL)}
    result: dict[str, Any] = {"problems": [], "numbers": numbers(snapshots.values()), "plans": {}, "held": {}}
    with project.connection().session() as session:
        if not session.columns(_META):
            return result
        with session.transaction():
            record = _record(session.fetch)
        result["plans"] = record.plans
        result["held"] = {name: held(record, snapshots.values(), name) for name in record.targets}
        check = _Check(project, known, snapshots, record, session.fetch)
        result["problems"] = [*check.views(), *check.rows(), *check.bookkeeping(), *check.rest()]
    return result


_META = Relation(schema="isomesh_meta", name="system")


def held(record: Record, snapshots: Iterable[Snapshot], environment: str) -> dict[str, list[int]]:
    """The days of every model whose rows are days, without previews, which hold a part only."""
    whole = {str(one.physical) for one in snapshots if isinstance(one.model.kind, kinds.View | kinds.Full)}
    tables = {name: item[3] for name, item in record.targets[environment].items() if len(item) > 2}
    return {
        name: sorted(record.days(physical))
        for name, physical in tables.items()
        if physical not in whole and not physical.endswith(PREVIEW)
    }


def numbers(snapshots: Iterable[Snapshot]) -> Numbers:
    """What an observer must see of each snapshot."""
    return {
        f"{one.name} {one.id.identifier} {one.version}": files.added_in(one.model.query)
        if one.name == "m.days"
        else files.number_of(one.model.query)
        for one in snapshots
    }


def _record(fetch: Callable[[str], list[tuple[Any, ...]]]) -> Record:
    ((default,),) = fetch("SELECT current_database()")
    homes = fetch(
        "SELECT table_catalog FROM information_schema.tables "
        "WHERE table_schema = 'isomesh_meta' AND table_name = 'environments'"
    )
    shown = [
        row
        for (home,) in homes
        for row in fetch(f'SELECT name, plan_id, target FROM "{home}".isomesh_meta.environments')
    ]
    loaded: dict[str, list[tuple[int, int]]] = {}
    for physical, start, end in fetch("SELECT physical, start_ms, end_ms FROM isomesh_meta.loaded ORDER BY 1, 2"):
        loaded.setdefault(physical, []).append((start, end))
    views: dict[str, dict[str, str]] = {}
    for catalog, schema, name, text in fetch(
        "SELECT table_catalog, table_schema, table_name, view_definition FROM information_schema.views "
        f"WHERE table_schema = '{SCHEMA}' OR table_schema LIKE '{SCHEMA}!_!_%' ESCAPE '!'"
    ):
        views.setdefault(schema if catalog == default else f"{catalog}.{schema}", {})[name] = text
    relations = fetch(f"SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = '{PHYSICAL}'")
    return Record(
        targets={name: json.loads(target) for name, _, target in shown},
        plans={name: plan for name, plan, _ in shown},
        loaded=loaded,
        relations={f"{PHYSICAL}.{name}": kind for name, kind in relations},
        views=views,
    )


class _Check:
    def __init__(
        self,
        project: Project,
        known: Known,
        snapshots: Mapping[SnapshotId, Snapshot],
        record: Record,
        fetch: Callable[[str], list[tuple[Any, ...]]],
    ) -> None:
        self.state = project.state()
        self.suffix = project.settings.environment_suffix_target
        self.known = known
        self.snapshots = snapshots
        self.record = record
        self.fetch = fetch
        self.of_table = {str(one.physical): one for one in snapshots.values() if one.physical is not None}

    # -- views

    def views(self) -> Iterator[str]:
        """Every environment's views are those of its recorded target, and show its tables."""
        schemas = {schema_of(name, self.suffix): name for name in self.record.targets}
        for schema in self.record.views.keys() - schemas.keys():
            yield f"views in {schema}, of no environment: {sorted(self.record.views[schema])}"
        for schema, environment in schemas.items():
            target = self.record.targets[environment]
            there = self.record.views.get(schema, {})
            wanted = {item[2].rpartition(".")[2]: item[3] for item in target.values() if len(item) > 2}
            if there.keys() != wanted.keys():
                yield f"{environment} has the views {sorted(there)}, its target {sorted(wanted)}"
                continue
            for view, physical in wanted.items():
                if physical.rpartition(".")[2] not in there[view]:
                    yield f"{environment}.{view} does not show {physical}: {there[view]}"
            wrong = torn(target, vector(self.fetch, environment, self.suffix), numbers(self.snapshots.values()))
            if wrong:
                yield f"{environment} is torn: {wrong}"

    # -- rows

    def rows(self) -> Iterator[str]:
        """What counts as loaded is what a full rebuild of it gives."""
        for physical, snapshot in self.of_table.items():
            if physical not in self.record.loaded or isinstance(snapshot.model.kind, kinds.View):
                continue
            if physical not in self.record.relations:
                yield f"{physical} counts as loaded and is not there"
                continue
            yield from self._rows_of(physical, snapshot)

    def _rows_of(self, physical: str, snapshot: Snapshot) -> Iterator[str]:
        known, days = self.known, self.record.days(physical)
        if snapshot.name != "m.hist" and known.dirty is not None:
            days = days - {known.dirty}
        number = files.number_of(snapshot.model.query)
        within = " OR ".join(f"(ds >= {_date(day)} AND ds < {_date(day + 1)})" for day in sorted(days)) or "FALSE"
        match snapshot.name:
            case "m.inc" if number is not None:
                yield from self._differ(
                    physical,
                    f"SELECT id, ds, k, v, g FROM {physical} WHERE {within}",
                    files.by_day(days, known.changes, number),
                )
            case "m.log":
                times = self._number_above(snapshot, "m.inc")
                if times is not None:
                    yield from self._differ(
                        physical,
                        f"SELECT id, ds, g FROM {physical}",
                        files.added_once(self.record.days(physical), times),
                    )
            case "m.days":
                yield from self._differ(physical, f"SELECT id, ds FROM {physical} WHERE {within}", files.ids(days))
            case "m.keyed" if number is not None and known.dirty is None and days == set(range(len(days))):
                times = self._number_above(snapshot, "m.inc")
                if times is not None and days:
                    yield from self._differ(
                        physical,
                        f"SELECT k, id, ds, v, g FROM {physical}",
                        files.by_key(days, known.changes, times, number),
                    )
            case "m.total" if number is not None and known.dirty is None and self.record.end(physical):
                times = self._number_above(snapshot, "m.inc")
                if times is not None:
                    query, end = f"SELECT n, s, g FROM {physical}", self.record.end(physical)
                    found = self._found(query)
                    # it reads all that is there, which may be more days than it counts as built for: an environment
                    # that is planned does not catch up with the clock, although what it shares with prod did
                    totals = (files.total(range(day), known.changes, times, number) for day in range(end, RAW_DAYS))
                    if found not in totals:
                        expected = files.total(range(end), known.changes, times, number)
                        yield from self._differ(physical, query, expected)
            case "m.hist" if days:
                now = self.fetch(f"SELECT k, COUNT(*) FROM {physical} WHERE valid_to IS NULL GROUP BY k ORDER BY k")
                if [(int(k), count) for k, count in now] != [(k, 1) for k in range(files.KEYS)]:
                    yield f"{physical} has as current rows of each key {now}"
                meet = self.fetch(
                    f"SELECT a.k FROM {physical} AS a JOIN {physical} AS b "
                    "ON a.k = b.k AND a.valid_from < b.valid_from "
                    "AND (a.valid_to IS NULL OR a.valid_to > b.valid_from)"
                )
                twice = self.fetch(f"SELECT k FROM {physical} GROUP BY k, valid_from HAVING COUNT(*) > 1")
                if meet or twice:
                    yield f"{physical} has versions that meet: {meet or twice}"

    def _number_above(self, snapshot: Snapshot, name: str) -> int | None:
        for parent in snapshot.parents:
            if parent.name == name and parent in self.snapshots:
                return files.number_of(self.snapshots[parent].model.query)
        return None

    def _found(self, query: str) -> Counter[files.Row]:
        return Counter(tuple(_plain(value) for value in row) for row in self.fetch(query))

    def _differ(self, physical: str, query: str, expected: Counter[files.Row]) -> Iterator[str]:
        found = self._found(query)
        if found != expected:
            lost, more = expected - found, found - expected
            yield (
                f"{physical} loaded {self.record.loaded[physical]}: {lost.total()} rows lost, {more.total()} too many: "
                f"{sorted(lost, key=str)[:3]} … {sorted(more, key=str)[:3]}"
            )

    # -- bookkeeping

    def bookkeeping(self) -> Iterator[str]:
        """Warehouse and state hold nothing that the other does not know of."""
        record = self.record
        for physical in sorted(record.relations.keys() ^ record.loaded.keys()):
            yield f"{physical} is {'there' if physical in record.relations else 'loaded'} but not the other"
        strange = record.relations.keys() - self.state.physicals()
        if strange:
            yield f"the state does not know of {sorted(strange)}"
        for physical, intervals in self.state.intervals(self.state.physicals()).items():
            there = [Interval(start, end) for start, end in record.loaded.get(physical, ()) if end > start]
            if subtract(intervals, there):
                yield f"the state says of {physical} {intervals}, loaded is {there}"
        for environment, target in record.targets.items():
            for name, item in target.items():
                if len(item) > 2 and item[3] not in record.relations:
                    yield f"{environment} shows {name} in {item[3]}, which is not there"

    # -- at rest

    def rest(self) -> Iterator[str]:
        """What is true once work came to its end."""
        known, record = self.known, self.record
        if known.rested is not None:
            yield from self._rested(known.rested)
        if known.swept:
            needed = {item[3] for target in record.targets.values() for item in target.values() if len(item) > 2}
            for environment in record.targets:
                for promotion in self.state.promotions(environment)[:KEPT_PROMOTIONS]:
                    needed |= {view.physical for view in promotion.target.views.values()}
            for plan in self.state.open_plans():
                needed |= {view.physical for view in plan.target.views.values()}
            orphans = record.relations.keys() - needed
            if orphans:
                yield f"orphans after the janitor: {sorted(orphans)}"
            if known_orphans := {str(one.physical) for one in self.snapshots.values() if one.physical} - needed:
                yield f"snapshots after the janitor: {sorted(known_orphans)}"

    def _rested(self, name: str) -> Iterator[str]:
        known, record = self.known, self.record
        environment = self.state.environment(name)
        shown = environment.plan_id if environment is not None else None
        if shown != record.plans.get(name):
            yield f"{name} shows {record.plans.get(name)}, the state says {shown}"
        left = self.state.open_plans(name)
        if left and known.promoted:
            yield f"{name} has open plans: {[one.id for one in left]}"
        tables = {model: item[3] for model, item in record.targets.get(name, {}).items() if len(item) > 2}
        recorded = self.state.intervals(tables.values())
        for model, physical in tables.items():
            there = [Interval(start, end) for start, end in record.loaded.get(physical, ()) if end > start]
            if subtract(there, recorded.get(physical, ())):
                yield f"{physical} is loaded {there}, the state says {recorded.get(physical)}"
            lacks = set(known.held.get(model, ())) - record.days(physical)
            if lacks and not physical.endswith(PREVIEW):
                yield f"{name}: {physical} lacks the days {sorted(lacks)}, which {model} held before or must hold now"


def schema_of(environment: str, suffix: str = "schema") -> str:
    """Where the views of an environment are; with `suffix` "catalog" in one beside the file `w.duckdb`."""
    if environment == "prod":
        return SCHEMA
    return f"w__{environment}.{SCHEMA}" if suffix == "catalog" else f"{SCHEMA}__{environment}"


def vector(
    fetch: Callable[[str], list[tuple[Any, ...]]], environment: str, suffix: str = "schema"
) -> dict[str, list[int | None]]:
    """What the views of an environment hold, read in one query: the lowest and the highest number by model."""
    schema = schema_of(environment, suffix)
    names = [name.replace(SCHEMA, schema, 1) for name in NUMBERED]
    (row,) = fetch("SELECT " + ", ".join(f"(SELECT {f}(g) FROM {name})" for name in names for f in ("MIN", "MAX")))
    values = [None if value is None else int(value) for value in row]
    return {name: values[2 * index : 2 * index + 2] for index, name in enumerate(NUMBERED)}


def torn(target: Mapping[str, list[str]], seen: Mapping[str, list[int | None]], known: Numbers) -> str | None:
    """What of the views is not as the target has it."""
    for name, values in seen.items():
        identifier, version = target[name][:2]
        wanted = known.get(f"{name} {identifier} {version}", -1)
        if any(value is not None and value != wanted for value in values):
            return f"{name} shows {values}, its target says {wanted}"
    return None


def _date(day: int) -> str:
    return f"DATE '{FIRST + day * files.DAY:%Y-%m-%d}'"


def _plain(value: Any) -> object:
    """Numbers as integers, moments as days, whatever the engine gives."""
    if hasattr(value, "date"):
        return value.date()
    return int(value) if isinstance(value, int) or type(value).__name__ == "Decimal" else value
