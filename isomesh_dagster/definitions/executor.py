"""Steps of one run in threads of one process, so that a DuckDB file has one writer and nothing is imported again.

This file uses Dagster's internals (pinned by `dagster<1.14`). When they are gone, `isomesh_executor` is Dagster's own
in-process executor: the same results, one step at a time.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

try:
    from dagster._core.errors import DagsterExecutionInterruptedError
    from dagster._core.events import DagsterEvent, EngineEventData
    from dagster._core.execution.api import ExecuteRunWithPlanIterable
    from dagster._core.execution.compute_logs import create_compute_log_file_key
    from dagster._core.execution.context_creation_job import PlanExecutionContextManager
    from dagster._core.execution.plan.execute_plan import (
        _handle_compute_log_setup_error,
        _handle_compute_log_teardown_error,
        _trigger_hook,
        dagster_event_sequence_for_step,
    )
    from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
    from dagster._core.execution.retries import RetryMode
    from dagster._core.executor.base import Executor
except ImportError:
    THREADED = False
else:
    THREADED = True

if TYPE_CHECKING:
    from dagster._core.execution.context.system import (
        PlanExecutionContext,
        PlanOrchestrationContext,
        StepExecutionContext,
    )
    from dagster._core.execution.plan.plan import ExecutionPlan

_POLL_SECONDS = 0.5  # how long a finished run, a free slot or an interrupt may go unnoticed
_DEFAULT_CONCURRENCY = 4

_INTERRUPT_SECONDS = 0.1  # between two tries to end what runs

WHOLE_RUNS: dict[str, list[Callable[[], None]]] = {}
"""The runs of which this process does all steps; and of each, what ends the statements at work when it is canceled."""


class _AbsentChecks(logging.Filter):
    """Silences Dagster's warning that a blocking check gave no result.

    A reused model runs no audit, on purpose; a failed audit fails the step, so nothing relies on the check's output.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return "emitted no result in step" not in record.getMessage()


@contextmanager
def _absent_checks_are_fine() -> Iterator[None]:
    logger = logging.getLogger("dagster._core.execution.plan.active")
    absent = _AbsentChecks()
    logger.addFilter(absent)
    try:
        yield
    finally:
        logger.removeFilter(absent)


if THREADED:

    class ThreadedExecutor(Executor):
        """Runs up to `max_concurrent` ready steps of a run at once, each in a thread."""

        def __init__(self, retries: RetryMode, max_concurrent: int) -> None:
            self._retries = retries
            self._max_concurrent = max_concurrent

        @property
        def retries(self) -> RetryMode:
            """Whether steps may ask to be run again."""
            return self._retries

        def execute(
            self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
        ) -> Iterator[DagsterEvent]:
            """The events of all steps, as they happen."""
            WHOLE_RUNS[plan_context.run_id] = []
            yield DagsterEvent.engine_event(
                plan_context,
                f"Executing steps in up to {self._max_concurrent} threads (pid: {os.getpid()})",
                event_specific_data=EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute),
            )
            yield from iter(
                ExecuteRunWithPlanIterable(
                    execution_plan=plan_context.execution_plan,
                    iterator=self._steps,
                    execution_context_manager=PlanExecutionContextManager(
                        job=plan_context.job,
                        retry_mode=plan_context.retry_mode,
                        execution_plan=plan_context.execution_plan,
                        run_config=plan_context.run_config,
                        dagster_run=plan_context.dagster_run,
                        instance=plan_context.instance,
                        raise_on_error=plan_context.raise_on_error,
                        output_capture=plan_context.output_capture,
                        step_dependency_config=self.step_dependency_config,
                    ),
                )
            )

        def _steps(self, job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
            reports: queue.Queue[tuple[StepExecutionContext, DagsterEvent | BaseException | None]] = queue.Queue()

            def work(step: StepExecutionContext) -> None:
                try:
                    for event in dagster_event_sequence_for_step(step):
                        reports.put((step, event))
                except BaseException as error:
                    reports.put((step, error))
                else:
                    reports.put((step, None))

            # last in, first out: threads end before logs are closed and before the run's resources are torn down
            with ExitStack() as stack:
                stack.enter_context(_absent_checks_are_fine())
                slots = stack.enter_context(InstanceConcurrencyContext(job_context.instance, job_context.dagster_run))
                active = stack.enter_context(
                    execution_plan.start(
                        retry_mode=job_context.retry_mode,
                        max_concurrent=self._max_concurrent,
                        instance_concurrency_context=slots,
                        step_dependency_config=job_context.step_dependency_config,
                    )
                )
                logs = stack.enter_context(ExitStack())
                yield from _capture_logs(job_context, execution_plan, logs)
                threads = stack.enter_context(ThreadPoolExecutor(self._max_concurrent, thread_name_prefix="isomesh"))
                seen: dict[str, list[DagsterEvent]] = {}
                while not active.is_complete or seen:
                    if active.check_for_interrupts():
                        _end(threads, WHOLE_RUNS.get(job_context.run_id, ()))
                        raise DagsterExecutionInterruptedError
                    free = self._max_concurrent - len(seen)
                    for step in active.get_steps_to_execute(limit=free) if free else ():
                        seen[step.key] = []
                        threads.submit(work, job_context.for_step(step, active.get_known_state()))
                    yield from active.concurrency_event_iterator(job_context)
                    if not seen:
                        if not active.is_complete:
                            active.sleep_til_ready()
                        continue
                    try:
                        step_context, report = reports.get(timeout=_POLL_SECONDS)
                    except queue.Empty:
                        continue
                    if isinstance(report, BaseException):
                        raise report
                    key = step_context.step.key
                    if report is not None:
                        seen[key].append(report)
                        yield report
                        # a step that asks for another try gets it when its thread has ended, not while that reports
                        if not report.is_step_up_for_retry:
                            active.handle_event(report)
                        continue
                    events = seen.pop(key)
                    for event in events:
                        if event.is_step_up_for_retry:
                            active.handle_event(event)
                    active.verify_complete(job_context, key)
                    for event in active.plan_events_iterator(job_context):
                        events.append(event)
                        yield event
                    yield from _trigger_hook(step_context, events)
                try:
                    logs.close()
                except Exception:
                    yield from _handle_compute_log_teardown_error(job_context, sys.exc_info())

    def _end(threads: ThreadPoolExecutor, interrupts: Sequence[Callable[[], None]]) -> None:
        """End the steps at work: Dagster only notes that somebody cancels the run, and each executor has to look."""
        ending = threading.Thread(target=threads.shutdown, kwargs={"cancel_futures": True})
        ending.start()
        while ending.is_alive():
            for interrupt in interrupts:
                interrupt()
            ending.join(_INTERRUPT_SECONDS)  # a step may be between two statements

    def _new_log_key() -> str:
        key: str = create_compute_log_file_key()  # type: ignore[no-untyped-call]
        return key

    def _capture_logs(context: PlanExecutionContext, plan: ExecutionPlan, stack: ExitStack) -> Iterator[DagsterEvent]:
        """What the process prints belongs to the run, as with Dagster's in-process executor."""
        manager = context.instance.compute_log_manager
        log_key = manager.build_log_key_for_run(context.run_id, _new_log_key())
        try:
            captured = stack.enter_context(manager.capture_logs(log_key))
            keys = [step.key for step in plan.get_steps_to_execute_in_topo_order()]
            yield DagsterEvent.capture_logs(context, keys, log_key, captured)
        except Exception:
            yield from _handle_compute_log_setup_error(context, sys.exc_info())

    @dg.executor(
        name="isomesh_threaded",
        config_schema={
            "max_concurrent": dg.Field(
                int,
                default_value=_DEFAULT_CONCURRENCY,
                description="The most models that are built at once, each in a thread of the run's process.",
            )
        },
    )
    def _threaded(init_context: dg.InitExecutorContext) -> Any:
        max_concurrent = init_context.executor_config["max_concurrent"]
        return ThreadedExecutor(RetryMode.ENABLED, max_concurrent if isinstance(max_concurrent, int) else 1)


isomesh_executor: dg.ExecutorDefinition = _threaded if THREADED else dg.in_process_executor
"""The executor for definitions that hold our models: threads in one process, else Dagster's in-process executor."""
