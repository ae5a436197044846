"""Output columns of models: inferred parents first, remembered by what they follow from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isomesh_dagster.cache.columns import infer_columns
from isomesh_dagster.cache.store import FactStore
from isomesh_dagster.dialect.query import analyse
from isomesh_dagster.model.kinds import External, Seed, View
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column

Columns = tuple[Column, ...]


class CountingStore(FactStore):
    """A real store that tells how many rows were written to it."""

    written = 0

    def put(self, rows: list[tuple[str, str, str]], *, keep: int) -> None:  # type: ignore[override]
        self.written += len(rows)
        super().put(rows, keep=keep)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CountingStore]:
    with CountingStore(tmp_path / "cache.sqlite") as opened:
        yield opened


def view(name: str, query: str, columns: Columns | None = None) -> Model:
    depends_on = analyse(query, "duckdb").depends_on
    return Model(
        name=name, path="x", dialect="duckdb", kind=View(), query=query, rendered=query, columns=columns,
        depends_on=depends_on,
    )  # fmt: skip


RAW = Model(
    name="raw.t",
    path="x",
    dialect="duckdb",
    kind=External(),
    columns=(Column(name="a", type="INT"), Column(name="b", type="TEXT")),
)


def names(columns: Columns | None) -> list[str] | None:
    return None if columns is None else [column.name for column in columns]


def test_columns_follow_from_parents(store: CountingStore) -> None:
    models = [
        RAW,
        view("s.star", "SELECT * FROM raw.t"),
        view("s.more", "SELECT *, 1 AS c FROM s.star"),
        view("s.typed", "SELECT * FROM nobody.knows", columns=(Column(name="z", type="DATE"),)),
        view("s.from_typed", "SELECT * FROM s.typed"),
        view("s.unknown", "SELECT * FROM nobody.knows"),
        view("s.known_anyway", "SELECT a FROM nobody.knows"),
        Model(name="s.seed", path="x", dialect="duckdb", kind=Seed(path="x", content_hash="x")),
    ]
    found = infer_columns(models, store)
    assert {name: names(columns) for name, columns in found.items()} == {
        "raw.t": ["a", "b"],
        "s.star": ["a", "b"],
        "s.more": ["a", "b", "c"],
        "s.typed": ["z"],
        "s.from_typed": ["z"],
        "s.unknown": None,
        "s.known_anyway": ["a"],
        "s.seed": None,
    }
    assert (found["s.star"] or ())[0].type == "INT"


def test_what_was_inferred_is_remembered_and_unknown_too(store: CountingStore) -> None:
    models = [RAW, view("s.star", "SELECT * FROM raw.t"), view("s.unknown", "SELECT * FROM nobody.knows")]
    first = infer_columns(models, store)
    assert store.written == 2
    assert infer_columns(models, store) == first
    assert store.written == 2


def test_only_what_a_change_reaches_is_inferred_again(store: CountingStore) -> None:
    def project(query: str) -> list[Model]:
        return [
            RAW,
            view("s.one", query),
            view("s.two", "SELECT * FROM s.one"),
            view("s.three", "SELECT * FROM s.two"),
            view("s.other", "SELECT b FROM raw.t"),
        ]

    infer_columns(project("SELECT a FROM raw.t"), store)
    assert store.written == 4
    infer_columns(project("SELECT a FROM raw.t WHERE a > 1"), store)
    assert store.written == 5, "the columns of s.one are the same, so nothing below is new"
    infer_columns(project("SELECT a, b FROM raw.t"), store)
    assert store.written == 8


def test_remembered_columns_need_no_sqlglot(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from isomesh_dagster.cache.columns import infer_columns
from isomesh_dagster.cache.store import FactStore
from isomesh_dagster.model.kinds import View
from isomesh_dagster.model.model import Model
model = Model(name="a.b", path="x", dialect="duckdb", kind=View(), query="SELECT 1 AS a", rendered="SELECT 1 AS a")
with FactStore(Path(sys.argv[1])) as store:
    (column,) = infer_columns([model], store)["a.b"]
print(column.name, "sqlglot" in sys.modules)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "cache.sqlite")]
    told = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() for _ in range(2)]
    assert told == ["a True", "a False"]
