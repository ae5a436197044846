"""A unit test written from real rows: what the model's tables hold now, and what the model makes of it now.

The outputs are what the query returns today; whoever keeps the test says that this is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import Any

from isomesh_dagster.dialect import query as sql
from isomesh_dagster.dialect.query import normalize_name
from isomesh_dagster.dialect.rewrite import quote_name
from isomesh_dagster.engine.connection import Connection
from isomesh_dagster.errors import IsomeshError, ModelError
from isomesh_dagster.evaluation.texts import Surroundings
from isomesh_dagster.model.decode import without_catalog
from isomesh_dagster.model.fixtures import dump
from isomesh_dagster.model.kinds import External
from isomesh_dagster.model.model import Json, Model
from isomesh_dagster.model.names import nearest
from isomesh_dagster.model.unit_tests import UnitTestContext, parse_unit_tests, required_inputs
from isomesh_dagster.unit_tests.comparison import Table
from isomesh_dagster.unit_tests.run import UnitTestBed, actual_outputs

ROWS = 10
"""How many rows a table gives for which nobody wrote a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What somebody asks for: a test called `name` of `model`.

    `queries` by the table they stand for, in the model's dialect; `variables` as `vars` of a test has them;
    `include_ctes`: the rows of its CTEs too.
    """

    model: Model
    name: str
    queries: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Json] = field(default_factory=dict)
    include_ctes: bool = False


def draft_unit_test(connection: Connection, draft: Draft, around: Surroundings, bed: UnitTestBed) -> str:
    """The test as YAML. The warehouse is read through `around`, nothing is written.

    Raises ModelError for a query of a table that the model does not read, EngineError for one that fails.
    """
    model = draft.model
    if not model.query and model.python is None:
        raise ModelError("the model has no query to test", model=model.name, path=model.path)
    queries = _by_name(draft, around, bed)
    inputs = {}
    for name in sorted({*required_inputs(model, bed.models, queries), *queries}):
        dialect = model.dialect or around.engine_dialect
        query = queries.get(name) or f"SELECT * FROM {_mention(name, dialect)} LIMIT {ROWS}"
        try:
            inputs[name] = {"rows": _plain_rows(_fetch(connection, query, dialect, around))}
        except IsomeshError as error:
            error.message = f"the query for {name}: {error.message}"
            raise
    body: dict[str, Any] = {"model": model.name}
    if draft.variables:
        body["vars"] = dict(draft.variables)
    body["inputs"] = inputs
    body["outputs"] = {"query": {"rows": []}}
    query_rows, ctes = _outputs(draft, body, around, bed)
    body["outputs"] = {
        **({"ctes": {name: {"rows": _plain_rows(table)} for name, table in ctes.items()}} if ctes else {}),
        "query": {"rows": _plain_rows(query_rows)},
    }
    return dump({draft.name: body})


def _outputs(
    draft: Draft, body: Mapping[str, Any], around: Surroundings, bed: UnitTestBed
) -> tuple[Table, dict[str, Table]]:
    context = UnitTestContext(
        models=bed.models,
        dialect=draft.model.dialect or around.engine_dialect,
        default_catalog=bed.default_catalog,
        gateways=(),
        read_file=_no_file,
    )
    (test,) = parse_unit_tests(dump({draft.name: body}), "the new test", context)
    return actual_outputs(test, bed, ctes=draft.include_ctes)


def _by_name(draft: Draft, around: Surroundings, bed: UnitTestBed) -> dict[str, str]:
    """The queries by the normalised name of the table they stand for."""
    dialect = draft.model.dialect or around.engine_dialect
    found = {
        without_catalog(normalize_name(written, dialect), around.default_catalog, dialect): query
        for written, query in draft.queries.items()
    }
    known = {*required_inputs(draft.model, bed.models, found), draft.model.name}
    for name in found:
        if name not in known:
            hint = nearest(name, known) or f"it reads {', '.join(draft.model.depends_on)}"
            raise ModelError(f"{draft.model.name} does not read {name}", hint=hint)
    return found


def _fetch(connection: Connection, query: str, dialect: str, around: Surroundings) -> Table:
    """Rows of what the environment shows."""
    references = sql.analyse(query, dialect, default_catalog=around.default_catalog).references
    places = {
        reference.name: ".".join(quote_name(part, dialect) for part in (physical.schema, physical.name))
        for reference in references
        if (shown := around.snapshots.get(reference.name)) is not None
        and (physical := shown.physical) is not None
        and not isinstance(shown.model.kind, External)
    }
    text = sql.transpile(sql.splice(query, references, places, dialect), dialect, around.engine_dialect)
    with connection.session() as session:
        columns, rows = session.fetch_table(text)
    return Table(columns=tuple(columns), rows=tuple(rows))


def _mention(name: str, dialect: str) -> str:
    return ".".join(quote_name(part, dialect) for part in name.split("."))


def _plain_rows(table: Table) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in zip(table.columns, row, strict=True)} for row in table.rows]


def _plain(value: Any) -> Any:
    """A value of the driver's as YAML writes it; what YAML has no word for becomes text."""
    match value:
        case None | bool() | int() | float() | str() | date():
            return value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case bytes():
            return value.hex()
        case time():
            return value.isoformat()
    return str(value)


def _no_file(path: str) -> bytes:
    raise FileNotFoundError(path)
