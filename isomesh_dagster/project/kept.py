"""Plans that wait for somebody to agree: documents in the gateway's folder, found again by their id."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.saved import SavedPlan, plan_document, read_document
from isomesh_dagster.project.system import FOLDER

if TYPE_CHECKING:
    from isomesh_dagster.plan.plan import Plan
    from isomesh_dagster.project.questions import ProjectQuestions

_LONGEST = 64  # characters of an id that are told
_MOST = 100  # plans that are kept: one that is older was made again, or is forgotten


def keep(project: ProjectQuestions, plan: Plan) -> Path:
    """Write the plan's document, whole or not at all; its path. The oldest go."""
    folder = _folder(project)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plan.id}.json"
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(plan_document(plan))
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    for old in sorted(folder.glob("*.json"), key=_age, reverse=True)[_MOST:]:
        old.unlink(missing_ok=True)
    return path


def find(project: ProjectQuestions, wanted: str) -> SavedPlan:
    """The plan that was kept, or recorded because it was begun, whose id begins so. Raises PlanError when that is none
    or several.
    """
    kept = {path.stem: path for path in _folder(project).glob("*.json")}
    begun = project.system.checked().plans(beginning=wanted) if wanted else []
    recorded = {record.id: record for record in begun}
    found = [id for id in sorted({*kept, *recorded}) if wanted and id.startswith(wanted)]
    if len(found) != 1:
        shown = wanted if len(wanted) <= _LONGEST else f"{wanted[:_LONGEST]}…"
        told = "several plans begin with" if found else "no plan is known by"
        raise PlanError(
            f"{told} {shown!r}",
            hint="the job `plan` and `isomesh plan --save` keep one; `isomesh plans` lists those that were begun",
        )
    (id,) = found
    text = kept[id].read_text(encoding="utf-8") if id in kept else recorded[id].document
    return read_document(text, f"plan {id}")


def _folder(project: ProjectQuestions) -> Path:
    return project.root / FOLDER / project.gateway / "plans"


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # somebody else removed it
        return 0.0
