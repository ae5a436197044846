"""Every case gives the tables that were measured, in the first build and after a later run."""

from __future__ import annotations

from pathlib import Path

import pytest

from isomesh_dagster import Project
from isomesh_dagster_tests.conformance import case as cases


@pytest.mark.parametrize("name", cases.names())
def test_a_project_gives_the_tables_of_the_anchor(name: str, tmp_path: Path) -> None:
    case = cases.read(name)
    expected = cases.expected(name)
    case.write(tmp_path)
    with Project.load(tmp_path, environ={}) as project, project.connection().session() as session:
        for statement in filter(str.strip, case.raw.split(";\n")):
            session.execute(statement)
        plan = project.plan("prod", now=case.now)
        list(project.apply(plan))
        assert cases.tables_of(case, session.fetch) == expected["tables"]
        assert project.plan("prod", now=case.now).is_empty
        if case.later is None:
            return
        now, raw = case.later
        session.execute(raw)
        list(project.apply(project.run_plan("prod", now=now)))
        assert cases.tables_of(case, session.fetch) == expected["later"]


@pytest.mark.parametrize("name", cases.names())
def test_a_project_gives_the_sql_that_was_agreed(name: str, tmp_path: Path) -> None:
    cases.read(name).write(tmp_path)
    with Project.load(tmp_path, environ={}) as project:
        found = {name: model.rendered for name, model in sorted(project.models.items()) if model.rendered}
    assert found == cases.rendered(name)
