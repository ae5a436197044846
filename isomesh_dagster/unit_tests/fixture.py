"""Fixtures as tables of an in-memory warehouse: rows written by hand, typed as the tables they stand for.

The type of a column: what the test gives, else what the author of the model gives, else what the model's query tells,
else what the values are. What a query tells is an estimate: values that it would change keep a type of their own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from isomesh_dagster.dialect import query as sql
from isomesh_dagster.dialect.rewrite import transpile_type
from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import EngineError, ModelError
from isomesh_dagster.model.fixtures import Fixture, FixtureQuery, Rows
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.names import nearest
from isomesh_dagster.relation import Column, Relation, literal, quote
from isomesh_dagster.unit_tests.comparison import same

_DIALECT = "duckdb"
_INT64 = 2**63
_CHECKED = (int, float, Decimal, date, time)  # what a cast can change without an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the columns of a table: names in order, types in the engine's dialect, whether the types are
    the author's or an estimate.
    """

    types: Mapping[str, str]
    declared: bool


def known_columns(model: Model | None, columns: Sequence[Column] | None) -> Known | None:
    """What a model and its `columns`, explicit or inferred, tell; None when that is nothing."""
    if columns is None:
        return None
    dialect = (model.dialect if model is not None else "") or _DIALECT
    return Known(
        types={column.name: _engine_type(column.type, dialect) for column in columns},
        declared=model is not None and model.columns is not None,
    )


def make_fixture(session: Session, relation: Relation, fixture: Fixture, known: Known | None, dialect: str) -> None:
    """Make the view `relation` with the rows of the fixture; columns it leaves out are NULL.

    `dialect` is that of the fixture's own types and query. Raises ModelError for a column the table does not have and
    for values that do not fit, EngineError for a query that fails.
    """
    given = {name: transpile_type(type_, dialect, _DIALECT) for name, type_ in fixture.types.items()}
    if isinstance(fixture, FixtureQuery):
        _make_from_query(session, relation, fixture, known, given, dialect)
        return
    _check_names(fixture.columns, known)
    if known is None and not fixture.columns:
        raise ModelError(
            "it has no rows, and no model tells its columns", line=fixture.line, hint="add `columns: {name: TYPE}`"
        )
    types = _folded({**({} if known is None else _definite(known.types)), **given})
    if known is not None and not known.declared:
        for at, name in enumerate(fixture.columns):
            estimate = types.get(name.lower())
            if name not in given and estimate and not _keeps(session, [row[at] for row in fixture.cells], estimate):
                del types[name.lower()]
    _make_from_rows(session, relation, fixture, _all_names(fixture.columns, known), types)


def _cell(value: Any) -> str:
    """A cell as SQL of the engine."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).upper()
        case float():
            return (
                f"CAST({literal(str(value))} AS DOUBLE)" if not math.isfinite(value) else f"CAST({value!r} AS DOUBLE)"
            )
        case datetime():
            return f"{'TIMESTAMP' if value.tzinfo is None else 'TIMESTAMPTZ'} {literal(value.isoformat(sep=' '))}"
        case date():
            return f"DATE {literal(value.isoformat())}"
        case time():
            return f"TIME {literal(value.isoformat())}"
        case list() | tuple():
            return f"[{', '.join(map(_cell, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{literal(str(key))}: {_cell(item)}' for key, item in value.items())}}}"
        case str():
            return literal(value)
        case _:
            return str(value)


def _keeps(session: Session, cells: Sequence[Any], type_: str) -> bool:
    """Whether values stay what they are as values of a type."""
    values = ", ".join(f"({_typed(value, type_)})" for value in cells)
    try:
        stored = session.fetch(f"SELECT * FROM (VALUES {values}) AS _rows") if cells else []
    except EngineError:
        return False
    return all(_is_kept(value, made) for value, (made,) in zip(cells, stored, strict=True))


def _is_kept(value: Any, stored: Any) -> bool:
    return not isinstance(stored, _CHECKED) or same(value, stored)


def _make_from_rows(
    session: Session, relation: Relation, rows: Rows, names: Sequence[str], types: Mapping[str, str]
) -> None:
    places = {name.lower(): index for index, name in enumerate(rows.columns)}
    given = {
        name: [row[places[name.lower()]] for row in rows.cells] if name.lower() in places else [None] * len(rows.cells)
        for name in names
    }
    columns = [_column(given[name], types.get(name.lower()), rows.is_text) for name in names]
    listed = ", ".join(quote(name) for name in names)
    if rows.cells:
        values = ",\n".join(f"({', '.join(cells)})" for cells in zip(*columns, strict=True))
        query = f"SELECT * FROM (VALUES\n{values}) AS _rows ({listed})"
    else:
        nulls = ", ".join(f"{_null(types.get(name.lower()))} AS {quote(name)}" for name in names)
        query = f"SELECT {nulls} WHERE FALSE"
    try:
        session.replace_view(relation, query)
        made = session.fetch(f"SELECT * FROM {relation.sql}")
    except EngineError as error:
        raise ModelError(
            f"its values do not fit the columns: {error.message}",
            line=rows.line,
            hint="give the types: `columns: {name: TYPE}`",
        ) from None
    for number, stored in enumerate(made):
        for name, value in zip(names, stored, strict=True):
            if not _is_kept(given[name][number], value):
                raise ModelError(
                    f"{given[name][number]!r} would become {str(value)!r}, as {name} is {types.get(name.lower())}",
                    line=rows.line,
                    hint=f"write a value of that type, or give another one: `columns: {{{name}: TYPE}}`",
                )


def _column(cells: Sequence[Any], type_: str | None, is_text: bool) -> list[str]:
    """The cells of one column as SQL, typed."""
    if type_ is not None:
        return [_typed(value, type_) for value in cells]
    values = _read_texts(cells) if is_text else cells
    natural = _natural(values)
    return [_cell(value) if natural is None else f"CAST({_cell(value)} AS {natural})" for value in values]


def _typed(value: Any, type_: str) -> str:
    if isinstance(value, dict | list):
        text = literal(json.dumps(value, default=_plain))
        return f"CAST({text} AS {type_})" if type_ in ("JSON", "TEXT", "VARCHAR") else f"CAST({text}::JSON AS {type_})"
    return f"CAST({_cell(value)} AS {type_})"


def _natural(cells: Iterable[Any]) -> str | None:
    """The type of the values; None when the engine had better tell it."""
    values = [value for value in cells if value is not None]
    kinds = {type(value) for value in values}
    if not kinds or kinds & {list, dict}:
        return None
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int}:
        return "BIGINT" if all(-_INT64 <= value < _INT64 for value in values) else "HUGEINT"
    if kinds <= {int, float}:
        return "DOUBLE"
    if kinds == {date}:
        return "DATE"
    if kinds <= {date, datetime}:
        zoned = any(isinstance(value, datetime) and value.tzinfo is not None for value in values)
        return "TIMESTAMPTZ" if zoned else "TIMESTAMP"
    return "VARCHAR"


def _read_texts(cells: Sequence[str | None]) -> list[Any]:
    """A column of CSV as numbers or truth values when all of its texts are such."""
    texts = [text for text in cells if text is not None]
    readers: tuple[Callable[[str], Any], ...] = (_int, _float, _bool)
    for read in readers:
        try:
            read_all = {text: read(text) for text in texts}
        except ValueError:
            continue
        return [None if text is None else read_all[text] for text in cells]
    return list(cells)


# what begins with a zero, or has a sign that only Python reads, is a code and no number
_INT = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)(e[-+]?[0-9]+)?|-?(nan|inf|infinity)", re.IGNORECASE)


def _int(text: str) -> int:
    if _INT.fullmatch(text):
        return int(text)
    raise ValueError(text)


def _float(text: str) -> float:
    if _FLOAT.fullmatch(text):
        return float(text)
    raise ValueError(text)


def _bool(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise ValueError(text)


def _make_from_query(
    session: Session,
    relation: Relation,
    fixture: FixtureQuery,
    known: Known | None,
    given: Mapping[str, str],
    dialect: str,
) -> None:
    written = Relation(schema=relation.schema, name=f"{relation.name}__query")
    session.replace_view(written, sql.without_terminator(sql.transpile(fixture.sql, dialect, _DIALECT), _DIALECT))
    names = [name for name, _ in session.columns(written)]
    _check_names(names, known)
    have = {name.lower() for name in names}
    fixed = _folded({**({} if known is None or not known.declared else _definite(known.types)), **given})
    nulls = _folded({**({} if known is None else _definite(known.types)), **given})
    items = [
        _null(nulls.get(name.lower())) + f" AS {quote(name)}"
        if name.lower() not in have
        else f"CAST({quote(name)} AS {fixed[name.lower()]}) AS {quote(name)}"
        if name.lower() in fixed
        else quote(name)
        for name in _all_names([*names, *given], known)
    ]
    session.replace_view(relation, f"SELECT {', '.join(items)} FROM {written.sql}")


def _check_names(names: Iterable[str], known: Known | None) -> None:
    if known is None:
        return
    have = {name.lower() for name in known.types}
    for name in names:
        if name.lower() not in have:
            raise ModelError(
                f"the table has no column {name!r}",
                hint=nearest(name, known.types) or f"it has {', '.join(known.types)}",
            )


def _all_names(names: Iterable[str], known: Known | None) -> list[str]:
    """The table's columns in its order, then those only the fixture has."""
    listed = list(known.types) if known is not None else []
    have = {name.lower() for name in listed}
    return listed + [name for name in dict.fromkeys(names) if name.lower() not in have]


def _definite(types: Mapping[str, str]) -> dict[str, str]:
    return {name: type_ for name, type_ in types.items() if type_.upper() != "UNKNOWN"}


def _folded(types: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): type_ for name, type_ in types.items()}


def _null(type_: str | None) -> str:
    return "NULL" if type_ is None else f"CAST(NULL AS {type_})"


def _engine_type(type_: str, dialect: str) -> str:
    return "UNKNOWN" if type_.upper() == "UNKNOWN" else transpile_type(type_, dialect, _DIALECT)


def _plain(value: Any) -> str:
    return value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)
