"""Which environments Dagster's dialogs offer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import dagster as dg
import pytest
from dagster._core.definitions.dynamic_partitions_request import AddDynamicPartitionsRequest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData

from isomesh_dagster import Project
from isomesh_dagster.errors import ConfigError
from isomesh_dagster_tests.definitions.conftest import Shop

SENSOR, PARTITIONS = "offer_environments", "isomesh_environments"


@pytest.fixture
def kept_shop(loaded_shop: Shop) -> Iterator[Shop]:
    """With an instance that keeps what sensors know, as a daemon's does."""
    with dg.instance_for_test() as instance:
        yield replace(loaded_shop, instance=instance)


@dataclass
class Offers:
    """The sensor of the environments' partitions, with the daemon's part of it."""

    shop: Shop
    location: str = "shop"
    gateway: str = "here"
    state: InstigatorState | None = None

    def look(self, *, seconds_ago: float = 0) -> set[str]:
        """What is offered after a tick."""
        instance, place = self.shop.instance, RegisteredCodeLocationOrigin(self.location)
        context = dg.SensorEvaluationContext(
            instance_ref=None,
            instance=instance,
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self.state.instigator_data.cursor if self.state is not None else None,
            repository_name=None,
            code_location_origin=place,
        )
        found = self.shop.definitions(gateway=self.gateway).get_sensor_def(SENSOR).evaluate_tick(context)
        for request in found.dynamic_partitions_requests:
            assert request.partitions_def_name == PARTITIONS
            if isinstance(request, AddDynamicPartitionsRequest):
                instance.add_dynamic_partitions(PARTITIONS, request.partition_keys)
            else:
                for name in request.partition_keys:
                    instance.delete_dynamic_partition(PARTITIONS, name)
        state = InstigatorState(
            RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "__repository__"), SENSOR),
            InstigatorType.SENSOR,
            InstigatorStatus.DECLARED_IN_CODE,
            SensorInstigatorData(cursor=found.cursor, last_tick_timestamp=time.time() - seconds_ago),
        )
        (instance.add_instigator_state if self.state is None else instance.update_instigator_state)(state)
        self.state = state
        return set(instance.get_dynamic_partitions(PARTITIONS))


def test_environments_are_offered_as_long_as_they_are_there_whoever_made_them(kept_shop: Shop) -> None:
    offers, instance = Offers(kept_shop), kept_shop.instance
    assert offers.look() == {"prod"}
    with Project.load(kept_shop.root) as project:
        list(project.apply(project.plan("dev_jo")))
    instance.add_dynamic_partitions(PARTITIONS, ["soon"])  # in the dialog; nothing is made yet
    assert offers.look() == {"prod", "dev_jo", "soon"}
    assert offers.look() == {"prod", "dev_jo", "soon"}
    with Project.load(kept_shop.root) as project:
        project.invalidate("dev_jo")
        assert offers.look() == {"prod", "dev_jo", "soon"}
        list(project.janitor())
    waits = instance.create_run_for_job(
        kept_shop.definitions().resolve_job_def("apply"), tags={"dagster/partition": "dev_jo"}
    )
    assert offers.look() == {"prod", "dev_jo", "soon"}, "somebody has just asked for it again"
    instance.report_run_canceled(waits)
    assert offers.look() == {"prod", "soon"}
    instance.add_dynamic_partitions(PARTITIONS, ["dev_jo"])
    assert offers.look() == {"prod", "soon", "dev_jo"}


def test_two_gateways_in_one_instance_are_told(kept_shop: Shop) -> None:
    ours = [Offers(kept_shop, "shop"), Offers(kept_shop, "again")]
    theirs = Offers(kept_shop, "theirs", "there")
    for one in ours:
        assert one.look() == {"prod"}, "a gateway may be served twice"
    for one in ours:
        told = rf"gateways 'there' and 'here' \({one.location}\) are in one Dagster instance"
        with pytest.raises(ConfigError, match=told):
            theirs.look()
        one.look(seconds_ago=3600)  # it was there once
    assert theirs.look() == {"prod"}
