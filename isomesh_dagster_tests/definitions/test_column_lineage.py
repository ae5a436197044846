"""Column lineage as Dagster shows it: in definitions, and with every materialization."""

from __future__ import annotations

import dagster as dg

from isomesh_dagster.definitions.translator import IsomeshTranslator
from isomesh_dagster.project import Project
from isomesh_dagster_tests.definitions.conftest import Shop, materialized


def sources(lineage: dg.TableColumnLineage, column: str) -> set[tuple[str, str]]:
    return {(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.deps_by_column[column]}


def test_definitions_and_materializations_tell_what_columns_are_made_of(loaded_shop: Shop) -> None:
    with Project.load(loaded_shop.root) as project:
        translator = IsomeshTranslator()
        expected = {
            name: lineage
            for name, model in project.models.items()
            if (lineage := translator.get_column_lineage(model, project)) is not None
        }
        days = project.columns("core.days")
    assert days is not None
    lineage = expected["core.days"]
    assert set(lineage.deps_by_column) == {column.name for column in days}
    assert sources(lineage, "amount") == {("staging/orders", "amount")}
    result = loaded_shop.run("apply", partition="prod")
    for name in ("core.days", "staging.orders"):
        assert materialized(result)[name].metadata["dagster/column_lineage"].value == expected[name]
    again = loaded_shop.run(
        "apply", partition="prod"
    )  # what is reused tells it too: the newest materialization is the one that is shown
    assert materialized(again)["core.days"].metadata["dagster/column_lineage"].value == lineage
