"""What all plans of a gateway have in common: how its environments are laid out, and how a plan gets its id."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from isomesh_dagster.plan.plan import Build
from isomesh_dagster.snapshot.fingerprint import digest
from isomesh_dagster.snapshot.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """How environments of this gateway are laid out: where their name goes, how long they live (None: for ever), and
    the statements that run before and after all that is done to them; and whether previews of forward-only changes are
    filled.
    """

    gateway: str
    suffix_target: str = "schema"
    environment_ttl: timedelta | None = None
    pinned: Collection[str] = ()
    before_all: tuple[str, ...] = ()
    after_all: tuple[str, ...] = ()
    fills_previews: bool = True


def plan_id(
    layer: Layer,
    environment: str,
    based_on: str | None,
    snapshots: Mapping[str, Snapshot],
    builds: Iterable[Build],
    later: Iterable[Build] = (),
    *,
    moment: int | None = None,
) -> str:
    """The id of the plan that makes these steps, and `later` after its swap. `moment` tells apart plans that do the
    same at different times; None for those that, once done, have nothing to do again.
    """
    steps = [
        [step.snapshot.name, [[one.start, one.end] for one in step.intervals], *(["hollow"] if step.hollow else [])]
        for step in builds
    ]
    again = [[step.snapshot.name, [[one.start, one.end] for one in step.intervals]] for step in later]
    return digest(
        [
            layer.gateway,
            environment,
            based_on,
            [layer.before_all, layer.after_all],
            sorted([one.name, one.fingerprint.identity, one.version] for one in snapshots.values()),
            steps,
            *([again] if again else []),
            *([moment] if moment is not None else []),
        ],
        size=8,
    )
