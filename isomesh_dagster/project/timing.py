"""What past builds say of the time a plan will take: asked of the state once per plan that builds something."""

from __future__ import annotations

from isomesh_dagster.plan.expected import with_expected
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.state.protocol import StateStore


def timed(state: StateStore, plan: Plan) -> Plan:
    """The plan, its builds with what they are expected to take."""
    models = {build.snapshot.name for build in (*plan.builds, *plan.later)}
    return with_expected(plan, state.durations(models)) if models else plan
