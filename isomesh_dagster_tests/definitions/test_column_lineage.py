"""Column lineage as Dagster shows it: in definitions, and with every materialization."""

from __future__ import annotations

from urllib.parse import unquote
from xml.etree import ElementTree

import dagster as dg

from isomesh_dagster.definitions.lineage_text import lineage_svg
from isomesh_dagster.definitions.settings import IsomeshTranslatorSettings
from isomesh_dagster.definitions.translator import IsomeshTranslator
from isomesh_dagster.project import Project
from isomesh_dagster_tests.definitions.conftest import Shop, materialized


def sources(lineage: dg.TableColumnLineage, column: str) -> set[tuple[str, str]]:
    return {(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.deps_by_column[column]}


def test_definitions_and_materializations_tell_what_columns_are_made_of(loaded_shop: Shop) -> None:
    with Project.load(loaded_shop.root) as project:
        translator = IsomeshTranslator(IsomeshTranslatorSettings(lineage_in_events=True))
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
    quiet = loaded_shop.run("apply", partition="prod")
    assert "dagster/column_lineage" not in materialized(quiet)["core.days"].metadata
    # what is reused tells it too: the newest materialization is the one that is shown
    job = loaded_shop.definitions(translator=translator).resolve_job_def("apply")
    result = job.execute_in_process(instance=loaded_shop.instance, partition_key="prod")
    for name in ("core.days", "staging.orders"):
        assert materialized(result)[name].metadata["dagster/column_lineage"].value == expected[name]


def test_open_source_users_see_it_as_a_picture_and_a_table(loaded_shop: Shop) -> None:
    shown = loaded_shop.definitions().resolve_asset_graph().get(dg.AssetKey(["core", "days"])).to_asset_spec()
    text = str(shown.metadata["isomesh/column_lineage"].value)
    picture, table = text.split("\n\n")
    assert "| `amount` | `staging.orders.amount` |" in table.splitlines()
    address = picture.removeprefix("![columns of core.days](data:image/svg+xml,").removesuffix(")")
    drawing = ElementTree.fromstring(unquote(address))
    words = {one.text for one in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {"core.days", "day", "amount", "staging.orders.amount"} <= words
    plain = IsomeshTranslator(IsomeshTranslatorSettings(lineage_picture=False))
    bare = loaded_shop.definitions(translator=plain).resolve_asset_graph().get(dg.AssetKey(["core", "days"]))
    assert "isomesh/column_lineage" not in bare.to_asset_spec().metadata


def test_names_cannot_break_out_of_the_picture() -> None:
    hostile = '"><script>alert(1)</script>&'
    drawing = ElementTree.fromstring(lineage_svg({hostile: [f"t.{hostile}"], "none": []}, hostile))
    assert not list(drawing.iter("script"))
    assert {one.tag.rpartition("}")[2] for one in drawing.iter()} == {"svg", "text", "path"}
