"""Applying plans: nothing twice, nothing half, nobody in between."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from datetime import date, timedelta

import pytest

from isomesh_dagster.errors import AuditError, ConflictingPlanError, EngineError, PlanError, StateError, SystemMismatch
from isomesh_dagster.execution.promote import rollback
from isomesh_dagster.execution.schedule import run_plan_steps
from isomesh_dagster.model import kinds
from isomesh_dagster.records.events import Built, Failed, Promoted, Reused, Skipped
from isomesh_dagster.state.protocol import Identity
from isomesh_dagster_tests.factories import System, audit, days, model, snapshots

SOURCE = model("raw.source", "SELECT 1 AS id")
MIDDLE = model("mart.middle", "SELECT id FROM raw.source", kinds.View())
TOP = model("mart.top", "SELECT id FROM raw.source")
ON_VIEW = model("mart.on_view", "SELECT id FROM mart.middle")
PATIENCE = 120


def generation(number: int, width: int = 6):
    """Views that all show the same number."""
    return snapshots([model(f"mart.v{index}", f"SELECT {number} AS generation") for index in range(width)])


def kinds_of(events):
    return [type(event).__name__ for event in events]


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def test_a_second_apply_builds_nothing(system):
    shown = snapshots([SOURCE, MIDDLE, TOP])
    plan = system.plan(shown)
    assert kinds_of(system.apply(plan)).count("Built") == 3
    assert kinds_of(system.apply(plan)) == ["Reused", "Reused", "Reused", "Promoted"]
    assert system.plan(shown).is_empty
    assert system.apply(system.plan(shown)) == []
    environment = system.state.environment("prod")
    assert environment is not None
    assert (environment.plan_id, environment.number) == (plan.id, 1)


def test_another_environment_shows_the_same_tables(system):
    shown = snapshots([SOURCE, MIDDLE, TOP])
    system.apply(system.plan(shown))
    events = system.apply(system.plan(shown, "dev"))
    assert kinds_of(events) == ["Promoted"]
    assert system.rows("SELECT id FROM mart__dev.top") == [(1,)]


def test_what_somebody_built_meanwhile_is_adopted(system):
    shown = snapshots([SOURCE, TOP])
    for_prod, for_dev = system.plan(shown), system.plan(shown, "dev")
    system.apply(for_dev)
    assert kinds_of(system.apply(for_prod)) == ["Reused", "Reused", "Promoted"]


def test_a_failure_skips_what_stands_on_it_and_nothing_else(system):
    embedded = model("stage.passing", "SELECT id FROM mart.bad", kinds.Embedded())
    bad = model("mart.bad", "SELECT nonsense FROM raw.source")
    below = model("mart.below", "SELECT id FROM stage.passing")
    beside = model("mart.beside", "SELECT id FROM raw.source")
    plan = system.plan(snapshots([SOURCE, bad, embedded, below, beside]))
    events = []
    with pytest.raises(EngineError, match="nonsense"):
        events.extend(iterate(system, plan, events))
    assert [event.model for event in events if isinstance(event, Built)] == ["raw.source", "mart.beside"]
    assert [(event.model, event.because) for event in events if isinstance(event, Skipped)] == [
        ("mart.below", "mart.bad")
    ]
    assert [event.model for event in events if isinstance(event, Failed)] == ["mart.bad"]
    assert system.state.environment("prod") is None
    assert system.relations("mart") == []
    # mended: what was built is kept
    mended = model("mart.bad", "SELECT id FROM raw.source")
    again = system.apply(system.plan(snapshots([SOURCE, mended, embedded, below, beside])))
    assert {event.model for event in again if isinstance(event, Built)} == {"mart.bad", "mart.below"}


def iterate(system, plan, events):
    for event in run_plan_steps(system.application(plan), 2):
        events.append(event)
    return []


class Leaving:
    """A connection to a warehouse that is gone from one moment on."""

    def __init__(self, connection):
        self._connection = connection
        self.is_gone = False

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def session(self):
        if self.is_gone:
            raise EngineError("the server is gone")
        return self._connection.session()


def test_a_warehouse_that_goes_away_does_not_hide_what_failed(system):
    shown = snapshots([model("mart.good", "SELECT 1 AS n"), model("mart.bad", "SELECT nothing AS n FROM mart.good")])
    system.connection = leaving = Leaving(system.connection)

    def apply():
        for event in run_plan_steps(system.application(system.plan(shown)), 1):
            leaving.is_gone = isinstance(event, Failed)

    with pytest.raises(EngineError, match=r"mart\.bad"):
        apply()
    leaving.is_gone = False
    physical = str(shown["mart.good"].physical)
    assert physical in system.state.intervals([physical])  # what was built is known all the same


def test_several_failures_are_all_told(system):
    shown = snapshots([model("mart.a", "SELECT one_wrong"), model("mart.b", "SELECT two_wrong")])
    with pytest.raises(EngineError, match=r"2 models failed") as caught:
        system.apply(system.plan(shown))
    assert "mart.a" in str(caught.value)
    assert "\n  mart.b: " in str(caught.value)


def test_promotion_refuses_what_is_not_built(system):
    application = system.application(system.plan(snapshots([SOURCE, TOP])))
    with pytest.raises(PlanError, match="begin"):
        application.promote()
    application.begin()
    with pytest.raises(PlanError, match=r"not built: raw\.source, mart\.top"):
        application.promote()
    for step in application.plan.builds:
        list(application.build(step))
    assert isinstance(application.promote(), Promoted)
    application.finish()


def test_steps_of_one_plan_may_run_in_several_applications(system):
    plan = system.plan(snapshots([SOURCE, TOP]))
    for step in plan.builds:
        application = system.application(plan)
        application.begin()
        list(application.build(step))
        application.finish()
    last = system.application(plan)
    last.begin()
    assert isinstance(last.promote(), Promoted)


def test_a_plan_whose_base_moved_is_refused(system):
    first = system.plan(generation(1))
    second = system.plan(generation(2))
    system.apply(first)
    with pytest.raises(ConflictingPlanError, match="plan again"):
        system.apply(second)
    assert system.rows("SELECT generation FROM mart.v0") == [(1,)]
    assert system.relations("isomesh__mart") == sorted(one.physical.name for one in generation(1).values())


def test_a_base_that_moves_between_build_and_promotion_is_refused(system):
    first, second = system.plan(generation(1)), system.plan(generation(2))
    application = system.application(first)
    application.begin()
    for step in first.builds:
        list(application.build(step))
    system.apply(second)
    with pytest.raises(ConflictingPlanError):
        application.promote()
    assert system.rows("SELECT generation FROM mart.v0") == [(2,)]


def test_removed_models_lose_their_views_and_empty_schemas(system):
    system.apply(system.plan(snapshots([SOURCE, TOP, MIDDLE])))
    (promoted,) = [event for event in system.apply(system.plan(snapshots([SOURCE]))) if isinstance(event, Promoted)]
    assert promoted.dropped == ("mart.middle", "mart.top")
    assert promoted.created == ()
    assert system.rows("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'mart'") == [(0,)]
    assert system.rows("SELECT id FROM raw.source") == [(1,)]


def test_a_promotion_that_cannot_finish_changes_nothing(system):
    system.apply(system.plan(generation(1)))
    plan = system.plan(generation(2) | snapshots([model("zoo.taken", "SELECT 1 AS id")]))
    with system.connection.session() as session:
        session.execute("CREATE SCHEMA zoo")
        session.execute("CREATE TABLE zoo.taken (id INT)")  # somebody's table has the view's name
    with pytest.raises(EngineError, match="taken"):
        system.apply(plan)
    assert {row[0] for index in range(6) for row in system.rows(f"SELECT generation FROM mart.v{index}")} == {1}
    assert system.relations("zoo") == ["taken"]
    with system.connection.session() as session:
        session.execute("DROP TABLE zoo.taken")
    assert kinds_of(system.apply(plan)).count("Reused") == 7
    assert system.rows("SELECT generation FROM mart.v5") == [(2,)]


def test_readers_never_see_half_a_promotion(system):
    system.apply(system.plan(generation(0)))
    query = "SELECT " + ", ".join(f"(SELECT generation FROM mart.v{index})" for index in range(6))
    stop = threading.Event()
    seen: list[tuple[int, ...]] = []
    again = threading.Event()

    def read() -> None:
        with system.connection.session() as session:
            while not stop.is_set():
                seen.append(session.fetch(query)[0])
                again.set()

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 9):
            again.clear()
            system.apply(system.plan(generation(number)))
            assert again.wait(PATIENCE)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert len(seen) >= 8
    assert [row for row in seen if len(set(row)) > 1] == []
    assert system.rows(query) == [(8,) * 6]


def test_runs_of_a_model_that_keeps_failing_leave_one_open_plan(system):
    """Each protects and tells the same, and everybody who plans or runs would look at all of them."""
    kind = kinds.IncrementalByTimeRange(time_column="ds")
    first_only = audit("first_only", "SELECT * FROM @this_model WHERE ds > DATE '2020-01-01'")
    query = "SELECT CAST(@start_ds AS DATE) AS ds"
    shown = snapshots([model("mart.daily", query, kind, audits=(first_only,)), model("mart.one", "SELECT 1 AS id")])
    system.apply(system.plan(shown, batches={"mart.daily": [days(0, 1)]}))

    def run(*batches, by_clock=True):
        plan = system.plan(shown, batches={"mart.daily": batches}, promote=False)
        with pytest.raises(AuditError):
            system.apply(replace(plan, by_clock=by_clock))
        return plan.id

    by_hand = run(days(5, 6), by_clock=False)
    ran = [run(days(1, day)) for day in range(2, 5)]
    assert {one.id for one in system.state.open_plans()} == {by_hand, ran[-1]}
    assert [system.state.plan(one).status for one in ran] == ["superseded", "superseded", "open"]
    assert run(days(1, 2)) == ran[0], "the same run again is open again"
    assert {one.id for one in system.state.open_plans()} == {by_hand, ran[0]}


def test_two_applications_build_every_batch_once(system):
    kind = kinds.IncrementalByTimeRange(time_column="ds")
    daily = model("mart.daily", "SELECT DATE '2020-01-01' + CAST(x AS INT) AS ds FROM range(8) AS r(x)", kind)
    shown = snapshots([SOURCE, daily])
    batches = {"mart.daily": [days(index, index + 1) for index in range(8)]}
    plans = [system.plan(shown, name, batches=batches) for name in ("prod", "dev", "test")]
    problems: list[BaseException] = []

    def apply(plan) -> None:
        try:
            system.apply(plan)
        except BaseException as error:
            problems.append(error)

    applications = [threading.Thread(target=apply, args=(plan,)) for plan in plans]
    system.apply(system.plan(snapshots([model("mart.first", "SELECT 1 AS id")]), "other"))  # the stamp is made once
    for application in applications:
        application.start()
    for application in applications:
        application.join()
    assert problems == []
    assert system.rows("SELECT COUNT(*), COUNT(DISTINCT ds) FROM mart.daily") == [(8, 8)]
    assert system.rows("SELECT COUNT(*) FROM isomesh_meta.loaded WHERE physical LIKE '%daily%'") == [(8,)]


def test_applications_that_need_the_same_new_schema_do_not_conflict(system):
    system.apply(system.plan(snapshots([model("mart.first", "SELECT 1 AS id")]), "other"))  # the stamp is made once
    problems: list[BaseException] = []
    for round_ in range(8):
        at_once = threading.Barrier(4, timeout=PATIENCE)
        shown = snapshots([model(f"new{round_}{letter}.m", "SELECT 1 AS id") for letter in "abcdefgh"])
        plans = [system.plan(shown, name) for name in ("prod", "dev", "test", "extra")]

        def begin(plan, at_once=at_once) -> None:
            application = system.application(plan)
            try:
                at_once.wait()
                application.begin()
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=begin, args=(plan,)) for plan in plans]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []


def test_overlapping_batches_of_two_applications_double_no_row(system):
    kind = kinds.IncrementalByTimeRange(time_column="ds")
    daily = model("mart.daily", "SELECT DATE '2020-01-01' + CAST(x AS INT) AS ds FROM range(8) AS r(x)", kind)
    shown = snapshots([daily])
    system.apply(system.plan(shown, batches={"mart.daily": [days(0, 1)]}))
    plans = [
        system.plan(shown, name, batches={"mart.daily": [days(start, start + 4)]})
        for name, start in (("prod", 1), ("dev", 2), ("test", 3), ("more", 4))
    ]
    applications = [threading.Thread(target=system.apply, args=(plan,)) for plan in plans]
    for application in applications:
        application.start()
    for application in applications:
        application.join()
    assert system.rows("SELECT COUNT(*), COUNT(DISTINCT ds) FROM mart.daily") == [(8, 8)]
    physical = str(shown["mart.daily"].physical)
    assert system.state.intervals([physical])[physical] == (days(0, 8),)


def test_a_model_in_another_catalog_is_refused_before_anything_is_written(system):
    elsewhere = model("other.mart.m", "SELECT 1 AS id")
    with pytest.raises(PlanError, match="lives in catalog 'other'"):
        system.apply(system.plan(snapshots([SOURCE, elsewhere])))
    assert system.state.open_plans() == []


# ---- stamp -----------------------------------------------------------------------------------------------


def test_another_system_is_refused_before_anything_is_written(system, tmp_path, request):
    plan = system.plan(snapshots([SOURCE]))
    system.apply(plan)
    for identity in (replace(system.identity, gateway="other"), replace(system.identity, project="other")):
        system.identity = identity
        with pytest.raises(SystemMismatch, match="belongs to"):
            system.apply(system.plan(snapshots([SOURCE, TOP])))
    system.identity = Identity(uuid="only counts for a new system", gateway="test", project="tests")
    (tmp_path / "second").mkdir()
    another = request.getfixturevalue("second_postgres") if system.warehouse.type == "postgres" else None
    with System(tmp_path / "second", another) as second:
        second.identity = replace(second.identity, uuid="another")
        second.apply(second.plan(snapshots([SOURCE])))
        crossed = system.application(system.plan(snapshots([SOURCE, TOP])))
        crossed._state = second.state
        with pytest.raises(SystemMismatch, match="different systems"):
            crossed.begin()
        assert second.state.open_plans() == []
    assert system.relations("mart") == []


def test_a_lost_state_and_a_lost_warehouse_are_refused(tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path)
    with System(tmp_path, warehouse) as system:
        system.apply(system.plan(snapshots([SOURCE])))
    (tmp_path / "state.db").rename(tmp_path / "kept.db")
    with System(tmp_path, warehouse) as system, pytest.raises(SystemMismatch, match="the state is new"):
        system.apply(system.plan(snapshots([SOURCE])))
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "kept.db").rename(tmp_path / "state.db")
    (tmp_path / "warehouse.duckdb").unlink(missing_ok=True)
    with (
        System(tmp_path, new_warehouse(tmp_path)) as system,
        pytest.raises(SystemMismatch, match="the warehouse is new"),
    ):
        system.apply(system.plan(snapshots([SOURCE, TOP])))


# ---- rollback --------------------------------------------------------------------------------------------


def back(system, to=None, environment="prod"):
    return rollback(system.state, system.connection, environment, identity=system.identity, now=system.now, to=to)


def test_rollback_shows_an_older_promotion_and_is_one_itself(system):
    for number in (1, 2, 3):
        system.apply(system.plan(generation(number)))
    event = back(system)
    assert (event.number, len(event.created)) == (4, 6)
    assert system.rows("SELECT generation FROM mart.v3") == [(2,)]
    assert system.state.promotions("prod")[0].reason == "rollback to 2"
    back(system, to=1)
    assert system.rows("SELECT generation FROM mart.v3") == [(1,)]
    with pytest.raises(PlanError, match="already shows"):
        back(system, to=1)
    with pytest.raises(PlanError, match=r"no promotion 9[\s\S]*it can go back to 4, 3, 2, 1"):
        back(system, to=9)
    with pytest.raises(PlanError, match="no environment"):
        back(system, environment="nowhere")
    # forward again: a plan, nothing to build
    assert kinds_of(system.apply(system.plan(generation(3)))) == ["Promoted"]
    assert system.state.open_plans() == []


def test_rollback_keeps_the_end_and_undoes_removals(system):
    ends = system.now + timedelta(days=3)
    system.apply(system.plan(snapshots([SOURCE, TOP]), "dev", expires_at=ends))
    system.apply(system.plan(snapshots([SOURCE]), "dev", expires_at=ends))
    event = back(system, environment="dev")
    assert event.created == ("mart__dev.top",)
    assert system.rows("SELECT id FROM mart__dev.top") == [(1,)]
    environment = system.state.environment("dev")
    assert environment is not None
    assert environment.expires_at == ends


def test_rollback_refuses_when_a_table_is_gone(system):
    system.apply(system.plan(generation(1)))
    system.apply(system.plan(generation(2)))
    gone = generation(1)["mart.v4"].physical
    with system.connection.session() as session:
        session.execute(f"DROP TABLE {gone.sql}")
        session.execute("DELETE FROM isomesh_meta.loaded WHERE physical = ?", [str(gone)])
    with pytest.raises(PlanError, match=r"janitor took tables of mart\.v4"):
        back(system)
    assert system.rows("SELECT generation FROM mart.v4") == [(2,)]


def test_a_plan_made_before_a_rollback_conflicts(system):
    system.apply(system.plan(generation(1)))
    system.apply(system.plan(generation(2)))
    stale = system.plan(generation(3))
    back(system)
    with pytest.raises(ConflictingPlanError):
        system.apply(stale)


# ---- reconcile -------------------------------------------------------------------------------------------


def test_an_unknown_plan_in_the_warehouse_stops_everything(system):
    system.apply(system.plan(generation(1)))
    with system.connection.session() as session:
        session.execute("UPDATE isomesh_meta.environments SET plan_id = 'foreign'")
    with pytest.raises(StateError, match="foreign"):
        system.apply(system.plan(generation(2)))


def test_an_environment_gone_from_the_warehouse_is_forgotten(system):
    system.apply(system.plan(generation(1), "dev"))
    with system.connection.session() as session:
        session.execute("DELETE FROM isomesh_meta.environments WHERE name = 'dev'")
    with pytest.raises(ConflictingPlanError):
        system.apply(system.plan(generation(2), "dev"))
    assert system.state.environment("dev") is None
    system.apply(system.plan(generation(2), "dev"))
    assert system.rows("SELECT generation FROM mart__dev.v0") == [(2,)]


def test_intervals_the_warehouse_does_not_have_are_forgotten(system):
    shown = generation(1)
    application = system.application(system.plan(shown))
    application.begin()
    for step in application.plan.builds:
        list(application.build(step))
    application.finish()
    lost = shown["mart.v2"].physical
    with system.connection.session() as session:
        session.execute("DELETE FROM isomesh_meta.loaded WHERE physical = ?", [str(lost)])
    events = system.apply(application.plan)
    assert [event.model for event in events if isinstance(event, Built)] == ["mart.v2"]
    assert len([event for event in events if isinstance(event, Reused)]) == 5


# ---- the way of fixed text -------------------------------------------------------------------------------

WARM = """
import sys
from pathlib import Path
from isomesh_dagster.execution.application import Application
from isomesh_dagster.execution.schedule import run_plan_steps
from isomesh_dagster_tests.factories import System, model, snapshots
with System(Path(sys.argv[1])) as system:
    system.apply(system.plan(snapshots([model("a.b", "SELECT 1 AS id"), model("a.c", "SELECT id FROM a.b")])))
print([name for name in ("sqlglot", "dagster", "pandas", "numpy") if name in sys.modules])
"""


def test_fixed_text_needs_no_sql_library(tmp_path):
    out = subprocess.run([sys.executable, "-c", WARM, str(tmp_path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", [kinds.Full(), kinds.View()])
def test_a_query_that_only_the_library_reads_runs_as_the_library_writes_it(system, kind):
    joined = model("mart.joined", "SELECT source.id, top.id AS other FROM raw.source JOIN mart.top", kind)
    system.apply(system.plan(snapshots([SOURCE, TOP, joined])))
    assert system.rows("SELECT id, other FROM mart.joined") == [(1, 1)]


def test_so_do_audits_and_days_that_only_the_library_reads(system):
    query = "SELECT source.id, DATE '2020-01-01' AS ds FROM raw.source JOIN mart.top WHERE DATE '2020-01-01' = @end_ds"
    same = audit("same", "SELECT 1 FROM @this_model AS one JOIN raw.source AS other WHERE one.id <> other.id")
    joined = replace(model("mart.joined", query, kinds.IncrementalByTimeRange(time_column="ds")), audits=(same,))
    plan = system.plan(snapshots([SOURCE, TOP, joined]), batches={"mart.joined": [days(0, 1), days(1, 2)]})
    events = system.apply(plan)
    assert system.rows("SELECT id, ds FROM mart.joined") == [(1, date(2020, 1, 1))]
    (built,) = (event for event in events if isinstance(event, Built) and event.model == "mart.joined")
    assert [one.passed for one in built.audits] == [True, True]


def test_where_nothing_helps_the_first_complaint_is_told(system):
    wrong = model("mart.wrong", "SELECT 1 AS id FROM nothing_there")
    with pytest.raises(EngineError, match="nothing_there"):
        system.apply(system.plan(snapshots([wrong])))


@pytest.mark.parametrize("statement", ["COMMIT", "/* x */ rollback", "BEGIN"])
def test_no_statement_ends_the_transaction_of_its_batch(system, statement):
    bad = audit("bad", "SELECT * FROM @this_model")
    shown = snapshots([model("mart.m", "SELECT 1 AS id", post_statements=(statement,), audits=(bad,))])
    with pytest.raises(EngineError, match="may not begin or end a transaction"):
        system.apply(system.plan(shown))
    assert system.relations("isomesh__mart") == []
