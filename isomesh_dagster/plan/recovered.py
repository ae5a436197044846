"""Snapshots made again from files, for a state that has lost them: what an environment shows is recorded in the
warehouse as names, identities and versions, and the files it was made from are in git.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model.kinds import View
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import Target
from isomesh_dagster.snapshot.snapshot import Category, Fingerprint, Snapshot, SnapshotId


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """`snapshots` by model; `lost` are the models, sorted, that neither the state nor the files know so."""

    snapshots: Mapping[str, Snapshot]
    lost: tuple[str, ...]


def recovered(
    target: Target,
    known: Mapping[SnapshotId, Snapshot],
    graph: ModelGraph,
    fingerprints: Mapping[str, Fingerprint],
) -> Recovered:
    """The snapshots that an environment shows: those that are `known`, and others from the files where these are the
    same to the last digest.

    Why a version was kept is not recorded: a table whose version is not that of its files counts as one that
    forward-only changes were made to, so that no other environment takes its rows for those of the files alone.
    """
    snapshots: dict[str, Snapshot] = {}
    lost: list[str] = []
    for name in (*(one for one in graph.order if one in target.snapshots), *sorted(target.snapshots)):
        if name in snapshots or name in lost:
            continue
        its_id = target.snapshots[name]
        if its_id in known:
            snapshots[name] = known[its_id]
        elif name in fingerprints and fingerprints[name].identity == its_id.identifier:
            snapshots[name] = _made(its_id, target, graph, fingerprints[name], snapshots)
        else:
            lost.append(name)
    return Recovered(snapshots=snapshots, lost=tuple(sorted(lost)))


def _made(
    its_id: SnapshotId,
    target: Target,
    graph: ModelGraph,
    fingerprint: Fingerprint,
    before: Mapping[str, Snapshot],
) -> Snapshot:
    model, version = graph.models[its_id.name], its_id.version
    view = target.views.get(its_id.name)
    physical = Relation.parse(view.physical) if view is not None else None
    parents = [parent for parent in graph.parents[its_id.name] if parent in target.snapshots]
    has_rows = physical is not None and not isinstance(model.kind, View)
    is_own = not has_rows or version == fingerprint.version
    reads_preview = any(before[parent].is_preview for parent in parents if parent in before)
    is_preview = physical is not None and has_rows and physical.name.endswith("__dev")
    return Snapshot(
        model=model,
        fingerprint=fingerprint,
        version=version,
        category=Category.BREAKING if is_own or is_preview else Category.FORWARD_ONLY,
        physical=physical,
        parents=tuple(target.snapshots[parent] for parent in parents),
        is_preview=is_preview or (reads_preview and not has_rows),
    )
