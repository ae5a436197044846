"""What the port promises, on SQLite and on Postgres."""

from datetime import datetime, timedelta, timezone

import pytest

from isomesh_dagster.errors import ConflictingPlanError, StateError
from isomesh_dagster.snapshot.environment import Environment, Promotion
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.state.protocol import GitRef, Identity, StateStore
from isomesh_dagster.state.store import SqlStateStore
from isomesh_dagster_tests.state.examples import (
    DAY_MS,
    EMBEDDED,
    INCREMENTAL,
    at,
    days,
    finalize,
    plan,
    promote,
    snapshot,
    target,
)

ORDERS, ORDERS_2, CUSTOMERS = snapshot(), snapshot(files="b"), snapshot("shop.customers")
TABLE, TABLE_2 = str(ORDERS.physical), str(ORDERS_2.physical)


def test_is_a_state_store(store: SqlStateStore) -> None:
    port: StateStore = store
    assert port.identity() is None


def test_first_stamp_stays(store: SqlStateStore) -> None:
    first = Identity(uuid="1", gateway="prod", project="shop")
    assert store.stamp(first) == first
    assert store.stamp(Identity(uuid="2", gateway="dev", project="shop")) == first
    assert store.identity() == first


# --- plans


def test_plan_comes_back_as_it_went(store: SqlStateStore) -> None:
    record = plan("p1", ORDERS, CUSTOMERS, document='{"ü": 1}', expires_at=at(7), suffix_target="table")
    assert store.plan("p1") is None
    assert store.open_plan(record, [ORDERS, CUSTOMERS]) == record
    assert store.plan("p1") == record
    assert store.open_plans() == store.open_plans("prod") == [record]
    assert store.open_plans("dev") == []


def test_moments_are_utc_and_keep_microseconds(store: SqlStateStore) -> None:
    elsewhere = datetime(2024, 7, 1, 9, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    store.open_plan(plan("p1", expires_at=elsewhere), [])
    found = store.open_plans()[0].expires_at
    assert found == elsewhere
    assert found is not None
    assert found.utcoffset() == timedelta(0)


def test_a_naive_moment_is_refused(store: SqlStateStore) -> None:
    with pytest.raises(StateError, match="time zone"):
        store.open_plan(plan("p1", expires_at=datetime(2024, 1, 1)), [])
    assert store.plan("p1") is None


def test_opening_a_plan_again_changes_nothing(store: SqlStateStore) -> None:
    first = plan("p1", ORDERS, document="first")
    store.open_plan(first, [ORDERS])
    again = plan("p1", ORDERS, document="second", created=5)
    assert store.open_plan(again, [ORDERS]) == first
    assert store.open_plans() == [first]


def test_open_plans_are_oldest_first(store: SqlStateStore) -> None:
    for id, day in (("b", 2), ("c", 1), ("a", 3)):
        store.open_plan(plan(id, created=day, environment=f"env_{id}"), [])
    assert [record.id for record in store.open_plans()] == ["c", "b", "a"]


def test_a_done_plan_stays_done_while_its_environment_shows_it(store: SqlStateStore) -> None:
    record = promote(store, "p1", ORDERS)
    assert store.open_plan(record, [ORDERS]).status == "done"
    promote(store, "p2", ORDERS_2, when=1)
    assert store.open_plan(record, [ORDERS]).status == "done", "made for an older base: the caller must refuse it"


def test_the_same_plan_makes_a_removed_environment_again(store: SqlStateStore) -> None:
    record = promote(store, "p1", ORDERS, environment="dev")
    store.remove_environment("dev")
    assert store.open_plan(record, [ORDERS]).status == "open"
    finalize(store, record, 1)
    assert store.environment("dev") is not None


def test_a_plan_given_up_can_be_opened_again(store: SqlStateStore) -> None:
    record = plan("p1", ORDERS)
    store.open_plan(record, [ORDERS])
    store.close_plan("p1", "superseded")
    assert store.open_plans() == []
    assert store.open_plan(record, [ORDERS]) == record
    assert store.open_plans() == [record]


def test_closing_an_unknown_plan_or_with_an_unknown_status_is_refused(store: SqlStateStore) -> None:
    with pytest.raises(StateError, match="p9"):
        store.close_plan("p9", "done")
    with pytest.raises(ValueError, match="finished"):
        store.close_plan("p9", "finished")


# --- snapshots


def test_snapshots_come_back_equal(store: SqlStateStore) -> None:
    made = [
        ORDERS,
        snapshot("shop.by_day", kind=INCREMENTAL, tags=("a", "b"), variables={"gateway": "prod", "limit": 3}),
        snapshot("shop.shared", kind=EMBEDDED),
    ]
    store.open_plan(plan("p1", *made), made)
    found = store.snapshots([item.id for item in made])
    assert found == {item.id: item for item in made}
    assert store.snapshots([]) == {}
    assert store.snapshots([ORDERS_2.id]) == {}


def test_identifier_alone_is_not_an_id(store: SqlStateStore) -> None:
    other_version, other_name = snapshot(version="vz"), snapshot("shop.copy")
    made = [ORDERS, other_version, other_name]
    store.open_plan(plan("p1", ORDERS), made)
    assert store.snapshots([ORDERS.id]) == {ORDERS.id: ORDERS}
    assert store.snapshots_like([(ORDERS.name, ORDERS.id.identifier)]) == [ORDERS, other_version]
    assert store.snapshots_like([(ORDERS.name, "other")]) == []


def test_a_known_snapshot_is_not_written_over(store: SqlStateStore) -> None:
    store.open_plan(plan("p1", ORDERS), [ORDERS])
    store.open_plan(plan("p2", ORDERS), [snapshot(owner="somebody else")])
    assert store.snapshots([ORDERS.id]) == {ORDERS.id: ORDERS}


def test_thousands_of_snapshots_and_intervals_in_one_call(store: SqlStateStore) -> None:
    many = [snapshot(f"shop.t{number}", files=str(number)) for number in range(2500)]
    record = plan("p1", *many)
    store.open_plan(record, many)
    store.add_intervals({str(item.physical): [days(0, 1)] for item in many})
    store.add_intervals({str(item.physical): [days(1, 2)] for item in many})
    finalize(store, record, 1)
    assert store.snapshots(record.target.snapshots.values()) == {item.id: item for item in many}
    assert store.intervals(str(item.physical) for item in many) == {str(item.physical): (days(0, 2),) for item in many}
    assert store.environments()[0].target == record.target


# --- intervals


@pytest.fixture
def with_orders(store: SqlStateStore) -> SqlStateStore:
    store.open_plan(plan("p1", ORDERS, ORDERS_2, CUSTOMERS), [ORDERS, ORDERS_2, CUSTOMERS])
    return store


def test_intervals_are_merged(with_orders: SqlStateStore) -> None:
    store = with_orders
    store.add_intervals({TABLE: [days(5, 6), days(0, 2)], TABLE_2: [days(0, 1)]})
    store.add_intervals({TABLE: [days(1, 3), days(8, 9)]})
    assert store.intervals([TABLE, TABLE_2, "no.table"]) == {
        TABLE: (days(0, 3), days(5, 6), days(8, 9)),
        TABLE_2: (days(0, 1),),
    }
    store.add_intervals({TABLE: [days(3, 8)]})
    assert store.intervals([TABLE]) == {TABLE: (days(0, 9),)}


def test_recording_the_same_interval_again_changes_nothing(with_orders: SqlStateStore) -> None:
    for _ in range(2):
        with_orders.add_intervals({TABLE: [days(0, 1)]})
    assert with_orders.intervals([TABLE]) == {TABLE: (days(0, 1),)}


def test_replace_leaves_only_the_new_ones(with_orders: SqlStateStore) -> None:
    store = with_orders
    store.add_intervals({TABLE: [days(0, 3), days(5, 9)], TABLE_2: [days(0, 3)]})
    store.add_intervals({TABLE: [days(0, 2), days(5, 9)]}, replace=True)
    assert store.intervals([TABLE, TABLE_2]) == {TABLE: (days(0, 2), days(5, 9)), TABLE_2: (days(0, 3),)}
    store.add_intervals({TABLE: []}, replace=True)
    assert store.intervals([TABLE]) == {}


def test_intervals_before_1970_and_far_ahead(with_orders: SqlStateStore) -> None:
    wide = Interval(-1000 * DAY_MS, 4_000_000_000_000_000)
    with_orders.add_intervals({TABLE: [wide]})
    assert with_orders.intervals([TABLE]) == {TABLE: (wide,)}


def test_intervals_of_an_unknown_relation_are_refused(with_orders: SqlStateStore) -> None:
    with pytest.raises(StateError, match=r"no\.table") as caught:
        with_orders.add_intervals({TABLE: [days(0, 1)], "no.table": [days(0, 1)]})
    assert "plan again" in str(caught.value)
    assert with_orders.intervals([TABLE]) == {}, "all or nothing"


# --- environments


def test_finalize_makes_the_environment_and_its_history(store: SqlStateStore) -> None:
    record = plan("p1", ORDERS, expires_at=at(7), suffix_target="table")
    store.open_plan(record, [ORDERS])
    finalize(store, record, 1, promoted=1)
    assert store.environment("prod") == Environment(
        name="prod",
        plan_id="p1",
        number=1,
        target=target(ORDERS),
        promoted_at=at(1),
        expires_at=at(7),
        suffix_target="table",
    )
    assert store.promotions("prod") == [
        Promotion(environment="prod", number=1, plan_id="p1", target=target(ORDERS), promoted_at=at(1))
    ]
    done = store.plan("p1")
    assert done is not None
    assert done.status == "done"


def test_environments_by_name_and_history_newest_first(store: SqlStateStore) -> None:
    for name in ("prod", "dev", "alice"):
        promote(store, f"{name}_1", ORDERS, environment=name)
    promote(store, "prod_2", ORDERS_2, when=1)
    assert [environment.name for environment in store.environments()] == ["alice", "dev", "prod"]
    assert [(promotion.number, promotion.target) for promotion in store.promotions("prod")] == [
        (2, target(ORDERS_2)),
        (1, target(ORDERS)),
    ]
    assert store.environment("nobody") is None
    assert store.promotions("nobody") == []


def test_finalize_twice_is_once(store: SqlStateStore) -> None:
    record = promote(store, "p1", ORDERS)
    finalize(store, record, 1, promoted=9)
    finalize(store, record, 2, promoted=9)
    assert [promotion.promoted_at for promotion in store.promotions("prod")] == [at(0)]


def test_finalize_supersedes_the_other_open_plans_of_the_environment(store: SqlStateStore) -> None:
    store.open_plan(plan("loser", ORDERS_2), [ORDERS_2])
    store.open_plan(plan("elsewhere", ORDERS_2, environment="dev"), [ORDERS_2])
    promote(store, "winner", ORDERS)
    assert [record.id for record in store.open_plans()] == ["elsewhere"]
    loser = store.plan("loser")
    assert loser is not None
    assert loser.status == "superseded"
    with pytest.raises(ConflictingPlanError):
        finalize(store, loser, 2)


@pytest.mark.parametrize("base", [None, "unknown"])
def test_finalize_on_another_base_changes_nothing(store: SqlStateStore, base: str | None) -> None:
    promote(store, "p1", ORDERS)
    late = plan("late", ORDERS_2, based_on=base)
    store.open_plan(late, [ORDERS_2])
    before = (store.environments(), store.promotions("prod"), store.open_plans())
    with pytest.raises(ConflictingPlanError, match=r"p1.*promotion 1.*2024-01-01") as caught:
        finalize(store, late, 2)
    assert caught.value.hint == "plan again"
    assert (store.environments(), store.promotions("prod"), store.open_plans()) == before


def test_finalize_on_a_removed_environment_is_a_conflict(store: SqlStateStore) -> None:
    promote(store, "p1", ORDERS, environment="dev")
    late = plan("p2", ORDERS_2, environment="dev", based_on="p1")
    store.open_plan(late, [ORDERS_2])
    store.remove_environment("dev")
    assert store.open_plans() == []
    with pytest.raises(ConflictingPlanError, match="is gone"):
        finalize(store, late, 2)
    assert store.environments() == []


def test_numbers_only_rise(store: SqlStateStore) -> None:
    promote(store, "p1", ORDERS)
    with pytest.raises(ConflictingPlanError, match="promotion 1 already"):
        finalize(store, plan("p2", ORDERS_2, based_on="p1"), 1)
    assert [promotion.number for promotion in store.promotions("prod")] == [1]


def test_a_rollback_is_one_more_promotion(store: SqlStateStore) -> None:
    promote(store, "p1", ORDERS)
    promote(store, "p2", ORDERS_2, when=1)
    back = plan("p3", ORDERS, based_on="p2")
    store.open_plan(back, [])
    finalize(store, back, 3, reason="rollback to 1")
    assert [(entry.number, entry.reason) for entry in store.promotions("prod")] == [
        (3, "rollback to 1"),
        (2, "plan"),
        (1, "plan"),
    ]
    assert [entry.number for entry in store.promotions("prod", newest=2)] == [3, 2]


def test_expire(store: SqlStateStore) -> None:
    promote(store, "p1", ORDERS, environment="dev")
    assert store.expire("dev", at(3))
    assert store.environments()[0].expires_at == at(3)
    assert store.expire("dev", None)
    assert store.environments()[0].expires_at is None
    assert not store.expire("nobody", at(3))


def test_removed_environment_is_forgotten_with_its_history(store: SqlStateStore) -> None:
    promote(store, "p1", ORDERS, environment="dev")
    promote(store, "p2", ORDERS)
    store.remove_environment("dev")
    store.remove_environment("dev")
    assert [environment.name for environment in store.environments()] == ["prod"]
    assert store.promotions("dev") == []
    assert len(store.promotions("prod")) == 1


def test_removing_an_environment_that_is_not_there_leaves_the_plan_that_will_make_it(store: SqlStateStore) -> None:
    store.open_plan(plan("p1", ORDERS, environment="dev"), [ORDERS])
    store.remove_environment("dev")
    assert [record.id for record in store.open_plans()] == ["p1"]


def test_plans_are_listed_newest_first_whatever_their_status(store: SqlStateStore) -> None:
    for number, (id, environment) in enumerate([("a", "prod"), ("b", "dev"), ("c", "prod")]):
        store.open_plan(plan(id, environment=environment, created=number, document=f"document of {id}"), ())
    store.close_plan("a", "done")
    assert [(record.id, record.status) for record in store.plans()] == [("c", "open"), ("b", "open"), ("a", "done")]
    assert [record.document for record in store.plans("prod")] == ["document of c", "document of a"]
    assert store.plans("nowhere") == []
    assert [record.id for record in store.plans(beginning="b")] == ["b"]
    assert store.plans(beginning="%") == store.plans(beginning="B") == []


def test_what_was_ever_shown_is_found_in_every_environment(store: SqlStateStore) -> None:
    first, second, third = (snapshot(files=name) for name in "abc")
    promote(store, "p1", first)
    promote(store, "p2", second, when=1)
    promote(store, "p3", first, environment="dev", when=2)
    store.open_plan(plan("p4", third, based_on="p2"), [third])
    ids = [first.id, second.id, third.id]
    assert store.ever_shown(ids) == {first.id, second.id}
    store.remove_environment("prod")
    assert store.ever_shown(iter(ids)) == {first.id}
    assert store.ever_shown([]) == set()


# --- refs of a repository


def test_what_was_done_about_refs(store: SqlStateStore) -> None:
    main = GitRef(ref="refs/heads/main", environment="prod", commit="a" * 40, status="shown", changed_at=at(1))
    branch = GitRef(
        ref="refs/heads/feature/ü",
        environment="feature",
        commit="b" * 40,
        status="waiting",
        changed_at=at(2),
        shown="a" * 40,
        told="it waits",
        document='{"x": 1}',
    )
    assert store.git_refs() == []
    for record in (main, branch):
        store.record_git_ref(record)
    assert store.git_refs() == [branch, main]
    later = GitRef(ref=main.ref, environment="prod", commit="c" * 40, status="failed", changed_at=at(3))
    store.record_git_ref(later)
    assert store.git_refs() == [branch, later]
    store.forget_git_ref(branch.ref)
    store.forget_git_ref("refs/heads/nothing")
    assert store.git_refs() == [later]
