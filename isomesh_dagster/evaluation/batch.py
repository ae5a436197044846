"""One batch of one model on its way into the warehouse: its statements, its rows, its audits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import PlanError
from isomesh_dagster.evaluation.audit import refuse_failures, run_audits
from isomesh_dagster.evaluation.evaluate import write
from isomesh_dagster.evaluation.rows import Write, Written, create_empty, fitted
from isomesh_dagster.evaluation.texts import BatchText, Surroundings, Texts
from isomesh_dagster.model.kinds import Full, is_incremental
from isomesh_dagster.plan.plan import Build
from isomesh_dagster.records.events import Audited
from isomesh_dagster.relation import Column, Relation
from isomesh_dagster.snapshot.interval import Interval


def physical_of(step: Build) -> Relation:
    """Where the step's rows go. Raises PlanError for a model without a table or view of its own."""
    if step.snapshot.physical is None:
        raise PlanError("has no relation to build", model=step.snapshot.name)
    return step.snapshot.physical


class Batch:
    """One batch on its way into the warehouse; `audits` are those of the last try. `is_empty`: no rows are made, only
    the table, for the view that will show it. `known` is what of the table was loaded when the application began.
    """

    def __init__(
        self,
        step: Build,
        physical: Relation,
        interval: Interval | None,
        texts: Texts,
        around: Surroundings,
        root: Path,
        *,
        is_empty: bool = False,
        known: Sequence[Interval] = (),
    ) -> None:
        self.step = step
        self.known = known
        self.physical = physical
        self.interval = interval
        self.audits: tuple[Audited, ...] = ()
        self._texts = texts
        self._around = around
        self._root = root
        self.is_empty = is_empty

    def write(self, session: Session, *, is_new: bool, is_first: bool) -> Written:
        """Rows and audits, inside the caller's transaction. Raises AuditError when a blocking audit fails.

        A table that is filled interval by interval is first made empty, at stage `creating`; every batch of it, the
        first one too, then finds it there and runs at stage `evaluating`. A table without rows is not audited.
        """
        if self.is_empty:
            return self._run(session, None, is_new=True, is_first=True) if is_new else Written(rows=0)
        if is_new and is_incremental(self.step.snapshot.model.kind):
            written = self._run(session, None, is_new=True, is_first=True)
            if self.interval is not None:
                written = self._run(session, self.interval, is_new=False, is_first=True)
        else:
            written = self._run(session, self.interval, is_new=is_new, is_first=is_first)
        self.audits = run_audits(
            session,
            self.step.snapshot,
            self._texts,
            self.interval,
            lambda: written.columns or session.columns(self.physical),
        )
        refuse_failures(self.step.snapshot, self.audits)
        return written

    def _run(self, session: Session, interval: Interval | None, *, is_new: bool, is_first: bool) -> Written:
        """The model's statements in their order, its query or what its function makes written between them."""
        text = self._texts.batch(interval, is_new=is_new)
        with self._texts.pointing(text):
            return self._written(session, text, interval, is_new=is_new, is_first=is_first)

    def _written(
        self, session: Session, text: BatchText, interval: Interval | None, *, is_new: bool, is_first: bool
    ) -> Written:
        for statement in text.pre:
            session.execute(statement)
        typed = self._texts.typed()
        work = Write(
            snapshot=self.step.snapshot,
            physical=self.physical,
            query=text.query,
            typed=typed,
            texts=self._texts.of_kind(interval),
            interval=interval,
            is_new=is_new,
            is_first=is_first,
            moment=self._texts.moment,
            root=self._root,
            around=self._around,
        )
        model = self.step.snapshot.model
        if is_new and isinstance(model.kind, Full) and (model.python is not None or model.reads_itself):
            create_empty(session, work, text.query)  # what the first batch may read; what Python reads nobody can tell
        with self._rows(session, text.query, typed, interval) as query:
            work = replace(work, query=query)
            if not is_new and interval is not None and is_incremental(self.step.snapshot.model.kind):
                work = fitted(session, work)
            written = write(session, work)
        for statement in text.post:
            session.execute(statement)
        return written

    def _rows(
        self, session: Session, query: str, typed: tuple[Column, ...] | None, interval: Interval | None
    ) -> AbstractContextManager[str]:
        """The query of the rows, to be used within the context."""
        model = self.step.snapshot.model
        if model.python is None:
            return nullcontext(query)
        from isomesh_dagster.evaluation.python_model import PythonCall, python_rows  # it loads the SQL library

        call = PythonCall(
            model=model,
            table=partial(self._texts.table, interval=interval),
            around=self._around,
            typed=typed or (),
            interval=interval,
        )
        return python_rows(session, call)
