"""`build_definitions`: a project as Dagster definitions.

    # definitions.py
    import dagster as dg
    from isomesh_dagster import build_definitions

    @dg.definitions
    def defs():
        return build_definitions(".")

An asset of yours with the key `[schema, table]` of a table that a model reads is upstream of that model by itself.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.assets import environment_asset, external_specs, model_assets
from isomesh_dagster.definitions.cadence import build_cadence_sensor
from isomesh_dagster.definitions.doctor import drift_check
from isomesh_dagster.definitions.environments import build_environments_sensor
from isomesh_dagster.definitions.executor import isomesh_executor
from isomesh_dagster.definitions.jobs import build_jobs
from isomesh_dagster.definitions.ledger import ledger_assets
from isomesh_dagster.definitions.loader import pinned_definitions
from isomesh_dagster.definitions.project import IsomeshProject
from isomesh_dagster.definitions.resource import IsomeshResource
from isomesh_dagster.definitions.schedules import daily_schedules
from isomesh_dagster.definitions.translator import IsomeshTranslator
from isomesh_dagster.definitions.watch import build_watch_sensor
from isomesh_dagster.errors import ConfigError
from isomesh_dagster.project import Project


def build_definitions(
    project: IsomeshProject | Path | str = ".",
    *,
    gateway: str | None = None,
    translator: IsomeshTranslator | None = None,
    assets: Sequence[Any] = (),
    resources: Mapping[str, Any] | None = None,
    externals: bool = True,
    run_when_due: bool | None = None,
) -> dg.Definitions:
    """Definitions of a project under one gateway, pinned to what its files say now.

    project    its folder, or an IsomeshProject
    gateway    by default the environment variable ISOMESH_GATEWAY, else the configuration's default
    translator how models look
    assets     assets, specs and checks of yours beside the models; those whose key is that of an external table or of
               a model (as `@isomesh_assets` makes them) replace it
    resources  what your assets need; `isomesh` is ours
    externals  whether external tables that `assets` does not hold get a spec; False when definitions with such
               assets are merged in later
    run_when_due  whether the sensor that loads what is due is on from the start; None: not under `dagster dev`

    Raises IsomeshError when configuration or a model file is wrong.
    """
    # Dagster 1.13 hands `owners`, which is in beta, on to every sensor, and warns of it: nobody here gave it
    warnings.filterwarnings("ignore", "Parameter `owners` of initializer `SensorDefinition", dg.BetaWarning)
    place = project if isinstance(project, IsomeshProject) else IsomeshProject(project, gateway=gateway)
    if gateway is not None and gateway.lower() != place.gateway:
        raise ConfigError(f"the project is for gateway {place.gateway!r}, not {gateway!r}")
    look = translator or IsomeshTranslator()

    def build(manifest: Path) -> dg.Definitions:
        with Project.from_manifest(manifest) as compiled:
            return definitions_of(
                compiled,
                manifest,
                look,
                assets=assets,
                resources=resources or {},
                externals=externals,
                run_when_due=run_when_due,
            )

    # a project that definitions were made of already has one manifest for all of them
    compile_manifest = place.prepare if place is not project else lambda: place.manifest
    return pinned_definitions(place.key, compile_manifest, build)


def definitions_of(
    project: Project,
    manifest: Path,
    translator: IsomeshTranslator,
    *,
    assets: Sequence[Any] = (),
    resources: Mapping[str, Any] | None = None,
    externals: bool = True,
    run_when_due: bool | None = None,
) -> dg.Definitions:
    """Definitions of a compiled project. `project` is what `Project.from_manifest(manifest)` gives."""
    with warnings.catch_warnings():
        # Dagster warns of arguments that its own decorators pass on; a user can do nothing about them
        warnings.simplefilter("ignore", dg.BetaWarning)
        jobs = build_jobs(project, manifest, translator, isomesh_executor)
        git_jobs, git_sensors = _driven_by_git(project, manifest, translator, jobs)
        resource = IsomeshResource.serving(manifest).configure_at_launch()
        theirs = set(asset_keys(assets))
        return dg.Definitions(
            assets=[
                *(external_specs(project, translator, without=theirs) if externals else ()),
                *(one for one in model_assets(project, translator) if one.key not in theirs),
                environment_asset(project, translator),
                *(ledger_assets(project, translator, round(time.time() * 1000)) if translator.settings.ledgers else ()),
                *assets,
            ],
            asset_checks=[drift_check(translator.get_environment_key(project))],
            jobs=[*jobs, *git_jobs],
            schedules=daily_schedules(jobs),
            sensors=[
                build_cadence_sensor(project, manifest, translator, jobs, is_on=run_when_due),
                build_environments_sensor(manifest, translator.get_environment_key(project)),
                build_watch_sensor(manifest, [*jobs, *git_jobs]),
                *git_sensors,
            ],
            resources={**(resources or {}), keys.RESOURCE: resource},
            executor=isomesh_executor,
        )


def _driven_by_git(
    project: Project, manifest: Path, translator: IsomeshTranslator, jobs: Sequence[Any]
) -> tuple[list[dg.JobDefinition], list[dg.SensorDefinition]]:
    """What a repository adds where it drives the gateway; where none does, nothing of it is imported."""
    if project.settings.git is None:
        return [], []
    from isomesh_dagster.definitions.git_jobs import build_git_jobs
    from isomesh_dagster.definitions.sensors import build_git_sensors

    added = build_git_jobs(project, manifest, translator)
    return added, build_git_sensors(project, [*jobs, *added])


def asset_keys(assets: Iterable[Any]) -> Iterable[dg.AssetKey]:
    """The keys of assets definitions and specs, in any mixture."""
    for asset in assets:
        if isinstance(asset, dg.AssetsDefinition):
            yield from asset.keys
        elif isinstance(asset, dg.AssetSpec | dg.SourceAsset):
            yield asset.key
