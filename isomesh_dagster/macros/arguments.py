"""Arguments of Python macros: SQL expressions turned into what the function's type hints ask for.

A parameter without a hint gets the expression itself. What cannot be turned into the hinted type is an error; nothing
is passed on as something else.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from isomesh_dagster.dialect.tokens import stock_dialect
from isomesh_dagster.errors import MacroError

SQL = typing.NewType("SQL", str)
"""A hint for "the SQL of the argument, as text"."""


def bind(
    function: Callable[..., Any], evaluator: object, positional: list[Any], named: Mapping[str, Any], dialect: str
) -> inspect.BoundArguments:
    """The arguments of one call, as the function takes them. Raises MacroError."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(evaluator, *positional, **named)
    except TypeError as error:
        raise MacroError(str(error), hint=f"it takes {_shown(signature)}") from None
    hints = _hints(function)
    for name, value in bound.arguments.items():
        hint = hints.get(name)
        if hint is None or value is evaluator:
            continue
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            bound.arguments[name] = tuple(_coerced(item, hint, dialect, name) for item in value)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            bound.arguments[name] = {key: _coerced(item, hint, dialect, key) for key, item in value.items()}
        else:
            bound.arguments[name] = _coerced(value, hint, dialect, name)
    bound.apply_defaults()
    return bound


def _shown(signature: inspect.Signature) -> str:
    return ", ".join(str(parameter) for parameter in list(signature.parameters.values())[1:]) or "no arguments"


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, localns={"t": typing, "typing": typing, "exp": exp, "SQL": SQL})
    except (NameError, TypeError, AttributeError):
        return {}  # a hint that only a type checker can read


def _coerced(value: Any, hint: Any, dialect: str, parameter: str) -> Any:
    try:
        return coerce(value, hint, dialect)
    except (_Unfit, ValueError, SqlglotError):
        if hint is str and isinstance(value, exp.Column):  # `schema.table`, as the text that people mean by it
            return value.sql(dialect=dialect)
        shown = value.sql(dialect=dialect) if isinstance(value, exp.Expr) else repr(value)
        name = getattr(hint, "__name__", None) if not typing.get_args(hint) else None
        raise MacroError(
            f"argument `{parameter}` is `{shown}`, which is no {name or hint}",
            hint="write a value of that type, or change the hint of the parameter",
        ) from None


class _Unfit(Exception):
    """The expression is not of the type."""


def coerce(value: Any, hint: Any, dialect: str) -> Any:
    """The expression as a value of a hinted type. Raises when it is none."""
    if hint is Any or hint is inspect.Parameter.empty or not isinstance(value, exp.Expr):
        return value
    base = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if base is typing.Union or base is types.UnionType:
        return _first(value, arguments, dialect)
    if base is typing.Literal:
        return _one_of(value, arguments)
    if base is SQL:
        return value.sql(dialect=dialect)
    if isinstance(hint, typing.TypeVar) or not isinstance(base, type):
        return value
    if issubclass(base, exp.Expr):
        return _expression(value, base, dialect)
    if base in (list, tuple, set, frozenset) or issubclass(base, typing.cast(type, list | tuple)):
        return _collection(value, base, arguments, dialect)
    return _scalar(value, base)


def _first(value: Any, hints: tuple[Any, ...], dialect: str) -> Any:
    for hint in hints:
        if hint is type(None):
            if isinstance(value, exp.Null):
                return None
            continue
        try:
            return coerce(value, hint, dialect)
        except (_Unfit, ValueError, SqlglotError):
            continue
    raise _Unfit


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    plain = _plain(value)
    for item in allowed:
        if isinstance(item, bool) is isinstance(plain, bool) and str(item) == str(plain):
            return item
    raise _Unfit


def _expression(value: Any, wanted: type, dialect: str) -> Any:
    if isinstance(value, wanted):
        return value
    text = value.this if isinstance(value, exp.Literal) and value.is_string else value.sql(dialect=dialect)
    stock = stock_dialect(dialect)
    try:
        found = stock.parse_into(wanted, text)[0]
    except (SqlglotError, TypeError):
        if not isinstance(value, exp.Literal):
            raise _Unfit from None
        found = stock.parse(text)[0]
    if not isinstance(found, wanted):
        raise _Unfit
    return found


def _collection(value: Any, base: type, arguments: tuple[Any, ...], dialect: str) -> Any:
    if isinstance(value, exp.Paren):
        items: list[Any] = [value.this]
    elif isinstance(value, exp.Tuple | exp.Array):
        items = list(value.expressions)
    else:
        raise _Unfit
    if base is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(arguments) != len(items):
            raise _Unfit
        return tuple(coerce(item, hint, dialect) for item, hint in zip(items, arguments, strict=True))
    hint = arguments[0] if arguments else Any
    return base(coerce(item, hint, dialect) for item in items)


def _scalar(value: Any, base: type) -> Any:
    plain = _plain(value)
    if base is str and isinstance(plain, str | int | float) and not isinstance(plain, bool):
        return value.name if isinstance(value, exp.Column | exp.Identifier) else str(_written(value))
    if base is bool and isinstance(plain, bool):
        return plain
    if base in (int, float) and isinstance(plain, int | float | str) and not isinstance(plain, bool):
        if isinstance(value, exp.Column):
            raise _Unfit
        return base(plain)
    if base in (datetime, date) and isinstance(plain, str):
        return base.fromisoformat(plain)
    raise _Unfit


def _written(value: Any) -> Any:
    """The number as it was written, `1.50` and not `1.5`."""
    return value.this if isinstance(value, exp.Literal) else _plain(value)


def _plain(value: Any) -> Any:
    """The Python value of a literal; the name of a bare column."""
    if isinstance(value, exp.Literal):
        if value.is_string:
            return value.this
        return int(value.this) if value.this.isdigit() else float(value.this)
    if isinstance(value, exp.Boolean):
        return bool(value.this)
    if isinstance(value, exp.Neg | exp.Paren):
        inner = _plain(value.this)
        return -inner if isinstance(value, exp.Neg) and isinstance(inner, int | float) else inner
    if isinstance(value, exp.Identifier) or (isinstance(value, exp.Column) and not value.table):
        return value.name
    if isinstance(value, exp.Null):
        return None
    raise _Unfit
