"""Drift as a check: whether the warehouse still shows what was promoted; looked at by hand or on a schedule of
`schedules`.
"""

# no postponed annotations: Dagster reads those of checks when it makes them
from collections.abc import Sequence
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.events import failures
from isomesh_dagster.errors import EngineError
from isomesh_dagster.project import upkeep
from isomesh_dagster.upkeep.doctor import Finding, Level

CHECK = "as_promoted"
JOB = "doctor"


def drift_check(key: dg.AssetKey) -> dg.AssetChecksDefinition:
    """The check of the environments' asset `key`: all views are there and show the tables they were promoted to show,
    these tables are there, and state and warehouse agree. Reads only; `isomesh doctor --repair` mends.
    """

    @dg.asset_check(
        asset=key,
        name=CHECK,
        required_resource_keys={keys.RESOURCE},
        description="Do all environments show what was promoted? Views or tables that somebody changed by hand are"
        " named; `isomesh doctor --repair` mends them.",
    )
    def as_promoted(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        system = context.resources.isomesh.session.project.system
        with failures():
            names = [one.name for one in system.checked().environments()]
            try:
                found = list(upkeep.examine(system, environments=names)) if names else []
            except EngineError as error:
                found = [Finding(level=Level.ERROR, subject="warehouse", message=error.message, hint=error.hint)]
        wrong = [one for one in found if one.level is Level.ERROR]
        return dg.AssetCheckResult(
            passed=not wrong,
            description=f"{len(wrong)} of {len(names)} environments and their tables are not as promoted"
            if wrong
            else f"{len(names)} environments show what was promoted",
            metadata={
                "isomesh/findings": dg.MetadataValue.md(_markdown(wrong or found)),
                "isomesh/environments": len(names),
            },
        )

    return as_promoted


def doctor_job(key: dg.AssetKey, tags: dict[str, str]) -> Any:
    """The job of the check alone."""
    return dg.define_asset_job(
        JOB,
        dg.AssetSelection.checks(dg.AssetCheckKey(key, CHECK)),
        description="Look whether the warehouse still shows what was promoted; changes nothing.",
        tags=tags,
        executor_def=dg.in_process_executor,
    )


def _markdown(found: Sequence[Finding]) -> str:
    if not found:
        return "Nothing is promoted yet."
    lines = ["| what | |", "|---|---|"]
    lines += [f"| `{one.subject}` | {one.message}{f'. {one.hint}' if one.hint else ''} |" for one in found]
    return "\n".join(lines)
