"""Contract with Dagster's internals: steps of a run in threads of one process."""

import logging
import os
import signal
import threading
from pathlib import Path

import dagster as dg
import pytest

from isomesh_dagster.definitions.executor import THREADED, WHOLE_RUNS, isomesh_executor

TOGETHER = threading.Barrier(3)
SEEN: list[tuple[int, str]] = []
TRIES: list[int] = []
HOOKED: list[str] = []


@dg.op
def start() -> int:
    return 1


def _together(name: str) -> dg.OpDefinition:
    @dg.op(name=name)
    def op(value: int) -> int:
        TOGETHER.wait(timeout=120)  # three steps are in here at the same time, or this breaks
        SEEN.append((os.getpid(), threading.current_thread().name))
        return value

    return op


@dg.op
def collect(values: list[int]) -> int:
    return sum(values)


@dg.job(executor_def=isomesh_executor, config={"execution": {"config": {"max_concurrent": 3}}})
def fan_out_and_in() -> None:
    first = start()
    collect([_together(name)(first) for name in ("a", "b", "c")])


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
def second_try() -> int:
    TRIES.append(1)
    if len(TRIES) < 2:
        raise RuntimeError("not yet")
    return 1


@dg.op
def breaks() -> int:
    raise RuntimeError("broken")


@dg.op
def below(value: int) -> int:
    return value


@dg.failure_hook
def note_failure(context: dg.HookContext) -> None:
    HOOKED.append(context.op.name)


@dg.job(executor_def=isomesh_executor, hooks={note_failure})
def one_branch_breaks() -> None:
    below.alias("below_broken")(breaks())
    below.alias("below_fine")(second_try())


@dg.op
def works_for_hours(context: dg.OpExecutionContext) -> int:
    ended = threading.Event()
    WHOLE_RUNS[context.run_id].append(ended.set)
    # somebody cancels the run in the UI, and its process gets a signal
    context.instance.report_run_canceling(context.run)
    os.kill(os.getpid(), signal.SIGINT)
    assert ended.wait(timeout=120)
    raise RuntimeError("the statement was interrupted")


@dg.op
def promotes(value: int) -> int:
    SEEN.append((value, "promoted"))
    return value


@dg.job(executor_def=isomesh_executor)
def canceled() -> None:
    promotes(works_for_hours())


@dg.multi_asset(
    specs=[dg.AssetSpec("quiet")],
    check_specs=[dg.AssetCheckSpec("absent", asset="quiet", blocking=True)],
    can_subset=True,
)
def quiet():  # type: ignore[no-untyped-def]
    yield dg.MaterializeResult(asset_key="quiet")


@dg.asset(deps=["quiet"])
def reader() -> None: ...


def absent_check_job() -> dg.JobDefinition:
    job = dg.define_asset_job("absent_check", "*", executor_def=isomesh_executor)
    return dg.Definitions(assets=[quiet, reader], jobs=[job]).resolve_job_def("absent_check")


@pytest.fixture
def instance(tmp_path: Path):  # type: ignore[no-untyped-def]
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


def test_the_internals_are_there() -> None:
    assert THREADED, "this Dagster has no internals for threads: runs fall back to one step at a time"


def test_steps_run_at_the_same_time_in_one_process(instance: dg.DagsterInstance) -> None:
    SEEN.clear()
    with dg.execute_job(dg.reconstructable(fan_out_and_in), instance=instance) as result:
        assert result.success
        assert result.output_for_node("collect") == 3
    assert {pid for pid, _ in SEEN} == {os.getpid()}
    assert len({thread for _, thread in SEEN}) == 3


def test_a_failure_stops_only_what_is_below_it_and_retries_and_hooks_work(instance: dg.DagsterInstance) -> None:
    TRIES.clear()
    HOOKED.clear()
    with dg.execute_job(dg.reconstructable(one_branch_breaks), instance=instance) as result:
        assert not result.success
        events = [event.event_type_value for event in result.all_events if event.step_key == "below_fine"]
        assert "STEP_SUCCESS" in events
        started = {event.step_key for event in result.all_events if event.event_type_value == "STEP_START"}
        assert "below_broken" not in started
        restarted = [event.step_key for event in result.all_events if event.event_type_value == "STEP_RESTARTED"]
        assert restarted == ["second_try"]
    assert HOOKED == ["breaks"]


def test_a_run_that_is_canceled_ends_what_is_at_work(instance: dg.DagsterInstance) -> None:
    SEEN.clear()
    with dg.execute_job(dg.reconstructable(canceled), instance=instance, raise_on_error=False) as result:
        assert result.dagster_run.status == dg.DagsterRunStatus.CANCELED
        assert not SEEN
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.CANCELED


def test_events_and_printed_output_reach_the_instance(
    instance: dg.DagsterInstance,
) -> None:
    with dg.execute_job(dg.reconstructable(one_branch_breaks), instance=instance) as result:
        stored = {
            record.event_log_entry.dagster_event_type for record in instance.get_records_for_run(result.run_id).records
        }
    assert dg.DagsterEventType.LOGS_CAPTURED in stored
    assert dg.DagsterEventType.STEP_FAILURE in stored


def test_an_absent_check_of_a_reused_model_is_no_warning(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        dg.execute_job(dg.reconstructable(absent_check_job), instance=instance) as result,
    ):
        assert result.success
    assert not [record for record in caplog.records if "emitted no result" in record.getMessage()]
