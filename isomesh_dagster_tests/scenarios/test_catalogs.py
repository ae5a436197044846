"""Environments whose views are in catalogs of their own, on real DuckDB files: where they go, and that one transaction
moves them, whatever is planned, rolled back, removed, mended or moved.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.definitions.translator import IsomeshTranslator
from isomesh_dagster.errors import ConflictingPlanError, EngineError, PlanError, SystemMismatch
from isomesh_dagster.plan.layer import Layer
from isomesh_dagster.project import Project
from isomesh_dagster.project.upkeep import examine
from isomesh_dagster.records.events import Dropped
from isomesh_dagster.upkeep.destroy import destroy
from isomesh_dagster.upkeep.doctor import Level

NOW = datetime(2024, 1, 4, tzinfo=timezone.utc)
TWO_FILES = "{type: duckdb, catalogs: {base: base.db, views: views.db}}"
MAPPED = "environment_catalog_mapping: {'dev': views}\n"
SUFFIX = "environment_suffix_target: catalog\n"
ORDERS = "MODEL (name shop.orders, kind FULL);\nSELECT 1 AS generation"
NAMES = "MODEL (name shop.names, kind VIEW);\nSELECT generation FROM shop.orders"


class Shop:
    """A project of a table and a view that reads it."""

    def __init__(self, root: Path, connection: str, more: str = "") -> None:
        self.root = root
        self._connection = connection
        (root / "models").mkdir(parents=True)
        self.configure(more)
        self.write("orders", ORDERS)
        self.write("names", NAMES)

    def configure(self, more: str, connection: str | None = None) -> None:
        self._connection = connection or self._connection
        (self.root / "config.yaml").write_text(
            f"gateways: {{only: {{connection: {self._connection}}}}}\n"
            f"model_defaults: {{dialect: duckdb, start: 2024-01-01}}\nenvironment_ttl: null\n{more}"
        )

    def write(self, name: str, text: str) -> None:
        (self.root / "models" / f"{name}.sql").write_text(text)

    def apply(self, environment: str, generation: int | None = None) -> None:
        if generation is not None:
            self.write("orders", ORDERS.replace("1", str(generation)))
        with Project.load(self.root) as project:
            list(project.apply(project.plan(environment, now=NOW)))

    def views(self) -> set[str]:
        """Every view of the virtual layer, with its catalog."""
        with Project.load(self.root) as project:
            found = project.fetch(
                "SELECT database_name, schema_name, view_name FROM duckdb_views() "
                "WHERE NOT internal AND schema_name NOT LIKE 'isomesh%'"
            )[1]
        return {".".join(row) for row in found}

    def shows(self, prefix: str) -> set[int]:
        """What the two views in that place say."""
        with Project.load(self.root) as project:
            both = f"SELECT generation FROM {prefix}.orders UNION ALL SELECT generation FROM {prefix}.names"
            return {row[0] for row in project.fetch(both)[1]}

    def janitor(self) -> list[Dropped]:
        with Project.load(self.root) as project:
            return [one for one in project.janitor(now=NOW + timedelta(days=9000)) if isinstance(one, Dropped)]


def both(prefix: str) -> set[str]:
    return {f"{prefix}.orders", f"{prefix}.names"}


# ---- where views are -------------------------------------------------------------------------------------


@given(
    st.sampled_from(["prod", "dev", "dev_x", "qa"]),
    st.lists(st.tuples(st.sampled_from(["dev", "^dev$", ".*", "prod", "x"]), st.sampled_from(["a", "b", None]))),
    st.sampled_from(["schema", "table"]),
)
@settings(max_examples=60, deadline=None)
def test_all_views_of_an_environment_are_in_one_catalog_that_of_the_first_pattern_that_matches(name, pairs, suffix):
    import re

    layer = Layer(gateway="g", default_catalog="w", suffix_target=suffix, catalogs=tuple(pairs))
    wanted = [catalog for pattern, catalog in pairs if re.match(pattern, name)]
    for model in ("s.t", "s.other"):
        view = layer.view(model, name)
        assert view.catalog == (wanted[0] if wanted else None)
        assert (view.schema, view.name) == (
            tuple(model.split("."))
            if name == "prod"
            else (f"s__{name}", model[2:])
            if suffix == "schema"
            else ("s", f"{model[2:]}__{name}")
        )


def test_a_mapped_environment_has_its_views_in_that_catalog_and_the_tables_stay(tmp_path):
    shop = Shop(tmp_path / "shop", TWO_FILES, MAPPED)
    shop.apply("prod")
    shop.apply("dev", 2)
    assert shop.views() == both("base.shop") | both("views.shop__dev")
    assert shop.shows("base.shop") == {1}
    assert shop.shows("views.shop__dev") == {2}
    with Project.load(shop.root) as project:
        assert project.fetch("SELECT DISTINCT database_name FROM duckdb_tables() WHERE schema_name = 'isomesh__shop'")[
            1
        ] == [("base",)]
        assert project.plan("dev", now=NOW).is_empty
    # whoever reads with both files attached, from whichever of them, reads the same
    with duckdb.connect(str(shop.root / "views.db")) as reader:
        reader.execute(f"ATTACH '{shop.root / 'base.db'}' AS base (READ_ONLY)")
        assert reader.execute("SELECT * FROM shop__dev.names").fetchall() == [(2,)]


@pytest.mark.parametrize("database", ["warehouse.db", None])
def test_the_suffix_makes_a_catalog_per_environment_that_goes_with_it(tmp_path, database):
    shop = Shop(tmp_path / "shop", f"{{type: duckdb, database: '{database or ':memory:'}'}}", SUFFIX)
    main = "warehouse" if database else "memory"
    with Project.load(shop.root) as project:
        for environment in ("prod", "dev", "qa"):
            list(project.apply(project.plan(environment, now=NOW)))
        found = project.fetch("SELECT DISTINCT database_name, schema_name FROM duckdb_views() WHERE NOT internal")[1]
        assert {row for row in found if "isomesh" not in row[1]} == {
            (main, "shop"),
            (f"{main}__dev", "shop"),
            (f"{main}__qa", "shop"),
        }
        assert project.fetch(f"SELECT * FROM {main}__dev.shop.names")[1] == [(1,)]
        project.invalidate("dev")
        list(project.janitor())
        catalogs = {
            row[0] for row in project.fetch("SELECT database_name FROM duckdb_databases() WHERE NOT internal")[1]
        }
        assert catalogs == {main, f"{main}__qa"}
        assert {one.name for one in project.environments()} == {"prod", "qa"}
    folder = shop.root / "warehouse.db.environments"
    if database:
        assert [file.name for file in folder.iterdir()] == ["warehouse__qa.db"]
        (stray := folder / "notes.db").write_text("somebody's")  # is left alone
        shop.apply("dev")  # and it comes back
        stray.unlink()
        assert shop.shows("warehouse__dev.shop") == {1}
        with Project.load(shop.root) as project:
            list(destroy(project.connection(), project.state(), identity=project.identity()))
        assert not folder.exists()


# ---- one transaction -------------------------------------------------------------------------------------


def test_a_swap_that_fails_leaves_the_whole_environment_as_it_was(tmp_path):
    shop = Shop(tmp_path / "shop", TWO_FILES, MAPPED)
    shop.apply("dev")
    # a statement of the swap that writes the other catalog: DuckDB refuses it, after the views were made
    shop.write("names", NAMES + ";\nON_VIRTUAL_UPDATE_BEGIN;\nCREATE TABLE base.main.other AS SELECT 1;\n"
               "ON_VIRTUAL_UPDATE_END;")  # fmt: skip
    with pytest.raises(EngineError, match="single transaction can only write to a single attached database"):
        shop.apply("dev", 2)
    assert shop.shows("views.shop__dev") == {1}
    shop.write("names", NAMES)
    shop.apply("dev", 2)
    assert shop.shows("views.shop__dev") == {2}


def test_an_environment_moves_whole_and_back_by_a_rollback(tmp_path):
    shop = Shop(tmp_path / "shop", TWO_FILES)
    shop.apply("dev")
    shop.configure(MAPPED)
    shop.apply("dev", 2)
    assert shop.views() == both("views.shop__dev")
    shop.configure(SUFFIX)
    shop.apply("dev", 3)
    assert shop.views() == both("base__dev.shop")
    assert shop.shows("base__dev.shop") == {3}
    with Project.load(shop.root) as project:
        assert project.rollback("dev").number == 4
    assert shop.views() == both("views.shop__dev")
    assert shop.shows("views.shop__dev") == {2}
    assert not (shop.root / "base.db.environments").exists()
    with Project.load(shop.root) as project:
        project.rollback("dev", to=1)
        assert project.fetch("SELECT * FROM shop__dev.names")[1] == [(1,)]
        # nothing of ours stays where no environment is
        assert project.fetch("SELECT * FROM duckdb_tables() WHERE database_name = 'views'")[1] == []
    assert shop.views() == both("base.shop__dev")


def test_what_a_catalog_shows_that_comes_back_is_old(tmp_path):
    shop = Shop(tmp_path / "shop", TWO_FILES, MAPPED)
    for generation in (1, 2):
        shop.apply("dev", generation)
    shop.configure("", "{type: duckdb, catalogs: {base: base.db}}")
    with pytest.raises(ConflictingPlanError, match="shows nothing"):  # as the warehouse tells
        shop.apply("dev", 3)
    shop.apply("dev", 3)
    shop.configure("", TWO_FILES)
    assert shop.views() == both("base.shop__dev") | both("views.shop__dev")
    shop.apply("dev", 4)
    assert shop.views() == both("base.shop__dev")
    assert shop.shows("shop__dev") == {4}


# ---- what goes with it -----------------------------------------------------------------------------------


def test_the_janitor_and_the_doctor_find_the_views_where_they_are(tmp_path):
    shop = Shop(tmp_path / "shop", TWO_FILES, MAPPED)
    shop.apply("prod")
    shop.apply("dev", 2)
    with Project.load(shop.root) as project, project.connection().session() as session:
        session.execute("DROP VIEW views.shop__dev.names")
    with Project.load(shop.root) as project:
        wrong = [one for one in examine(project.system, repair=True) if one.level is not Level.OK]
        assert [(one.subject, one.is_repaired) for one in wrong] == [("views.shop__dev.names", True)]
        assert all(one.level is Level.OK for one in examine(project.system))
    assert shop.shows("views.shop__dev") == {2}
    with Project.load(shop.root) as project:
        project.invalidate("dev")
    assert [one.environment for one in shop.janitor() if one.environment] == ["dev"]
    assert shop.views() == both("base.shop")
    assert shop.janitor() == []


def test_a_warehouse_of_somebody_else_that_is_attached_is_not_taken_for_ours(tmp_path):
    other = Shop(tmp_path / "other", TWO_FILES, MAPPED)
    other.apply("dev", 7)
    place = other.root / "views.db"
    attached = f"{{type: duckdb, catalogs: {{base: base.db, views: {{path: '{place}', read_only: true}}}}}}"
    shop = Shop(tmp_path / "shop", attached)
    shop.apply("prod")
    with Project.load(shop.root) as project:
        assert [one.name for one in project.environments()] == ["prod"]
    shop.apply("dev")
    assert shop.shows("base.shop__dev") == {1}
    thief = Shop(tmp_path / "thief", attached.replace(", read_only: true", ""), MAPPED)
    with pytest.raises(SystemMismatch, match="the catalog 'views' holds environments of gateway 'only' of another"):
        thief.apply("dev")
    assert thief.views() == both("views.shop__dev")  # the other's, untouched


def test_copies_of_our_own_catalogs_that_are_attached_are_not_taken_for_ours(tmp_path):
    shop = Shop(tmp_path / "shop", TWO_FILES, MAPPED)
    shop.apply("prod")
    shop.apply("dev")
    for name in ("base", "views"):
        shutil.copy(shop.root / f"{name}.db", shop.root / f"old_{name}.db")
    copies = "".join(f", old_{name}: {{path: old_{name}.db, read_only: true}}" for name in ("base", "views"))
    shop.configure(MAPPED, TWO_FILES.replace("views: views.db", f"views: views.db{copies}"))
    shop.apply("prod")  # the record there and its copy are the same
    for generation in (2, 3):
        shop.apply("prod", generation)
        shop.apply("dev")
        assert shop.shows("base.shop") == shop.shows("views.shop__dev") == {generation}
    with Project.load(shop.root) as project:
        assert all(one.level is Level.OK for one in examine(project.system))


def test_what_would_need_two_catalogs_is_refused_before_anything_is_built(tmp_path):
    days = "MODEL (name shop.days, kind INCREMENTAL_BY_TIME_RANGE (time_column ds, forward_only true));\n"
    days += "SELECT 1 AS id, CAST(@start_ds AS DATE) AS ds"
    shop = Shop(tmp_path / "shop", TWO_FILES, "environment_catalog_mapping: {'prod': views}\n")
    shop.write("days", days)
    shop.apply("prod")
    shop.write("days", days.replace("1 AS id", "1 AS id, 2 AS more"))
    with Project.load(shop.root) as project:
        told = IsomeshTranslator().get_metadata(project.models["shop.days"], project)
        assert told["dagster/table_name"] == "views.shop.days"  # where people read it
    with pytest.raises(PlanError, match="one transaction cannot write both") as refused:
        shop.apply("prod")
    assert "environment_catalog_mapping" in (refused.value.hint or "")
    shop.configure(MAPPED)  # prod goes home, the change with the next plan
    shop.write("days", days)
    shop.apply("prod")
    shop.apply("dev")
    shop.write("days", days.replace("1 AS id", "1 AS id, 2 AS more"))
    with pytest.raises(PlanError, match="environment 'dev' shows, too"):
        shop.apply("prod")
    shop.apply("dev")  # a preview: dev does not show prod's table any more
    shop.apply("prod")
    with Project.load(shop.root) as project:
        assert list(project.fetch("SELECT * FROM shop.days")[0]) == ["id", "ds", "more"]
        assert list(project.fetch("SELECT * FROM views.shop__dev.days")[0]) == ["id", "more", "ds"]
