"""The batches of one step: one after the other, or several at once where no batch can tell that the others are written.

Several at once takes a lead: a session that does nothing but say that the table is filled by this process. Batches then
share the claim on the table with each other, and with nobody else; each is a transaction of its own, rows and record
together, as ever. The first batch holds the claim alone: it makes the table, and finds that nobody else is at work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from isomesh_dagster.engine.connection import Connection, Lead, Session
from isomesh_dagster.errors import EngineError, PlanError
from isomesh_dagster.evaluation.batch import Batch, physical_of
from isomesh_dagster.evaluation.evaluate import are_apart
from isomesh_dagster.evaluation.rows import Written
from isomesh_dagster.evaluation.texts import Surroundings, Texts
from isomesh_dagster.evaluation.writing import BatchWriter
from isomesh_dagster.model.kinds import Custom, IncrementalByTimeRange
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.plan import Build
from isomesh_dagster.records.events import Audited
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot


class Budget:
    """How many batches may be written at once in one application: one for each step that runs, more while fewer steps
    run than `tasks`. Thread-safe.
    """

    def __init__(self, tasks: int) -> None:
        self._free = tasks
        self._lock = threading.Lock()

    def enter(self) -> None:
        """A step begins: its first batch at a time is never refused."""
        with self._lock:
            self._free -= 1

    def leave(self) -> None:
        """A step, or one more batch of a step, has ended."""
        with self._lock:
            self._free += 1

    def one_more(self) -> bool:
        """Whether a step may write one batch more at once; `leave` ends it."""
        with self._lock:
            if self._free <= 0:
                return False
            self._free -= 1
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A batch that this step wrote; `seconds` is what it took with waiting for others."""

    batch: Batch
    written: Written
    seconds: float


def most_together(model: Model) -> int:
    """How many batches of the model may be written at once: as many as it says where each replaces rows of its own time
    and reads and changes nothing of what the others write.
    """
    kind = model.kind
    if not isinstance(kind, IncrementalByTimeRange) or kind.batch_concurrency is None:
        return 1
    stands_alone = not (model.may_read_itself or model.pre_statements or model.post_statements)
    return kind.batch_concurrency if stands_alone else 1


class Batches:
    """The batches of one step on their way. `surroundings` tells what texts depend on, `is_empty` which batches make no
    rows, `known` is what was loaded when the application began.
    """

    def __init__(
        self,
        step: Build,
        *,
        connection: Connection,
        writer: BatchWriter,
        surroundings: Callable[[Session], Surroundings],
        root: Path,
        budget: Budget,
        stopped: threading.Event,
        known: Sequence[Interval],
        is_empty: Callable[[Interval | None], bool],
    ) -> None:
        self._failures: list[tuple[BaseException, Batch]] = []
        self._step = step
        self._connection = connection
        self._writer = writer
        self._surroundings = surroundings
        self._root = root
        self._budget = budget
        self._stopped = stopped
        self._known = known
        self._is_empty = is_empty

    def write(self, todo: Sequence[Interval | None]) -> Iterator[Done]:
        """Write them; what somebody else wrote meanwhile is left out. What fails is raised when nothing runs any more;
        finished batches stay.
        """
        with ExitStack() as stack:
            stack.callback(self._budget.leave)
            self._budget.enter()
            session = stack.enter_context(self._connection.session())
            around = self._surroundings(session)
            desk = self._desk(session, around)
            most = min(most_together(self._step.snapshot.model), len(todo) - 1)
            if most < 2 or self._step.hollow or not self._connection.capabilities.shared_claims:
                for interval in todo:
                    yield from self._one(desk, interval)
                return
            physical = physical_of(self._step)
            leader = stack.enter_context(self._connection.session())
            lead = stack.enter_context(leader.leading(str(physical)))
            yield from self._one(desk, todo[0])
            rest = [one for one in todo[1:] if one is not None]
            is_apart = are_apart(self._step.snapshot, session.columns(physical), rest)
            yield from self._several(stack, desk, rest, most if is_apart else 1, lead)

    def audits_of(self, error: BaseException) -> tuple[Audited, ...]:
        """What had been audited in the batch that failed with this error; others may have failed beside it."""
        return next((batch.audits for raised, batch in self._failures if raised is error), ())

    def _one(self, desk: _Desk, interval: Interval | None, lead: Lead | None = None) -> list[Done]:
        """Write one; empty when it was there already."""
        if self._stopped.is_set():
            raise PlanError("stopped between two batches", model=self._step.snapshot.name)
        begun = time.perf_counter()
        while True:
            batch = Batch(
                self._step,
                physical_of(self._step),
                interval,
                desk.texts,
                desk.around,
                self._root,
                is_empty=self._is_empty(interval),
                known=self._known,
            )
            try:
                written = self._writer.write(desk.session, batch, lead)
            except BaseException as error:
                if isinstance(error, EngineError) and error.is_syntax and desk.asks_from_now_on():
                    continue
                self._failures.append((error, batch))
                raise
            seconds = time.perf_counter() - begun
            return [Done(batch=batch, written=written, seconds=seconds)] if written is not None else []

    def _several(
        self, stack: ExitStack, desk: _Desk, rest: Sequence[Interval], most: int, lead: Lead
    ) -> Iterator[Done]:
        """Write `most` at once, as far as the budget goes, the oldest first."""
        desks, todo = [desk], list(reversed(rest))
        running: dict[Future[list[Done]], _Desk] = {}
        pool = stack.enter_context(ThreadPoolExecutor(most, thread_name_prefix="isomesh-batch"))
        try:
            while todo or running:
                while todo and len(running) < most and (not running or self._budget.one_more()):
                    try:
                        taken = desks.pop() if desks else self._another(stack, desk)
                    except BaseException:
                        if running:  # its place was taken, and nothing will run in it
                            self._budget.leave()
                        raise
                    running[pool.submit(self._one, taken, todo.pop(), lead)] = taken
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    desks.append(running.pop(future))
                    if running:
                        self._budget.leave()
                    yield from future.result()
        finally:
            if running:
                wait(running)
                for _ in range(len(running) - 1):
                    self._budget.leave()

    def _another(self, stack: ExitStack, desk: _Desk) -> _Desk:
        return self._desk(stack.enter_context(self._connection.session()), desk.around)

    def _desk(self, session: Session, around: Surroundings) -> _Desk:
        """A desk at this session, in which the model's settings are set."""
        snapshot = self._step.snapshot
        desk = _Desk(snapshot, session, around)
        for setting, value in desk.texts.settings().items():
            if session.knows_setting(setting):  # the plan told which it does not
                session.execute(f"SET SESSION {setting} = {value}")
        return desk


class _Desk:
    """Where one batch at a time is written: a session, what texts depend on, and the texts.

    To ask the engine's parser about every text costs a good part of running it. So the texts of a model that runs
    nothing but queries are run unasked until the parser refuses one; the transaction is rolled back, the batch runs
    again, and what follows is asked about. Statements and code of a project's own may leave things behind: they are
    asked first.
    """

    def __init__(self, snapshot: Snapshot, session: Session, around: Surroundings) -> None:
        model = snapshot.model
        self._snapshot = snapshot
        self._asks = bool(
            model.python is not None or model.pre_statements or model.post_statements or isinstance(model.kind, Custom)
        )
        self.session = session
        self.around = around
        self.texts = Texts(snapshot, around if self._asks else replace(around, reads=None))

    def asks_from_now_on(self) -> bool:
        """Ask the engine whether it reads a text before it is run; False where that is done already."""
        if self._asks:
            return False
        self._asks, self.texts = True, Texts(self._snapshot, self.around)
        return True
