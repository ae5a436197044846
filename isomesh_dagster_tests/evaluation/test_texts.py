"""The SQL of a batch: physical names in place, rendered for its moment, in the engine's dialect."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import EngineError
from isomesh_dagster.evaluation.texts import Surroundings, Texts, view_query
from isomesh_dagster.model import kinds
from isomesh_dagster.relation import Column, Relation
from isomesh_dagster_tests.factories import T0, System, days, model, snapshots

BY_DAY = kinds.IncrementalByTimeRange(time_column="ds")


def texts(models, name):
    shown = snapshots(models)
    around = Surroundings(snapshots=shown, engine_dialect="duckdb", default_catalog="warehouse", execution_time=T0)
    return Texts(shown[name], around), shown


def test_fixed_text_is_spliced():
    source = model("raw.source", "SELECT 1 AS id")
    made, shown = texts([source, model("mart.m", "SELECT source.id /* raw.source */ FROM raw.source")], "mart.m")
    physical = shown["raw.source"].physical.sql
    assert made.batch(days(0, 1), is_new=True).query == f"SELECT source.id /* raw.source */ FROM {physical} AS source"
    assert view_query(str(shown["raw.source"].physical), "raw.source", "w") == f"SELECT * FROM {physical}"


def test_a_dynamic_query_is_rendered_for_every_batch():
    source = model("raw.source", "SELECT 1 AS id")
    query = "SELECT @start_ds AS a, @end_ds AS b, '@runtime_stage' AS c FROM raw.source"
    made, shown = texts(
        [source, model("mart.m", query.replace("'@runtime_stage'", "@runtime_stage"), BY_DAY)], "mart.m"
    )
    first, second = (made.batch(days(day, day + 2), is_new=day == 0).query for day in (0, 4))
    assert "'2020-01-01' AS a, '2020-01-02' AS b, 'creating' AS c" in first
    assert "'2020-01-05' AS a, '2020-01-06' AS b, 'evaluating' AS c" in second
    assert shown["raw.source"].physical.sql in first


def test_an_embedded_query_is_rendered_with_its_reader():
    embedded = model("stage.e", "SELECT @start_ds AS ds", kinds.Embedded())
    made, _ = texts([embedded, model("mart.m", "SELECT ds FROM stage.e", BY_DAY)], "mart.m")
    assert "'2020-01-01'" in made.batch(days(0, 1), is_new=True).query
    assert "'2020-01-03'" in made.batch(days(2, 3), is_new=False).query


def test_statements_know_the_table_and_the_view():
    statements = {
        "pre_statements": ("SET VARIABLE a = 1",),
        "post_statements": ("CREATE INDEX i ON @this_model (id)",),
        "on_virtual_update": ("COMMENT ON VIEW @this_model IS 'x'",),
    }
    made, shown = texts([model("mart.m", "SELECT 1 AS id", **statements)], "mart.m")
    batch = made.batch(days(0, 1), is_new=True)
    assert batch.pre == ("SET VARIABLE a = 1",)
    assert batch.post == (f"CREATE INDEX i ON {shown['mart.m'].physical.sql} (id)",)
    view = Relation(schema="mart__dev", name="m")
    assert made.virtual_update(view, {}, lambda: None) == ('COMMENT ON VIEW "mart__dev"."m" IS \'x\'',)


def test_another_dialect_is_translated():
    columns = (Column(name="id", type="INT64"), Column(name="rest"))
    foreign = model(
        "mart.m", "SELECT IFNULL(1, 2) AS id, SAFE_CAST('1' AS INT64) AS rest", dialect="bigquery", columns=columns
    )
    made, _ = texts([foreign], "mart.m")
    assert "TRY_CAST('1' AS BIGINT)" in made.batch(days(0, 1), is_new=True).query
    typed = made.typed()
    assert typed is not None
    assert [column.type for column in typed] == ["BIGINT", "UNKNOWN"]


def test_statements_run_with_the_rows_and_roll_back_with_them(tmp_path):
    good = {
        "pre_statements": ("CREATE TABLE IF NOT EXISTS main.log (what VARCHAR)",),
        "post_statements": ("INSERT INTO main.log SELECT 'made ' || COUNT(*) FROM @this_model",),
        "on_virtual_update": ("INSERT INTO main.log SELECT 'shown ' || COUNT(*) FROM @this_model",),
    }
    with System(tmp_path) as system:
        bad = {**good, "post_statements": (*good["post_statements"], "SELECT nonsense")}
        with pytest.raises(EngineError, match="nonsense"):
            system.apply(system.plan(snapshots([model("mart.m", "SELECT 1 AS id", **bad)])))
        assert system.relations("main") == []
        system.apply(system.plan(snapshots([model("mart.m", "SELECT 1 AS id", **good)])))
        assert system.rows("SELECT what FROM main.log") == [("made 1",), ("shown 1",)]


def test_session_properties_are_set_for_the_build_alone(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        query = "SELECT current_setting('TimeZone') AS zone"
        here = model("mart.here", query, session_properties={"TimeZone": "'Asia/Tokyo'", "query_label": "'x'"})
        system.apply(system.plan(snapshots([here, model("mart.there", query)])), concurrency=1)
        assert system.rows("SELECT zone FROM mart.here UNION ALL SELECT zone FROM mart.there")[0] == ("Asia/Tokyo",)
        assert system.rows("SELECT zone FROM mart.there") != [("Asia/Tokyo",)]
        of_another_engine = {"no_such_thing": "1", "TimeZone": "'Asia/Tokyo'"}
        system.apply(system.plan(snapshots([model("mart.here", query, session_properties=of_another_engine)])))
        assert system.rows("SELECT zone FROM mart.here") == [("Asia/Tokyo",)]
        wrong = snapshots([model("mart.here", query, session_properties={"TimeZone": "'Nowhere/At all'"})])
        with pytest.raises(EngineError, match="Nowhere"):
            system.apply(system.plan(wrong))


def test_a_dynamic_model_end_to_end(tmp_path):
    query = "SELECT CAST(@start_date AS DATE) AS ds, @gateway AS gateway"
    with System(tmp_path) as system:
        shown = snapshots([model("mart.daily", query, BY_DAY)])
        system.apply(system.plan(shown, batches={"mart.daily": [days(0, 1), days(1, 2)]}))
        rows = system.rows("SELECT CAST(ds AS VARCHAR), gateway FROM mart.daily ORDER BY ds")
        assert rows == [("2020-01-01", "test"), ("2020-01-02", "test")]


def test_names_in_statements_are_tables_of_the_plan_or_views_of_the_environment():
    embedded = model("stage.e", "SELECT id FROM raw.source", kinds.Embedded())
    statements = {
        "pre_statements": ("SET VARIABLE n = (SELECT MAX(id) FROM raw.source)", "SET VARIABLE raw = 'source'"),
        "post_statements": ("INSERT INTO main.log SELECT m.id FROM mart.m JOIN STAGE.E ON e.id = m.id",),
        "on_virtual_update": ("GRANT SELECT ON raw.source TO somebody",),
    }
    made, shown = texts(
        [
            model("raw.source", "SELECT 1 AS id"),
            embedded,
            model("mart.m", "SELECT 1 AS id", depends_on=("raw.source", "stage.e"), **statements),
        ],
        "mart.m",
    )
    source, own = shown["raw.source"].physical.sql, shown["mart.m"].physical.sql
    batch = made.batch(days(0, 1), is_new=True)
    assert batch.pre == (f'SET VARIABLE n = (SELECT MAX(id) FROM {source} AS "source")', "SET VARIABLE raw = 'source'")
    (post,) = batch.post
    assert post.startswith(f'INSERT INTO main.log SELECT m.id FROM {own} AS "m" JOIN (')
    assert source in post
    views = {"raw.source": "raw__dev.source"}
    assert made.virtual_update(Relation(schema="mart__dev", name="m"), views, lambda: None) == (
        'GRANT SELECT ON "raw__dev"."source" TO somebody',
    )
