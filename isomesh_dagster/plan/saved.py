"""A plan written down, to be agreed to now and applied later: its document, and whether it is still the same plan.

What is applied is never read from the document: the plan is made again from the files and the state, and the document
only says whether that gives what was agreed to. It is JSON for people and scripts; nothing in it is executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from isomesh_dagster.errors import ConflictingPlanError, PlanError
from isomesh_dagster.model.kinds import is_incremental
from isomesh_dagster.plan.documents import plan_json, plan_markdown
from isomesh_dagster.plan.explain import summary
from isomesh_dagster.plan.plan import Build, Plan
from isomesh_dagster.plan.wish import Wish, wish_from_json, wish_to_json
from isomesh_dagster.plan.words import some
from isomesh_dagster.snapshot.interval import Interval, from_ms, subtract, to_ms

_FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """What a document says of its plan.

    id, gateway, environment, based_on, execution_time, wish   as in the plan
    is_run        whether it was made by the clock (`run`), not from files
    identifiers   digest of model and ancestors, by model: the files
    versions      which table is shown, by model
    builds        the intervals that are built, by model
    later         those that are computed again after the swap
    summary       what an apply does, in one sentence
    """

    id: str
    gateway: str
    environment: str
    based_on: str | None
    execution_time: datetime
    wish: Wish
    is_run: bool
    identifiers: Mapping[str, str]
    versions: Mapping[str, str]
    builds: Mapping[str, tuple[Interval, ...]]
    later: Mapping[str, tuple[Interval, ...]]
    summary: str


def plan_document(plan: Plan) -> str:
    """The plan as one JSON document with an end of line: as `isomesh plan --json` prints it, as Markdown, and what it
    takes to make it again.
    """
    document = {
        "format": _FORMAT,
        "summary": summary(plan),
        "plan": plan_json(plan),
        "again": {
            "is_run": plan.by_clock,
            "execution_time": to_ms(plan.execution_time),
            "wish": wish_to_json(plan.wish),
            "snapshots": {name: [one.id.identifier, one.version] for name, one in sorted(plan.snapshots.items())},
            "builds": _intervals(plan.builds),
            **({"later": _intervals(plan.later)} if plan.later else {}),
        },
        "markdown": plan_markdown(plan),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _intervals(steps: Iterable[Build]) -> dict[str, list[list[int]]]:
    return {step.snapshot.name: [[interval.start, interval.end] for interval in step.intervals] for step in steps}


def read_document(text: str, name: str) -> SavedPlan:
    """The plan a document tells of; `name` is what people call it. Raises PlanError when it is none."""
    try:
        return _read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "`isomesh plan ENV --save FILE` writes one"
        raise PlanError(f"{name} is not a saved plan of this version of isomesh", hint=hint) from error


def is_run(text: str) -> bool:
    """Whether a document tells of a plan that was made by the clock; False for what is none."""
    try:
        return read_document(text, "a plan").is_run
    except PlanError:
        return False


def _read(document: Mapping[str, Any]) -> SavedPlan:
    if document["format"] != _FORMAT:
        raise ValueError("another format")
    told, again = document["plan"], document["again"]
    return SavedPlan(
        id=str(told["plan_id"]),
        gateway=str(told["gateway"]),
        environment=str(told["environment"]),
        based_on=told["based_on"],
        execution_time=from_ms(int(again["execution_time"])),
        wish=wish_from_json(again["wish"]),
        is_run=bool(again["is_run"]),
        identifiers={name: identifier for name, (identifier, _) in again["snapshots"].items()},
        versions={name: version for name, (_, version) in again["snapshots"].items()},
        builds={name: tuple(Interval(*pair) for pair in pairs) for name, pairs in again["builds"].items()},
        later={name: tuple(Interval(*pair) for pair in pairs) for name, pairs in again.get("later", {}).items()},
        summary=str(document["summary"]),
    )


def check_same(saved: SavedPlan, plan: Plan) -> None:
    """Raises ConflictingPlanError, saying why, unless `plan`, made now, does what was agreed to, or a part of it whose
    rest is done.

    The same id is the same plan. With another id it may still be the same target from the same base with less to
    build: an interrupted apply, or another environment, has built some of it.
    """
    if plan.id == saved.id or (plan.is_empty and plan.based_on == saved.id):
        return
    if plan.based_on == saved.id and plan.promote is None and all(_is_left(saved, step) for step in plan.builds):
        return  # the swap is made, and a part of what comes after it is left
    if plan.based_on != saved.based_on:
        raise _moved(saved, plan)
    files = _differing(saved.identifiers, {name: one.id.identifier for name, one in plan.snapshots.items()})
    if files:
        raise _conflict(saved, f"the files are not those it was made from: {some(files)}")
    tables = _differing(saved.versions, {name: one.version for name, one in plan.snapshots.items()})
    if tables:
        raise _conflict(saved, f"what is already built moved since: other tables are right for {some(tables)}")
    more = [step.snapshot.name for step in plan.builds if not _is_agreed(saved, step)]
    if more:
        raise _conflict(saved, f"more is to build than was agreed to: {some(more)}")


def _is_agreed(saved: SavedPlan, step: Build) -> bool:
    """Whether everything that is to be built of the model was to be built then, too."""
    agreed = saved.builds.get(step.snapshot.name)
    if agreed is None:
        return False
    return not is_incremental(step.snapshot.model.kind) or not subtract(step.intervals, agreed)


def _is_left(saved: SavedPlan, step: Build) -> bool:
    """Whether the step is a part of what was to be computed again after the swap."""
    return step.later and not subtract(step.intervals, saved.later.get(step.snapshot.name, ()))


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _moved(saved: SavedPlan, plan: Plan) -> ConflictingPlanError:
    if plan.based_on == saved.id:
        return _conflict(saved, f"it is applied already, and the files changed since: {saved.environment!r} shows it")
    now = f"plan {plan.based_on}" if plan.based_on is not None else "nothing"
    then = f"plan {saved.based_on}" if saved.based_on is not None else "nothing"
    return _conflict(saved, f"environment {saved.environment!r} moved: it shows {now}, and showed {then} then")


def _conflict(saved: SavedPlan, told: str) -> ConflictingPlanError:
    return ConflictingPlanError(f"plan {saved.id} is not what would be done now: {told}", hint="plan again")
