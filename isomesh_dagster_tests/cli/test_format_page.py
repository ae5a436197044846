"""The page of the model format is what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from isomesh_dagster.cli.format_page import SAYS, main, renewed, rows
from isomesh_dagster.config.keys import ROOT_KEYS
from isomesh_dagster.model.audits import BUILT_IN
from isomesh_dagster.model.properties import MODEL_PROPERTIES

PAGE = Path(__file__).parents[2] / "docs" / "format.md"


def test_the_table_is_what_the_code_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page, "run: python -m isomesh_dagster.cli.format_page docs/format.md"


def test_every_name_is_told_once() -> None:
    told = [(row.part, row.name) for row in rows()]
    assert len(set(told)) == len(told)
    names = {part: {name for its, name in told if its == part} for part, _ in told}
    assert names["MODEL"] == set(MODEL_PROPERTIES)
    assert {name.partition(".")[0] for name in names["configuration"]} == set(ROOT_KEYS)
    assert {name for name in BUILT_IN if not name.endswith("_non_blocking")} == names["audit"] - {"…_non_blocking"}
    assert SAYS.keys() <= set(told)


def test_a_stale_page_is_written_anew(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    stale = tmp_path / "format.md"
    stale.write_text(page.replace("| MODEL | `tags` | yes |  |\n", ""), encoding="utf-8")
    assert stale.read_text(encoding="utf-8") != page
    main(str(stale))
    assert stale.read_text(encoding="utf-8") == page
    with pytest.raises(ValueError, match="marks"):
        renewed("# a page without a table")
