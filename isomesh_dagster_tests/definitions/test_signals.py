"""What waits for a signal is told truly: nothing is called built that is not, and nothing fails."""

from __future__ import annotations

import dagster as dg
import pytest

from isomesh_dagster_tests.definitions.conftest import Shop, materialized, reused

SIGNAL = """
from sqlmesh import signal

@signal()
def arrived(batch, until: str):
    return [one for one in batch if str(one[0].date()) <= until]
"""
MODEL = """
MODEL (name marts.waits, kind FULL, signals (arrived(until := '{until}')));
SELECT COUNT(*) AS n FROM core.days
"""


@pytest.fixture
def waiting_shop(loaded_shop: Shop) -> Shop:
    loaded_shop.write("signals/arrived.py", SIGNAL)
    loaded_shop.write("models/marts/waits.sql", MODEL.format(until="1900-01-01"))
    loaded_shop.write("models/marts/reader.sql", "MODEL (name marts.reader, kind FULL); SELECT n FROM marts.waits")
    return loaded_shop


def test_what_waits_says_so_and_the_environment_is_promoted(waiting_shop: Shop) -> None:
    result = waiting_shop.run("apply", partition="prod")
    assert result.success
    told = {name: event.metadata for name, event in materialized(result).items()}
    assert told["marts.waits"]["isomesh/waits_for"].value.startswith("signal arrived: ")
    assert told["marts.reader"]["isomesh/waits_for"].value.startswith("marts.waits: ")
    assert "isomesh/waits_for" not in told["core.days"]
    assert waiting_shop.query("SELECT COUNT(*) FROM marts.waits") == [(0,)]

    result = waiting_shop.run("run")
    assert result.success
    seen = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    assert dg.AssetKey(["marts", "waits"]) in {one.asset_key for one in seen}
    assert "marts.waits" not in materialized(result)


def test_a_part_that_is_ready_is_built(waiting_shop: Shop) -> None:
    waiting_shop.write("models/marts/waits.sql", MODEL.format(until="2100-01-01"))
    result = waiting_shop.run("apply", partition="prod")
    assert result.success
    assert not reused(result)["marts.waits"]
    assert waiting_shop.query("SELECT COUNT(*) FROM marts.waits") == [(1,)]
