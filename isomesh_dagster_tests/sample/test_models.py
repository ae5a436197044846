"""The sample's models on real rows: they build in both systems, their audits pass, and their numbers are right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from isomesh_dagster import Project
from isomesh_dagster.records.events import Audited, Built, Promoted
from isomesh_dagster.sample.raw import TABLES, load
from isomesh_dagster_tests.sample.test_raw import ROOT, copy_of_the_project


@pytest.fixture(scope="module", params=["nonproduction", pytest.param("production", marks=pytest.mark.slow)])
def deployed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, list[Any]]]:
    """A system with its raw tables loaded and everything promoted to prod; what happened."""
    root = copy_of_the_project(tmp_path_factory.mktemp(request.param))
    with Project.load(root, gateway=request.param) as project:
        for table in TABLES:
            load(project, table)
        yield project, list(project.apply(project.plan("prod")))


def fetch(project: Project, sql: str) -> list[tuple[Any, ...]]:
    with project.connection().session() as session:
        return session.fetch(sql)


def test_everything_builds_and_every_audit_passes(deployed: tuple[Project, list[Any]]) -> None:
    project, events = deployed
    built = {event.model: event for event in events if isinstance(event, Built)}
    assert len(built) == 22, "23 models, one of them embedded"
    assert not [audit for event in built.values() for audit in event.audits if not audit.passed]
    assert [event.environment for event in events if isinstance(event, Promoted)] == ["prod"]
    assert not [event for event in events if isinstance(event, Audited) and not event.passed]
    assert project.plan("prod").is_empty


def test_no_flight_is_lost_on_the_way(deployed: tuple[Project, list[Any]]) -> None:
    project, _ = deployed
    expected = 336_776 if project.gateway == "production" else 6042
    for sql in (
        "SELECT COUNT(*) FROM core.flights",
        "SELECT SUM(flights) FROM marts.carrier_days",
        "SELECT SUM(flights) FROM marts.delays_by_hour",
        "SELECT SUM(flights) FROM reports.carrier_months",
    ):
        assert fetch(project, sql) == [(expected,)], sql


def test_the_shared_table_says_which_system_it_is_from(deployed: tuple[Project, list[Any]]) -> None:
    project, _ = deployed
    schema = "shared" if project.gateway == "production" else "shared_preview"
    assert fetch(project, f"SELECT DISTINCT computed_by FROM {schema}.carrier_scorecard") == [(project.gateway,)]


def test_weather_and_holidays_say_what_they_should(deployed: tuple[Project, list[Any]]) -> None:
    project, _ = deployed
    if project.gateway != "production":
        pytest.skip("two weeks of January tell nothing")
    severe = fetch(project, "SELECT extra_delay, cancelled_ratio FROM marts.weather_impact WHERE severity = 'severe'")
    assert len(severe) == 3
    assert all(extra_delay > 15 and cancelled_ratio > 3 for extra_delay, cancelled_ratio in severe)
    assert fetch(project, "SELECT season, days FROM reports.holiday_travel ORDER BY days") == [
        ("holiday", 10),
        ("around a holiday", 38),
        ("ordinary", 317),
    ]


def test_the_definitions_load_raw_tables_and_models_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOMESH_PROJECT", str(copy_of_the_project(tmp_path)))
    monkeypatch.delenv("ISOMESH_GATEWAY", raising=False)
    from isomesh_dagster.sample.definitions import defs

    definitions = defs()
    assert isinstance(definitions, dg.Definitions)
    graph = definitions.resolve_asset_graph()
    assert {key.path[0] for key in graph.root_executable_asset_keys} == {"raw", "seeds"}
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
    assert result.success
    with Project.load(tmp_path) as project:
        assert project.plan("prod").is_empty


def test_the_workspace_points_at_the_sample() -> None:
    text = (ROOT / "workspace.yaml").read_text()
    assert "module_name: isomesh_dagster.sample.definitions" in text
