"""Names of the physical and the virtual layer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.model.kinds import Full
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.naming import physical_relation, view_relation


def model(name: str, physical_schema: str = "") -> Model:
    return Model(name=name, path="models/x.sql", dialect="duckdb", kind=Full(), physical_schema=physical_schema)


def test_physical_names_read_well():
    assert str(physical_relation(model("core.orders"), "abc")) == "isomesh__core.core__orders__abc"
    assert str(physical_relation(model("lake.core.orders"), "abc")) == "lake.isomesh__core.core__orders__abc"
    assert str(physical_relation(model("core.orders", "phys"), "abc")) == "phys.core__orders__abc"


def test_a_convention_shortens_names():
    assert str(physical_relation(model("core.orders"), "abc", "table_only")) == "isomesh__core.orders__abc"
    hashed = physical_relation(model("core.orders"), "abc", "hash_md5")
    assert str(hashed) == "isomesh__core.isomesh_md5__39a3a44c2f8cfc921702140b919cabfd"
    assert hashed != physical_relation(model("core.orders"), "abd", "hash_md5")
    assert len(physical_relation(model("core." + "x" * 90), "abc", "hash_md5").name) == len(hashed.name)


@given(st.text(st.characters(codec="utf-8", exclude_characters="."), min_size=1, max_size=90))
def test_a_physical_name_fits_and_keeps_its_version(table):
    relation = physical_relation(model(f"s.{table}"), "0123456789abcdef")
    assert len(relation.name.encode()) <= 63
    assert relation.name.endswith("__0123456789abcdef")


def test_views_carry_the_environment_where_it_was_asked_for():
    assert view_relation("core.orders", "prod") == Relation(schema="core", name="orders")
    assert str(view_relation("core.orders", "dev")) == "core__dev.orders"
    assert str(view_relation("core.orders", "dev", "table")) == "core.orders__dev"
    assert str(view_relation("orders", "dev")) == "default__dev.orders"


@pytest.mark.parametrize("suffix_target", ["schema", "table"])
def test_a_long_name_keeps_the_environment_behind_it(suffix_target: str) -> None:
    long, other = "n" * 63, "n" * 62 + "m"
    views = [view_relation(f"{name}.{name}", env, suffix_target) for name in (long, other) for env in ("dev", "stage")]
    parts = [getattr(view, "name" if suffix_target == "table" else "schema") for view in views]
    assert len(set(parts)) == 4
    assert all(len(part) == 63 for part in parts)
    assert [part.rpartition("__")[2] for part in parts] == ["dev", "stage", "dev", "stage"]
