"""Forward-only changes through the real jobs: a preview, the swap, and what is computed again after it."""

from __future__ import annotations

from typing import Any

from isomesh_dagster_tests.definitions.conftest import Shop, checks, failure, materialized

DAYS = "models/core/days.sql"


def asking(environment: str, **resource: Any) -> dict[str, Any]:
    return {"resources": {"isomesh": {"config": {"environment": environment, **resource}}}}


def edited(shop: Shop) -> None:
    """The amount counts twice, and there is a new column."""
    file = shop.root / DAYS
    file.write_text(file.read_text().replace("SUM(amount) AS amount", "2 * SUM(amount) AS amount, 'new' AS tag"))


def test_a_preview_then_prod(loaded_shop: Shop) -> None:
    assert loaded_shop.run("apply", partition="prod").success
    before = loaded_shop.query("SELECT day, amount FROM core.days ORDER BY day")
    edited(loaded_shop)
    preview = loaded_shop.run("apply", config=asking("dev", forward_only=True))
    assert preview.success, failure(preview)
    assert "core.days" in materialized(preview)
    assert loaded_shop.query("SELECT day, amount FROM core.days ORDER BY day") == before
    assert loaded_shop.query("SELECT COUNT(*) FROM core__dev.days") == [(0,)]  # its last day has no order

    prod = loaded_shop.run("apply", config=asking("prod", forward_only=True))
    assert prod.success, failure(prod)
    assert loaded_shop.query("SELECT day, amount FROM core.days WHERE tag IS NULL ORDER BY day") == before
    again = loaded_shop.run("apply", config=asking("prod", forward_only=True))
    assert again.success
    assert loaded_shop.query("SELECT day, amount FROM core.days WHERE tag IS NULL ORDER BY day") == before


def test_what_is_computed_again_after_the_swap_is_told(loaded_shop: Shop) -> None:
    assert loaded_shop.run("apply", partition="prod").success
    edited(loaded_shop)
    result = loaded_shop.run("apply", config=asking("prod", forward_only=True, effective_from="2024-01-02"))
    assert result.success, failure(result)
    assert loaded_shop.query("SELECT CAST(day AS VARCHAR), amount, tag FROM core.days ORDER BY day") == [
        ("2024-01-01", 10, None),
        ("2024-01-02", 42, "new"),
    ]
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(52,)]
    told = materialized(result)
    assert "2024-01-02" in told["core.days"].metadata["isomesh/intervals"].value
    assert not told["core.days"].metadata["isomesh/reused"].value
    assert not told["marts.total"].metadata["isomesh/reused"].value
    (audit,) = [one for name, one in checks(result).items() if name.startswith("core.days:not_null")]
    assert audit.passed


def test_an_effective_date_that_is_none_fails_the_run(loaded_shop: Shop) -> None:
    assert loaded_shop.run("apply", partition="prod").success
    edited(loaded_shop)
    result = loaded_shop.run("apply", config=asking("prod", forward_only=True, effective_from="2999-01-01"))
    assert not result.success
    assert "is in the future" in failure(result)
