"""Categories chosen by people: what they change, for whom they can be chosen, and who must be asked."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from isomesh_dagster.errors import GraphError, PlanError
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model.kinds import Seed, View
from isomesh_dagster.plan.automatic import AutoCategorize
from isomesh_dagster.plan.choices import BY_HAND, check_choices
from isomesh_dagster.plan.diff import Diff
from isomesh_dagster.plan.plan import Change, ChangeType, Plan
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.plan.projects import System, graph, model

BREAKING, NON_BREAKING = Category.BREAKING, Category.NON_BREAKING


def project(
    stg: str = "SELECT 1 AS id, 2 AS a", mart: str = "SELECT id, a FROM s.stg", star: str = "SELECT * FROM s.stg"
) -> ModelGraph:
    return graph(
        model("s.stg", stg),
        model("s.mart", mart),
        model("s.star", star),
        model("s.view", "SELECT id FROM s.stg", View()),
        model("s.end", "SELECT a FROM s.mart"),
    )


FILTERED = "SELECT 1 AS id, 2 AS a WHERE 1 = 1"
WIDER = "SELECT 1 AS id, 2 AS a, 3 AS b"


def applied(choices: Mapping[str, Category] | None = None) -> System:
    system = System()
    system.apply(system.plan(project()))
    system.choices = choices or {}
    return system


def built(plan: Plan) -> set[str]:
    return {step.snapshot.name for step in plan.builds if not step.repoint}


def change_of(plan: Plan, name: str) -> Change:
    return next(change for change in plan.changes if change.model == name)


def test_a_chosen_non_breaking_keeps_the_tables_of_readers() -> None:
    system = applied()
    assert built(system.plan(project(stg=FILTERED))) == set(project().models)
    system.choices = {"s.stg": NON_BREAKING}
    plan = system.plan(project(stg=FILTERED))
    assert built(plan) == {"s.stg"}
    assert (change_of(plan, "s.stg").category, change_of(plan, "s.stg").reason) == (NON_BREAKING, BY_HAND)
    assert change_of(plan, "s.end").category is Category.INDIRECT_NON_BREAKING
    assert plan.wish.choices == {"s.stg": NON_BREAKING}
    # a view has no table to keep: it shows the new rows
    assert plan.promote is not None
    assert {step.snapshot.name for step in plan.builds if step.repoint} == {"s.view"}


def test_a_chosen_breaking_builds_all_readers() -> None:
    system = applied()
    assert built(system.plan(project(stg=WIDER))) == {"s.stg", "s.star"}
    system.choices = {"s.stg": BREAKING}
    plan = system.plan(project(stg=WIDER))
    assert built(plan) == set(project().models)
    assert change_of(plan, "s.stg").reason == BY_HAND


def test_columns_that_are_new_still_reach_readers_with_a_star() -> None:
    plan = applied({"s.stg": NON_BREAKING}).plan(project(stg=WIDER))
    assert built(plan) == {"s.stg", "s.star"}


def test_a_choice_is_about_the_edit_not_about_what_is_read() -> None:
    plan = applied({"s.mart": NON_BREAKING}).plan(project(stg=FILTERED, mart="SELECT id, a + 1 AS a FROM s.stg"))
    change = change_of(plan, "s.mart")
    assert change.category is Category.INDIRECT_BREAKING
    assert change.reason == f"{BY_HAND}; reads s.stg, whose rows change"
    assert "s.end" in built(plan)


def test_a_new_model_can_be_called_non_breaking() -> None:
    system = applied({"s.new": NON_BREAKING})
    models = {**project().models, "s.new": model("s.new", "SELECT 1 AS one")}
    plan = system.plan(graph(*models.values()))
    assert change_of(plan, "s.new").category is NON_BREAKING
    assert built(plan) == {"s.new"}


def test_breaking_builds_although_another_environment_called_it_non_breaking() -> None:
    system = applied({"s.stg": NON_BREAKING})
    system.apply(system.plan(project(stg=FILTERED), "dev"))
    assert built(system.plan(project(stg=FILTERED), "other")) == set()
    system.choices = {"s.stg": BREAKING}
    assert built(system.plan(project(stg=FILTERED), "other")) == {"s.mart", "s.star", "s.end"}


def test_an_apply_of_a_choice_leaves_nothing_to_do() -> None:
    system = applied({"s.stg": NON_BREAKING})
    system.apply(system.plan(project(stg=FILTERED)))
    system.choices = {}
    assert system.plan(project(stg=FILTERED)).is_empty


# ── what can be chosen ───────────────────────────────────────────────────────────────────────────────────────────────

DIFFERENCE = Diff(
    changed={
        "s.new": ChangeType.ADDED,
        "s.edited": ChangeType.DIRECT,
        "s.reader": ChangeType.INDIRECT,
        "s.owned": ChangeType.METADATA,
    },
    removed=(),
)
NAMES = {*DIFFERENCE.changed, "s.same"}


def test_new_and_edited_models_can_be_chosen_about() -> None:
    assert check_choices({"s.new": NON_BREAKING, "s.edited": BREAKING}, DIFFERENCE, NAMES) == ()


def test_a_choice_without_a_change_is_a_warning() -> None:
    (warning,) = check_choices({"s.same": BREAKING}, DIFFERENCE, NAMES)
    assert warning == "s.same did not change: the category chosen for it has no effect"


@pytest.mark.parametrize(("name", "told"), [("s.reader", "only what it reads"), ("s.owned", "only its properties")])
def test_models_that_only_follow_cannot_be_chosen_about(name: str, told: str) -> None:
    with pytest.raises(PlanError, match=told):
        check_choices({name: BREAKING}, DIFFERENCE, NAMES)


def test_unknown_models_and_other_categories_are_refused() -> None:
    with pytest.raises(GraphError) as caught:
        check_choices({"s.editde": BREAKING}, DIFFERENCE, NAMES)
    assert caught.value.hint == "did you mean 's.edited'?"
    with pytest.raises(PlanError, match="metadata cannot be chosen"):
        check_choices({"s.edited": Category.METADATA}, DIFFERENCE, NAMES)


# ── what is left to people ───────────────────────────────────────────────────────────────────────────────────────────


def test_semi_leaves_breaking_edits_to_people() -> None:
    system = applied()
    system.automatic = AutoCategorize(sql="semi")
    assert built(system.plan(project(stg=WIDER))) == {"s.stg", "s.star"}
    with pytest.raises(PlanError) as caught:
        system.plan(project(stg=FILTERED, mart="SELECT id, a * 2 AS a FROM s.stg"))
    assert caught.value.message.splitlines()[0] == "nobody chose a category for 2 of the changes:"
    assert "--categorize s.stg=non-breaking --categorize s.mart=non-breaking" in (caught.value.hint or "")
    system.choices = {"s.stg": BREAKING}
    assert "s.end" in built(system.plan(project(stg=FILTERED)))


def test_off_leaves_every_edit_that_touches_rows_to_people() -> None:
    system = applied()
    system.automatic = AutoCategorize(sql="off")
    with pytest.raises(PlanError, match=r"s\.stg"):
        system.plan(project(stg=WIDER))
    system.choices = {"s.stg": NON_BREAKING}
    assert built(system.plan(project(stg=WIDER))) == {"s.stg", "s.star"}


def test_new_models_and_edits_without_effect_are_never_left_to_people() -> None:
    system = System()
    system.automatic = AutoCategorize(sql="off", seed="off", external="off")
    system.apply(system.plan(project()))
    plan = system.plan(project(mart="SELECT s.id, s.a FROM s.stg AS s"))
    assert change_of(plan, "s.mart").category is Category.METADATA


def test_seeds_are_asked_about_by_their_own_key() -> None:
    def seeded(content: str) -> ModelGraph:
        return graph(model("s.seed", kind=Seed(path="seeds/s.csv", content_hash=content)))

    system = System()
    system.apply(system.plan(seeded("1")))
    system.automatic = AutoCategorize(sql="off")
    assert built(system.plan(seeded("2"))) == {"s.seed"}
    system.automatic = AutoCategorize(seed="semi")
    with pytest.raises(PlanError, match=r"s\.seed"):
        system.plan(seeded("2"))
