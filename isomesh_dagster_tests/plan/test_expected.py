"""What builds will take, by past batches of about the same size."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isomesh_dagster.model.kinds import IncrementalByTimeRange, View
from isomesh_dagster.plan.documents import plan_json, plan_markdown
from isomesh_dagster.plan.expected import Duration, with_expected
from isomesh_dagster.plan.explain import expected_words
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.words import duration_words
from isomesh_dagster_tests.plan.projects import NOW, System, graph, model

DAILY = model("a.daily", "SELECT 1 AS ds", IncrementalByTimeRange(time_column="ds", batch_size=10), start="2023-12-01")
WHOLE = model("a.whole", "SELECT ds FROM a.daily")
SHOWN = model("a.shown", "SELECT ds FROM a.whole", View())


@pytest.fixture
def plan() -> Plan:
    """31 days in batches of 10, 10, 10 and 1, a table and a view."""
    return System().plan(graph(DAILY, WHOLE, SHOWN), now=NOW)


def batches(*pairs: tuple[int, float]) -> list[Duration]:
    return [Duration(units=units, seconds=seconds) for units, seconds in pairs]


def seconds(plan: Plan) -> dict[str, float | None]:
    return {one.snapshot.name: one.expected_seconds for one in plan.builds}


def test_nothing_is_told_of_what_was_never_built(plan: Plan) -> None:
    told = with_expected(plan, {})
    assert seconds(told) == {"a.daily": None, "a.whole": None, "a.shown": 0.0}
    assert expected_words(told) == ""


def test_batches_of_the_same_size_tell_most(plan: Plan) -> None:
    past = {"a.daily": batches((1, 20), (10, 60), (10, 50), (9, 54)), "a.whole": batches((1, 7), (1, 300), (1, 6))}
    told = with_expected(plan, past)
    assert seconds(told) == {"a.daily": pytest.approx(3 * 60 + 20), "a.whole": 7, "a.shown": 0.0}
    assert expected_words(told) == "To build as much took about 3 min before."
    assert "about 3 min" in plan_markdown(told)
    assert {one["model"]: one["expected_seconds"] for one in plan_json(told)["builds"]}["a.whole"] == 7.0


def test_other_sizes_are_better_than_nothing(plan: Plan) -> None:
    assert seconds(with_expected(plan, {"a.daily": batches((100, 200))}))["a.daily"] == pytest.approx(62)


def test_what_is_not_known_is_told(plan: Plan) -> None:
    told = with_expected(plan, {"a.whole": batches((1, 600))})
    assert expected_words(told) == "To build as much took about 10 min before, and nothing is known of 1 other."


def test_what_makes_no_rows_takes_no_time(plan: Plan) -> None:
    hollow = replace(plan, builds=tuple(replace(one, hollow=True) for one in plan.builds))
    past = {"a.daily": batches((1, 20)), "a.whole": batches((1, 20))}
    assert set(seconds(with_expected(hollow, past)).values()) == {0.0}


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0, ""), (9.9, ""), (10, "about 10 s"), (89, "about 89 s"), (90, "about 2 min"), (3600, "about 60 min"),
        (5400, "about 1.5 h"), (36_000 * 200, "about 2,000 h"),
    ],
)  # fmt: skip
def test_lengths_are_told_as_people_guess_them(length: float, words: str) -> None:
    assert duration_words(length) == words
