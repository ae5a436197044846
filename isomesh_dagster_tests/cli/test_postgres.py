"""The small project on Postgres: planned, built, shown, changed and rolled back by the command line."""

from __future__ import annotations

import contextlib

import pytest

from isomesh_dagster_tests.cli.conftest import Shop
from isomesh_dagster_tests.postgres_server import connected, in_config

CONFIG = """
project: shop
gateways:
  main: {{connection: {0}}}
  other: {{connection: {0}}}
default_gateway: main
model_defaults: {{dialect: duckdb, start: 2024-01-01}}
"""


@pytest.fixture
def rows(postgres):
    """The rows of a query, asked by somebody else."""

    def rows(query: str):
        with contextlib.closing(connected(postgres)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    return rows


@pytest.fixture
def on_postgres(shop: Shop, postgres) -> Shop:
    (shop.root / "config.yaml").write_text(CONFIG.format(in_config(postgres)))
    return shop


def ok(result):
    assert result.exit_code == 0, result.output
    return result.output


def test_the_life_of_an_environment(on_postgres: Shop, rows):
    assert "built 4 models" in ok(on_postgres("plan", "dev", "--auto-apply"))
    before = rows("SELECT * FROM shop__dev.monthly_revenue ORDER BY 1")
    assert len(before) == 3
    assert "reuses 4 tables without work" in ok(on_postgres("plan", "--auto-apply"))
    assert rows("SELECT * FROM shop.monthly_revenue ORDER BY 1") == before
    assert "Nothing to do" in ok(on_postgres("plan"))
    ok(on_postgres("run"))
    # one column is gone and another one is new: on Postgres a view cannot just be replaced by that
    on_postgres.edit("models/shop/monthly_revenue.sql", "AS revenue", "AS turnover")
    ok(on_postgres("plan", "--auto-apply", "--skip-tests"))
    assert rows("SELECT turnover FROM shop.monthly_revenue ORDER BY month") == [(row[2],) for row in before]
    assert rows("SELECT revenue FROM shop__dev.monthly_revenue ORDER BY month") == [(row[2],) for row in before]
    ok(on_postgres("rollback", "prod"))
    assert rows("SELECT * FROM shop.monthly_revenue ORDER BY 1") == before
    ok(on_postgres("janitor", "--ignore-ttl"))
    assert "reuses 1 table" in on_postgres("plan", "--skip-tests").output


def test_a_view_of_somebody_else_stops_the_promotion_that_would_break_it(on_postgres: Shop, rows):
    ok(on_postgres("plan", "--auto-apply"))
    rows("CREATE VIEW public.report AS SELECT revenue FROM shop.monthly_revenue; SELECT 1")
    on_postgres.edit("models/shop/monthly_revenue.sql", "AS revenue", "AS turnover")
    result = on_postgres("plan", "--auto-apply", "--skip-tests")
    assert result.exit_code == 1
    assert "public.report" in result.output
    assert rows("SELECT COUNT(revenue) FROM public.report") == [(3,)]


def test_one_database_is_not_shared_by_two_gateways(on_postgres: Shop):
    ok(on_postgres("plan", "--auto-apply"))
    result = on_postgres("plan", "--auto-apply", gateway="other")
    assert result.exit_code == 1
    assert "belongs to gateway 'main'" in result.output


PYTHON = """
import pandas as pd
from isomesh_dagster.python import model

@model(
    "shop.by_python",
    columns={"month": "date", "share": "double", "word": "text"},
    depends_on=["shop.monthly_revenue"],
)
def execute(context, **kwargs):
    revenue = context.resolve_table("shop.monthly_revenue")
    frame = context.fetchdf(f"SELECT month, revenue FROM {revenue} ORDER BY month")
    total = float(frame["revenue"].astype(float).sum())
    return pd.DataFrame({"month": frame["month"], "share": frame["revenue"].astype(float) / total, "word": "it's"})
"""


def test_the_other_commands(on_postgres: Shop, rows):
    (on_postgres.root / "models" / "shop" / "by_python.py").write_text(PYTHON)
    rows("CREATE SCHEMA ext; CREATE TABLE ext.rates (at TIMESTAMPTZ, rate NUMERIC(10, 4), note TEXT); SELECT 1")
    (on_postgres.root / "models" / "shop" / "rates.sql").write_text(
        "MODEL (name shop.rates, kind VIEW, dialect postgres);\nSELECT at::DATE AS day, rate FROM ext.rates\n"
    )
    ok(on_postgres("create_external_models"))
    declared = (on_postgres.root / "external_models.yaml").read_text()
    assert "ext" in declared
    assert "rate: " in declared
    ok(on_postgres("plan", "--auto-apply"))
    assert rows("SELECT ROUND(SUM(share)), MIN(word), COUNT(*) FROM shop.by_python") == [(1, "it's", 3)]
    on_postgres.edit("models/shop/monthly_revenue.sql", "SUM(amount)", "SUM(amount) + 1")
    ok(on_postgres("plan", "dev", "--auto-apply", "--skip-tests"))
    told = on_postgres("table_diff", "prod:dev", "shop.monthly_revenue").output
    assert "3" in told
    assert "revenue" in told
    assert "revenue" in ok(on_postgres("evaluate", "shop.monthly_revenue"))
    rows("CREATE TABLE ext.a AS SELECT 1 AS id, '{}'::json AS j; CREATE TABLE ext.b AS TABLE ext.a; SELECT 1")
    ok(on_postgres("table_diff", "ext.a:ext.b", "--on", "id"))
    assert ok(on_postgres("fetchdf", "SELECT COUNT(*) AS n FROM shop.orders"))
    assert on_postgres("doctor").exit_code == 0


def test_destroy_leaves_an_empty_database(on_postgres: Shop, rows):
    ok(on_postgres("plan", "--auto-apply"))
    assert "Nothing of this project is left" in ok(on_postgres("destroy", "--confirm", "main"))
    assert rows("SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' ORDER BY 1") == [
        ("information_schema",),
        ("public",),
    ]
    assert "there is nothing" in ok(on_postgres("destroy", "--confirm", "main"))


def test_a_state_that_was_dropped_is_made_again(on_postgres: Shop, rows):
    ok(on_postgres("plan", "--auto-apply"))
    before = rows("SELECT * FROM shop.monthly_revenue ORDER BY 1")
    rows("DROP SCHEMA isomesh CASCADE; SELECT 1")
    refused = on_postgres("plan")
    assert (refused.exit_code, "isomesh system adopt" in refused.output) == (1, True)
    ok(on_postgres("system", "adopt", "--confirm", "main"))
    assert "Nothing to do" in ok(on_postgres("plan"))
    assert rows("SELECT * FROM shop.monthly_revenue ORDER BY 1") == before
    ok(on_postgres("doctor"))
