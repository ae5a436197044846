"""The history of an environment as people read it: who made it show what, when, from which commit, and the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.project import Project

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Told:
    """What Dagster knows of a promotion."""

    run_id: str
    commit: str


def history_markdown(
    instance: dg.DagsterInstance, project: Project, key: dg.AssetKey, environment: str, *, run: dg.DagsterRun | None
) -> dg.MarkdownMetadataValue:
    """The last promotions of an environment as a table, newest first, and how to go back. `run` made the newest."""
    promotions = project.promotions(environment)[:_SHOWN]
    told = _told(instance, key, environment)
    if run is not None and promotions and promotions[0].number not in told:
        told[promotions[0].number] = _Told(run.run_id, run.tags.get(keys.COMMIT_TAG, ""))
    summaries = {record.id: _summary(record.document) for record in project.plans(environment)}
    lines = ["| # | when (UTC) | what | by | commit |", "|--:|---|---|---|---|"]
    for one in promotions:
        known = told.get(one.number)
        what = one.reason if one.reason != "plan" else summaries.get(one.plan_id) or "plan"
        by = f"[run {known.run_id[:8]}](/runs/{known.run_id})" if known is not None else "outside of Dagster"
        commit = f"`{known.commit[:10]}`" if known is not None and known.commit else ""
        cells = (str(one.number), f"{one.promoted_at:%Y-%m-%d %H:%M}", what.replace("|", "\\|"), by, commit)
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


def _summary(document: str) -> str:
    """The sentence of a plan's document; "" when there is none."""
    if not document:
        return ""
    try:
        text = json.loads(document).get("summary", "")
    except (ValueError, AttributeError):
        return ""
    return text if isinstance(text, str) else ""
