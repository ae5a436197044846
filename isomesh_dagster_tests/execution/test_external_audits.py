"""Audits of external tables run where the tables are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from isomesh_dagster import Project
from isomesh_dagster.errors import AuditError
from isomesh_dagster.records.events import Audited, Built

FILES = {
    "config.yaml": """
gateways: {local: {connection: {type: duckdb, database: w.duckdb}}}
model_defaults: {dialect: duckdb, start: '2024-01-01'}
variables: {most: 10}
before_all: [CREATE SCHEMA IF NOT EXISTS raw, "CREATE TABLE IF NOT EXISTS raw.orders AS SELECT 1 AS id, 5 AS paid"]
""",
    "audits/few.sql": "AUDIT (name few); SELECT @column FROM @this_model WHERE @column > @most",
    "external_models.yaml": """
- name: raw.orders
  audits:
  - name: not_null
    columns: [id, paid]
  - name: few
    column: paid
    blocking: false
  columns: {id: INT, paid: INT}
""",
    "models/e.sql": "MODEL (name s.e, kind EMBEDDED, dialect bigquery); SELECT id, paid FROM `raw`.orders",
    "models/a.sql": "MODEL (name s.a, kind FULL, dialect bigquery); SELECT id FROM s.e",
    "models/b.sql": "MODEL (name s.b, kind FULL, audits (not_null(columns := id))); SELECT id FROM s.a",
}


def applied(root: Path) -> dict[tuple[str, str], int]:
    """The rows that each audit found, by model and audit."""
    with Project.load(root, environ={}) as project:
        events = list(project.apply(project.plan("dev")))
    ran = [one for one in events if isinstance(one, Audited)]
    ran += [one for event in events if isinstance(event, Built) for one in event.audits]
    return {(one.model, one.audit): one.failing_rows for one in ran}


def test_they_run_where_the_table_is_read_and_stop_who_reads_it(tmp_path: Path) -> None:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    passed = {("s.a", "not_null_of_raw_orders"): 0, ("s.a", "few_of_raw_orders"): 0, ("s.b", "not_null"): 0}
    assert applied(tmp_path) == passed

    # another audit runs over what is there, and nothing is built
    changed = FILES["external_models.yaml"].replace("column: paid", "column: paid + 10")
    (tmp_path / "external_models.yaml").write_text(changed)
    assert applied(tmp_path)["s.a", "few_of_raw_orders"] == 1

    (tmp_path / "models/a.sql").write_text(FILES["models/a.sql"].replace("SELECT id", "SELECT paid AS id"))
    (tmp_path / "external_models.yaml").write_text(FILES["external_models.yaml"].replace("[id, paid]", "[id, NULL]"))
    with pytest.raises(AuditError, match="not_null_of_raw_orders found 1 row") as caught:
        applied(tmp_path)
    assert caught.value.model == "s.a"
