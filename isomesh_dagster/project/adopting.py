"""Bringing together a state and a warehouse that parted; what a lost state knew is made again from the files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.recovered import Recovered, recovered

if TYPE_CHECKING:
    from isomesh_dagster.project.front import Project
    from isomesh_dagster.upkeep.adopt import Parted


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What is wrong, and what is made again of each environment that the state does not know, by name."""

    parted: Parted
    environments: dict[str, Recovered]


def survey(project: Project) -> Adoption:
    """What adopting would do; changes nothing. Raises SystemMismatch for what must stay refused."""
    from isomesh_dagster.upkeep.adopt import examine

    state = project.system.state()
    with project.system.existing_warehouse().session() as session:
        parted = examine(session, state, project.identity(), project.settings.gateways)
    return Adoption(
        parted=parted,
        environments={
            shown.name: recovered(
                shown.target,
                state.snapshots(shown.target.snapshots.values()),
                project.graph,
                project.fingerprints,
            )
            for shown in parted.environments
        },
    )


def adopt(project: Project, found: Adoption, *, let_go: Collection[str] = ()) -> None:
    """Do it: environments with all snapshots are known again, those of `let_go` are let go, others stay as they are.

    Raises PlanError, with nothing done, for a name in `let_go` that the warehouse does not show or that can be kept.
    """
    from isomesh_dagster.upkeep import adopt as execution

    whole = {name: one.snapshots.values() for name, one in found.environments.items() if not one.lost}
    for name in let_go:
        if name in whole or name not in found.environments:
            raise PlanError(
                f"environment {name!r} cannot be let go: it is known" + (" again" if name in whole else ""),
                hint=f"`isomesh invalidate {name}` ends one that is known",
            )
    with project.connection().session() as session:
        execution.adopt(session, project.state(), found.parted, recovered=whole, let_go=let_go)
