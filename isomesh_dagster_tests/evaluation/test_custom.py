"""`CUSTOM`: classes of a project write batches, inside the same transactions, audits and fingerprints as every kind."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.project import Project
from isomesh_dagster_tests.evaluation.test_python_model import Files

DAY_3 = datetime(2024, 1, 3, 12, tzinfo=timezone.utc)
MODEL = """
MODEL (
  name s.t,
  kind CUSTOM (
    materialization 'Newest', materialization_properties ('key' = 'id', limit = 2), batch_size 1, batch_concurrency 2
  ),
  columns (id INT, ds DATE),
);
SELECT id, ds FROM raw.days WHERE ds BETWEEN @start_ds AND @end_ds
"""
CLASS = """\
from isomesh_dagster.python import CustomMaterialization

SIGN = ">"

class NewestOnly(CustomMaterialization):
    '''Keeps the newest rows.'''
    NAME = "newest"

    def insert(self, table_name, query_or_df, model, is_first_insert, **kwargs):
        limit = model.custom_materialization_properties["limit"]
        self.adapter.insert_append(table_name, query_or_df)
        key = model.custom_materialization_properties["key"]
        assert self.adapter.columns(table_name) == model.columns_to_types == {"id": "INTEGER", "ds": "DATE"}
        top = self.adapter.fetchone(f"SELECT MAX({key}) FROM {table_name}")[0]
        if top is not None:
            self.adapter.execute(f"DELETE FROM {table_name} WHERE NOT {key} {SIGN} {top} - {limit}")
"""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.write("models/s/t.sql", MODEL)
    files.write("materializations/newest.py", CLASS)
    return files


def test_a_class_writes_every_batch(files: Files) -> None:
    files.apply()
    assert [row[0] for row in files.rows()] == [1, 2]


def test_the_next_run_adds_to_what_is_there(files: Files) -> None:
    files.apply(now=DAY_3)
    assert [row[0] for row in files.rows()] == [0, 1]
    with Project.load(files.root) as project:
        list(project.apply(project.run_plan(now=DAY_3.replace(day=4))))
    assert [row[0] for row in files.rows()] == [1, 2]


def test_what_it_is_told(files: Files) -> None:
    body = """
    def create(self, table_name, model, **kwargs):
        self.adapter.execute(f"CREATE TABLE {table_name} (text TEXT)")

    def insert(self, table_name, query_or_df, is_first_insert, start, end, execution_time):
        assert query_or_df.sql(dialect="duckdb") == str(query_or_df)
        told = f"{is_first_insert} {start:%d} {end:%d} {execution_time:%d}"
        self.adapter.execute(f"INSERT INTO {table_name} SELECT '{told} ' || COUNT(*) FROM ({query_or_df})")
"""
    text = f"from sqlmesh import CustomMaterialization\nclass Newest(CustomMaterialization):\n{body}"
    files.write("materializations/newest.py", text)
    files.apply()
    assert files.rows() == [("False 02 02 04 1",), ("False 03 03 04 1",), ("True 01 01 04 1",)]


def test_rows_of_a_python_model_come_as_a_query(files: Files) -> None:
    (files.root / "models/s/t.sql").unlink()
    kind = "{'name': 'CUSTOM', 'materialization': 'newest', 'materialization_properties': {'key': 'id', 'limit': 1}}"
    files.python(
        "yield pd.DataFrame({'id': [1], 'ds': [start]})\nyield pd.DataFrame({'id': [2], 'ds': [start]})",
        "{'id': 'int', 'ds': 'date'}",
        f"kind={kind}",
    )
    files.apply()
    assert [row[0] for row in files.rows()] == [2]


def test_frames_can_be_written_too(files: Files) -> None:
    text = CLASS.replace(
        "self.adapter.insert_append(table_name, query_or_df)",
        "self.adapter.insert_append(table_name, self.adapter.fetchdf(query_or_df))",
    )
    files.write("materializations/newest.py", text)
    files.apply()
    assert [row[0] for row in files.rows()] == [1, 2]
    text = text.replace("insert_append(table_name", "replace_query(table_name")
    files.write("materializations/newest.py", text)
    files.apply()
    assert [row[0] for row in files.rows()] == [2]


KINDS = """\
from pydantic import model_validator
from sqlmesh import CustomKind, CustomMaterialization, Model
from sqlmesh.utils.errors import ConfigError

class Keyed(CustomKind):
    @model_validator(mode="after")
    def check(self):
        if "key" not in self.materialization_properties:
            raise ConfigError("key must be given")
        return self

    @property
    def key(self):
        return self.materialization_properties["key"]

class Newest(CustomMaterialization[Keyed]):
    def insert(self, table_name, query_or_df, model: Model, is_first_insert, render_kwargs, **kwargs):
        assert isinstance(model.kind, Keyed) and model.kind.is_custom
        assert self.adapter.table_exists(table_name) and not self.adapter.table_exists("nowhere")
        WRITE
"""


@pytest.mark.parametrize(
    ("write", "left"),
    [
        ("self._replace_query_for_model(model, table_name, query_or_df, render_kwargs)", [2]),
        ("self.adapter.merge(table_name, f'SELECT id % 2 AS id, ds FROM ({query_or_df})', unique_key=['id'])", [0, 1]),
        (
            "self.adapter.insert_overwrite_by_partition(table_name, query_or_df, partitioned_by=['id % 2'])",
            [1, 2],
        ),
        (
            "self.adapter.ctas('more', query_or_df); "
            "self.adapter.insert_append(table_name, 'SELECT * FROM more'); "
            "self.adapter.drop_table('more'); self.adapter.delete_from(table_name, 'id = 0')",
            [1, 2],
        ),
    ],
)
def test_what_the_warehouse_can_do_for_it(files: Files, write: str, left: list[int]) -> None:
    files.write("materializations/newest.py", KINDS.replace("WRITE", write))
    files.apply()
    assert sorted(row[0] for row in files.rows()) == left


def test_a_kind_of_its_own_says_what_is_wrong(files: Files) -> None:
    files.write("materializations/newest.py", KINDS.replace("WRITE", "pass"))
    files.write("models/s/t.sql", MODEL.replace("'key' = 'id', ", ""))
    with pytest.raises(IsomeshError, match="key must be given") as caught:
        files.apply()
    assert caught.value.place == "materializations/newest.py:9"


def test_audits_take_back_what_it_wrote(files: Files) -> None:
    files.write("models/s/t.sql", MODEL.replace("columns (", "audits (forall(criteria := (id < 2))), columns ("))
    with pytest.raises(IsomeshError, match="forall"):
        files.apply()
    with Project.load(files.root) as project, project.connection().session() as session:
        (name,) = session.fetch("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'isomesh__s'")[0]
        assert session.fetch(f"SELECT MAX(id) FROM isomesh__s.{name}") == [(1,)]


def test_its_code_counts_and_its_comments_do_not(files: Files) -> None:
    files.apply()
    files.write("materializations/newest.py", CLASS.replace("Keeps the newest rows.", "Keeps few."))
    with Project.load(files.root) as project:
        assert project.plan().is_empty or not project.plan().changes
    files.write("materializations/newest.py", CLASS.replace('SIGN = ">"', 'SIGN = ">="'))
    with Project.load(files.root) as project:
        (change,) = project.plan().changes
        assert change.category is not None
        assert (change.category.value, change.reason.partition(";")[0]) == ("breaking", "code changed")
        with pytest.raises(IsomeshError, match="materialization 'Newest' is not what the model was planned with"):
            list(project.apply(project.run_plan(now=DAY_3.replace(day=9))))


def test_failures_are_told_with_their_place(files: Files) -> None:
    files.write("materializations/newest.py", CLASS.replace('properties["limit"]', 'properties["size"]'))
    with pytest.raises(IsomeshError) as caught:
        files.apply()
    assert "materialization 'Newest' failed with KeyError: 'size'" in str(caught.value)
    assert "materializations/newest.py:10 in insert" in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("CUSTOM (materialization 'newst')", "there is no materialization 'newst'"),
        ("CUSTOM (batch_size 1)", "kind CUSTOM needs `materialization`"),
        ("CUSTOM (materialization newest, size 1)", "kind CUSTOM has no parameter `size`"),
    ],
)
def test_headers_that_are_wrong(files: Files, header: str, message: str) -> None:
    files.write("models/s/t.sql", f"MODEL (name s.t,\n kind {header});\nSELECT 1 AS id")
    with pytest.raises(IsomeshError) as caught, Project.load(files.root):
        pass
    assert message in str(caught.value)
    assert (caught.value.path, caught.value.line) == ("models/s/t.sql", 2)


def test_one_name_is_one_class(files: Files) -> None:
    files.write("materializations/other.py", CLASS)
    with pytest.raises(IsomeshError, match=r"'newest' is defined in materializations/newest\.py too"):
        Project.load(files.root)
