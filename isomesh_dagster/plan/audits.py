"""Which tables are audited without being built: no environment vouches for their audits, or what one reads changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from isomesh_dagster.model.kinds import is_incremental
from isomesh_dagster.model.mentioned import audit_values
from isomesh_dagster.model.model import AuditCall, Json, Model
from isomesh_dagster.plan.plan import Audit, Build
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot

_Asked = tuple[AuditCall, list[tuple[str, Json]]]
"""A call, and the values of the variables that it mentions."""


def audit_steps(
    snapshots: Mapping[str, Snapshot],
    builds: Iterable[Build],
    recorded: Mapping[str, Sequence[Interval]],
    vouched: Iterable[Snapshot],
) -> tuple[Audit, ...]:
    """A step for each table that holds rows, is not built, and has an audit that must run; parents first.

    `vouched` are snapshots that some environment shows or showed: their audits have passed over their tables.
    `recorded` are the intervals by physical relation. A build runs its model's audits itself.
    """
    passed: dict[str, list[_Asked]] = {}
    for one in vouched:
        passed.setdefault(str(one.physical), []).extend(_asked(one.model))
    built = {step.snapshot.name for step in builds}
    steps = []
    for name, snapshot in snapshots.items():
        done = recorded.get(str(snapshot.physical), ())
        if not snapshot.model.audits or name in built or not done:
            continue
        is_new = any(one not in passed.get(str(snapshot.physical), ()) for one in _asked(snapshot.model))
        if is_new or not built.isdisjoint(snapshot.model.audit_reads):
            whole = Interval(done[0].start, done[-1].end) if is_incremental(snapshot.model.kind) else None
            steps.append(Audit(snapshot=snapshot, interval=whole))
    return tuple(steps)


def _asked(model: Model) -> list[_Asked]:
    return [(call, audit_values(model, [call])) for call in model.audits]
