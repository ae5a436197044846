"""The small project on Postgres: planned, built, shown, changed and rolled back by the command line."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest

from isomesh_dagster_tests.cli.conftest import Shop

CONFIG = """
project: shop
gateways:
  main:
    connection: {{type: postgres, host: {host}, port: {port}, user: {user}, password: '', database: {database}}}
  other:
    connection: {{type: postgres, host: {host}, port: {port}, user: {user}, password: '', database: {database}}}
default_gateway: main
model_defaults: {{dialect: duckdb, start: 2024-01-01}}
"""


@pytest.fixture
def rows(postgres):
    """The rows of a query, asked by somebody else."""

    def rows(query: str):
        place = {"host": postgres.host, "port": postgres.port, "user": postgres.user, "dbname": postgres.database}
        with contextlib.closing(psycopg2.connect(**place)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    return rows


@pytest.fixture
def on_postgres(shop: Shop, postgres) -> Shop:
    place = postgres.model_dump(include={"host", "port", "user", "database"})
    (shop.root / "config.yaml").write_text(CONFIG.format(**place))
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
    rows("CREATE VIEW public.report AS SELECT revenue FROM shop.monthly_revenue; COMMIT; SELECT 1")
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
