"""Plans written down: they are read back, made again, and refused with the reason when they are not the same."""

from __future__ import annotations

import json

import pytest

from isomesh_dagster.errors import ConflictingPlanError, PlanError
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model.kinds import IncrementalByTimeRange
from isomesh_dagster.plan.documents import plan_json, plan_markdown
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.saved import SavedPlan, check_same, plan_document, read_document
from isomesh_dagster.snapshot.interval import from_ms
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.plan.projects import DAY, NOW, System, graph, model


def project(stg: str = "SELECT 1 AS id", **more: str) -> ModelGraph:
    daily = IncrementalByTimeRange(time_column="day")
    return graph(
        model("s.stg", stg),
        model("s.mart", "SELECT id FROM s.stg"),
        model("s.days", "SELECT 1 AS id, CAST(NULL AS DATE) AS day", daily),
        *(model(f"s.{name}", query) for name, query in more.items()),
    )


def saved(plan: Plan) -> SavedPlan:
    return read_document(plan_document(plan), "it")


def refusal(before: SavedPlan, plan: Plan) -> str:
    with pytest.raises(ConflictingPlanError) as caught:
        check_same(before, plan)
    assert before.id in caught.value.message
    return caught.value.message


def test_a_document_holds_the_plan_for_people_and_for_scripts() -> None:
    plan = System().plan(project(), "dev")
    document = json.loads(plan_document(plan))
    assert document["plan"] == plan_json(plan)
    assert document["markdown"] == plan_markdown(plan)
    assert document["summary"].startswith("Applying it builds 3 models")
    before = saved(plan)
    assert (before.id, before.environment, before.based_on) == (plan.id, "dev", None)
    assert before.execution_time == from_ms(NOW)
    assert before.builds == {step.snapshot.name: step.intervals for step in plan.builds}
    assert not before.is_run


def test_choices_are_kept() -> None:
    system = System()
    system.apply(system.plan(project()))
    system.choices = {"s.stg": Category.NON_BREAKING}
    assert saved(system.plan(project("SELECT 2 AS id"))).wish.choices == system.choices


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', '{"format": 99, "plan": {}}', "not JSON"])
def test_what_is_no_saved_plan_is_told(text: str) -> None:
    with pytest.raises(PlanError, match=r"x\.json is not a saved plan"):
        read_document(text, "x.json")


def test_the_same_plan_is_the_same() -> None:
    system = System()
    check_same(saved(system.plan(project())), system.plan(project()))


def test_an_environment_that_moved_is_told() -> None:
    system = System()
    before = saved(system.plan(project()))
    other = system.apply(system.plan(project(other="SELECT 1 AS one")))
    told = refusal(before, system.plan(project()))
    assert f"environment 'prod' moved: it shows plan {other.id}, and showed nothing then" in told


def test_files_that_differ_are_told_by_model() -> None:
    system = System()
    before = saved(system.plan(project()))
    assert "the files are not those it was made from: s.mart, s.stg" in refusal(
        before, system.plan(project("SELECT 2 AS id"))
    )
    assert "made from: s.new" in refusal(before, system.plan(project(new="SELECT 1 AS one")))


def test_what_is_done_already_has_nothing_left_to_do() -> None:
    system = System()
    plan = system.apply(system.plan(project()))
    again = system.plan(project())
    assert again.is_empty
    check_same(saved(plan), again)
    assert "applied already, and the files changed since" in refusal(
        saved(plan), system.plan(project("SELECT 2 AS id"))
    )


def test_what_was_built_meanwhile_is_no_reason_to_refuse() -> None:
    system = System()
    before = system.plan(project())
    half = [step for step in before.builds if step.snapshot.name != "s.mart"]
    for step in half:
        system.recorded[str(step.snapshot.physical)] = step.intervals
    rest = system.plan(project())
    assert rest.id != before.id
    assert {step.snapshot.name for step in rest.builds} == {"s.mart"}
    check_same(saved(before), rest)
    # the other way round there is more to do than was agreed to
    assert "more is to build than was agreed to: s.days, s.stg" in refusal(saved(rest), before)


def test_more_to_build_than_was_agreed_to_is_told() -> None:
    system = System()
    full = system.plan(project())
    (days,) = (step for step in full.builds if step.snapshot.name == "s.days")
    system.recorded[str(days.snapshot.physical)] = days.intervals
    before = saved(system.plan(project()))
    system.recorded.clear()
    assert "more is to build than was agreed to: s.days" in refusal(before, system.plan(project()))
    later = system.plan(project(), now=NOW + DAY)
    assert "more is to build than was agreed to: s.days" in refusal(saved(full), later)


def test_another_table_for_the_same_files_is_told() -> None:
    system = System()
    system.apply(system.plan(project()))
    before = saved(system.plan(project("SELECT 2 AS id"), "dev"))
    system.choices = {"s.stg": Category.NON_BREAKING}
    told = refusal(before, system.plan(project("SELECT 2 AS id"), "dev"))
    assert "other tables are right for s.mart" in told
