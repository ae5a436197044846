"""The environments as Dagster knows them: partitions that are offered in its dialogs as long as they exist."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.resource import allowed_names
from isomesh_dagster.definitions.tries import UNFINISHED
from isomesh_dagster.errors import ConfigError
from isomesh_dagster.project import Project

SENSOR = "offer_environments"

_LIVES_SECONDS = 300
"""How long ago the same sensor of another code location may have looked, to count as one that is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the sensor keeps: whose environments they are, the key of their asset, and which there were."""

    gateway: str
    key: str
    names: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str | None) -> Seen | None:
        """From its text; None for what is none."""
        try:
            kept = json.loads(text or "")
            return cls(gateway=str(kept["gateway"]), key=str(kept["key"]), names=tuple(map(str, kept["names"])))
        except (ValueError, KeyError, TypeError):
            return None

    def text(self) -> str:
        """As Dagster keeps it."""
        return json.dumps({"gateway": self.gateway, "key": self.key, "names": self.names})


def build_environments_sensor(manifest: Path, key: dg.AssetKey) -> dg.SensorDefinition:
    """A sensor that keeps the partitions of the environments' asset `key` in line with the state: those made on the
    command line are offered too, and the default one before the first run; those that were removed are not any more.
    What somebody added in a dialog stays, until it was an environment. It launches nothing.

    Its tick fails while another gateway's code location fills the same asset of the same instance.
    """

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps the partitions of the environments' asset to the environments there are; starts no run.",
    )
    def offer_environments(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with Project.from_manifest(manifest) as project:
            gateway, default = project.gateway, project.settings.default_target_environment
            names = [one.name for one in project.environments()]
        _check_alone(context, gateway, key)
        offered = set(context.instance.get_dynamic_partitions(keys.ENVIRONMENTS))
        new = allowed_names({default, *names} - offered)
        before = Seen.read(context.cursor)
        gone = sorted((offered & set(before.names if before else ())) - {default, *names})
        busy = [name for name in gone if _is_busy(context.instance, name)]
        leaving = [name for name in gone if name not in busy]
        partitions = dg.DynamicPartitionsDefinition(name=keys.ENVIRONMENTS)
        requests = [
            *([partitions.build_add_request(new)] if new else ()),
            *([partitions.build_delete_request(leaving)] if leaving else ()),
        ]
        return dg.SensorResult(
            skip_reason=None if requests else "every environment is offered",
            dynamic_partitions_requests=requests,
            cursor=Seen(gateway=gateway, key=key.to_user_string(), names=(*names, *busy)).text(),
        )

    return offer_environments


def _is_busy(instance: dg.DagsterInstance, environment: str) -> bool:
    """Whether a run of the partition waits or goes on: it says by the partition which environment it is about."""
    wanted = dg.RunsFilter(statuses=UNFINISHED, tags={keys.PARTITION_TAG: environment})
    return instance.get_runs_count(wanted) > 0


def _check_alone(context: dg.SensorEvaluationContext, gateway: str, key: dg.AssetKey) -> None:
    """Raises ConfigError when a code location of another gateway tells Dagster of the same asset."""
    for location, other in _others(context):
        if other.key == key.to_user_string() and other.gateway != gateway:
            raise ConfigError(
                f"the code locations of gateways {gateway!r} and {other.gateway!r} ({location}) are in one Dagster"
                " instance, and their assets have the same keys: each shows what the other one did",
                hint="start each with a DAGSTER_HOME of its own; docs/deploy.md shows how",
            )


def _others(context: dg.SensorEvaluationContext) -> Iterator[tuple[str, Seen]]:
    """What this sensor keeps in other code locations that are there, by the location's name."""
    here = context.code_location_origin
    if here is None:
        return
    for state in context.instance.all_instigator_state():
        location = state.origin.repository_origin.code_location_origin.location_name
        if state.instigator_name != SENSOR or location == here.location_name:
            continue
        looked, cursor = (getattr(state.instigator_data, name, None) for name in ("last_tick_timestamp", "cursor"))
        seen = Seen.read(cursor)
        if seen is not None and (looked or 0) > time.time() - _LIVES_SECONDS:
            yield location, seen
