"""What a kind asks of the model around it: columns it names, partitions it needs, itself as a source."""

from __future__ import annotations

from collections.abc import Sequence

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model import kinds
from isomesh_dagster.model.kinds import IncrementalByTimeRange, ScdType2ByColumn, ScdType2ByTime, kind_name
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.names import nearest


def check_kind(model: Model) -> None:
    """Refuse a header whose kind lacks something. Raises ModelError without a line, the kind's."""
    kind = model.kind
    if kinds.replaces_partitions(kind) and not model.partitioned_by:
        raise ModelError(
            f"kind {kind_name(kind)} replaces partitions, but the model has no `partitioned_by`",
            hint="write partitioned_by (column, …) beside the kind",
        )
    if isinstance(kind, ScdType2ByTime | ScdType2ByColumn) and kind.valid_from_name == kind.valid_to_name:
        raise ModelError(
            f"`valid_from_name` and `valid_to_name` are both {kind.valid_from_name!r}", hint="give them two names"
        )
    if model.columns is not None:
        _check_columns(model, [column.name for column in model.columns], "`columns`")


def check_result(model: Model, output: Sequence[str]) -> None:
    """Refuse a query that does not return what its kind names. Raises ModelError without a line, the kind's."""
    _check_columns(model, output, "the query's result")


def check_self_reference(model: Model) -> None:
    """Refuse a model that reads itself where nothing of earlier runs is there to read."""
    is_written_in_batches = kinds.is_incremental(model.kind) and not kinds.managed_columns(model.kind)
    if not is_written_in_batches and not isinstance(model.kind, kinds.Full):
        raise ModelError(
            "the model reads itself", hint="only FULL and the INCREMENTAL kinds have rows of earlier runs to read"
        )


def _check_columns(model: Model, columns: Sequence[str], where: str) -> None:
    for parameter, name in _named(model):
        if name not in columns:
            raise ModelError(
                f"{parameter} {name!r} is not in {where}",
                hint=nearest(name, columns) or f"there are {', '.join(columns)}",
            )


def _named(model: Model) -> list[tuple[str, str]]:
    """The columns that the kind names, and where it does."""
    kind = model.kind
    named: list[tuple[str, str]] = []
    match kind:
        case IncrementalByTimeRange():
            named.append(("time_column", kind.time_column))
        case ScdType2ByTime():
            named.append(("updated_at_name", kind.updated_at_name))
        case ScdType2ByColumn():
            named.extend(("columns", name) for name in kind.columns or ())
            if kind.updated_at_name is not None:
                named.append(("updated_at_name", kind.updated_at_name))
    if key := kinds.unique_key(kind):
        from isomesh_dagster.dialect.merge import expression_columns

        named.extend(("unique_key", name) for text in key for name in expression_columns(text, model.dialect))
    return named
