"""The life of a branch on Postgres: preview, push, merge, deploy, rollback, revert; and what readers would lose."""

from __future__ import annotations

from pathlib import Path

from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster_tests import repositories
from isomesh_dagster_tests.delivery import test_delivery as stories
from isomesh_dagster_tests.postgres_server import in_config


def test_a_branch_from_preview_to_revert(tmp_path: Path, postgres: PostgresConnection) -> None:
    team = repositories.team(tmp_path, connection=in_config(postgres))
    stories.test_a_branch_from_preview_to_revert(team)

    team.configure(approval="destructive")
    orders = "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id, 'many'::TEXT AS amount\n"
    totals = "MODEL (name marts.totals, kind FULL);\nSELECT MAX(amount) AS amount FROM core.orders\n"
    team.commit("Words", {"models/orders.sql": orders, "models/totals.sql": totals})
    (report,) = stories.sync(team)
    assert report.outcome == "waiting"
    # nothing of it is built: the engine is asked what the queries give, one over the other
    assert report.destructive == (
        "core.orders.amount changes from integer to text",
        "marts.totals.amount changes from bigint to text",
    )
