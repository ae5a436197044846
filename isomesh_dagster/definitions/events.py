"""Our events as Dagster's: what was built, reused, promoted, removed; and our errors as failures of a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.translator import column_schema, is_built
from isomesh_dagster.errors import IsomeshError, LockedError, WriteConflict
from isomesh_dagster.model.kinds import depends_on_past, is_incremental
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.documents import plan_markdown
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.words import range_words
from isomesh_dagster.records.events import Built, Dropped, Promoted, Waiting
from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.interval import merge
from isomesh_dagster.snapshot.snapshot import Snapshot

_MOST_ROWS = 500  # of a table in metadata: people read it, and it is stored with every event


RETRIED: tuple[type[IsomeshError], ...] = (LockedError, WriteConflict)
"""What goes away by itself."""


@contextmanager
def failures(retried: tuple[type[IsomeshError], ...] = RETRIED) -> Iterator[None]:
    """Turn our errors into a failed step with one readable message; anything else is a bug and keeps its traceback.

    A step is worth another try only after one of the errors `retried`.
    """
    try:
        yield
    except IsomeshError as error:
        told: tuple[tuple[str, Any], ...] = (("place", error.place), ("hint", error.hint))
        told += ((keys.PASSES, True),) if isinstance(error, RETRIED) else ()
        metadata = {name: value for name, value in told if value is not None}
        raise dg.Failure(description=str(error), metadata=metadata, allow_retries=isinstance(error, retried)) from None


def built_result(
    built: Built,
    plan: Plan,
    snapshot: Snapshot,
    key: dg.AssetKey,
    lineage: dg.TableColumnLineage | None,
    waiting: Sequence[Waiting] = (),
) -> dg.MaterializeResult[Any]:
    """The model's rows were made in this run; `waiting` is what was left out."""
    # what people look for comes first
    model = snapshot.model
    metadata: dict[str, Any] = {keys.REUSED: False}
    if built.repoint:
        metadata["isomesh/repointed"] = True
    if built.rows is not None:
        metadata[keys.ROWS_WRITTEN] = built.rows
        # what was written is the whole table, unless days were added to older ones or rows met others of their key
        is_all = snapshot.id in plan.new_snapshots and not depends_on_past(model.kind)
        if is_all or not is_incremental(model.kind):
            metadata["dagster/row_count"] = built.rows
    if is_incremental(model.kind) and built.intervals:
        intervals = merge(built.intervals)
        metadata[keys.INTERVALS] = range_words(intervals, model.interval_unit)
    metadata.update(waiting_metadata(waiting, model))
    metadata |= {keys.SECONDS: round(built.seconds, 3), **_common(plan, snapshot, lineage)}
    if built.columns:
        columns = tuple(Column(name=name, type=type_) for name, type_ in built.columns)
        metadata["dagster/column_schema"] = column_schema(columns, model.described_columns)
    return dg.MaterializeResult(asset_key=key, metadata=metadata, data_version=dg.DataVersion(snapshot.version))


def reused_result(
    plan: Plan,
    snapshot: Snapshot,
    key: dg.AssetKey,
    lineage: dg.TableColumnLineage | None,
    waiting: Sequence[Waiting] = (),
) -> dg.MaterializeResult[Any]:
    """The model's snapshot was built before, by whomever: nothing ran, the data version is the same. Also when all that
    is due is `waiting`.
    """
    metadata = {keys.REUSED: True, **waiting_metadata(waiting, snapshot.model), **_common(plan, snapshot, lineage)}
    if not snapshot.is_physical:
        metadata["isomesh/embedded"] = "inlined where it is read; it has no table"
    return dg.MaterializeResult(asset_key=key, metadata=metadata, data_version=dg.DataVersion(snapshot.version))


def waiting_metadata(waiting: Sequence[Waiting], model: Model) -> dict[str, str]:
    """What of the model is due and not built, and what it waits for; nothing when all that was due is built."""
    told = [
        f"{'signal ' if one.signal is not None else ''}{one.signal or one.parent}: "
        f"{range_words(one.intervals, model.interval_unit)}"
        for one in waiting
    ]
    return {keys.WAITING: "; ".join(told)} if told else {}


def _common(plan: Plan, snapshot: Snapshot, lineage: dg.TableColumnLineage | None) -> dict[str, Any]:
    # few entries: Dagster stores each of them twice, and reads them again for all that stands on the model
    metadata: dict[str, Any] = {
        keys.VERSION: snapshot.version,
        keys.ENVIRONMENT: plan.environment,
        keys.PLAN_ID: plan.id,
        keys.GATEWAY: plan.gateway,
    }
    if snapshot.physical is not None:
        metadata[keys.PHYSICAL] = str(snapshot.physical)
    if lineage is not None:
        metadata[keys.COLUMN_LINEAGE] = lineage
    return metadata


def promoted_metadata(promoted: Promoted, plan: Plan | None = None) -> dict[str, Any]:
    """What an environment shows now: the views that were made or removed, and with `plan` what it holds and why."""
    # what people look for comes first: the event log shows the first few
    planned = plan_metadata(plan) if plan is not None else {}
    models = planned.pop("isomesh/models", None)
    metadata: dict[str, Any] = {
        **planned,
        keys.ENVIRONMENT: promoted.environment,
        keys.PLAN_ID: promoted.plan_id,
        keys.PROMOTION: promoted.number,
        keys.SECONDS: round(promoted.seconds, 3),
        "isomesh/views_created": len(promoted.created),
        "isomesh/views_dropped": len(promoted.dropped),
    }
    changed = [*(("created", view) for view in promoted.created), *(("dropped", view) for view in promoted.dropped)]
    if changed:
        metadata[keys.VIEWS] = table([{"view": view, "change": change} for change, view in changed])
    if promoted.notes:
        metadata["isomesh/notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in promoted.notes))
    if models is not None:
        metadata["isomesh/models"] = models
    return metadata


def plan_metadata(plan: Plan) -> dict[str, Any]:
    """The plan as people read it, and how each of its models comes about."""
    builds = {build.snapshot.name for build in plan.builds}
    # no physical tables: their long names would widen the page, and each model's asset tells its own
    rows = [
        {
            "model": name,
            "version": snapshot.version,
            "rows": "built" if name in builds else "reused" if snapshot.is_physical else "embedded",
        }
        for name, snapshot in plan.snapshots.items()
        if is_built(snapshot.model)
    ]
    metadata: dict[str, Any] = {
        keys.PLAN: dg.MetadataValue.md(plan_markdown(plan)),
        keys.PLAN_ID: plan.id,
        keys.ENVIRONMENT: plan.environment,
        keys.GATEWAY: plan.gateway,
        "isomesh/builds": len(plan.builds),
        "isomesh/reuses": sum(row["rows"] == "reused" for row in rows),
    }
    if rows:
        metadata["isomesh/models"] = table(rows)
    return metadata


def dropped_metadata(events: Iterable[Dropped]) -> dict[str, Any]:
    """What the janitor removed and what it kept."""
    rows = [
        {
            "name": event.name,
            "what": "environment" if event.environment else "table or view",
            "kept because": event.kept_because or "",
        }
        for event in events
    ]
    metadata: dict[str, Any] = {"isomesh/removed": sum(not row["kept because"] for row in rows)}
    if rows:
        metadata["isomesh/objects"] = table(rows)
    return metadata


def table(rows: Sequence[Mapping[str, str | int | float | bool]]) -> dg.TableMetadataValue:
    """Rows as a table of metadata, the first few hundred of them."""
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows[:_MOST_ROWS]])
