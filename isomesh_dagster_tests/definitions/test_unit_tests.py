"""Unit tests as checks: shown at the model, run before it is built, runnable alone."""

import dagster as dg

from isomesh_dagster import IsomeshTranslator, Project
from isomesh_dagster.definitions.settings import IsomeshTranslatorSettings
from isomesh_dagster_tests.definitions.conftest import Shop, checks, failure, materialized
from isomesh_dagster_tests.definitions.test_definitions import LOAD, python

TESTS = """
sums:
  model: core.days
  description: A day's amounts are added up.
  vars: {start: 2024-01-01}
  inputs:
    staging.orders: [{day: 2024-01-01, amount: 2}, {day: 2024-01-01, amount: 3}]
  outputs: {query: [{day: 2024-01-01, amount: 5}]}

counts days:
  model: marts.total
  inputs:
    core.days: [{amount: 2}, {amount: 1}]
  outputs: {query: [{days: 1, amount: 2}]}
"""
SUMS, COUNTS = "core.days:unit_test_sums", "marts.total:unit_test_counts_days"


def run_check(shop: Shop, name: str) -> dg.ExecuteInProcessResult:
    """What the UI does when somebody runs one check."""
    asset, check = name.split(":")
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(asset.split(".")), check))
    job = dg.define_asset_job("one_check", selection)
    definitions = dg.Definitions.merge(shop.definitions(), dg.Definitions(jobs=[job]))
    return definitions.resolve_job_def("one_check").execute_in_process(instance=shop.instance, raise_on_error=False)


def test_tests_are_checks_of_their_model(shop: Shop) -> None:
    shop.write("tests/test_days.yaml", TESTS)
    shop.write("tests/more/test_days.yaml", TESTS)
    specs = {f"{'.'.join(one.asset_key.path)}:{one.name}": one for one in all_checks(shop.definitions())}
    assert {SUMS, f"{SUMS}_2", COUNTS, f"{COUNTS}_2"} <= set(specs)
    assert specs[SUMS].description == "A day's amounts are added up."
    assert specs[SUMS].blocking
    without = IsomeshTranslator(IsomeshTranslatorSettings(unit_tests_as_checks=False))
    assert not [one for one in all_checks(shop.definitions(translator=without)) if one.name.startswith("unit_test")]


def all_checks(definitions: dg.Definitions) -> list[dg.AssetCheckSpec]:
    return [
        spec for one in definitions.assets or () if isinstance(one, dg.AssetsDefinition) for spec in one.check_specs
    ]


def test_a_run_that_builds_runs_the_tests_first_and_one_that_reuses_does_not(loaded_shop: Shop) -> None:
    loaded_shop.write("tests/test_days.yaml", TESTS)
    first = loaded_shop.run("apply", partition="prod")
    assert first.success
    assert checks(first)[SUMS].passed
    assert checks(first)[COUNTS].passed
    second = checks(loaded_shop.run("apply", partition="prod"))
    assert second[SUMS].metadata["isomesh/reused"].value is True
    assert second[SUMS].metadata["isomesh/seconds"] == checks(first)[SUMS].metadata["isomesh/seconds"]


def test_a_failing_test_keeps_the_model_from_being_built(loaded_shop: Shop) -> None:
    loaded_shop.write("tests/test_days.yaml", TESTS.replace("amount: 5}", "amount: 6}"))
    result = loaded_shop.run("apply", partition="prod")
    assert not result.success
    sums = checks(result)[SUMS]
    assert not sums.passed
    assert sums.metadata["isomesh/differences"].records[0].data == {
        "output": "query",
        "row": 1,
        "column": "amount",
        "expected": "6",
        "actual": "5",
    }
    assert "unit tests of it failed: sums" in failure(result)
    assert set(materialized(result)) == {"staging.orders", "marts.labels"}
    with Project.load(loaded_shop.root) as project:
        assert project.environments() == []


def test_a_test_runs_alone_and_needs_no_warehouse(shop: Shop) -> None:
    shop.write("tests/test_days.yaml", TESTS)
    result = run_check(shop, SUMS)
    assert result.success
    assert {name: one.passed for name, one in checks(result).items()} == {SUMS: True}
    assert not (shop.root / "here.duckdb").exists()


def test_a_test_that_fails_alone_fails_its_run_as_blocking_audits_do(shop: Shop) -> None:
    shop.write(
        "tests/test_days.yaml", TESTS.replace("amount: 2}]}", "amount: 9}]}").replace("{amount: 2}", "{amont: 2}")
    )
    result = run_check(shop, COUNTS)
    assert not result.success
    assert not checks(result)[COUNTS].passed
    assert "amont" in (checks(result)[COUNTS].description or "")


def test_a_changed_test_is_another_manifest_and_loading_it_parses_no_sql(shop: Shop) -> None:
    with Project.load(shop.root) as project:
        plain = project.compile()
    shop.write("tests/test_days.yaml", TESTS)
    with Project.load(shop.root) as project:
        compiled = project.compile()
    assert plain != compiled
    assert python(LOAD, str(shop.root)) == "[]"
    (shop.root / "tests/test_days.yaml").unlink()
    with Project.from_manifest(compiled) as project:
        assert [test.name for test in project.unit_tests()] == ["sums", "counts days"]
    with Project.from_manifest(plain) as project:
        assert project.unit_tests() == ()
