"""Macros written in Python read the warehouse while their model is built."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from pathlib import Path

import pytest

from isomesh_dagster import Project
from isomesh_dagster.errors import IsomeshError

CONFIG = """
gateways: {local: {connection: {type: duckdb, database: w.duckdb}}}
model_defaults: {dialect: duckdb, start: '2024-01-01'}
"""
MACRO = """
from sqlmesh import macro

@macro()
def kinds_of(evaluator, table):
    if evaluator.runtime_stage not in ("evaluating", "creating"):
        return "0 AS nothing"
    relation = evaluator.resolve_table(table)
    found = evaluator.engine_adapter.ASK(f"SELECT DISTINCT kind FROM {relation} ORDER BY kind")
    return [f"COUNT(*) FILTER (WHERE kind = '{row[0]}') AS {row[0]}" for row in found]
"""
FILES = {
    "config.yaml": CONFIG,
    "models/a.sql": "MODEL (name s.a, kind FULL); SELECT * FROM (VALUES ('x'), ('y'), ('x')) AS t(kind)",
    "models/b.sql": "MODEL (name s.b, kind FULL, depends_on (s.a)); SELECT @kinds_of(s.a) FROM s.a",
}


def built(root: Path, ask: str) -> list[tuple[object, ...]]:
    for path, text in {**FILES, "macros/m.py": MACRO.replace("ASK", ask)}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with Project.load(root, environ={}) as project:
        list(project.apply(project.plan("dev")))
        return project.fetch("SELECT * FROM s__dev.b")[1]


def test_a_macro_reads_the_tables_of_the_plan(tmp_path: Path) -> None:
    assert built(tmp_path, "fetchall") == [(2, 1)]


def test_a_view_is_asked_again_when_its_cron_ticks(tmp_path: Path) -> None:
    built(tmp_path, "fetchall")
    (tmp_path / "models/b.sql").write_text(
        "MODEL (name s.b, kind VIEW); SELECT @kinds_of(s.a), MIN(kind) AS first FROM s.a"
    )
    (tmp_path / "models/a.sql").write_text(
        "MODEL (name s.a, kind FULL); SELECT UNNEST(@IF(@execution_ds < '2024-01-03', ['x'], ['y', 'z'])) AS kind"
    )
    with Project.load(tmp_path, environ={}) as project:
        found = []
        for day in (1, 2, 3):
            now = datetime(2024, 1, day, 12, tzinfo=timezone.utc)
            list(project.apply(project.plan("prod", now=now) if day == 1 else project.run_plan("prod", now=now)))
            found.append(project.fetch("SELECT * FROM s.b"))
    assert found == [(["x", "first"], [(1, "x")])] * 2 + [(["y", "z", "first"], [(1, 1, "y")])]


def test_it_gets_data_frames_too(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    text = 'fetchdf("SELECT 1 AS a").values.tolist() and evaluator.engine_adapter.fetchall'
    assert built(tmp_path, text) == [(2, 1)]


def test_it_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(IsomeshError, match="only reads the warehouse"):
        built(tmp_path, "execute")


COLUMNS = """
from sqlmesh.core.macros import RuntimeStage, macro

@macro()
def noted(evaluator, table):
    if evaluator.runtime_stage == RuntimeStage.CREATING.value:
        told = ", ".join(f"{name} {kind.sql('duckdb')}" for name, kind in evaluator.columns_to_types(table).items())
        return f"CREATE OR REPLACE TABLE notes AS SELECT '{told}' AS told"
"""


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("s.a", "kind TEXT, day DATE"),
        ("s.b", "kind TEXT, n BIGINT, valid_from TIMESTAMP, valid_to TIMESTAMP"),
    ],
)
def test_columns_that_are_asked_for_only_when_the_model_is_built(tmp_path: Path, asked: str, told: str) -> None:
    """Of the model itself, which are not known when it is read, and of what it reads."""
    kind = "SCD_TYPE_2_BY_COLUMN (unique_key kind, columns *)"
    files = {
        "config.yaml": CONFIG,
        "macros/m.py": COLUMNS,
        "models/a.sql": "MODEL (name s.a, kind FULL); SELECT 'x'::TEXT AS kind, '2024-01-01'::DATE AS day",
        "models/b.sql": f"MODEL (name s.b, kind {kind}); SELECT kind, 1::BIGINT AS n FROM s.a; @noted({asked})",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    with Project.load(tmp_path, environ={}) as project:
        list(project.apply(project.plan("dev")))
        assert project.fetch("SELECT told FROM notes")[1] == [(told,)]


SNAPSHOT = """
from sqlmesh import macro

@macro()
def known(evaluator, name):
    if evaluator.runtime_stage == "loading":
        return "'' AS told, 0 AS parents"
    found = evaluator.get_snapshot(name)
    assert evaluator.get_snapshot("s.nobody") is None
    assert found.name == evaluator.this_model_fqn == f'"{evaluator.default_catalog}"."s"."b"'
    assert found.table_name().startswith("isomesh__s.s__b__")
    assert found.intervals == []
    (loaded,) = evaluator.get_snapshot("s.a").intervals
    assert loaded[0] == 1704067200000 < loaded[1]
    return f"'{found.parents[0].name}' AS told, {len(found.parents)} AS parents"
"""


def test_a_macro_asks_for_the_version_of_a_model(tmp_path: Path) -> None:
    files = {
        "config.yaml": CONFIG,
        "macros/m.py": SNAPSHOT,
        "models/a.sql": "MODEL (name s.a, kind FULL); SELECT 1 AS a",
        "models/b.sql": "MODEL (name s.b, kind FULL); SELECT @known(s.b) FROM s.a",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    with Project.load(tmp_path, environ={}) as project:
        list(project.apply(project.plan("dev")))
        assert project.fetch("SELECT * FROM s__dev.b")[1] == [('"w"."s"."a"', 1)]


DIALECT = """
from sqlglot import exp
from sqlmesh import macro
from sqlmesh.core.dialect import MacroFunc, MacroVar, parse_one

@macro()
def hashed(evaluator, *args):
    if evaluator.runtime_stage == "loading":
        return parse_one("'none'", dialect="trino")
    assert evaluator.engine_adapter.dialect == "duckdb"
    joined = exp.Concat(expressions=args, safe=True, coalesce=False)  # a tuple, and below a number: as people write it
    return exp.SHA2(this=joined, length=exp.Literal(this=256, is_string=False))

@macro()
def days(evaluator):
    day = MacroVar(this="start_ds")
    return MacroFunc(this=exp.Anonymous(this="date_spine", expressions=[exp.Literal.string("day"), day, day]))
"""
AUDIT = """
AUDIT (name known);
WITH spine AS (@days()) SELECT id FROM @this_model, spine WHERE id <> @hashed(v, 'b')
"""
MODEL = """
MODEL (name s.a, kind FULL, audits (known));
SELECT @hashed(v, 'b') AS id, v FROM (VALUES ('a')) AS t(v)
"""
TEST = f"t: {{model: s.a, outputs: {{query: [{{id: {hashlib.sha256(b'ab').hexdigest()}, v: a}}]}}}}"


def test_queries_audits_and_tests_know_the_engine_they_are_for(tmp_path: Path) -> None:
    files = {
        "config.yaml": CONFIG,
        "macros/m.py": DIALECT,
        "audits/known.sql": AUDIT,
        "models/a.sql": MODEL,
        "tests/test_a.yaml": TEST,
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    with Project.load(tmp_path, environ={}) as project:
        assert "SHA256" in project.render("s.a")
        assert [result.error for result in project.run_unit_tests()] == [None]
        list(project.apply(project.plan("dev")))
        assert project.fetch("SELECT LENGTH(id) FROM s__dev.a")[1] == [(64,)]
    (tmp_path / "models/a.sql").write_text(MODEL.replace(" v FROM", " v, 1 AS n FROM"))
    with Project.load(tmp_path, environ={}) as project:  # nobody can tell here what such a macro gives
        (change,) = project.plan("dev").changes
        assert change.reason == "a macro asks the warehouse what to write"
