"""What the janitor may take, and what it must not."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from isomesh_dagster.errors import StateError
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId
from isomesh_dagster.state import tables
from isomesh_dagster.state.database import Database
from isomesh_dagster.state.opening import open_database, open_state
from isomesh_dagster.state.store import SqlStateStore
from isomesh_dagster_tests.conftest import IS_LONG
from isomesh_dagster_tests.state.conftest import Location
from isomesh_dagster_tests.state.examples import EMBEDDED, at, days, finalize, plan, promote, snapshot

FIRST, SECOND, THIRD = snapshot(files="a"), snapshot(files="b"), snapshot(files="c")


def ids(snapshots: list[Snapshot]) -> list[SnapshotId]:
    return [item.id for item in snapshots]


def record_day(store: SqlStateStore, *snapshots: Snapshot) -> None:
    store.add_intervals({str(item.physical): [days(0, 1)] for item in snapshots if item.physical is not None})


def holds(store: SqlStateStore, item: Snapshot) -> bool:
    return bool(store.intervals([str(item.physical)]))


def test_nothing_to_do_on_a_new_state(store: SqlStateStore) -> None:
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(9)) == []
    store.forget([])


def test_state_forgets_intervals_first_and_the_snapshot_last(store: SqlStateStore) -> None:
    promote(store, "p1", FIRST)
    record_day(store, FIRST)
    promote(store, "p2", SECOND, when=1)
    record_day(store, SECOND)
    assert store.unreferenced(keep_promotions=1, older_than=at(2)) == [FIRST]
    assert holds(store, FIRST), "asking changes nothing"
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(2)) == [FIRST]
    assert not holds(store, FIRST)
    assert holds(store, SECOND)
    assert store.snapshots([FIRST.id]), "known until its table is gone"
    store.forget([FIRST.id, SECOND.id])
    assert store.snapshots([FIRST.id, SECOND.id]) == {SECOND.id: SECOND}, "only what was marked"


def test_an_interrupted_janitor_is_continued(store: SqlStateStore) -> None:
    promote(store, "p1", FIRST)
    promote(store, "p2", SECOND, when=1)
    for older_than in (at(2), at(-100)):
        assert store.mark_unreferenced(keep_promotions=1, older_than=older_than) == [FIRST]


def test_time_to_live_starts_when_the_snapshot_leaves_the_environment(store: SqlStateStore) -> None:
    promote(store, "p1", FIRST)
    promote(store, "p2", SECOND, when=30)
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(30)) == []
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(30.001)) == [FIRST]


def test_time_to_live_starts_when_the_environment_is_removed(location: Location) -> None:
    with SqlStateStore(open_database(location), clock=lambda: at(30)) as store:
        promote(store, "p1", FIRST, environment="dev")
        store.remove_environment("dev")
        assert store.mark_unreferenced(keep_promotions=1, older_than=at(30)) == []
        assert store.mark_unreferenced(keep_promotions=1, older_than=at(31)) == [FIRST]


def test_time_to_live_starts_when_the_plan_is_superseded_or_closed(location: Location) -> None:
    with SqlStateStore(open_database(location), clock=lambda: at(30)) as store:
        store.open_plan(plan("loser", FIRST), [FIRST])
        store.open_plan(plan("given up", SECOND, environment="dev"), [SECOND])
        promote(store, "winner", THIRD, when=20)
        store.close_plan("given up", "superseded")
        assert store.mark_unreferenced(keep_promotions=1, older_than=at(20)) == []
        assert store.mark_unreferenced(keep_promotions=1, older_than=at(21)) == [FIRST]
        assert store.mark_unreferenced(keep_promotions=1, older_than=at(31)) == [FIRST, SECOND]


def test_time_to_live_starts_when_the_warehouse_is_believed(location: Location) -> None:
    with SqlStateStore(open_database(location), clock=lambda: at(30)) as store:
        promote(store, "p1", SECOND)
        shown = store.environment("prod")
        assert shown is not None
        store.open_plan(plan("begun", FIRST, based_on="p1"), [FIRST])
        store.adopt(shown, reason="plan")
        assert store.mark_unreferenced(keep_promotions=1, older_than=at(30)) == []
        assert store.mark_unreferenced(keep_promotions=1, older_than=at(31)) == [FIRST]


def test_the_plan_of_an_environment_that_never_came_to_be_is_given_up_when_that_would_have_ended(
    store: SqlStateStore,
) -> None:
    promote(store, "p1", THIRD, environment="dev")
    store.open_plan(plan("preview", FIRST, environment="pr_1", expires_at=at(7)), [FIRST])
    store.open_plan(plan("next", THIRD, environment="dev", based_on="p1", expires_at=at(7)), [])
    store.open_plan(plan("first", SECOND), [SECOND])
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(7)) == []
    assert store.unreferenced(keep_promotions=1, older_than=at(8)) == [FIRST]
    assert [record.id for record in store.open_plans()] == ["first", "next", "preview"], "asking changes nothing"
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(8)) == [FIRST]
    assert [record.id for record in store.open_plans()] == ["first", "next"]
    assert store.plan("preview") is None


def test_last_promotions_keep_their_tables(store: SqlStateStore) -> None:
    for number, item in enumerate((FIRST, SECOND, THIRD)):
        promote(store, f"p{number}", item, when=number)
    assert store.unreferenced(keep_promotions=3, older_than=at(9)) == []
    assert store.unreferenced(keep_promotions=2, older_than=at(9)) == [FIRST]
    assert store.unreferenced(keep_promotions=0, older_than=at(9)) == [FIRST, SECOND], "what is shown stays"


def test_open_plans_keep_their_tables(store: SqlStateStore) -> None:
    store.open_plan(plan("p1", FIRST), [FIRST])
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(9)) == []


def test_a_table_that_a_kept_snapshot_shares_stays(store: SqlStateStore) -> None:
    renamed_column_text_only = snapshot(files="b", version="va")
    assert renamed_column_text_only.physical == FIRST.physical
    promote(store, "p1", FIRST)
    promote(store, "p2", renamed_column_text_only, when=1)
    record_day(store, FIRST)
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(2)) == [replace(FIRST, physical=None)]
    assert holds(store, FIRST)
    store.forget([FIRST.id])
    assert holds(store, FIRST)
    assert store.environments()[0].target.snapshots == {FIRST.name: renamed_column_text_only.id}


def test_snapshots_without_a_table_go_too(store: SqlStateStore) -> None:
    embedded = snapshot("shop.shared", kind=EMBEDDED)
    promote(store, "p1", embedded, FIRST)
    promote(store, "p2", FIRST, when=1)
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(2)) == [embedded]


def test_a_snapshot_taken_back_survives(store: SqlStateStore) -> None:
    promote(store, "p1", FIRST)
    record_day(store, FIRST)
    promote(store, "p2", SECOND, when=1)
    marked = store.mark_unreferenced(keep_promotions=1, older_than=at(2))
    back = plan("p3", FIRST, based_on="p2", created=2)
    assert store.going([FIRST.id, SECOND.id]) == {FIRST.id}
    store.open_plan(back, [FIRST])
    assert store.going([FIRST.id, SECOND.id]) == set()
    assert not holds(store, FIRST), "its rows may be gone already: they are built again"
    store.forget(ids(marked))
    assert store.snapshots([FIRST.id])
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(9)) == []
    record_day(store, FIRST)
    finalize(store, back, 3, promoted=3)
    assert store.mark_unreferenced(keep_promotions=1, older_than=at(9)) == [SECOND]


def test_what_an_environment_shows_is_taken_back_even_late(store: SqlStateStore) -> None:
    promote(store, "p1", FIRST)
    promote(store, "p2", SECOND, when=1)
    marked = store.mark_unreferenced(keep_promotions=1, older_than=at(2))
    finalize(store, plan("p3", FIRST, based_on="p2"), 3, promoted=2)
    store.forget(ids(marked))
    assert store.snapshots([FIRST.id])


def test_nothing_is_recorded_for_a_table_that_is_going(store: SqlStateStore) -> None:
    promote(store, "p1", FIRST)
    promote(store, "p2", SECOND, when=1)
    store.mark_unreferenced(keep_promotions=1, older_than=at(2))
    with pytest.raises(StateError, match="orders__va"):
        record_day(store, FIRST)


def stored_targets(location: Location) -> int:
    database = open_database(location)
    with database.read() as connection:
        number = connection.scalar(select(func.count()).select_from(tables.targets))
    database.close()
    assert number is not None
    return number


def test_a_target_is_stored_once_and_goes_with_the_last_that_shows_it(location: Location) -> None:
    with open_state(location) as store:
        for number in range(6):
            promote(store, f"p{number}", FIRST if number % 2 else SECOND, when=number)
        assert stored_targets(location) == 2
        promote(store, "p6", THIRD, when=6)
        assert stored_targets(location) == 3
        store.mark_unreferenced(keep_promotions=1, older_than=at(99))
        assert stored_targets(location) == 1
        assert len(store.promotions("prod")) == 1


def test_old_history_goes_and_the_rest_stays(store: SqlStateStore) -> None:
    for number, item in enumerate((FIRST, SECOND, THIRD, FIRST)):
        promote(store, f"p{number}", item, when=number)
    store.open_plan(plan("open", SECOND, based_on="p3", created=-5), [])
    store.mark_unreferenced(keep_promotions=2, older_than=at(0.5))
    assert [entry.plan_id for entry in store.promotions("prod")] == ["p3", "p2", "p1"], "p1 is young"
    assert [store.plan(f"p{number}") is None for number in range(4)] == [True, False, False, False]
    store.mark_unreferenced(keep_promotions=2, older_than=at(99))
    assert [entry.plan_id for entry in store.promotions("prod")] == ["p3", "p2"]
    assert store.environments()[0].target.snapshots == {FIRST.name: FIRST.id}
    assert [record.id for record in store.open_plans()] == ["open"]
    assert store.mark_unreferenced(keep_promotions=2, older_than=at(99)) == [], "nothing is left to do"


# --- the law, on any history

POOL = (
    snapshot("shop.a", "1"),
    snapshot("shop.a", "2"),
    snapshot("shop.a", "3", version="v2"),  # shares the table of the one before
    snapshot("shop.b", "1"),
    snapshot("shop.b", "2", kind=EMBEDDED),
    snapshot("shop.b", "3"),
)
SHOWN = st.sampled_from(
    [(0,), (1,), (2,), (3,), (5,), (0, 3), (0, 4), (1, 3), (1, 5), (2, 3), (2, 4), (2, 5)]
)  # of POOL
ENVIRONMENT = st.sampled_from(["prod", "dev"])
STEP = st.one_of(
    st.tuples(st.just("promote"), ENVIRONMENT, SHOWN),
    st.tuples(st.just("open"), ENVIRONMENT, SHOWN),
    st.tuples(st.just("remove"), ENVIRONMENT),
    st.tuples(st.just("forget")),
    st.tuples(st.just("clean"), st.integers(0, 3), st.integers(0, 4)),
)


class History:
    """Runs steps, one a day, and knows for each snapshot on which day it was last needed."""

    def __init__(self, database: Database) -> None:
        with database.write() as connection:
            for table in tables.metadata.sorted_tables:
                connection.execute(delete(table))
        self.day = 0
        self.store = SqlStateStore(database, clock=self.now)
        self.last_needed: dict[SnapshotId, int] = {}
        self.marked: dict[SnapshotId, Snapshot] = {}

    def now(self) -> datetime:
        return at(self.day)

    def needed(self) -> set[SnapshotId]:
        shown = [*self.store.environments(), *self.store.open_plans()]
        return {snapshot for record in shown for snapshot in record.target.snapshots.values()}

    def protected(self, keep_promotions: int) -> set[SnapshotId]:
        recent = [entry for name in ("prod", "dev") for entry in self.store.promotions(name)[:keep_promotions]]
        return self.needed() | {snapshot for entry in recent for snapshot in entry.target.snapshots.values()}

    def known(self) -> dict[SnapshotId, Snapshot]:
        return self.store.snapshots([item.id for item in POOL])

    def step(self, step: tuple) -> None:
        self.day += 1
        before = self.needed()
        match step:
            case ("promote", environment, shown):
                items = [POOL[index] for index in shown]
                promote(self.store, f"p{self.day}", *items, environment=environment, when=self.day)
                record_day(self.store, *items)
            case ("open", environment, shown):
                items = [POOL[index] for index in shown]
                live = self.store.environment(environment)
                base = live.plan_id if live else None
                record = plan(f"p{self.day}", *items, environment=environment, based_on=base, created=self.day)
                self.store.open_plan(record, items)
                record_day(self.store, *items)
            case ("remove", environment):
                self.store.remove_environment(environment)
            case ("forget",):
                self.store.forget(self.marked)
                self.marked = {}
            case ("clean", keep_promotions, days_kept):
                self.clean(keep_promotions, self.day - days_kept)
        after = self.needed()
        self.last_needed |= dict.fromkeys(before | after, self.day)
        self.marked = {snapshot: item for snapshot, item in self.marked.items() if snapshot not in after}
        assert after <= self.known().keys()

    def clean(self, keep_promotions: int, older_than: int) -> None:
        protected, known = self.protected(keep_promotions), self.known()
        shown, pending = self.store.environments(), self.store.open_plans()
        expected = {
            snapshot
            for snapshot in known.keys() - protected
            if snapshot in self.marked or self.last_needed[snapshot] < older_than
        }
        dry = self.store.unreferenced(keep_promotions=keep_promotions, older_than=at(older_than))
        went = self.store.mark_unreferenced(keep_promotions=keep_promotions, older_than=at(older_than))
        assert dry == went
        assert ids(went) == sorted(expected)
        stays = {item.physical for snapshot, item in known.items() if snapshot not in expected} - {None}
        assert {item.physical for item in went} & stays == set()
        for item in known.values():
            assert holds(self.store, item) == (item.physical in stays)
        assert (self.store.environments(), self.store.open_plans()) == (shown, pending)
        assert went == self.store.mark_unreferenced(keep_promotions=keep_promotions, older_than=at(older_than))
        self.marked = {item.id: item for item in went}


def test_the_janitor_takes_exactly_what_nothing_needs(location: Location) -> None:
    on_a_server = not isinstance(location, Path)

    @settings(max_examples=10 if on_a_server and not IS_LONG else 50)
    @given(steps=st.lists(STEP, min_size=3, max_size=12))
    def check(steps: list[tuple]) -> None:
        database = open_database(location)
        try:
            history = History(database)
            for step in steps:
                history.step(step)
        finally:
            database.close()

    check()
