"""Asking signals which intervals of a model are ready to be built.

The functions are those of the project's files, and are refused unless they are what the model was planned with: nothing
that was kept in a state is ever run. They are asked outside of any transaction, before something is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from isomesh_dagster.dialect import query as sql
from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import ModelError
from isomesh_dagster.evaluation.project_code import EngineAdapter, told, wrong
from isomesh_dagster.evaluation.texts import Surroundings
from isomesh_dagster.macros.signal_call import call_signal
from isomesh_dagster.model.blueprints import plain_value
from isomesh_dagster.model.decode import without_catalog
from isomesh_dagster.model.model import Model, SignalCall
from isomesh_dagster.model.names import nearest
from isomesh_dagster.model.render import RenderContext, render_signal
from isomesh_dagster.model.signals import BUILT_IN
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.interval import Interval, from_ms, to_ms
from isomesh_dagster.snapshot.snapshot import Snapshot


def ready(
    session: Session, snapshot: Snapshot, call: SignalCall, units: Sequence[Interval], around: Surroundings
) -> list[Interval]:
    """Those of the units that the signal says are ready; it is asked once for each row of units without a gap.

    Raises ModelError when its code is not what it was, when it fails (with its place and the project's part of its
    traceback), or when what it returns is no answer.
    """
    if call.name in BUILT_IN and not call.code:
        return list(units)
    found: list[Interval] = []
    for row in _rows(units):
        found += _ask(session, snapshot, call, row, around)
    return found


def _rows(units: Sequence[Interval]) -> list[list[Interval]]:
    """The units, cut where there is a gap."""
    rows: list[list[Interval]] = []
    for unit in units:
        if rows and rows[-1][-1].end == unit.start:
            rows[-1].append(unit)
        else:
            rows.append([unit])
    return rows


def _ask(
    session: Session, snapshot: Snapshot, call: SignalCall, row: list[Interval], around: Surroundings
) -> list[Interval]:
    model, macros = snapshot.model, around.macros
    if macros.digests.get(f"signal {call.name}") != call.code:
        raise wrong(
            model,
            f"signal {call.name!r} is not what the model was planned with",
            "plan again, or run from the commit that was planned",
        )
    known = macros.signals[call.name]
    function = macros.function(known.path, known.function)
    texts = render_signal(
        call,
        model,
        RenderContext(
            start=row[0].start,
            end=row[-1].end,
            execution_time=to_ms(around.execution_time),
            stage="evaluating",
            this_model=snapshot.physical.sql if snapshot.physical is not None else None,
            macros=macros,
        ),
    )
    batch = [(from_ms(unit.start), from_ms(unit.end)) for unit in row]
    offered = {
        "context": SignalContext(session, model, call, around),
        "snapshot": snapshot,
        "execution_time": around.execution_time,
    }
    with told(model, macros, f"signal {call.name!r}"):
        answer = call_signal(function, batch, texts, offered, model.dialect)
    return _answered(model, call, row, batch, answer)


def _answered(
    model: Model, call: SignalCall, row: list[Interval], batch: list[tuple[datetime, datetime]], answer: Any
) -> list[Interval]:
    match answer:
        case bool():
            return row if answer else []
        case list() | tuple():
            known = dict(zip(batch, row, strict=True))
            try:
                unknown = [one for one in answer if tuple(one) not in known]
            except TypeError:
                unknown = [answer]
            if unknown:
                raise wrong(
                    model,
                    f"signal {call.name!r} returned {unknown[0]!r}, which is none of the intervals it was asked about",
                    "return some of the pairs it was given, unchanged",
                )
            wanted = {tuple(one) for one in answer}
            return [unit for moments, unit in known.items() if moments in wanted]
    raise wrong(
        model,
        f"signal {call.name!r} returned {type(answer).__name__}, which is no answer",
        "return True, False, or a list of those of the intervals that are ready",
    )


class SignalContext:
    """What a signal may ask of the warehouse and the configuration."""

    is_restatement = False

    def __init__(self, session: Session, model: Model, call: SignalCall, around: Surroundings) -> None:
        self._model = model
        self._reads = frozenset(call.reads)
        self._around = around
        self._blueprint = {name: plain_value(written) for name, written in model.blueprint.items()}
        self.engine_adapter = EngineAdapter(session, around)

    @property
    def gateway(self) -> Any:
        """The chosen gateway."""
        return self._model.variables["gateway"]

    @property
    def default_catalog(self) -> str | None:
        """The gateway's default catalog."""
        return self._around.default_catalog

    def resolve_table(self, model_name: str) -> str:
        """The table that holds a model's rows, as SQL."""
        dialect = self._model.dialect or self._around.engine_dialect
        name = without_catalog(sql.normalize_name(model_name, dialect), self.default_catalog, dialect)
        snapshot = self._around.snapshots.get(name)
        if snapshot is None:
            raise ModelError(f"there is no model {model_name!r}", hint=nearest(name, self._around.snapshots))
        return (snapshot.physical or Relation.parse(name)).sql

    table = resolve_table

    def fetchdf(self, query: Any, quote_identifiers: bool = False) -> Any:
        """The rows of a query in the warehouse's SQL, as a data frame of pandas."""
        return self.engine_adapter.fetchdf(query)

    def var(self, var_name: str, default: Any = None) -> Any:
        """A variable of the configuration; its name must be written as a text."""
        return self._asked(var_name, self._model.variables, default)

    def blueprint_var(self, var_name: str, default: Any = None) -> Any:
        """A variable of the model's entry of `blueprints`; its name must be written as a text."""
        return self._asked(var_name, self._blueprint, default)

    def _asked(self, name: str, values: Any, default: Any) -> Any:
        if name.lower() not in self._reads:
            raise ModelError(
                f"nobody knew that the signal reads variable {name!r}",
                hint=f'write context.var("{name.lower()}"): what is read is found in the text of the code',
            )
        return values.get(name.lower(), default)
