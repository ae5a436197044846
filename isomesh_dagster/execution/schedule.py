"""Run a plan's builds in threads: what others wait for longest goes first.

A failed build skips its descendants only; the rest goes on, so that one run tells all there is to mend. Promotion
follows when nothing failed. Events are yielded in the caller's thread; closing the generator lets running batches
finish (or roll back) and records what is done. Ctrl-C while builds are waited for ends their statements: those batches
roll back.
"""

from __future__ import annotations

import heapq
import queue
import threading
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from isomesh_dagster.errors import ConflictingPlanError, IsomeshError
from isomesh_dagster.execution.application import Application
from isomesh_dagster.plan.plan import Build, Plan
from isomesh_dagster.records.events import Event, Skipped

_INTERRUPT_SECONDS = 0.1  # how long an interrupt may go unnoticed, and between two tries to end what runs


@dataclass(frozen=True, slots=True)
class _Ended:
    """A worker is done with a step; `error` None: it is built."""

    name: str
    error: BaseException | None


def run_plan_steps(application: Application, concurrency: int = 1) -> Iterator[Event]:
    """Apply the plan with `concurrency` threads: all builds, then audits of what is not built, then the promotion.

    After the last event raises the first error; when there are several its message lists them. The environment is
    untouched then.
    """
    application.begin()
    try:
        errors = yield from _build_all(application, max(1, concurrency))
        for step in application.plan.audits if not errors else ():
            try:
                yield from application.audit(step)
            except IsomeshError as error:  # noqa: PERF203 (the rest is audited too)
                errors[step.snapshot.name] = error
        if errors:
            raise _summary(errors)
        promoted = application.promote()
        if promoted is not None:
            yield promoted
            yield from application.later()
    finally:
        application.finish()


def _build_all(application: Application, concurrency: int) -> Generator[Event, None, dict[str, BaseException]]:
    graph = _Graph(application.plan)
    ready = [(-graph.weight[name], name) for name, count in graph.waiting.items() if count == 0]
    heapq.heapify(ready)
    events: queue.SimpleQueue[Event | _Ended] = queue.SimpleQueue()
    skipped: set[str] = set()
    errors: dict[str, BaseException] = {}
    running = 0

    def work(step: Build) -> None:
        error: BaseException | None = None
        try:
            for event in application.build(step):
                events.put(event)
        except BaseException as raised:
            error = raised
        events.put(_Ended(step.snapshot.name, error))

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="isomesh")
    try:
        while ready or running:
            while ready and running < concurrency:
                _, name = heapq.heappop(ready)
                pool.submit(work, graph.steps[name])
                running += 1
            event = _next(events)
            if not isinstance(event, _Ended):
                yield event
                continue
            running -= 1
            if event.error is not None:
                errors[event.name] = event.error
                for name in graph.descendants(event.name):
                    if name not in skipped:
                        skipped.add(name)
                        yield Skipped(model=name, because=event.name)
                continue
            for name in graph.readers[event.name]:
                graph.waiting[name] -= 1
                if graph.waiting[name] == 0 and name not in skipped:
                    heapq.heappush(ready, (-graph.weight[name], name))
    except BaseException as interrupt:
        if isinstance(interrupt, Exception | GeneratorExit):
            raise
        # somebody presses Ctrl-C, or cancels where this is embedded, which has an exception of its own for that;
        # whatever was handed over a moment ago counts too, so the pool itself says when nothing runs any more
        ending = threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": True})
        ending.start()
        while ending.is_alive():
            with suppress(KeyboardInterrupt):  # who presses again is heard already
                application.interrupt()
                ending.join(_INTERRUPT_SECONDS)  # a batch may be between two statements
        raise
    finally:
        application.stop()
        pool.shutdown(wait=True, cancel_futures=True)
    return errors


def _next(events: queue.SimpleQueue[Event | _Ended]) -> Event | _Ended:
    """The next event. The wait is cut in pieces: a signal that another thread took, as those of the engine may, does
    not wake this one, and Python acts on it here only.
    """
    while True:
        with suppress(queue.Empty):
            return events.get(timeout=_INTERRUPT_SECONDS)


class _Graph:
    """Which builds wait for which, and how much work hangs on each (batches on the longest way down)."""

    def __init__(self, plan: Plan) -> None:
        self.steps: Mapping[str, Build] = {step.snapshot.name: step for step in plan.builds}
        self.readers: dict[str, list[str]] = {name: [] for name in self.steps}
        self.waiting: dict[str, int] = {}
        self._order = list(self.steps)
        # the builds a model stands on: itself, or through what is not built now (embedded, views that exist) theirs
        nearest: dict[str, frozenset[str]] = {}
        for name, snapshot in plan.snapshots.items():
            read = (*(parent.name for parent in snapshot.parents), *snapshot.model.audit_reads)
            parents = [nearest.get(parent, frozenset()) for parent in read if parent != name]
            below = frozenset().union(*parents)
            if name in self.steps:
                self.waiting[name] = len(below)
                for parent in below:
                    self.readers[parent].append(name)
                nearest[name] = frozenset((name,))
            else:
                nearest[name] = below
        self.weight: dict[str, int] = {}
        for name in reversed(self._order):
            longest = max((self.weight[reader] for reader in self.readers[name]), default=0)
            self.weight[name] = longest + 1 + len(self.steps[name].batches)

    def descendants(self, name: str) -> list[str]:
        """Builds that stand on this one, in the plan's order."""
        seen: set[str] = set()
        todo = [name]
        while todo:
            for reader in self.readers[todo.pop()]:
                if reader not in seen:
                    seen.add(reader)
                    todo.append(reader)
        return [one for one in self._order if one in seen]


def _summary(errors: Mapping[str, BaseException]) -> BaseException:
    first = next(iter(errors.values()))
    if len(errors) == 1 or not isinstance(first, IsomeshError) or isinstance(first, ConflictingPlanError):
        return first
    words = {name: error.message if isinstance(error, IsomeshError) else repr(error) for name, error in errors.items()}
    told = "\n".join("\n    ".join(f"  {name}: {message}".split("\n")) for name, message in words.items())
    return type(first)(f"{len(errors)} models failed\n{told}", hint="mend them and apply again; what is built is kept")
