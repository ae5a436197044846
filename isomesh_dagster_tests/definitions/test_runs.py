"""What runs do and what they say about it, read back from Dagster's event log and from the warehouse."""

import os
import signal
import threading
import time

import dagster as dg
import pytest

from isomesh_dagster import Project
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster_tests.definitions.conftest import ORDERS, Shop, checks, failure, materialized, reused


def test_apply_builds_audits_and_promotes_in_one_run(loaded_shop: Shop) -> None:
    result = loaded_shop.run("apply", partition="prod")
    assert result.success
    assert loaded_shop.query("SELECT days, amount FROM marts.total") == [(2, 31)]
    assert reused(result) == {
        "staging.orders": False,
        "core.days": False,
        "core.good_days": True,  # embedded: there is nothing to build, so nothing is shown as built
        "marts.total": False,
        "marts.labels": False,
    }
    total = materialized(result)["marts.total"]
    assert total.metadata["dagster/row_count"].value == 1
    assert total.metadata["isomesh/seconds"].value > 0
    assert total.metadata["isomesh/environment"].value == "prod"
    assert total.metadata["isomesh/gateway"].value == "here"
    assert [column.name for column in total.metadata["dagster/column_schema"].value.columns] == ["days", "amount"]
    days = materialized(result)["core.days"]
    assert days.metadata["isomesh/intervals"].value == "2024-01-01 → 2024-01-10"
    assert {name: one.passed for name, one in checks(result).items()} == {
        "staging.orders:accepted_range_id": True,
        "staging.orders:accepted_range_amount": True,
        "staging.orders:not_null": True,
        "core.days:not_null": True,
        "core.days:intervals_complete": True,
    }


def test_the_environment_says_what_it_shows(loaded_shop: Shop) -> None:
    environment = materialized(loaded_shop.run("apply", partition="prod"))["environment"]
    assert environment.partition == "prod"
    assert environment.metadata["isomesh/promotion"].value == 1
    assert "marts.total" in environment.metadata["isomesh/plan"].value
    rows = {record.data["model"]: record.data["rows"] for record in environment.metadata["isomesh/models"].records}
    assert rows["marts.total"] == "built"
    assert rows["core.good_days"] == "embedded"
    assert "raw.orders" not in rows
    views = {record.data["view"] for record in environment.metadata["isomesh/views"].records}
    assert views == {"staging.orders", "core.days", "marts.total", "marts.labels"}


def test_a_second_apply_reuses_everything_with_the_same_data_versions(loaded_shop: Shop) -> None:
    first = loaded_shop.run("apply", partition="prod")
    second = loaded_shop.run("apply", partition="prod")
    assert second.success
    assert all(reused(second).values())
    assert {name: one.passed for name, one in checks(second).items()} == {
        name: one.passed for name, one in checks(first).items()
    }
    ran = {name for name, one in checks(second).items() if "isomesh/reused" not in one.metadata}
    assert ran == {"core.days:intervals_complete"}, "no audit's query ran; the state was asked what is missing"
    assert not any("isomesh/reused" in one.metadata for one in checks(first).values())
    assert {name: one.tags["dagster/data_version"] for name, one in materialized(first).items()} == {
        name: one.tags["dagster/data_version"] for name, one in materialized(second).items()
    }
    assert materialized(second)["environment"].metadata["isomesh/reused"].value is True


def test_a_new_environment_builds_nothing(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    result = loaded_shop.run("apply", partition="dev_jo")
    assert result.success
    assert all(reused(result).values())
    assert materialized(result)["environment"].partition == "dev_jo"
    assert loaded_shop.query("SELECT amount FROM marts__dev_jo.total") == [(31,)]


def test_only_what_changed_is_built_and_said_to_be(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    text = (loaded_shop.root / "models/marts/total.sql").read_text()
    loaded_shop.write("models/marts/total.sql", text.replace("SUM(amount)", "MAX(amount)"))
    result = loaded_shop.run("apply", partition="dev_jo")
    assert [name for name, was_reused in reused(result).items() if not was_reused] == ["marts.total"]
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(31,)]
    assert loaded_shop.query("SELECT amount FROM marts__dev_jo.total") == [(21,)]


def test_an_audit_added_later_runs_over_what_is_built(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    text = (loaded_shop.root / "models/core/days.sql").read_text()
    added = "not_null(columns := (day)), accepted_range(column := amount, max_v := {most})"
    loaded_shop.write("models/core/days.sql", text.replace("not_null(columns := (day))", added.format(most=20)))
    refused = loaded_shop.run("apply", partition="prod")
    assert not refused.success
    assert not checks(refused)["core.days:accepted_range"].passed
    assert "core.days" not in materialized(refused)
    assert "environment" not in materialized(refused)
    loaded_shop.write("models/core/days.sql", text.replace("not_null(columns := (day))", added.format(most=21)))
    accepted = loaded_shop.run("apply", partition="prod")
    assert accepted.success
    assert {name for name, one in checks(accepted).items() if "isomesh/reused" not in one.metadata} == {
        "core.days:not_null",
        "core.days:accepted_range",
        "core.days:intervals_complete",
    }
    assert all(one.passed for one in checks(accepted).values())
    assert reused(accepted)["core.days"] is True


def test_without_a_partition_the_default_environment_is_meant(loaded_shop: Shop) -> None:
    result = loaded_shop.run("apply")
    assert result.success
    partitions = {
        event.step_materialization_data.materialization.partition
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("environment")
    }
    assert "prod" in partitions
    assert loaded_shop.instance.get_dynamic_partitions("isomesh_environments") == ["prod"]


def test_the_launchpad_can_name_an_environment(loaded_shop: Shop) -> None:
    assert loaded_shop.run("apply", environment="dev_jo").success
    assert loaded_shop.query("SELECT amount FROM marts__dev_jo.total") == [(31,)]


@pytest.mark.parametrize(("name", "rule"), [("Dev-Jo", "must match"), ("main", "reserved")])
def test_a_bad_environment_name_is_refused_with_the_rule(loaded_shop: Shop, name: str, rule: str) -> None:
    result = loaded_shop.run("apply", environment=name)
    assert not result.success
    assert rule in failure(result)
    assert not materialized(result)
    assert loaded_shop.instance.get_dynamic_partitions("isomesh_environments") == []


def test_a_partition_nobody_added_is_refused(loaded_shop: Shop) -> None:
    result = loaded_shop.run("apply", tags={"dagster/partition": "unknown"})
    assert not result.success
    assert "add the partition" in failure(result)
    assert not loaded_shop.query("SELECT 1 FROM information_schema.schemata WHERE schema_name LIKE '%unknown'")


def test_selected_models_are_built_and_nothing_is_promoted(loaded_shop: Shop) -> None:
    result = loaded_shop.run("build", models=["staging.orders", "core.days"])
    assert result.success
    assert reused(result) == {"staging.orders": False, "core.days": False}
    assert not loaded_shop.query("SELECT 1 FROM information_schema.schemata WHERE schema_name = 'core'")
    rest = loaded_shop.run("apply", partition="prod")
    assert reused(rest)["core.days"] is True
    assert reused(rest)["marts.total"] is False


def test_a_parent_that_is_not_built_is_named(loaded_shop: Shop) -> None:
    result = loaded_shop.run("build", models=["marts.total"])
    assert not result.success
    assert "marts.total: reads what is not built yet: core.days, staging.orders" in failure(result)
    assert not materialized(result)


def test_a_failed_blocking_audit_stops_descendants_and_the_promotion(shop: Shop) -> None:
    shop.load_orders(*ORDERS, (-7, "2024-01-03", 1))
    result = shop.run("apply", partition="prod")
    assert not result.success
    bad = checks(result)["staging.orders:accepted_range_id"]
    assert not bad.passed
    assert bad.severity == dg.AssetCheckSeverity.ERROR
    assert bad.metadata["isomesh/failing_rows"].value == 1
    assert set(materialized(result)) == {"marts.labels"}, "its sibling is built, nothing below it and no environment"
    assert "accepted_range" in failure(result)
    with Project.load(shop.root) as project:
        assert project.environments() == []

    shop.load_orders(*ORDERS)
    again = shop.run("apply", partition="prod")
    assert again.success
    assert reused(again)["marts.labels"] is True


def test_a_failed_audit_that_does_not_block_is_a_warning(shop: Shop) -> None:
    shop.load_orders(*ORDERS, (4, "2024-01-03", 5000))
    result = shop.run("apply", partition="prod")
    assert result.success
    found = checks(result)["staging.orders:accepted_range_amount"]
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN


def test_gateway_variables_reach_the_audits(shop: Shop) -> None:
    shop.load_orders(*ORDERS, gateway="there")
    result = shop.run("apply", partition="prod", gateway="there")
    assert not checks(result)["staging.orders:accepted_range_amount"].passed, "the other system allows no more than 5"
    assert materialized(result)["marts.total"].metadata["isomesh/gateway"].value == "there"


def test_a_check_can_be_run_alone(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    loaded_shop.load_orders(*ORDERS, (-7, "2024-01-03", 1))
    key = dg.AssetCheckKey(dg.AssetKey(["staging", "orders"]), "accepted_range_id")
    definitions = loaded_shop.definitions()
    job = dg.define_asset_job("audit", dg.AssetSelection.checks(key))
    result = (
        dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
        .resolve_job_def("audit")
        .execute_in_process(instance=loaded_shop.instance, raise_on_error=False)
    )
    assert {name: one.passed for name, one in checks(result).items()} == {"staging.orders:accepted_range_id": False}
    assert not materialized(result)


def test_a_users_asset_and_the_models_run_together(shop: Shop) -> None:
    @dg.asset(key=["raw", "orders"], required_resource_keys={"isomesh"})
    def orders(context: dg.AssetExecutionContext) -> None:
        with context.resources.isomesh.project.connection().session() as session, session.transaction():
            session.create_schema("raw")
            session.execute("CREATE TABLE raw.orders AS SELECT 1 AS id, DATE '2024-01-05' AS day, 50 AS amount")

    shop.assets.append(orders)
    definitions = shop.definitions()
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(instance=shop.instance)
    assert result.success
    assert shop.query("SELECT amount FROM marts.total") == [(50,)]


def output(result: dg.ExecuteInProcessResult, op: str) -> dict[str, dg.MetadataValue]:  # type: ignore[type-arg]
    (event,) = [one for one in result.all_events if one.event_type_value == "STEP_OUTPUT" and one.step_key == op]
    return dict(event.step_output_data.metadata)


def test_the_plan_job_shows_the_plan_and_changes_nothing(loaded_shop: Shop) -> None:
    result = loaded_shop.run("plan", environment="dev_jo")
    assert result.success
    metadata = output(result, "make_plan")
    assert isinstance(metadata["isomesh/plan"], dg.MarkdownMetadataValue)
    assert "marts.total" in metadata["isomesh/plan"].value
    assert metadata["isomesh/builds"].value == 4
    assert not materialized(result)
    assert not loaded_shop.query("SELECT 1 FROM information_schema.schemata WHERE schema_name = 'isomesh__core'")


def test_promote_is_refused_until_everything_is_built(loaded_shop: Shop) -> None:
    refused = loaded_shop.run("promote")
    assert not refused.success
    assert "not built" in failure(refused)
    assert loaded_shop.run("build").success
    result = loaded_shop.run("promote")
    assert result.success
    assert materialized(result)["environment"].partition == "prod"
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(31,)]


def test_rollback_shows_the_promotion_before(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    text = (loaded_shop.root / "models/marts/total.sql").read_text()
    loaded_shop.write("models/marts/total.sql", text.replace("SUM(amount)", "MAX(amount)"))
    loaded_shop.run("apply", partition="prod")
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(21,)]
    result = loaded_shop.run("rollback")
    assert result.success
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(31,)]
    environment = materialized(result)["environment"]
    assert environment.partition == "prod"
    assert environment.metadata["isomesh/promotion"].value == 3
    unknown = loaded_shop.run("rollback", config={"ops": {"swap_views_back": {"config": {"to": 99}}}})
    assert not unknown.success
    assert "99" in failure(unknown)


def test_an_ended_environment_is_removed_by_the_janitor(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    loaded_shop.run("apply", partition="dev_jo")
    assert loaded_shop.run("invalidate", environment="dev_jo").success
    refused = loaded_shop.run("invalidate", environment="prod")
    assert not refused.success
    assert loaded_shop.run("janitor", config={"ops": {"clean_up": {"config": {"dry_run": True}}}}).success
    assert loaded_shop.query("SELECT amount FROM marts__dev_jo.total") == [(31,)]
    result = loaded_shop.run("janitor")
    assert result.success
    assert not loaded_shop.query("SELECT 1 FROM information_schema.tables WHERE table_schema = 'marts__dev_jo'")
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(31,)]
    assert loaded_shop.instance.get_dynamic_partitions("isomesh_environments") == ["prod"]


def test_run_loads_what_is_due_for_the_snapshots_shown(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    nothing_due = loaded_shop.run("run")
    assert nothing_due.success
    # the files may say what they want: `run` is about what the environment shows
    loaded_shop.write("models/marts/total.sql", "MODEL (name marts.total, kind FULL); SELECT 0 AS days, 0 AS amount")
    assert loaded_shop.run("run").success
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(31,)]


def test_an_op_that_somebody_cancels_ends_in_the_middle_of_a_statement(loaded_shop: Shop) -> None:
    """One that would take hours; steps of models are in threads, see `test_executor`."""
    endless = "(SELECT SUM(hash(i)) FROM range(1000000000000) AS t (i)) > 0"
    loaded_shop.write("models/marts/endless.sql", f"MODEL (name marts.endless, kind FULL);\nSELECT {endless} AS a\n")
    with Project.load(loaded_shop.root) as project:
        list(project.apply(project.plan("prod", wish=Wish(skip_backfill=True))))

    def cancel() -> None:
        """As the UI does it: the run is to be canceled, and its process gets a signal."""
        while True:
            for run in loaded_shop.instance.get_runs():
                if loaded_shop.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START):
                    loaded_shop.instance.report_run_canceling(run)
                    os.kill(os.getpid(), signal.SIGINT)
                    return
            time.sleep(0.05)

    canceling = threading.Thread(target=cancel)
    canceling.start()
    assert not loaded_shop.run("run").success
    canceling.join()
    (run,) = loaded_shop.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.CANCELED
