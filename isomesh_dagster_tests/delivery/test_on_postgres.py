"""The life of a branch on a Postgres warehouse: preview, push, merge, deploy, revert."""

from __future__ import annotations

from pathlib import Path

from isomesh_dagster.model.connections import PostgresConnection
from isomesh_dagster_tests import repositories
from isomesh_dagster_tests.delivery import test_delivery as stories
from isomesh_dagster_tests.postgres_server import in_config


def test_a_branch_from_preview_to_revert(tmp_path: Path, postgres: PostgresConnection) -> None:
    stories.test_a_branch_from_preview_to_revert(repositories.team(tmp_path, connection=in_config(postgres)))
