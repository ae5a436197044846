"""What a project looks like in Dagster, before anything ran."""

import subprocess
import sys

import dagster as dg
import pytest

from isomesh_dagster import IsomeshTranslator, IsomeshTranslatorSettings, Project
from isomesh_dagster.definitions.keys import op_names
from isomesh_dagster.errors import ConfigError, InvalidName
from isomesh_dagster_tests.definitions.conftest import Shop


def spec(shop: Shop, *path: str, **options: object) -> dg.AssetSpec:
    return shop.definitions(**options).resolve_asset_graph().get(dg.AssetKey(path)).to_asset_spec()


def test_every_model_is_an_asset_named_by_schema_and_table(shop: Shop) -> None:
    graph = shop.definitions().resolve_asset_graph()
    assert {".".join(key.path) for key in graph.get_all_asset_keys()} == {
        "raw.orders",
        "staging.orders",
        "core.days",
        "core.good_days",
        "marts.total",
        "marts.labels",
        "environment",
    }
    assert graph.get(dg.AssetKey(["marts", "total"])).parent_keys == {dg.AssetKey(["core", "good_days"])}
    assert graph.get(dg.AssetKey(["environment"])).parent_keys == graph.executable_asset_keys - {
        dg.AssetKey(["environment"])
    }


def test_a_model_shows_what_its_author_wrote(shop: Shop) -> None:
    shown = spec(shop, "staging", "orders")
    assert shown.description == "Orders, checked."
    assert shown.group_name == "staging"
    assert shown.owners == ["team:analysts"]
    assert {"clean", "two_words"} <= set(shown.tags)
    assert shown.kinds == {"sql", "view", "duckdb"}
    schema = shown.metadata["dagster/column_schema"]
    assert [(column.name, column.type) for column in schema.columns] == [
        ("id", "int"),
        ("day", "date"),
        ("amount", "int"),
    ]
    (reference,) = shown.metadata["dagster/code_references"].code_references
    assert reference.file_path == str(shop.root / "models/staging/orders.sql")
    assert reference.line_number == 2


def test_the_code_version_is_the_fingerprint_and_a_comment_does_not_change_it(shop: Shop) -> None:
    before = spec(shop, "marts", "total").code_version
    with Project.load(shop.root) as project:
        assert before == project.fingerprints["marts.total"].version
    path = "models/staging/orders.sql"
    text = (shop.root / path).read_text()
    shop.write(path, text.replace("SELECT id", "SELECT /* a remark */ id"))
    assert spec(shop, "marts", "total").code_version == before
    shop.write(path, text.replace("FROM raw.orders", "FROM raw.orders WHERE amount > 0"))
    assert spec(shop, "marts", "total").code_version != before


def test_audits_are_checks_and_two_uses_of_one_audit_have_two_names(shop: Shop) -> None:
    graph = shop.definitions().resolve_asset_graph()
    found = {
        key.name: graph.get_check_spec(key) for key in graph.asset_check_keys if key.asset_key.path[0] == "staging"
    }
    assert {name: one.blocking for name, one in found.items()} == {
        "accepted_range_id": True,
        "accepted_range_amount": False,
        "not_null": True,
    }


def test_an_external_table_has_columns_unless_somebody_loads_it(shop: Shop) -> None:
    graph = shop.definitions().resolve_asset_graph()
    assert not graph.get(dg.AssetKey(["raw", "orders"])).is_executable

    @dg.asset(key=["raw", "orders"])
    def orders() -> None: ...

    shop.assets.append(orders)
    graph = shop.definitions().resolve_asset_graph()
    assert graph.get(dg.AssetKey(["raw", "orders"])).is_executable
    assert dg.AssetKey(["staging", "orders"]) in graph.get(dg.AssetKey(["raw", "orders"])).child_keys


def test_definitions_merge_with_those_of_a_user(shop: Shop) -> None:
    @dg.asset(key=["raw", "orders"])
    def orders() -> None: ...

    merged = dg.Definitions.merge(shop.definitions(externals=False), dg.Definitions(assets=[orders]))
    assert merged.resolve_asset_graph().get(dg.AssetKey(["raw", "orders"])).is_executable


def test_a_code_location_accepts_them(shop: Shop) -> None:
    repository = shop.definitions().get_repository_def()
    repository.load_all_definitions()
    assert {job.name for job in repository.get_all_jobs()} >= {"apply", "build", "plan", "promote", "rollback", "run"}
    assert {sensor.name for sensor in repository.sensor_defs} >= {"run_when_due", "offer_environments"}


class ByTag(IsomeshTranslator):
    def get_group_name(self, model, project):  # type: ignore[no-untyped-def]
        return model.tags[0] if model.tags else "rest"


def test_a_translator_changes_how_models_look(shop: Shop) -> None:
    assert spec(shop, "staging", "orders", translator=ByTag()).group_name == "clean"
    bare = IsomeshTranslator(
        IsomeshTranslatorSettings(code_references=False, query=False, audits_as_checks=False, intervals_as_checks=False)
    )
    metadata = spec(shop, "staging", "orders", translator=bare).metadata
    assert not {"dagster/code_references", "isomesh/query"} & set(metadata)
    left = shop.definitions(translator=bare).resolve_asset_graph().asset_check_keys
    assert {key.name for key in left} == {"as_promoted"}, "that one is of the environments, not of a model"


def test_the_gateway_comes_from_the_environment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spec(shop, "marts", "total").metadata["isomesh/gateway"] == "here"
    monkeypatch.setenv("ISOMESH_GATEWAY", "there")
    assert spec(shop, "marts", "total").metadata["isomesh/gateway"] == "there"
    monkeypatch.setenv("ISOMESH_GATEWAY", "nowhere")
    with pytest.raises(ConfigError, match="nowhere"):
        shop.definitions()


def test_both_gateways_show_the_same_graph(shop: Shop) -> None:
    here, there = (shop.definitions(gateway=name).resolve_asset_graph() for name in ("here", "there"))
    assert here.get_all_asset_keys() == there.get_all_asset_keys()
    assert {key: here.get(key).parent_keys for key in here.get_all_asset_keys()} == {
        key: there.get(key).parent_keys for key in there.get_all_asset_keys()
    }


LOAD = """
import sys
from isomesh_dagster import build_definitions
build_definitions(sys.argv[1]).resolve_asset_graph()
print(sorted({"duckdb", "sqlalchemy", "sqlglot", "pandas"} & set(sys.modules)))
"""

IMPORT = "import sys, isomesh_dagster; print(sorted({'dagster', 'duckdb', 'sqlalchemy', 'sqlglot'} & set(sys.modules)))"


def python(*arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_loading_a_compiled_project_opens_no_database_and_parses_nothing(shop: Shop) -> None:
    with Project.load(shop.root) as project:
        project.compile()
    # Dagster's own instance uses SQLAlchemy; ours is about what definitions need
    assert python(LOAD, str(shop.root)) == "[]"
    assert not (shop.root / "here.duckdb").exists()


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert python(IMPORT) == "[]"


def test_public_names_are_there_and_unknown_ones_are_not() -> None:
    import isomesh_dagster

    for name in isomesh_dagster.__all__:
        assert getattr(isomesh_dagster, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = isomesh_dagster.nothing_like_it


def test_op_names_never_collide() -> None:
    names = op_names(["a.b__c", "a__b.c", "a.b c", "a.b_c"])
    assert len(set(names.values())) == 4
    assert names["a.b__c"] == "a__b__c"


def test_a_name_that_dagster_cannot_use_is_refused_with_its_file(shop: Shop) -> None:
    shop.write("models/marts/odd.sql", 'MODEL (name "marts"."größe m", kind FULL);\nSELECT 1 AS x')
    with pytest.raises(InvalidName, match="größe m") as caught:
        shop.definitions()
    assert (caught.value.path, caught.value.line) == ("models/marts/odd.sql", 1)
