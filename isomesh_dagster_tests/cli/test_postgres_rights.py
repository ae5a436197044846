"""What the Postgres page says about roles is run: its SQL is enough for a plan; what is missing is told before."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest

from isomesh_dagster_tests.cli.conftest import Shop
from isomesh_dagster_tests.postgres_server import connected

PAGE = Path(__file__).parents[2] / "docs" / "postgres.md"
ROLES, SCHEMAS = (text for text in re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL) if "MODEL" not in text)
CONFIG = """
project: shop
gateways:
  main:
    connection:
      type: postgres
      host: {host}
      port: {port}
      user: isomesh_runner
      password: 'change me'
      database: {database}
      role: isomesh
      create_schemas: {create_schemas}
model_defaults: {{dialect: duckdb, start: 2024-01-01}}
"""


@pytest.fixture
def admin(postgres):
    with contextlib.closing(connected(postgres)) as connection:

        def run(sql: str):
            with connection.cursor() as cursor:
                cursor.execute(re.sub(r"\bDATABASE warehouse\b", f"DATABASE {postgres.database}", sql))
                return cursor.fetchall() if cursor.description else None

        run("CREATE SCHEMA raw; CREATE TABLE raw.rates AS SELECT 1 AS rate")
        run("REVOKE TEMPORARY ON DATABASE warehouse FROM PUBLIC")
        yield run
        run("DROP OWNED BY isomesh, isomesh_runner CASCADE; DROP ROLE isomesh_runner, isomesh")
        run("GRANT TEMPORARY ON DATABASE warehouse TO PUBLIC")


def configured(shop: Shop, postgres, *, create_schemas: bool) -> Shop:
    place = postgres.model_dump(include={"host", "port", "database"})
    (shop.root / "config.yaml").write_text(CONFIG.format(**place, create_schemas=str(create_schemas).lower()))
    return shop


def ok(result):
    assert result.exit_code == 0, result.output
    return result.output


def test_the_roles_of_the_page_suffice(shop: Shop, postgres, admin):
    admin(ROLES)
    configured(shop, postgres, create_schemas=True)
    shop.edit("models/shop/large_orders.sql", "kind VIEW", "kind FULL, grants (select = 'isomesh_runner')")
    ok(shop("plan", "dev", "--auto-apply"))
    ok(shop("plan", "--auto-apply"))
    assert admin("SELECT DISTINCT viewowner FROM pg_views WHERE schemaname IN ('shop', 'shop__dev')") == [("isomesh",)]
    ok(shop("janitor", "--ignore-ttl"))


def test_schemas_that_others_make_are_enough_and_stay(shop: Shop, postgres, admin):
    admin(ROLES + SCHEMAS)
    configured(shop, postgres, create_schemas=False)
    ok(shop("plan", "dev", "--auto-apply"))
    ok(shop("plan", "--auto-apply"))
    ok(shop("doctor"))
    ok(shop("invalidate", "dev"))
    ok(shop("janitor", "--ignore-ttl"))
    assert admin("SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'shop__dev'") == [(1,)]
    assert admin("SELECT COUNT(*) FROM pg_views WHERE schemaname = 'shop__dev'") == [(0,)]


def test_all_that_is_missing_is_told_at_once_with_the_remedy(shop: Shop, postgres, admin):
    admin(ROLES + SCHEMAS)
    admin("DROP SCHEMA shop, isomesh__shop; CREATE SCHEMA shop; REVOKE TEMPORARY ON DATABASE warehouse FROM isomesh")
    configured(shop, postgres, create_schemas=False)
    result = shop("plan", "--auto-apply")
    assert result.exit_code == 1
    told = " ".join(result.output.split())
    assert "lacks rights on 3 things: temporary tables, schema isomesh__shop (it is not there" in told
    assert "schema shop (USAGE, CREATE)" in told
    assert admin("SELECT COUNT(*) FROM pg_class WHERE relnamespace = 'isomesh_meta'::regnamespace") == [(0,)]
    remedy = told.split("as an administrator: ")[1].replace(f'DATABASE "{postgres.database}"', "DATABASE warehouse")
    admin(remedy)
    ok(shop("plan", "--auto-apply"))
    # a view that somebody else made in our place
    admin(f"ALTER VIEW shop.large_orders OWNER TO {postgres.user}")
    shop.edit("models/shop/large_orders.sql", "amount >= 100", "amount >= 90")
    result = shop("plan", "--auto-apply", "--skip-tests")
    assert f"view shop.large_orders (it belongs to {postgres.user})" in " ".join(result.output.split())
    configured(shop, postgres, create_schemas=True)
    admin("REVOKE CREATE ON DATABASE warehouse FROM isomesh")
    result = shop("plan", "other", "--auto-apply")
    assert "may not be made" in " ".join(result.output.split())


def test_upkeep_takes_no_more_rights_than_a_plan(shop: Shop, postgres, admin):
    admin(ROLES + SCHEMAS)
    configured(shop, postgres, create_schemas=False)
    ok(shop("plan", "dev", "--auto-apply"))
    refused = shop("migrate", "--to", "0003")
    told = " ".join(refused.output.split())
    assert (refused.exit_code, "may not make" in told) == (1, True)
    remedy = told.split("as an administrator: ")[1].split(";")[0]
    admin(remedy)
    assert "backup: isomesh_backup_" in ok(shop("migrate", "--to", "0003"))
    ok(shop("migrate", "--no-backup"))
    ok(shop("doctor"))
    ok(shop("destroy", "--confirm", "main"))
    left = "SELECT n.nspname FROM pg_namespace n WHERE nspname LIKE 'isomesh%' OR nspname LIKE 'shop%' ORDER BY 1"
    assert [name for (name,) in admin(left) if "backup" not in name] == [
        "isomesh",
        "isomesh__shop",
        "isomesh_meta",
        "shop",
        "shop__dev",
    ]
    relations = "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN "
    assert admin(relations + "('isomesh', 'isomesh__shop', 'isomesh_meta', 'shop', 'shop__dev')") == []
    ok(shop("plan", "dev", "--auto-apply"))
