"""What a header may not say of a model, and what its query must return for it."""

from __future__ import annotations

from collections.abc import Sequence

from isomesh_dagster.dialect.query import QueryFacts
from isomesh_dagster.errors import ModelError, UnsupportedError
from isomesh_dagster.model.context import ParseContext
from isomesh_dagster.model.kind_checks import check_kind, check_result, check_self_reference
from isomesh_dagster.model.kinds import (
    Embedded,
    External,
    View,
    kind_name,
    replaces_partitions,
)
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.names import nearest
from isomesh_dagster.model.names import nearest as nearest_name
from isomesh_dagster.model.properties import Header


def check_header(model: Model, header: Header) -> None:
    """Refuse a property that has no meaning for the model's kind, or lacks another. Raises ModelError with its line."""
    is_table = not isinstance(model.kind, Embedded | External | View) or (
        isinstance(model.kind, View) and model.kind.materialized
    )
    if model.clustered_by and not is_table:
        raise ModelError(
            f"`clustered_by` has no meaning for kind {kind_name(model.kind)}", line=header.lines["clustered_by"]
        )
    if model.end is not None and model.start is None:
        raise ModelError("`end` needs a `start`", line=header.lines["end"], hint="say from when the model has rows")
    try:
        check_kind(model)
    except ModelError as error:
        raise error.located(line=header.lines.get("kind")) from None


def check_gateway(asked: str | None, context: ParseContext, line: int | None) -> None:
    """Refuse a model that asks for another gateway than the chosen one: UnsupportedError, or ModelError when there is
    none of that name. `line` is None for one of `model_defaults`.
    """
    chosen = context.gateway
    if asked is None or asked.lower() == chosen.lower():
        return
    subject = "the model" if line is not None else "`model_defaults.gateway`"
    if asked.lower() not in context.gateways:
        raise ModelError(
            f"{subject} asks for gateway {asked!r}, which config.yaml does not have",
            line=line,
            hint=nearest_name(asked.lower(), context.gateways) or f"gateways are {', '.join(context.gateways)}",
        )
    raise UnsupportedError(
        f"{subject} asks for gateway {asked!r}, and this is {chosen!r}: each gateway is a system of its own, and none"
        " writes into the warehouse of another",
        line=line,
        hint=f"for a model of that system only, add `enabled @IF(@gateway = '{asked.lower()}', TRUE, FALSE)` and apply"
        f" `isomesh --gateway {asked.lower()} plan`; for one of every system, remove `gateway`",
    )


def check_output(model: Model, facts: QueryFacts, header: Header) -> None:
    """Refuse a query that does not return what the header names. Raises ModelError with the property's line."""
    if model.name in facts.depends_on:
        check_self_reference(model)
    if facts.output is None:
        return
    for column in model.columns or ():
        if column.name not in facts.output:
            raise ModelError(
                f"`columns` names {column.name!r}, which the query does not return",
                line=header.lines["columns"],
                hint=nearest(column.name, facts.output) or f"it returns {', '.join(facts.output)}",
            )
    _check_partitions(model, facts.output, header)
    try:
        check_result(model, facts.output)
    except ModelError as error:
        raise error.located(line=header.lines.get("kind")) from None


def _check_partitions(model: Model, output: Sequence[str], header: Header) -> None:
    """Refuse partitions of columns that the table has not, where partitions are what a batch replaces."""
    if not replaces_partitions(model.kind):
        return
    from isomesh_dagster.dialect.merge import expression_columns

    for name in (name for text in model.partitioned_by for name in expression_columns(text, model.dialect)):
        if name not in output:
            raise ModelError(
                f"`partitioned_by` names {name!r}, which the query does not return",
                line=header.lines.get("partitioned_by"),
                hint=nearest(name, output) or f"it returns {', '.join(output)}",
            )
