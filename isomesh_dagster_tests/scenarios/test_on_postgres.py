"""Restatements and plans with options whose SQL is worth trying on Postgres: the same stories, told there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster_tests.scenarios import test_plan_options as options
from isomesh_dagster_tests.scenarios import test_restatement as restatement
from isomesh_dagster_tests.scenarios.lives import MODELS, Life

LOADED = [
    restatement.test_rows_are_made_again_with_all_that_reads_them,
    restatement.test_prod_makes_other_versions_due_again,
    restatement.test_an_interrupted_restatement_is_gone_on_with,
    restatement.test_a_failing_restatement_leaves_other_tables_alone,
    options.test_what_is_built_over_a_part_counts_for_that_part,
    options.test_a_run_of_some_models,
]
NEW = [
    options.test_skipped_tables_are_empty_until_they_are_due,
    options.test_empty_tables_count_as_built,
]


@pytest.fixture
def life(tmp_path: Path, postgres: PostgresConnection) -> Life:
    """Nothing was built yet."""
    return Life(tmp_path, postgres)


@pytest.mark.parametrize("story", LOADED, ids=lambda story: story.__name__)
def test_with_prod(story: Callable[[Life], None], life: Life) -> None:
    life.apply()
    story(life)


@pytest.mark.parametrize("story", NEW, ids=lambda story: story.__name__)
def test_before_anything(story: Callable[[Life], None], life: Life) -> None:
    story(life)


def test_materialized_views_stand_on_a_table_that_gets_another_type(life: Life) -> None:
    """One of a model, and one that somebody with isomesh's role has made."""
    life.write("m.kept", "MODEL (name m.kept, kind VIEW (materialized true));\nSELECT id, ds FROM m.inc")
    life.write("m.inc", MODELS["m.inc"].replace("batch_size 2", "batch_size 2, forward_only true"))
    life.apply()
    life.sql("CREATE MATERIALIZED VIEW public.mine AS SELECT id FROM m.inc; CREATE INDEX mine_id ON public.mine (id)")
    life.edit("m.inc", "SELECT id, ds, v", "SELECT CAST(id AS DECIMAL(20, 2)) AS id, ds, v")
    life.apply(allow_destructive=("m.inc", "m.keyed"))
    for view in ("m.kept", "public.mine"):
        assert life.sql(f"SELECT DISTINCT pg_typeof(id)::TEXT, COUNT(*) FROM {view} GROUP BY 1") == [("numeric", 21)]
    kinds = "SELECT relkind::TEXT FROM pg_class WHERE relname LIKE 'm\\_\\_kept%' AND relkind IN ('m', 'v')"
    assert {kind for (kind,) in life.sql(kinds)} == {"m"}
    assert life.sql("SELECT indexname FROM pg_indexes WHERE tablename = 'mine'") == [("mine_id",)]
