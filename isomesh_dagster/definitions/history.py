"""The history of an environment as people read it: who made it show what, when, from which commit, and the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.translator import is_built
from isomesh_dagster.project import Project

_SHOWN = 10
_NAMES = 3
_WORDS = {"added": "new", "direct": "edited", "removed": "removed"}


@dataclass(frozen=True, slots=True)
class _Told:
    """What Dagster knows of a promotion."""

    run_id: str
    commit: str


def history_markdown(
    instance: dg.DagsterInstance, project: Project, key: dg.AssetKey, environment: str, *, run: dg.DagsterRun | None
) -> dg.MarkdownMetadataValue:
    """The last promotions of an environment as a table, newest first, and how to go back. `run` made the newest."""
    promotions = project.promotions(environment, newest=_SHOWN)
    told = _told(instance, key, environment)
    if run is not None and promotions and promotions[0].number not in told:
        told[promotions[0].number] = _Told(run.run_id, run.tags.get(keys.COMMIT_TAG, ""))
    lines = ["| # | when (UTC) | what | by | commit |", "|--:|---|---|---|---|"]
    for one in promotions:
        known = told.get(one.number)
        what = one.reason if one.reason != "plan" else _what(project, one.plan_id) or "the same models"
        by = f"[run\u00a0{known.run_id[:8]}](/runs/{known.run_id})" if known is not None else "outside of Dagster"
        commit = f"`{known.commit[:10]}`" if known is not None and known.commit else ""
        cells = (str(one.number), f"{one.promoted_at:%Y‑%m‑%d\u00a0%H:%M}", what.replace("|", "\\|"), by, commit)
        lines.append(f"| {' | '.join(cells)} |")
    if len(promotions) > 1:
        back = promotions[1].number
        lines += [
            "",
            f"**To go back to {back}**: launch the job `rollback` for this environment; another number goes into its"
            " configuration as `to`. Only views move, nothing is built."
            f" On the command line: `isomesh rollback {environment} --to {back}`.",
        ]
    return dg.MarkdownMetadataValue("\n".join(lines))


def _told(instance: dg.DagsterInstance, key: dg.AssetKey, environment: str) -> dict[int, _Told]:
    """Promotions by number, as the environment's own events tell them; the first that told of one made it."""
    found = {}
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[environment]), limit=_SHOWN * 3
    ).records
    for record in records:
        materialization = record.asset_materialization
        metadata: Mapping[str, dg.MetadataValue] = materialization.metadata if materialization is not None else {}
        number = metadata.get(keys.PROMOTION)
        reused = metadata.get(keys.REUSED)
        if number is not None and isinstance(number.value, int) and not (reused is not None and reused.value):
            commit = metadata.get(keys.COMMIT)
            found[number.value] = _Told(record.run_id, str(commit.value) if commit is not None else "")
    return found


def _what(project: Project, plan_id: str) -> str:
    """Which models a plan changed, from its document; "" when it does not tell. External tables are no models."""
    record = project.state().plan(plan_id)
    try:
        changes = json.loads(record.document)["plan"]["changes"] if record is not None and record.document else []
        models: dict[str, list[str]] = {}
        for change in changes:
            model = project.models.get(change["model"])
            if model is not None and not is_built(model):
                continue
            models.setdefault(_WORDS.get(change["change"], ""), []).append(str(change["model"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return "; ".join(f"{word} {_some(names)}" for word, names in models.items() if word)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMES else f"{len(names)} models"
