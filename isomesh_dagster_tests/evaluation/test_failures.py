"""Errors of builds: where they belong, and what to do about a name that nobody has."""

from __future__ import annotations

from isomesh_dagster.errors import EngineError, IsomeshError
from isomesh_dagster.evaluation.failures import located
from isomesh_dagster_tests.factories import model, snapshots

NO_TABLE = 'Catalog Error: Table with name "raw.ordes" does not exist'


def hint(message: str, *names: str) -> str | None:
    shown = snapshots([model("mart.m", "SELECT x FROM raw.ordes")])["mart.m"]
    error = located(EngineError(message), shown, names)
    assert isinstance(error, IsomeshError)
    assert (error.model, error.path) == ("mart.m", shown.model.path)
    return error.hint


def test_a_table_nobody_has_is_named_with_the_nearest_model() -> None:
    assert hint(NO_TABLE, "raw.orders", "mart.m") == (
        "no model is called raw.ordes, and the warehouse has no such table; did you mean raw.orders?"
    )
    assert hint(NO_TABLE, "mart.m") == "no model is called raw.ordes, and the warehouse has no such table"


def test_other_failures_get_no_hint_about_tables() -> None:
    assert hint(NO_TABLE, "raw.ordes") is None
    assert hint("Conversion Error: ordes", "raw.orders") is None
    assert hint('column "ordes" does not exist', "raw.orders") is None
    assert hint('relation "raw.orders_of_today" does not exist; ordesque', "raw.orders") is None
    assert located(ValueError("bug"), snapshots([model("mart.m", "SELECT 1")])["mart.m"], ()).args == ("bug",)
