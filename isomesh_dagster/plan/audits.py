"""Which tables are audited without being built: their audits changed, or something that only an audit reads did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from isomesh_dagster.model.kinds import is_incremental
from isomesh_dagster.plan.plan import Audit, Build
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot


def audit_steps(
    snapshots: Mapping[str, Snapshot],
    shown: Mapping[str, Snapshot],
    builds: Iterable[Build],
    recorded: Mapping[str, Sequence[Interval]],
) -> tuple[Audit, ...]:
    """A step for each table that holds rows, is not built, and has an audit to be run again; parents first.

    `shown` are the snapshots of the environment compared with, `recorded` the intervals by physical relation. A build
    runs its model's audits itself.
    """
    built = {step.snapshot.name for step in builds}
    steps = []
    for name, snapshot in snapshots.items():
        done = recorded.get(str(snapshot.physical), ())
        if not snapshot.model.audits or name in built or not done:
            continue
        if _is_new(snapshot, shown.get(name)) or not built.isdisjoint(snapshot.model.audit_reads):
            whole = Interval(done[0].start, done[-1].end) if is_incremental(snapshot.model.kind) else None
            steps.append(Audit(snapshot=snapshot, interval=whole))
    return tuple(steps)


def _is_new(snapshot: Snapshot, old: Snapshot | None) -> bool:
    """Whether the model has an audit that it did not have; what the environment never showed was audited when built."""
    if old is None or old.id == snapshot.id:
        return False
    return any(call not in old.model.audits for call in snapshot.model.audits)
