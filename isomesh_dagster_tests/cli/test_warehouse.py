"""table_name, fetchdf and create_external_models on a real project."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from isomesh_dagster_tests.cli.conftest import Shop


def test_table_name_is_the_table_that_holds_the_rows(planned: Shop) -> None:
    name = planned("table_name", "shop.orders").stdout.strip()
    assert name.startswith("isomesh__shop.shop__orders__")
    assert json.loads(planned("fetchdf", f"SELECT COUNT(*) AS n FROM {name}", "--json").stdout)["rows"][0][0] > 0
    assert planned("table_name", "shop.order").exit_code == 1
    nowhere = planned("table_name", "shop.orders", "--env", "nowhere")
    assert nowhere.exit_code == 1
    assert "there are dev" in nowhere.stderr


def test_fetchdf_shows_rows_as_table_csv_and_json(planned: Shop) -> None:
    sql = "SELECT 1 AS a, 'x,y' AS b, DATE '2024-01-02' AS c, NULL AS d, [1, 2] AS e, 'nan'::DOUBLE AS f;"
    table = planned("fetchdf", sql)
    assert table.exit_code == 0, table.output
    assert "2024-01-02" in table.stdout
    assert list(csv.reader(io.StringIO(planned("fetchdf", sql, "--csv").stdout)))[1][:4] == [
        "1",
        "x,y",
        "2024-01-02",
        "",
    ]
    document = json.loads(planned("fetchdf", sql, "--json").stdout)
    assert document["rows"] == [[1, "x,y", "2024-01-02", None, [1, 2], "nan"]]
    many = json.loads(planned("fetchdf", "FROM range(9) ORDER BY 1", "--limit", "2", "--json").stdout)
    assert len(many["rows"]) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "DROP VIEW shop__dev.orders",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO t SELECT 1",
        "SELECT 1; DROP VIEW shop__dev.orders",
        "COPY (SELECT 1) TO 'x.csv'",
        "ATTACH 'x.db'",
        "",
    ],
)
def test_fetchdf_refuses_all_but_one_query(planned: Shop, sql: str) -> None:
    result = planned("fetchdf", sql)
    assert result.exit_code == 1
    assert "error" in result.stderr
    assert planned("fetchdf", "SELECT COUNT(*) AS n FROM shop__dev.orders").exit_code == 0


def test_fetchdf_makes_no_warehouse(shop: Shop) -> None:
    result = shop("fetchdf", "SELECT 1")
    assert result.exit_code == 1
    assert "no warehouse" in result.stderr
    assert not list(shop.root.rglob("*.duckdb"))


READER = "MODEL (name shop.reader, kind FULL);\nSELECT a.* FROM isomesh__shop.raw AS a JOIN other.t USING (id)\n"


def _reads_undeclared(shop: Shop) -> Path:
    (shop.root / "models" / "shop" / "reader.sql").write_text(READER)
    warehouse = next(shop.root.rglob("*.duckdb"))
    import duckdb

    with duckdb.connect(str(warehouse)) as connection:
        connection.execute('CREATE TABLE isomesh__shop.raw (id INTEGER, "on" DECIMAL(10, 2), tags VARCHAR[])')
    return shop.root / "external_models.yaml"


def test_undeclared_tables_are_declared_once(planned: Shop) -> None:
    path = _reads_undeclared(planned)
    path.write_text("# by hand\n- name: some.table  # kept\n  columns: {id: INT}\n")
    result = planned("create_external_models")
    assert result.exit_code == 0, result.output
    assert "isomesh__shop.raw  3 columns" in result.stdout
    assert "other.t is not in the warehouse" in result.stderr
    assert path.read_text().startswith("# by hand\n- name: some.table  # kept\n  columns: {id: INT}\n- name:")
    declared = yaml.safe_load(path.read_text())[1]
    assert declared == {
        "name": "isomesh__shop.raw",
        "columns": {"id": "INTEGER", "on": "DECIMAL(10,2)", "tags": "VARCHAR[]"},
    }
    assert planned("render", "shop.reader").exit_code == 0  # the file loads
    before = path.read_text()
    assert "Nothing declared" in planned("create_external_models").stdout
    assert path.read_text() == before


def test_tables_are_declared_that_loading_lacks(planned: Shop) -> None:
    path = _reads_undeclared(planned)
    models = planned.root / "models" / "shop"
    (models / "reader.sql").write_text("MODEL (name shop.reader, kind VIEW);\nSELECT * FROM isomesh__shop.raw\n")
    (models / "asker.sql").write_text(
        "MODEL (name shop.asker, kind FULL);\nSELECT @STAR(shop.reader) FROM shop.reader\n"
    )
    refused = planned("render", "shop.asker")
    assert "the columns of shop.reader are not known" in refused.stderr
    assert "`isomesh create_external_models` does" in refused.stderr
    result = planned("create_external_models")
    assert (result.exit_code, "isomesh__shop.raw  3 columns" in result.stdout) == (0, True), result.output
    assert [table["name"] for table in yaml.safe_load(path.read_text())] == ["isomesh__shop.raw"]
    assert '"reader"."on"' in planned("render", "shop.asker").stdout
    (models / "asker.sql").write_text("MODEL (name shop.asker, kind FULL);\nSELECT @STAR(other.t) FROM other.t\n")
    assert "the columns of other.t are not known" in planned("create_external_models").stderr


def test_strict_writes_nothing_when_a_table_is_not_there(planned: Shop) -> None:
    path = _reads_undeclared(planned)
    result = planned("create_external_models", "--strict")
    assert result.exit_code == 1
    assert "other.t" in result.stderr
    assert not path.exists()


def test_a_file_that_cannot_be_added_to_is_left(planned: Shop) -> None:
    path = _reads_undeclared(planned)
    path.write_text("[{name: some.table}]\n")
    assert planned("create_external_models").exit_code == 1
    assert path.read_text() == "[{name: some.table}]\n"
