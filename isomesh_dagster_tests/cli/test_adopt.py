"""State and warehouse that parted: what an operator is told, and that nothing is built again when they are together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from isomesh_dagster_tests.cli.conftest import Shop


def warehouse(shop: Shop) -> Path:
    return shop.root / ".systems" / "local.duckdb"


def lose_state(shop: Shop) -> None:
    for file in shop.root.rglob("local_state.sqlite*"):
        file.unlink()


def ok(result):
    assert result.exit_code == 0, result.output
    return result.output


def shown(shop: Shop) -> list[dict]:
    query = "SELECT * FROM shop__dev.monthly_revenue ORDER BY 1"
    return json.loads(ok(shop("fetchdf", query, "--json")))["rows"]


@pytest.mark.parametrize(
    "command",
    [
        "plan dev",
        "plan dev --restate-model shop.orders",
        "plan new --create-from dev",
        "run dev",
        "audit dev",
        "check_intervals dev",
        "rollback dev",
        "invalidate dev",
        "table_diff dev:dev",
    ],
)
def test_a_lost_state_is_told(planned: Shop, command: str) -> None:
    lose_state(planned)
    refused = planned(*command.split())
    assert refused.exit_code == 1
    assert "isomesh system adopt" in refused.stderr


def test_a_lost_state_is_made_again_from_warehouse_and_files(planned: Shop) -> None:
    before, rows = ok(planned("environments", "--json")), shown(planned)
    lose_state(planned)
    assert planned("doctor").exit_code == 1
    assert "environment dev: 4 models, known again" in ok(planned("system", "adopt", "--dry-run"))
    assert planned("system", "adopt").exit_code == 3  # nobody is there to type the name
    ok(planned("system", "adopt", "--confirm", "local"))
    assert ok(planned("environments", "--json")) == before
    assert shown(planned) == rows
    ok(planned("doctor"))
    assert "Nothing to do" in ok(planned("plan", "dev"))
    assert "nothing to do" in ok(planned("system", "adopt"))
    assert "reuses 4 tables without work" in ok(planned("plan", "prod", "--auto-apply"))
    ok(planned("janitor", "--ignore-ttl"))
    assert shown(planned) == rows


def test_an_environment_of_other_files_waits_for_them_or_is_let_go(planned: Shop) -> None:
    rows = shown(planned)
    model = planned.root / "models/shop/monthly_revenue.sql"
    text = model.read_text()
    planned.edit("models/shop/monthly_revenue.sql", "AS revenue", "AS turnover")
    lose_state(planned)
    told = ok(planned("system", "adopt", "--confirm", "local"))
    assert "environment dev: stays as it is; these files are not what it shows: shop.monthly_revenue" in told
    refused = planned("plan", "dev")
    assert (refused.exit_code, "isomesh system adopt" in refused.stderr) == (1, True)
    assert shown(planned) == rows
    model.write_text(text)
    assert "dev: 4 models, known again" in ok(planned("system", "adopt", "--confirm", "local"))
    assert "Nothing to do" in ok(planned("plan", "dev"))


def test_what_is_let_go_begins_anew_on_the_tables_that_are_there(planned: Shop) -> None:
    rows = shown(planned)
    planned.edit("models/shop/monthly_revenue.sql", "AS revenue", "AS turnover")
    lose_state(planned)
    ok(planned("system", "adopt", "--let-go", "dev", "--confirm", "local"))
    assert shown(planned) == rows
    told = ok(planned("plan", "dev", "--auto-apply", "--skip-tests"))
    assert "built    shop.monthly_revenue" in told
    assert "built 1 model (3 rows), reused 3 tables" in told
    ok(planned("doctor"))
    left = ok(planned("janitor", "--ignore-ttl"))
    assert "1 object removed" in left  # the table that only the lost state knew


def test_a_warehouse_of_yesterday_is_believed(planned: Shop, tmp_path: Path) -> None:
    backup = tmp_path / "backup.duckdb"
    shutil.copy(warehouse(planned), backup)
    rows = shown(planned)
    planned.edit("models/shop/monthly_revenue.sql", "AS revenue", "AS turnover")
    ok(planned("plan", "dev", "--auto-apply", "--skip-tests"))
    ok(planned("plan", "prod", "--auto-apply", "--skip-tests"))
    shutil.copy(backup, warehouse(planned))
    planned.edit("models/shop/monthly_revenue.sql", "AS turnover", "AS sales")
    refused = planned("plan", "dev", "--auto-apply", "--skip-tests")
    assert (refused.exit_code, "isomesh doctor --repair" in refused.stderr) == (1, True), refused.output
    assert planned("doctor").exit_code == 1
    ok(planned("doctor", "--repair"))
    ok(planned("doctor"))
    assert shown(planned) == rows
    assert [one["name"] for one in json.loads(ok(planned("environments", "--json")))["environments"]] == ["dev"]
    ok(planned("plan", "dev", "--auto-apply", "--skip-tests"))
    ok(planned("plan", "prod", "--auto-apply", "--skip-tests"))
    ok(planned("doctor"))


def test_a_state_of_yesterday_is_brought_up_to_date(planned: Shop, tmp_path: Path) -> None:
    file = tmp_path / "yesterday.jsonl"
    ok(planned("state", "export", "-o", str(file)))
    planned.edit("models/shop/monthly_revenue.sql", "AS revenue", "AS turnover")
    ok(planned("plan", "dev", "--auto-apply", "--skip-tests"))
    rows = shown(planned)
    ok(planned("state", "import", "-i", str(file), "--replace"))
    refused = planned("doctor", "--repair")
    assert (refused.exit_code, "isomesh system adopt" in refused.output) == (1, True)
    ok(planned("system", "adopt", "--confirm", "local"))
    ok(planned("doctor"))
    assert "Nothing to do" in ok(planned("plan", "dev", "--skip-tests"))
    assert shown(planned) == rows


@pytest.mark.parametrize("name", ["project", "gateway"])
def test_a_system_gets_another_name(planned: Shop, name: str) -> None:
    edited = ("project: shop", "project: store") if name == "project" else ("  local:", "  sandbox:")
    planned.edit("config.yaml", *edited)
    refused = planned("plan", "dev")
    assert (refused.exit_code, "belongs to" in refused.stderr) == (1, True)
    ok(planned("system", "adopt", "--confirm", "sandbox" if name == "gateway" else "local"))
    told = ok(planned("plan", "dev", "--auto-apply"))
    assert "Nothing to do" in told or ("Only metadata modified" in told and "builds nothing" in told)
    ok(planned("doctor"))


def test_wrong_pairings_stay_refused(planned: Shop) -> None:
    ok(planned("plan", "prod", "--auto-apply", gateway="production"))

    def refused(old: str, new: str) -> str:
        config = (planned.root / "config.yaml").read_text()
        planned.edit("config.yaml", old, new)
        results = [
            planned(*command, gateway="production")
            for command in (("system", "adopt", "--confirm", "production"), ("destroy", "--confirm", "production"))
        ]
        (planned.root / "config.yaml").write_text(config)
        assert [result.exit_code for result in results] == [1, 1]
        return results[0].stderr

    assert "two different systems" in refused("production.duckdb", "local.duckdb")
    assert "two different systems" in refused("production_state", "local_state")
    both = (planned.root / "config.yaml").read_text().replace("local", "elsewhere").replace("production", "local")
    both = both.replace("  elsewhere:", "  production:", 1).replace("elsewhere.duckdb", "local.duckdb", 1)
    (planned.root / "config.yaml").write_text(both.replace("elsewhere_state", "local_state", 1))
    result = planned("system", "adopt", "--confirm", "production", gateway="production")
    assert (result.exit_code, "belongs to gateway 'local'" in result.stderr) == (1, True)


def test_what_is_let_go_keeps_the_tables_that_its_views_still_show(planned: Shop) -> None:
    rows = shown(planned)
    planned.edit("models/shop/monthly_revenue.sql", "AS revenue", "AS turnover")
    lose_state(planned)
    ok(planned("system", "adopt", "--let-go", "dev", "--confirm", "local"))
    told = ok(planned("janitor", "--ignore-ttl"))
    assert "shop__dev.monthly_revenue stands on it" in told
    assert shown(planned) == rows
