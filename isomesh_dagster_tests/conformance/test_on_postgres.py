"""The cases on Postgres: the same columns and rows, or the error of a query that is DuckDB's alone."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from isomesh_dagster import Project
from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster.errors import IsomeshError
from isomesh_dagster_tests.conformance import case as cases
from isomesh_dagster_tests.postgres_server import in_config

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?")
"""What is no text with digits: `007` is one."""


@pytest.mark.parametrize("name", cases.names())
def test_a_project_gives_the_same_tables(name: str, tmp_path: Path, postgres: PostgresConnection) -> None:
    case = cases.read(name)
    expected = cases.expected(name)
    case.write(tmp_path, in_config(postgres))
    refused: AbstractContextManager[Any] = nullcontext()
    if case.error_on_postgres is not None:
        refused = pytest.raises(IsomeshError, match=case.error_on_postgres)
    with refused, Project.load(tmp_path, environ={}) as project, project.connection().session() as session:
        for statement in filter(str.strip, case.raw.split(";\n")):
            session.execute(statement)
        list(project.apply(project.plan("prod", now=case.now)))
        assert tables_of(case, session.fetch_table) == same(expected["tables"])
        assert project.plan("prod", now=case.now).is_empty
        if case.later is not None:
            now, raw = case.later
            session.execute(raw)
            list(project.apply(project.run_plan("prod", now=now)))
            assert tables_of(case, session.fetch_table) == same(expected["later"])


def tables_of(case: cases.Case, fetch: Any) -> dict[str, Any]:
    """Columns and rows of the case's tables, as texts."""
    found = {}
    for name in case.tables:
        table = ".".join(f'"{part}"' for part in name.split("."))
        columns, _ = fetch(f"SELECT * FROM {table} LIMIT 0")
        texts = ", ".join(f'CAST("{column}" AS TEXT)' for column in columns)
        _, rows = fetch(f"SELECT {texts} FROM {table}")
        found[name] = ([column.lower() for column in columns], in_order(rows))
    return found


def same(expected: dict[str, Any]) -> dict[str, Any]:
    """What was measured, without the types, which every engine spells and chooses in its own way."""
    return {
        name: ([column.split(" ", 1)[0] for column in table["columns"]], in_order(table["rows"]))
        for name, table in expected.items()
    }


def in_order(rows: Any) -> list[tuple[str, ...]]:
    return sorted(tuple(plain(cell) for cell in row) for row in rows)


def plain(cell: str | None) -> str:
    """A number as no engine writes it, everything else as it is."""
    if cell is None:
        return "nothing"
    return format(Decimal(cell).normalize(), "f") if NUMBER.fullmatch(cell) else repr(cell)
