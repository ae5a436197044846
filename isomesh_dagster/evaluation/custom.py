"""`CUSTOM`: a class of the project's `materializations/` writes the batches, in their transactions.

The table is made empty first, by the class if it says how. The class is that of the project's files, and is refused
unless it is what the model was planned with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import ModelError
from isomesh_dagster.evaluation.rows import Write, Written, cast, create_empty
from isomesh_dagster.macros.materializations import CustomKind, CustomMaterialization
from isomesh_dagster.model.kinds import Custom
from isomesh_dagster.snapshot.interval import from_ms

if TYPE_CHECKING:
    from isomesh_dagster.evaluation.texts import Surroundings

_MICROSECOND = timedelta(microseconds=1)


class Query(str):
    """SQL that also answers like a tree of it: `query.sql()`."""

    __slots__ = ()

    def sql(self, *arguments: Any, **options: Any) -> str:
        """The text."""
        return str(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterializedModel:
    """What a materialization may know of the model. Columns are those of its table, types the engine's; before there is
    one those that the model declares.
    """

    name: str
    kind: CustomKind
    dialect: str
    columns_to_types: Mapping[str, str]
    custom_materialization_properties: Mapping[str, Any]
    partitioned_by: tuple[str, ...]
    description: str | None

    @property
    def columns_to_types_or_raise(self) -> Mapping[str, str]:
        """The columns, which are known once there is a table."""
        return self.columns_to_types


def write_custom(session: Session, work: Write, kind: Custom) -> Written:
    """Let the class write the batch. Raises ModelError when it fails or is not what it was."""
    from isomesh_dagster.evaluation.project_code import EngineAdapter, accepted, told  # they load the SQL library

    model, around = work.snapshot.model, work.around
    assert around is not None
    materialization = _instance(work, kind, around, EngineAdapter(session, around))
    what = f"materialization {kind.materialization!r}"
    with told(model, around.macros, what):
        of_class = materialization.KIND(
            materialization=kind.materialization, properties=kind.properties, dialect=model.dialect
        )
    given = MaterializedModel(
        name=model.name,
        kind=of_class,
        dialect=model.dialect,
        columns_to_types={column.name: column.type for column in work.typed or ()},
        custom_materialization_properties=dict(kind.properties),
        partitioned_by=model.partitioned_by,
        description=model.description,
    )
    target = work.physical.sql
    query = cast(work.query, work.typed)
    if work.is_new:
        if type(materialization).create is CustomMaterialization.create:
            create_empty(session, work, query)
        else:
            with told(model, around.macros, what):
                offered = {"table_name": target, "model": given, "is_table_deployable": True, "render_kwargs": {}}
                materialization.create(**accepted(materialization.create, offered))
    columns = tuple(session.columns(work.physical))
    if work.interval is not None:
        moments = {
            "start": from_ms(work.interval.start),
            "end": from_ms(work.interval.end) - _MICROSECOND,
            "execution_time": work.moment,
        }
        offered = {
            "table_name": target,
            "query_or_df": Query(query),
            "model": replace(given, columns_to_types=dict(columns)),
            "is_first_insert": work.is_first,
            "render_kwargs": moments,
            **moments,
        }
        with told(model, around.macros, what):
            materialization.insert(**accepted(materialization.insert, offered))
    return Written(rows=0 if work.interval is None else None, columns=columns)


def _instance(work: Write, kind: Custom, around: Surroundings, adapter: Any) -> CustomMaterialization:
    model, macros = work.snapshot.model, around.macros
    if macros.digests.get(f"materialization {kind.materialization.lower()}") != kind.code:
        raise ModelError(
            f"materialization {kind.materialization!r} is not what the model was planned with",
            path=model.path,
            line=model.line,
            model=model.name,
            hint="plan again, or run from the commit that was planned",
        )
    found = macros.materialization(kind.materialization)
    with_adapter: CustomMaterialization = found(adapter)
    return with_adapter
