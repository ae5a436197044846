"""What can be asked of a plan in the launchpad, plans that wait for somebody, and rows compared."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.snap import JobSnap
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap

from isomesh_dagster import Project
from isomesh_dagster.definitions.asked import Asked
from isomesh_dagster_tests.definitions.conftest import Shop, failure, materialized


def asking(**resource: Any) -> dict[str, Any]:
    return {"resources": {"isomesh": {"config": resource}}}


def planning(environment: str, **op: Any) -> dict[str, Any]:
    return {"ops": {"make_plan": {"config": op}}, **asking(environment=environment)}


def agreeing(plan_id: str, **resource: Any) -> dict[str, Any]:
    return {"ops": {"apply_agreed_plan": {"config": {"plan_id": plan_id}}}, **asking(**resource)}


def comparing(**op: Any) -> dict[str, Any]:
    return {"ops": {"compare_rows": {"config": op}}}


def told(result: dg.ExecuteInProcessResult, op: str) -> dict[str, Any]:
    """The metadata of the op's output."""
    (event,) = [one for one in result.all_events if one.is_successful_output and one.step_key == op]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


@pytest.fixture
def shown_shop(loaded_shop: Shop) -> Shop:
    """Prod shows the files."""
    assert loaded_shop.run("apply", partition="prod").success
    return loaded_shop


def edit(shop: Shop, days: int = 2) -> None:
    shop.write("models/marts/total.sql", f"MODEL (name marts.total, kind FULL);\nSELECT {days} AS days, 1 AS amount\n")


def shows(shop: Shop, name: str) -> bool:
    with Project.load(shop.root) as project:
        return project.environment(name) is not None


# ---- what the resource asks ------------------------------------------------------------------------------


def test_empty_tables_are_shown_and_filled_later(shown_shop: Shop) -> None:
    edit(shown_shop)
    result = shown_shop.run("apply", config=asking(environment="dev", skip_backfill=True))
    assert result.success
    assert shown_shop.query("SELECT COUNT(*) FROM marts__dev.total") == [(0,)]
    assert shown_shop.run("apply", config=asking(environment="dev")).success
    assert shown_shop.query("SELECT days FROM marts__dev.total") == [(2,)]


def test_a_category_is_chosen(shown_shop: Shop) -> None:
    shown_shop.write(
        "models/core/days.sql",
        "MODEL (name core.days, kind INCREMENTAL_BY_TIME_RANGE (time_column day), end '2024-01-10');\n"
        "SELECT day, SUM(amount) + 1 AS amount FROM staging.orders WHERE day BETWEEN @start_date AND @end_date"
        " GROUP BY day\n",
    )
    unheard = shown_shop.run("apply", config=asking(environment="dev", categorize={"core.days": "non-braking"}))
    assert "'non-braking' is no category for core.days" in failure(unheard)
    unknown = shown_shop.run("apply", config=asking(environment="dev", categorize={"core.dais": "breaking"}))
    assert "core.dais" in failure(unknown)
    assert not shows(shown_shop, "dev")
    free = shown_shop.run("apply", config=asking(environment="other"))
    assert materialized(free)["marts.total"].metadata["isomesh/reused"].value is False
    chosen = shown_shop.run("apply", config=asking(environment="dev", categorize={"core.days": "non-breaking"}))
    assert chosen.success
    assert materialized(chosen)["marts.total"].metadata["isomesh/reused"].value is True


def test_another_environment_is_the_pattern(shown_shop: Shop) -> None:
    edit(shown_shop)
    assert shown_shop.run("apply", config=asking(environment="dev")).success
    plan = told(shown_shop.run("plan", config=asking(environment="mine", create_from="dev")), "make_plan")
    assert "Directly modified" not in plan["isomesh/plan"]
    assert "nowhere" in failure(shown_shop.run("plan", config=asking(environment="mine", create_from="nowhere")))


def scaffolded(job: dg.JobDefinition) -> dict[str, Any]:
    """The configuration that the launchpad of the job begins with."""
    told = JobSnap.from_job_def(job)
    schema = told.config_schema_snapshot
    root = schema.get_config_snap(str(told.mode_def_snaps[0].root_config_key))
    return yaml.safe_load(default_values_yaml_from_type_snap(schema, root)) or {}


PLANNED = frozenset({"environment", "start", "end", *(one.name for one in fields(Asked))})


HEEDED = {
    **dict.fromkeys(("apply", "build", "plan", "promote"), PLANNED),
    **dict.fromkeys(("run", "restate"), frozenset({"environment", "start", "end"})),
    **dict.fromkeys(("rollback", "invalidate", "sync", "apply_plan"), frozenset({"environment"})),
    **dict.fromkeys(("compare", "janitor"), frozenset()),
}


def test_a_job_offers_what_it_heeds(shop: Shop) -> None:
    defined = shop.definitions()
    for name, heeded in HEEDED.items():
        job = defined.resolve_job_def(name)
        assert set(job.resource_defs["isomesh"].config_field.config_type.fields) == heeded, name
        begun = scaffolded(job).get("resources", {}).get("isomesh", {}).get("config", {})
        assert begun.keys() <= heeded, name


def test_what_the_launchpad_begins_with_can_be_launched(shown_shop: Shop) -> None:
    edit(shown_shop)
    defined = shown_shop.definitions()
    for name in ("plan", "build", "promote", "run", "rollback", "sync", "janitor"):
        job = defined.resolve_job_def(name)
        assert job.execute_in_process(instance=shown_shop.instance, run_config=scaffolded(job)).success, name


def test_what_a_job_cannot_heed_is_refused(shop: Shop) -> None:
    defined = shop.definitions()
    for name, config in (
        ("run", asking(no_gaps=True)),
        ("rollback", asking(start="2024-01-01")),
        ("apply_plan", agreeing("0", no_gaps=True)),
        ("janitor", asking(environment="prod")),
    ):
        with pytest.raises(dg.DagsterInvalidConfigError, match="unexpected config entr"):
            defined.resolve_job_def(name).execute_in_process(instance=shop.instance, run_config=config)


def test_what_contradicts_itself_is_refused_before_anything_runs(shown_shop: Shop) -> None:
    edit(shown_shop)
    result = shown_shop.run("apply", config=asking(environment="dev", skip_backfill=True, empty_backfill=True))
    assert "exclude each other" in failure(result)
    result = shown_shop.run("apply", config=asking(environment="dev", ignore_cron=True))
    assert "ignore_cron says how far run goes" in failure(result)
    assert not shows(shown_shop, "dev")


# ---- plans that wait -------------------------------------------------------------------------------------


def test_a_plan_waits_and_is_done_by_its_id(shown_shop: Shop) -> None:
    edit(shown_shop)
    shown_shop.write("models/marts/extra.sql", "MODEL (name marts.extra, kind FULL);\nSELECT 1 AS one\n")
    plan = told(shown_shop.run("plan", config=planning("dev", select=["marts.total"])), "make_plan")
    assert not shows(shown_shop, "dev")
    result = shown_shop.run("apply_plan", config=agreeing(plan["isomesh/plan_id"][:10]))
    assert result.success
    assert materialized(result).keys() == {"marts.total", "environment"}
    assert shown_shop.query("SELECT days FROM marts__dev.total") == [(2,)]
    assert shown_shop.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'extra'") == []
    again = shown_shop.run("apply_plan", config=agreeing(plan["isomesh/plan_id"]))
    assert again.success, "it is done: there is nothing left of it"
    assert not materialized(again)


def test_a_restatement_waits_too(shown_shop: Shop) -> None:
    shown_shop.load_orders((1, "2024-01-01", 1000))
    plan = told(shown_shop.run("plan", config=planning("prod", restate=["core.days"])), "make_plan")
    assert shown_shop.query("SELECT MAX(amount) FROM core.days") == [(21,)]
    assert shown_shop.run("apply_plan", config=agreeing(plan["isomesh/plan_id"])).success
    assert shown_shop.query("SELECT MAX(amount) FROM core.days") == [(1000,)]


def test_another_plan_than_the_agreed_one_is_refused(shown_shop: Shop) -> None:
    unknown = shown_shop.run("apply_plan", config=agreeing("feedbeef"))
    assert "no plan is known by 'feedbeef'" in failure(unknown)
    edit(shown_shop)
    plan = told(shown_shop.run("plan", config=planning("dev")), "make_plan")["isomesh/plan_id"]
    other = shown_shop.run("apply_plan", config=agreeing(plan, environment="prod"))
    assert f"plan {plan} is for environment 'dev', this run is about 'prod'" in failure(other)
    edit(shown_shop, 3)
    changed = shown_shop.run("apply_plan", config=agreeing(plan))
    assert "the files are not those it was made from: marts.total" in failure(changed)
    assert shown_shop.run("apply", config=asking(environment="dev")).success
    superseded = shown_shop.run("apply_plan", config=agreeing(plan))
    assert "environment 'dev' moved" in failure(superseded)
    assert shown_shop.query("SELECT days FROM marts__dev.total") == [(3,)]


# ---- compare ---------------------------------------------------------------------------------------------


def test_rows_of_two_environments_are_compared(shown_shop: Shop) -> None:
    edit(shown_shop)
    assert shown_shop.run("apply", config=asking(environment="dev")).success
    result = shown_shop.run("compare", config=comparing(source="dev", target="prod"))
    assert result.success, "what differs is told, it is no failure"
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.severity) == ("rows_equal", False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["isomesh/differing"].value == 1
    assert "marts.total" in check.metadata["isomesh/comparison"].value
    same = shown_shop.run("compare", config=comparing(source="prod", target="prod"))
    (check,) = same.get_asset_check_evaluations()
    assert check.passed


@pytest.mark.parametrize(
    ("op", "word"), [({"source": "nowhere"}, "nowhere"), ({"source": "prod", "models": ["marts.totl"]}, "marts.totl")]
)
def test_what_cannot_be_compared_is_no_result(shown_shop: Shop, op: dict[str, Any], word: str) -> None:
    result = shown_shop.run("compare", config=comparing(**op))
    assert word in failure(result)
    assert result.get_asset_check_evaluations() == []
