"""Intervals in Dagster: what is missing, the ledger, and the job that tells what is true."""

from dataclasses import replace
from datetime import datetime, timezone

import dagster as dg

from isomesh_dagster import IsomeshTranslator, IsomeshTranslatorSettings, Project
from isomesh_dagster.definitions.intervals import MOST_EVENTS, ledger_keys
from isomesh_dagster.model.model import Model
from isomesh_dagster.snapshot.interval import Interval, to_ms
from isomesh_dagster_tests.definitions.conftest import Shop, checks, materialized

DAYS = dg.AssetKey(["core", "days"])
LEDGER = dg.AssetKey(["core", "days_intervals"])
LEDGERS = IsomeshTranslator(IsomeshTranslatorSettings(ledgers=True))


BOUNDED = {"resources": {"isomesh": {"config": {"environment": "dev_jo", "end": "2024-01-07"}}}}


def day(number: int) -> int:
    return to_ms(datetime(2024, 1, number, tzinfo=timezone.utc))


def run(shop: Shop, job: str, **options: object) -> dg.ExecuteInProcessResult:
    return (
        shop.definitions(translator=LEDGERS)
        .resolve_job_def(job)
        .execute_in_process(instance=shop.instance, raise_on_error=False, **options)  # type: ignore[arg-type]
    )


def test_what_is_missing_is_a_number_and_a_check_that_warns(loaded_shop: Shop) -> None:
    bounded = loaded_shop.run("build", config=BOUNDED)
    assert bounded.success
    found = materialized(bounded)["core.days"].metadata
    assert found["isomesh/missing_intervals"].value == 3
    assert found["isomesh/missing"].value == "2024-01-08 → 2024-01-10"
    complete = checks(bounded)["core.days:intervals_complete"]
    assert not complete.passed
    assert complete.severity == dg.AssetCheckSeverity.WARN
    rest = loaded_shop.run("apply", partition="prod")
    assert checks(rest)["core.days:intervals_complete"].passed
    assert materialized(rest)["core.days"].metadata["isomesh/missing_intervals"].value == 0
    assert "isomesh/missing_intervals" not in materialized(rest)["marts.total"].metadata


def test_whether_all_is_there_can_be_asked_alone(loaded_shop: Shop) -> None:
    key = dg.AssetCheckKey(DAYS, "intervals_complete")
    job = dg.define_asset_job("ask", dg.AssetSelection.checks(key))

    def ask() -> bool:
        definitions = dg.Definitions.merge(loaded_shop.definitions(), dg.Definitions(jobs=[job]))
        result = definitions.resolve_job_def("ask").execute_in_process(instance=loaded_shop.instance)
        return checks(result)["core.days:intervals_complete"].passed

    assert not ask()
    loaded_shop.run("apply", partition="prod")
    assert ask()


def test_a_ledger_shows_the_intervals_that_a_run_built(loaded_shop: Shop) -> None:
    graph = loaded_shop.definitions(translator=LEDGERS).resolve_asset_graph()
    partitions = graph.get(LEDGER).partitions_def
    assert partitions is not None
    assert partitions.get_partition_keys() == [f"2024-01-{number:02}" for number in range(1, 11)]
    assert dg.AssetKey(["marts", "total_intervals"]) not in graph.get_all_asset_keys()
    assert LEDGER not in loaded_shop.definitions().resolve_asset_graph().get_all_asset_keys(), "off by default"
    assert run(loaded_shop, "build", run_config=BOUNDED).success
    assert loaded_shop.instance.get_materialized_partitions(LEDGER) == {
        f"2024-01-{number:02}" for number in range(1, 8)
    }


def test_sync_tells_what_others_did_and_nothing_twice(loaded_shop: Shop) -> None:
    with Project.load(loaded_shop.root) as project:
        list(project.apply(project.plan("prod")))
        list(project.apply(project.plan("dev_jo")))
    first = run(loaded_shop, "sync")
    assert first.success
    told = materialized(first)
    assert set(told) == {
        "staging.orders",
        "core.days",
        "core.good_days",
        "marts.total",
        "marts.labels",
        "environment",
        "core.days_intervals",
    }
    assert told["marts.total"].metadata["isomesh/reused"].value is True
    assert loaded_shop.instance.get_materialized_partitions(dg.AssetKey("environment")) == {"prod", "dev_jo"}
    assert len(loaded_shop.instance.get_materialized_partitions(LEDGER)) == 10
    again = run(loaded_shop, "sync")
    assert again.success
    assert not materialized(again)


def test_sync_leaves_what_is_not_built_unsynced(loaded_shop: Shop) -> None:
    with Project.load(loaded_shop.root) as project:
        list(project.apply(project.plan("prod")))
    text = (loaded_shop.root / "models/marts/total.sql").read_text()
    loaded_shop.write("models/marts/total.sql", text.replace("SUM(amount)", "MAX(amount)"))
    told = materialized(run(loaded_shop, "sync"))
    assert "marts.total" not in told
    assert "core.days" in told


def test_the_history_tells_who_when_and_the_way_back(loaded_shop: Shop) -> None:
    with Project.load(loaded_shop.root) as project:
        list(project.apply(project.plan("prod")))
    text = (loaded_shop.root / "models/marts/total.sql").read_text()
    loaded_shop.write("models/marts/total.sql", text.replace("SUM(amount)", "MAX(amount)"))
    second = loaded_shop.run("apply", partition="prod", tags={"isomesh/commit": "0123456789abcdef"})
    history = str(materialized(second)["environment"].metadata["isomesh/history"].value).splitlines()
    assert history[0] == "| # | when (UTC) | what | by | commit |"
    assert history[2].startswith("| 2 |")
    assert f"[run\u00a0{second.run_id[:8]}](/runs/{second.run_id}) | `0123456789` |" in history[2]
    assert "| edited marts.total |" in history[2]
    assert history[3].startswith("| 1 |")
    assert "| new 5 models |" in history[3]  # the external table is none
    assert "outside of Dagster" in history[3]
    assert "`isomesh rollback prod --to 1`" in history[-1]
    back = loaded_shop.run("rollback")
    history = str(materialized(back)["environment"].metadata["isomesh/history"].value).splitlines()
    assert "rollback to 1" in history[2]
    assert "`0123456789`" in history[3], "what Dagster was told before is remembered"


def test_ledgers_tell_whole_partitions_only_and_a_bounded_number(loaded_shop: Shop) -> None:
    def model(unit: str) -> Model:
        with Project.load(loaded_shop.root) as project:
            return replace(project.models["core.days"], interval_unit=unit)

    hour = 3_600_000
    assert list(ledger_keys(model("day"), [Interval(day(1) + hour, day(4))])) == ["2024-01-02", "2024-01-03"]
    assert list(ledger_keys(model("hour"), [Interval(day(1), day(1) + 2 * hour)])) == [
        "2024-01-01-00:00",
        "2024-01-01-01:00",
    ]
    assert list(ledger_keys(model("five_minute"), [Interval(day(1), day(3) - hour)])) == ["2024-01-01"]
    assert list(ledger_keys(model("month"), [Interval(day(1), day(31))])) == []
    assert MOST_EVENTS == 500


def test_materializing_partitions_of_a_ledger_makes_their_rows_again(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    loaded_shop.load_orders((1, "2024-01-01", 1000), (2, "2024-01-02", 2000))
    definitions = loaded_shop.definitions(translator=LEDGERS)
    job = dg.define_asset_job("again", dg.AssetSelection.assets(LEDGER))
    result = (
        dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
        .resolve_job_def("again")
        .execute_in_process(instance=loaded_shop.instance, partition_key="2024-01-02")
    )
    assert result.success
    assert loaded_shop.query("SELECT day::TEXT, amount FROM core.days ORDER BY day") == [
        ("2024-01-01", 10),
        ("2024-01-02", 2000),
    ]
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(2010,)]
