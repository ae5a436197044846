"""Definitions made of parts: the names Dagster users know from other integrations."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components import ScaffoldRequest, load_from_defs_folder

from isomesh_dagster import (
    IsomeshProject,
    IsomeshResource,
    IsomeshTranslator,
    IsomeshTranslatorSettings,
    build_definitions,
    build_isomesh_selection,
    build_schedule_from_isomesh_selection,
    get_asset_key_for_model,
    isomesh_assets,
    isomesh_executor,
)
from isomesh_dagster.definitions.component import IsomeshProjectScaffolder
from isomesh_dagster.errors import ConfigError, GraphError, ModelError, SelectionError
from isomesh_dagster_tests.definitions.conftest import Shop, materialized

TOTAL = dg.AssetKey(["marts", "total"])


def test_a_function_of_a_users_runs_around_the_build_of_each_model(loaded_shop: Shop) -> None:
    project = IsomeshProject(loaded_shop.root)
    seen = []

    @isomesh_assets(
        project=project, select="marts.*", pool="heavy", op_tags={"team": "a"}, required_resource_keys={"x"}
    )
    def marts(context: dg.AssetExecutionContext, isomesh: IsomeshResource) -> Iterator[Any]:
        yield from isomesh.build(context)
        seen.append((context.asset_key.to_user_string(), isomesh.project.gateway, context.resources.x))

    assert {one.key.to_user_string() for one in marts} == {"marts/total", "marts/labels"}
    assert {one.op.pool for one in marts} == {"heavy"}
    assert all(one.op.tags["team"] == "a" for one in marts)
    definitions = build_definitions(
        project, assets=[*marts], resources={"x": dg.ResourceDefinition.hardcoded_resource(7)}
    )
    result = definitions.resolve_job_def("apply").execute_in_process(instance=loaded_shop.instance)
    assert result.success
    assert sorted(seen) == [("marts/labels", "here", 7), ("marts/total", "here", 7)]
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(31,)]


def test_the_parts_make_definitions_without_the_whole(loaded_shop: Shop) -> None:
    project = IsomeshProject(loaded_shop.root)

    @isomesh_assets(project=project)
    def models(context: dg.AssetExecutionContext, isomesh: IsomeshResource) -> Iterator[Any]:
        yield from isomesh.build(context)

    @dg.asset(deps=[get_asset_key_for_model(project, "marts.total")])
    def report() -> int:
        return 1

    definitions = dg.Definitions(
        assets=[*models, report],
        resources={"isomesh": IsomeshResource.of(project)},
        schedules=[build_schedule_from_isomesh_selection(project, "marts", "@daily", select="+marts.total")],
        executor=isomesh_executor,
    )
    assert TOTAL in definitions.resolve_asset_graph().get(dg.AssetKey("report")).parent_keys
    job = definitions.resolve_job_def("marts")
    result = job.execute_in_process(instance=loaded_shop.instance)
    assert set(materialized(result)) == {"staging.orders", "core.days", "core.good_days", "marts.total"}
    assert job.tags["isomesh/gateway"] == "here"
    assert not loaded_shop.query("SELECT 1 FROM information_schema.schemata WHERE schema_name = 'marts'")


def test_selections_are_those_of_the_command_line(shop: Shop) -> None:
    project = IsomeshProject(shop.root)
    graph = shop.definitions().resolve_asset_graph()

    def chosen(*select: str, exclude: str | tuple[str, ...] = ()) -> set[str]:
        selection = build_isomesh_selection(project, select, exclude=exclude)
        return {key.to_user_string() for key in selection.resolve(graph)}

    assert chosen("tag:clean") == {"staging/orders"}
    assert chosen("core.days+", exclude="marts.total") == {"core/days", "core/good_days"}
    assert chosen("tag:clean", "marts.labels") == {"staging/orders", "marts/labels"}
    with pytest.raises(SelectionError, match="totl"):
        chosen("marts.totl")
    with pytest.raises(GraphError, match="totl"):
        get_asset_key_for_model(project, "marts.totl")


HEADER = """
MODEL (name marts.total, kind FULL, tags ({tags}));
SELECT COUNT(*) AS days, SUM(amount) AS amount FROM core.good_days
"""


def spec(shop: Shop, *tags: str) -> dg.AssetSpec:
    shop.write("models/marts/total.sql", HEADER.format(tags=", ".join(f"'{tag}'" for tag in tags)))
    return shop.definitions().resolve_asset_graph().get(TOTAL).to_asset_spec()


def test_a_models_header_overrides_how_it_looks(shop: Shop) -> None:
    shown = spec(
        shop,
        "nightly",
        "dagster/group=finance",
        "dagster/owner=jo@example.com",
        "dagster/owner=books",
        "dagster/kind=report",
        "dagster/tag=tier:gold",
        "dagster/automation=eager",
        "dagster/pool=heavy",
        "dagster/retries=3",
    )
    assert shown.group_name == "finance"
    assert list(shown.owners) == ["jo@example.com", "team:books"]
    assert shown.kinds == {"report"}
    assert shown.tags["tier"] == "gold"
    assert shown.tags["nightly"] == ""
    assert not [tag for tag in shown.tags if tag.startswith("dagster/") and not tag.startswith("dagster/kind/")]
    assert shown.automation_condition == dg.AutomationCondition.eager()
    op = shop.definitions().resolve_job_def("apply").graph.node_named("marts__total").definition
    assert isinstance(op, dg.OpDefinition)
    assert op.pool == "heavy"
    assert op.retry_policy is not None
    assert op.retry_policy.max_retries == 3


def test_a_tag_for_dagster_makes_nothing_to_build(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    spec(loaded_shop, "dagster/pool=heavy")
    again = loaded_shop.run("apply", partition="prod")
    assert materialized(again)["marts.total"].metadata["isomesh/reused"].value is True


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("dagster/gruop=x", "did you mean dagster/group"),
        ("dagster/group", "no value"),
        ("dagster/retries=many", "is a number"),
        ("dagster/automation=sometimes", "eager, on_missing"),
    ],
)
def test_a_tag_that_dagster_would_not_understand_is_refused_with_its_place(shop: Shop, tag: str, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        spec(shop, tag)
    assert (caught.value.path, caught.value.line) == ("models/marts/total.sql", 2)


def test_freshness_follows_the_cron_when_asked_for(shop: Shop) -> None:
    look = IsomeshTranslator(IsomeshTranslatorSettings(freshness=True))
    graph = shop.definitions(translator=look).resolve_asset_graph()
    policy = graph.get(TOTAL).to_asset_spec().freshness_policy
    assert policy is not None
    assert (policy.deadline_cron, policy.lower_bound_delta.total_seconds()) == ("@daily", 86400)  # type: ignore[attr-defined]
    for name in (["marts", "labels"], ["staging", "orders"], ["core", "days"]):
        assert graph.get(dg.AssetKey(name)).to_asset_spec().freshness_policy is None, "no clock makes it due"


def test_a_component_is_a_project(loaded_shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "platform"
    component = folder / "defs" / "shop"
    component.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n'
        '[tool.dg.project]\nroot_module = "platform_defs"\ndefs_module = "defs"\n'
    )
    (component / "defs.yaml").write_text(
        "type: isomesh_dagster.IsomeshProjectComponent\n"
        "attributes: {project: ../../../shop, gateway: there, settings: {query: false}}\n"
    )
    (folder / "defs" / "__init__.py").write_text("")
    sys.path.insert(0, str(folder))
    try:
        definitions = load_from_defs_folder(path_within_project=folder)
    finally:
        sys.path.remove(str(folder))
    shown = definitions.resolve_asset_graph().get(TOTAL).to_asset_spec()
    assert shown.metadata["isomesh/gateway"] == "there"
    assert "isomesh/query" not in shown.metadata


def test_the_scaffolder_writes_a_component_that_loads(loaded_shop: Shop, tmp_path: Path) -> None:
    place = tmp_path / "platform" / "defs" / "shop"
    place.mkdir(parents=True)
    IsomeshProjectScaffolder().scaffold(
        ScaffoldRequest(
            type_name="isomesh_dagster.IsomeshProjectComponent",
            target_path=place,
            scaffold_format="yaml",
            project_root=None,
            params=IsomeshProjectScaffolder.get_scaffold_params()(project=str(loaded_shop.root)),
        )
    )
    written = yaml.safe_load((place / "defs.yaml").read_text())
    assert written["type"] == "isomesh_dagster.IsomeshProjectComponent"
    assert (place / written["attributes"]["project"]).resolve() == loaded_shop.root
    with pytest.raises(ValueError, match=r"no config\.yaml in"):
        IsomeshProjectScaffolder.get_scaffold_params()(project=str(tmp_path / "nowhere"))


def test_the_command_dg_finds_the_component() -> None:
    from dagster.components.core.package_entry import discover_package_objects

    assert "IsomeshProjectComponent" in {key.name for key in discover_package_objects(["isomesh_dagster"])}


def test_a_component_with_an_unknown_setting_or_translator_is_refused() -> None:
    from isomesh_dagster.definitions.component import IsomeshProjectComponent, _translator

    plain = IsomeshProjectComponent()
    assert plain.settings == IsomeshTranslatorSettings()
    assert IsomeshProjectComponent.resolve_from_yaml("settings: {ledgers: true}").settings.ledgers
    with pytest.raises(Exception, match="colour"):
        IsomeshProjectComponent.resolve_from_yaml("settings: {colour: true}")
    with pytest.raises(ConfigError, match="nowhere"):
        _translator("nowhere.Translator", plain.settings)
    with pytest.raises(ConfigError, match="no subclass"):
        _translator("pathlib.Path", plain.settings)
    assert isinstance(_translator("isomesh_dagster.IsomeshTranslator", plain.settings), IsomeshTranslator)


def test_the_launchpad_offers_the_environment() -> None:
    fields = IsomeshResource.to_config_schema().as_field().config_type.fields
    assert fields["environment"].default_value == ""


def test_every_field_of_the_component_says_what_it_is() -> None:
    from isomesh_dagster.definitions.component import IsomeshProjectComponent

    schema = IsomeshProjectComponent.get_model_cls().model_json_schema()
    (settings,) = schema["$defs"].values()
    for fields in (schema["properties"], settings["properties"]):
        assert [name for name, field in fields.items() if not field.get("description")] == []


def test_prepare_compiles_and_says_what_is_wrong(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    project = IsomeshProject(shop.root)
    assert project.prepare().exists()
    shop.write("models/marts/total.sql", "MODEL (name marts.total, knd FULL); SELECT 1 AS x")
    monkeypatch.delenv("DAGSTER_IS_DEV_CLI", raising=False)
    project.prepare_if_dev()
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    with pytest.raises(ModelError, match="knd"):
        project.prepare_if_dev()
