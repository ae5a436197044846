"""Variables every model has: time, stage, the relation at hand. Facts of the model format; nothing here reads a clock.

For each of `start`, `end`, `execution` (`latest` is its old name) there are nine forms, e.g. for the end of 2024-01-02:

    @end_ds     '2024-01-02'                        @end_dt      CAST('2024-01-02 23:59:59.999999+00:00' AS TIMESTAMPTZ)
    @end_ts     '2024-01-02 23:59:59.999999'        @end_dtntz   CAST('2024-01-02 23:59:59.999999' AS TIMESTAMP)
    @end_tstz   '2024-01-02 23:59:59.999999+00:00'  @end_date    CAST('2024-01-02' AS DATE)
    @end_hour   23     @end_epoch 1704239999.999    @end_millis  1704239999999

Ends are written inclusive, though intervals are half-open everywhere else: the format's models say `BETWEEN`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from sqlglot import exp

from isomesh_dagster.macros.values import Fragment, Variable, to_sql

_PREFIXES = ("start", "end", "execution", "latest")
_FORMS = ("dt", "dtntz", "date", "ds", "ts", "tstz", "hour", "epoch", "millis")

TIME_VARIABLES: frozenset[str] = frozenset(f"{prefix}_{form}" for prefix in _PREFIXES for form in _FORMS)
"""Names of all time variables, in lower case."""

RANGE_VARIABLES: frozenset[str] = frozenset(f"{prefix}_{form}" for prefix in ("start", "end") for form in _FORMS)
"""Those that stand for the range of a batch. The queries of FULL and VIEW have none."""

RUNTIME_VARIABLES: frozenset[str] = TIME_VARIABLES | {"runtime_stage", "this_model", "this_env", "schemas", "views"}
"""Names whose value at execution differs from that at load; a model that reads one is rendered again each time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def time_variables(dialect: str, *, start: int, end: int, execution: int) -> dict[str, Variable]:
    """The time variables of one execution, by lower-case name.

    `start`, `end` and `execution` are epoch milliseconds UTC; `end` is exclusive here and inclusive in what is written.
    """
    return dict(_time_variables(dialect, start, end, execution))


@lru_cache(maxsize=256)
def _time_variables(dialect: str, start: int, end: int, execution: int) -> dict[str, Variable]:
    values: dict[str, Variable] = {}
    values.update(_forms("start", _EPOCH + timedelta(milliseconds=start), dialect))
    values.update(_forms("end", _EPOCH + timedelta(milliseconds=end) - timedelta(microseconds=1), dialect))
    at = _EPOCH + timedelta(milliseconds=execution)
    values.update(_forms("execution", at, dialect))
    values.update(_forms("latest", at, dialect))
    return values


def _forms(prefix: str, at: datetime, dialect: str) -> dict[str, Variable]:
    naive = at.replace(tzinfo=None).isoformat(sep=" ")
    millis = (at - _EPOCH) // timedelta(milliseconds=1)
    return {
        f"{prefix}_dt": _cast(f"{naive}+00:00", exp.DType.TIMESTAMPTZ, dialect),
        f"{prefix}_dtntz": _cast(naive, exp.DType.TIMESTAMPNTZ, dialect),
        f"{prefix}_date": _cast(naive[:10], exp.DType.DATE, dialect),
        f"{prefix}_ds": naive[:10],
        f"{prefix}_ts": naive,
        f"{prefix}_tstz": f"{naive}+00:00",
        f"{prefix}_hour": at.hour,
        f"{prefix}_epoch": millis / 1000,
        f"{prefix}_millis": millis,
    }


def given_range(values: Mapping[str, object], dialect: str, *, start: bool, end: bool) -> dict[str, str]:
    """Those forms of a range that were given by themselves, `start_ds: 2024-01-01`, as SQL texts. `start` and `end`
    tell whether the range's own ends were given: these win.
    """
    found: dict[str, str] = {}
    for name in RANGE_VARIABLES & values.keys():
        value = values[name]
        if start if name.startswith("start_") else end:
            continue
        if isinstance(value, str) and name.endswith(("_dt", "_dtntz", "_date")):
            kind = exp.DType.DATE if len(value) == len("2024-01-01") else exp.DType.TIMESTAMPNTZ
            found[name] = _cast(value, kind, dialect)
        elif isinstance(value, str | int | float):
            found[name] = Fragment(to_sql(value, dialect))
    return found


def _cast(text: str, kind: exp.DType, dialect: str) -> Fragment:
    return Fragment(_cast_template(kind, dialect).replace("?", text))


@lru_cache(maxsize=64)
def _cast_template(kind: exp.DType, dialect: str) -> str:
    return exp.cast(exp.Literal.string("?"), kind).sql(dialect)
