"""The environments as Dagster knows them: partitions that are offered in its dialogs as soon as they exist."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.resource import allowed_names
from isomesh_dagster.project import Project

SENSOR = "offer_environments"


def build_environments_sensor(manifest: Path) -> dg.SensorDefinition:
    """A sensor that keeps the partitions of the environments' asset in line with the state: those made on the command
    line are offered too, and the default one before the first run. It launches nothing.
    """

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Offers the environments there are as partitions of the environments' asset; starts no run.",
    )
    def offer_environments(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        with Project.from_manifest(manifest) as project:
            names = {project.settings.default_target_environment, *(one.name for one in project.environments())}
        new = allowed_names(names - set(context.instance.get_dynamic_partitions(keys.ENVIRONMENTS)))
        if not new:
            return dg.SkipReason("every environment is offered")
        return dg.SensorResult(
            dynamic_partitions_requests=[dg.DynamicPartitionsDefinition(name=keys.ENVIRONMENTS).build_add_request(new)]
        )

    return offer_environments
