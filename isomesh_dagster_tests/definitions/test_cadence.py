"""A deployment runs by itself: what the sensor requests, and that its run does just that."""

from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest

from isomesh_dagster import Project
from isomesh_dagster.definitions import tries
from isomesh_dagster.definitions.events import failures
from isomesh_dagster.errors import IsomeshError, LockedError, PlanError
from isomesh_dagster_tests.definitions.conftest import Shop, checks, materialized, reused

NIGHTLY = """
MODEL (name marts.nightly, kind FULL, cron '@daily');
SELECT SUM(amount) AS amount FROM core.good_days
"""


def applied(shop: Shop, ago: timedelta) -> None:
    """Prod as somebody made it `ago`."""
    with Project.load(shop.root) as project:
        list(project.apply(project.plan("prod", now=datetime.now(timezone.utc) - ago)))


def tick(shop: Shop, **options: object) -> dg.RunRequest | dg.SkipReason:
    sensor = shop.definitions(**options).get_sensor_def("run_when_due")
    context = dg.build_sensor_context(instance=shop.instance)
    found = sensor(context)
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


def launch(shop: Shop, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """The run that the daemon would launch."""
    return (
        shop.definitions()
        .resolve_job_def(request.job_name or "")
        .execute_in_process(
            instance=shop.instance,
            run_config=request.run_config,
            asset_selection=list(request.asset_selection) if request.asset_selection is not None else None,
            tags=request.tags,
            raise_on_error=False,
        )
    )


def names(request: dg.RunRequest) -> list[str]:
    return [".".join(key.path) for key in request.asset_selection or ()]


def test_without_an_environment_there_is_nothing_to_run(loaded_shop: Shop) -> None:
    found = tick(loaded_shop)
    assert isinstance(found, dg.SkipReason)
    assert "no environment 'prod'" in (found.skip_message or "")


def test_what_is_built_is_not_due_until_its_cron_ticks(loaded_shop: Shop) -> None:
    applied(loaded_shop, timedelta())
    found = tick(loaded_shop)
    assert isinstance(found, dg.SkipReason)
    assert "nothing is due; next at" in (found.skip_message or "")


def test_one_run_loads_what_is_due_and_promotes_nothing(loaded_shop: Shop) -> None:
    loaded_shop.write("models/marts/nightly.sql", NIGHTLY)
    applied(loaded_shop, timedelta(days=2))
    loaded_shop.load_orders((1, "2024-01-01", 10), (2, "2024-01-02", 500))
    # what the files say meanwhile is not what prod shows
    loaded_shop.write("models/marts/labels.sql", "MODEL (name marts.labels, kind FULL); SELECT 1 AS id, 'x' AS label")
    request = tick(loaded_shop)
    assert isinstance(request, dg.RunRequest)
    assert {"staging.orders", "marts.nightly", "marts.total"} <= set(names(request))
    assert "marts.labels" not in names(request)
    assert "environment" not in names(request)

    result = launch(loaded_shop, request)
    assert result.success
    done = reused(result)
    assert done["marts.nightly"] is False
    assert done["core.days"] is True, "it lies between two that are due, and is complete"
    assert checks(result)["staging.orders:not_null"].passed
    assert "environment" not in materialized(result)
    with Project.load(loaded_shop.root) as project:
        assert [one.number for one in project.promotions("prod")] == [1]
    again = tick(loaded_shop)
    assert isinstance(again, dg.SkipReason)


def test_the_same_work_has_the_same_key_and_other_work_another(loaded_shop: Shop) -> None:
    applied(loaded_shop, timedelta(days=2))
    first, second = tick(loaded_shop), tick(loaded_shop)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    assert first.run_key == second.run_key
    loaded_shop.write("models/marts/nightly.sql", NIGHTLY)
    applied(loaded_shop, timedelta(days=2))
    third = tick(loaded_shop)
    assert isinstance(third, dg.RunRequest)
    assert third.run_key != first.run_key


def test_while_a_run_is_under_way_no_other_is_requested(loaded_shop: Shop) -> None:
    applied(loaded_shop, timedelta(days=2))
    job = loaded_shop.definitions().resolve_job_def("run_due")
    run = loaded_shop.instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, tags={"isomesh/due": "true", "isomesh/gateway": "here"}
    )
    found = tick(loaded_shop)
    assert isinstance(found, dg.SkipReason)
    assert run.run_id in (found.skip_message or "")


def test_a_model_that_the_files_no_longer_have_is_loaded_all_the_same(loaded_shop: Shop) -> None:
    loaded_shop.write("models/marts/nightly.sql", NIGHTLY)
    applied(loaded_shop, timedelta(days=2))
    (loaded_shop.root / "models/marts/nightly.sql").unlink()
    loaded_shop.load_orders((1, "2024-01-01", 70))
    request = tick(loaded_shop)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "run"
    assert launch(loaded_shop, request).success
    assert isinstance(tick(loaded_shop), dg.SkipReason)


class TestOtherEnvironments:
    """Those that `scheduled_environments` names are kept current, too; one run at a time."""

    @pytest.fixture
    def staged(self, loaded_shop: Shop) -> Shop:
        """Of the environments only `staging` shows the nightly model; all are two days old."""
        config = (loaded_shop.root / "config.yaml").read_text()
        loaded_shop.write("config.yaml", f"{config}\nscheduled_environments: [stag*]\n")
        applied(loaded_shop, timedelta(days=2))
        loaded_shop.write("models/marts/nightly.sql", NIGHTLY)
        with Project.load(loaded_shop.root) as project:
            for name in ("staging", "stag_ended", "dev"):
                list(project.apply(project.plan(name, now=datetime.now(timezone.utc) - timedelta(days=2))))
            project.invalidate("stag_ended")
        return loaded_shop

    @staticmethod
    def tick(shop: Shop, cursor: str | None) -> tuple[dg.RunRequest | dg.SkipReason, str | None]:
        context = dg.build_sensor_context(instance=shop.instance, cursor=cursor)
        found = shop.definitions().get_sensor_def("run_when_due")(context)
        assert isinstance(found, dg.RunRequest | dg.SkipReason)
        return found, context.cursor

    def test_prod_first_then_what_they_alone_show(self, staged: Shop) -> None:
        first, cursor = self.tick(staged, None)
        assert isinstance(first, dg.RunRequest)
        assert (first.job_name, first.tags["isomesh/environment"]) == ("run_due", "prod")
        assert launch(staged, first).success
        second, cursor = self.tick(staged, cursor)
        assert isinstance(second, dg.RunRequest)
        assert (second.job_name, second.tags["isomesh/environment"]) == ("run", "staging")
        result = launch(staged, second)
        assert result.success
        assert set(materialized(result)) == {"marts.nightly"}, "the others are the tables that prod's run has filled"
        quiet, _ = self.tick(staged, cursor)
        assert isinstance(quiet, dg.SkipReason)
        assert "nothing is due in prod; next at" in (quiet.skip_message or "")
        assert "nothing is due in staging; next at" in (quiet.skip_message or "")
        with Project.load(staged.root) as project:
            assert project.cadence("dev").due == project.cadence("stag_ended").due == ()

    def test_one_that_fails_does_not_keep_others_waiting(self, staged: Shop) -> None:
        first, cursor = self.tick(staged, None)
        second, cursor = self.tick(staged, cursor)  # prod's run failed: what was due still is
        third, cursor = self.tick(staged, cursor)
        assert isinstance(first, dg.RunRequest)
        assert isinstance(second, dg.RunRequest)
        assert isinstance(third, dg.RunRequest)
        assert [one.tags["isomesh/environment"] for one in (first, second, third)] == ["prod", "staging", "prod"]
        assert third.run_key == first.run_key  # which Dagster does not launch again
        damaged, _ = self.tick(staged, "{")
        assert isinstance(damaged, dg.RunRequest)
        assert damaged.run_key == first.run_key


class TestAgain:
    """Work whose run died, or met what passes, is requested again, some times; other work that failed is not."""

    @pytest.fixture
    def due(self, loaded_shop: Shop) -> Shop:
        applied(loaded_shop, timedelta(days=2))
        return loaded_shop

    @staticmethod
    def crash(shop: Shop, request: dg.RunRequest) -> None:
        """The run of a request, whose process was killed."""
        job = shop.definitions().resolve_job_def(request.job_name or "")
        tags = {**job.run_tags, **request.tags}
        run = shop.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
        shop.instance.report_run_failed(run)

    def test_a_run_that_died(self, due: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        first, cursor = TestOtherEnvironments.tick(due, None)
        assert isinstance(first, dg.RunRequest)
        self.crash(due, first)
        second, cursor = TestOtherEnvironments.tick(due, cursor)
        assert isinstance(second, dg.RunRequest)
        assert (second.asset_selection, second.run_config) == (first.asset_selection, first.run_config)
        assert second.run_key != first.run_key
        assert second.tags["isomesh/attempt"] == "2"
        self.crash(due, second)
        pause, cursor = TestOtherEnvironments.tick(due, cursor)
        assert isinstance(pause, dg.SkipReason)
        assert "it is requested again in" in (pause.skip_message or "")

        monkeypatch.setattr(tries, "PAUSES", (0,))
        last, cursor = TestOtherEnvironments.tick(due, cursor)
        assert isinstance(last, dg.SkipReason)
        assert "ended without a result, as 1 before it" in (last.skip_message or "")
        monkeypatch.setattr(tries, "PAUSES", (0, 0))
        third, cursor = TestOtherEnvironments.tick(due, cursor)
        assert isinstance(third, dg.RunRequest)
        with Project.load(due.root) as project:
            built = project.state().intervals([str(one.physical) for one in project.system.shown("prod").values()])
        assert launch(due, third).success
        quiet, cursor = TestOtherEnvironments.tick(due, cursor)
        assert isinstance(quiet, dg.SkipReason)
        assert "nothing is due" in (quiet.skip_message or "")

        with Project.load(due.root) as project:  # the same rows are due again, as a restatement elsewhere may have it
            project.state().add_intervals(built, replace=True)
        anew, _ = TestOtherEnvironments.tick(due, cursor)
        assert isinstance(anew, dg.RunRequest)
        assert anew.run_key not in {first.run_key, second.run_key, third.run_key}
        assert "isomesh/attempt" not in anew.tags

    def test_a_step_that_failed(self, due: Shop) -> None:
        """It is wrong until somebody mends it: the clock's next tick asks again."""
        first, cursor = TestOtherEnvironments.tick(due, None)
        assert isinstance(first, dg.RunRequest)
        with Project.load(due.root) as project, project.connection().session() as session:
            session.execute("DROP TABLE raw.orders CASCADE")
        assert not launch(due, first).success
        waits, _ = TestOtherEnvironments.tick(due, cursor)
        assert isinstance(waits, dg.SkipReason)
        assert "failed; what is left waits for the next tick of a cron" in (waits.skip_message or "")


@pytest.mark.parametrize(
    ("error", "stays"), [(LockedError("somebody has the file"), ""), (PlanError("nobody knows it"), "failed")]
)
def test_what_was_in_the_way_passes_or_stays(shop: Shop, error: IsomeshError, stays: str) -> None:
    @dg.op
    def work() -> None:
        with failures():
            raise error

    @dg.job
    def working() -> None:
        work()

    run_id = working.execute_in_process(instance=shop.instance, raise_on_error=False).run_id
    run = shop.instance.get_run_by_id(run_id)
    assert run is not None
    assert tries.what_stays(shop.instance, run) == stays


@pytest.mark.parametrize(("is_dev", "status"), [(True, "STOPPED"), (False, "RUNNING")])
def test_it_is_on_in_a_deployment_and_off_while_developing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, is_dev: bool, status: str
) -> None:
    monkeypatch.delenv("DAGSTER_IS_DEV_CLI", raising=False)
    if is_dev:
        monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    assert shop.definitions().get_sensor_def("run_when_due").default_status.name == status


def staleness(shop: Shop) -> dict[str, str]:
    """What the UI shows beside each model."""
    from dagster._core.definitions.data_version import CachingStaleStatusResolver
    from dagster._core.loader import LoadingContextForTest

    graph = shop.definitions().resolve_asset_graph()
    resolver = CachingStaleStatusResolver(shop.instance, graph, LoadingContextForTest(shop.instance))
    return {
        ".".join(key.path): resolver.get_status(key).value
        for key in graph.executable_asset_keys
        if key.path != ["environment"]
    }


def test_what_the_clock_loaded_is_in_sync_with_what_it_reads(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    fresh = dict.fromkeys(staleness(loaded_shop), "FRESH")
    assert staleness(loaded_shop) == fresh
    # everything due again: the state forgets what it knew of the clock
    with Project.load(loaded_shop.root) as project:
        total = project.table_name("marts.total", "prod")
        old = project.state().intervals([str(total)])[str(total)]
        day = 24 * 3600 * 1000
        from isomesh_dagster.snapshot.interval import Interval

        project.state().add_intervals({str(total): [Interval(old[0].start, old[0].end - day)]}, replace=True)
    result = loaded_shop.run("run")
    assert result.success
    assert materialized(result)["marts.total"].metadata["isomesh/reused"].value is False
    assert staleness(loaded_shop) == fresh


def test_a_rollback_leaves_the_models_in_sync_with_their_files(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    fresh = dict.fromkeys(staleness(loaded_shop), "FRESH")
    text = (loaded_shop.root / "models/marts/total.sql").read_text()
    loaded_shop.write("models/marts/total.sql", text.replace("SUM(amount)", "MAX(amount)"))
    assert staleness(loaded_shop) == {**fresh, "marts.total": "STALE"}
    loaded_shop.run("apply", partition="prod")
    assert staleness(loaded_shop) == fresh
    loaded_shop.run("rollback")
    assert staleness(loaded_shop) == fresh
    loaded_shop.write("models/marts/total.sql", text)
    assert staleness(loaded_shop) == {**fresh, "marts.total": "STALE"}
    back = loaded_shop.run("apply", partition="prod")
    assert reused(back)["marts.total"] is True
    assert staleness(loaded_shop) == fresh


def test_a_partition_and_a_configuration_that_disagree_are_refused(loaded_shop: Shop) -> None:
    result = loaded_shop.definitions().resolve_job_def("apply")
    loaded_shop.instance.add_dynamic_partitions("isomesh_environments", ["dev_jo"])
    with pytest.raises(Exception, match="resource"):
        result.execute_in_process(
            instance=loaded_shop.instance,
            partition_key="dev_jo",
            run_config={"resources": {"isomesh": {"config": {"environment": "prod"}}}},
        )
    assert not loaded_shop.query("SELECT 1 FROM information_schema.schemata WHERE schema_name LIKE 'isomesh__%'")
