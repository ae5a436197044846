"""The check that finds what somebody changed by hand, run by its job as its schedule does."""

import pytest

from isomesh_dagster.definitions.doctor import CHECK, JOB
from isomesh_dagster_tests.definitions.conftest import Shop, checks


def result(shop: Shop) -> tuple[bool, str]:
    run = shop.run(JOB)
    assert run.success
    ((name, found),) = checks(run).items()
    assert name == f"environment:{CHECK}" or name.endswith(f":{CHECK}")
    return found.passed, str(found.metadata["isomesh/findings"].value)


def test_it_looks_at_what_is_promoted(loaded_shop: Shop) -> None:
    assert result(loaded_shop) == (True, "Nothing is promoted yet.")
    for environment in ("prod", "dev"):
        run = loaded_shop.run("apply", partition=environment)
        assert run.success
        assert not any(name.endswith(f":{CHECK}") for name in checks(run)), "it is no part of an apply"
    passed, _ = result(loaded_shop)
    assert passed
    loaded_shop.query("CREATE OR REPLACE VIEW marts.total AS SELECT 1 AS days")
    passed, told = result(loaded_shop)
    assert not passed
    assert "marts.total" in told
    assert "--repair" in told
    assert "marts__dev" not in told


def test_a_warehouse_that_is_gone_is_a_finding(loaded_shop: Shop) -> None:
    assert loaded_shop.run("apply", partition="prod").success
    (loaded_shop.root / "here.duckdb").unlink()
    run = loaded_shop.run(JOB)
    assert not run.success or not next(iter(checks(run).values())).passed


@pytest.mark.parametrize("job", [JOB, "janitor"])
def test_the_schedule_is_there_and_waits_to_be_switched_on(shop: Shop, job: str) -> None:
    schedule = shop.definitions().resolve_schedule_def(f"{job}_daily")
    assert schedule.job_name == job
    assert schedule.default_status.value == "STOPPED"
