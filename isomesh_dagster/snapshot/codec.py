"""Snapshots and targets as JSON and back, for state, warehouse record and manifest."""

from __future__ import annotations

from typing import Any

from isomesh_dagster.model.codec import model_from_json, model_to_json
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import Target, View
from isomesh_dagster.snapshot.snapshot import Category, Fingerprint, Snapshot, SnapshotId


def snapshot_to_json(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as JSON-ready data."""
    physical = snapshot.physical
    return {
        "model": model_to_json(snapshot.model),
        "fingerprint": fingerprint_to_json(snapshot.fingerprint),
        "version": snapshot.version,
        "category": snapshot.category.value,
        "physical": None if physical is None else [physical.catalog, physical.schema, physical.name],
        "parents": [[parent.name, parent.identifier, parent.version] for parent in snapshot.parents],
        **({"is_preview": True} if snapshot.is_preview else {}),
    }


def snapshot_from_json(data: dict[str, Any]) -> Snapshot:
    """The snapshot that `snapshot_to_json` encoded."""
    physical = data["physical"]
    return Snapshot(
        model=model_from_json(data["model"]),
        fingerprint=fingerprint_from_json(data["fingerprint"]),
        version=data["version"],
        category=Category(data["category"]),
        physical=None if physical is None else Relation(catalog=physical[0], schema=physical[1], name=physical[2]),
        parents=tuple(SnapshotId(name=name, identifier=ident, version=ver) for name, ident, ver in data["parents"]),
        is_preview=data.get("is_preview", False),
    )


def fingerprint_to_json(fingerprint: Fingerprint) -> list[Any]:
    """The fingerprint as a list."""
    return [
        fingerprint.data,
        fingerprint.metadata,
        fingerprint.version,
        fingerprint.identity,
        fingerprint.algorithm,
    ]


def fingerprint_from_json(data: list[Any]) -> Fingerprint:
    """The fingerprint that `fingerprint_to_json` encoded."""
    return Fingerprint(data=data[0], metadata=data[1], version=data[2], identity=data[3], algorithm=data[4])


def target_to_json(target: Target) -> dict[str, Any]:
    """The target as JSON-ready data, models sorted: `{name: [identifier, version, view, physical]}` (no view: two
    items). The statements, if any, are under `@before_all` and `@after_all`.
    """
    result: dict[str, Any] = {}
    if target.before_all:
        result["@before_all"] = list(target.before_all)
    if target.after_all:
        result["@after_all"] = list(target.after_all)
    for name in sorted(target.snapshots):
        snapshot = target.snapshots[name]
        view = target.views.get(name)
        result[name] = [snapshot.identifier, snapshot.version, *((view.view, view.physical) if view else ())]
    return result


def target_from_json(data: dict[str, Any]) -> Target:
    """The target that `target_to_json` encoded."""
    before_all, after_all = tuple(data.get("@before_all", ())), tuple(data.get("@after_all", ()))
    if before_all or after_all:
        data = {name: item for name, item in data.items() if not name.startswith("@")}
    return Target(
        before_all=before_all,
        after_all=after_all,
        snapshots={name: SnapshotId(name=name, identifier=item[0], version=item[1]) for name, item in data.items()},
        views={name: View(view=item[2], physical=item[3]) for name, item in data.items() if len(item) > 2},
    )
