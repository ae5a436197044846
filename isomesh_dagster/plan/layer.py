"""What all plans of a gateway have in common: how its environments are laid out, and how a plan gets its id."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from isomesh_dagster.plan.plan import Build
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import PROD
from isomesh_dagster.snapshot.fingerprint import digest
from isomesh_dagster.snapshot.naming import view_relation
from isomesh_dagster.snapshot.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """How environments of this gateway are laid out: where their name goes, how long they live (None: for ever), and
    the statements that run before and after all that is done to them; and whether previews of forward-only changes are
    filled. `catalogs` holds pairs of a pattern (from the start of an environment's name) and the catalog of its views,
    None for `default_catalog`; the first match counts.
    """

    gateway: str
    default_catalog: str = ""
    suffix_target: str = "schema"
    catalogs: tuple[tuple[str, str | None], ...] = ()
    environment_ttl: timedelta | None = None
    pinned: Collection[str] = ()
    before_all: tuple[str, ...] = ()
    after_all: tuple[str, ...] = ()
    fills_previews: bool = True

    def view(self, name: str, environment: str) -> Relation:
        """The view through which the environment shows the model of that name."""
        return view_relation(name, environment, self.suffix_target, self._catalog(environment))

    def _catalog(self, environment: str) -> str | None:
        if self.suffix_target == "catalog":
            return None if environment == PROD else f"{self.default_catalog}__{environment}"
        return next((catalog for pattern, catalog in self.catalogs if re.match(pattern, environment)), None)


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
