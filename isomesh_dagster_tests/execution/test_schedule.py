"""The scheduler: parents first, the longest way down first, and nothing half-done when it is interrupted."""

from __future__ import annotations

import pytest

from isomesh_dagster.execution.schedule import run_plan_steps
from isomesh_dagster.model import kinds
from isomesh_dagster.records.events import Built, Evaluated, Promoted
from isomesh_dagster_tests.factories import System, days, model, snapshots

BY_DAY = kinds.IncrementalByTimeRange(time_column="ds")


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def built(events):
    return [event.model for event in events if isinstance(event, Built)]


def test_the_longest_way_down_goes_first(system):
    alone = model("a.alone", "SELECT 1 AS id")
    first = model("b.first", "SELECT 1 AS id")
    second = model("c.second", "SELECT id FROM b.first")
    third = model("d.third", "SELECT id FROM c.second")
    events = system.apply(system.plan(snapshots([alone, first, second, third])), concurrency=1)
    assert built(events) == ["b.first", "c.second", "a.alone", "d.third"]


def test_a_reader_waits_for_what_is_behind_views_that_exist(system):
    source = model("raw.source", "SELECT DATE '2020-01-01' + CAST(x AS INT) AS ds FROM range(4) AS r(x)", BY_DAY)
    view = model("mart.view", "SELECT ds FROM raw.source", kinds.View())
    reader = model("mart.reader", "SELECT COUNT(*) AS n FROM mart.view")
    shown = snapshots([source, view, reader])
    system.apply(system.plan(shown, batches={"raw.source": [days(0, 2)]}))
    assert system.rows("SELECT n FROM mart.reader") == [(2,)]
    # a run: the view is not built again, yet its reader must see the source's new rows
    run = system.plan(
        shown, batches={"raw.source": [days(2, 4)], "mart.reader": [days(0, 11)]}, restates=["mart.reader"]
    )
    events = system.apply(run, concurrency=4)
    assert built(events) == ["raw.source", "mart.reader"]
    assert system.rows("SELECT n FROM mart.reader") == [(4,)]


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_every_step_runs_once_parents_first(system, concurrency):
    models = [model("m.m0", "SELECT 0 AS n")]
    for index in range(1, 25):
        parents = sorted({(index - 1) // 2, index - 1 if index % 3 == 0 else (index - 1) // 2})
        text = " + ".join(f"(SELECT n FROM m.m{parent})" for parent in parents)
        models.append(model(f"m.m{index}", f"SELECT 1 + {text} AS n"))
    shown = snapshots(models)
    events = system.apply(system.plan(shown), concurrency=concurrency)
    order = built(events)
    assert sorted(order) == sorted(shown)
    for name, one in shown.items():
        assert all(order.index(parent.name) < order.index(name) for parent in one.parents)
    assert isinstance(events[-1], Promoted)


def test_closing_the_stream_keeps_what_is_done_and_promotes_nothing(system):
    query = "SELECT DATE '2020-01-01' + CAST(x AS INT) AS ds FROM range(8) AS r(x)"
    shown = snapshots([model("mart.daily", query, BY_DAY), model("mart.after", "SELECT COUNT(*) AS n FROM mart.daily")])
    plan = system.plan(shown, batches={"mart.daily": [days(day, day + 1) for day in range(8)]})
    stream = run_plan_steps(system.application(plan), 2)
    event = next(stream)
    assert isinstance(event, Evaluated)
    stream.close()
    assert system.state.environment("prod") is None
    physical = str(shown["mart.daily"].physical)
    recorded = system.rows("SELECT COUNT(*) FROM isomesh_meta.loaded")[0][0]
    assert recorded >= 1
    (interval,) = system.state.intervals([physical])[physical]
    assert interval == days(0, recorded)
    again = system.apply(plan)
    assert len([one for one in again if isinstance(one, Evaluated)]) == 8 - recorded + 1
    assert system.rows("SELECT n FROM mart.after") == [(8,)]


class Interrupting:
    """A checkpoint that stands for Ctrl-C in the caller's thread while a batch is being written."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, name: str) -> None:
        if name == self._name:
            raise KeyboardInterrupt


@pytest.mark.parametrize("point", ["written", "recorded", "view", "swapped"])
def test_an_interrupt_inside_a_transaction_rolls_it_back(system, point):
    plan = system.plan(snapshots([model("mart.a", "SELECT 1 AS id"), model("mart.b", "SELECT id FROM mart.a")]))
    with pytest.raises(KeyboardInterrupt):
        system.apply(plan, checkpoint=Interrupting(point))
    assert system.state.environment("prod") is None
    assert system.relations("mart") == []
    loaded = system.rows("SELECT COUNT(*) FROM isomesh_meta.loaded")[0][0]
    assert len(system.relations("isomesh__mart")) == loaded
    system.apply(plan)
    assert system.rows("SELECT id FROM mart.b") == [(1,)]
