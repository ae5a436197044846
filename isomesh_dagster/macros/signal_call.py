"""Calling the function of a signal: its arguments turned from SQL into what its type hints ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from isomesh_dagster.macros.arguments import bind
from isomesh_dagster.macros.evaluator import tree


def call_signal(
    function: Callable[..., Any], batch: object, texts: Mapping[str, str], offered: Mapping[str, Any], dialect: str
) -> Any:
    """What the function answers for a batch. `texts` are SQL by lower-case name of the argument; of `offered` it is
    given what it takes. Raises MacroError for arguments that it does not take, and whatever it raises itself.
    """
    by_name = {name.lower(): name for name in inspect.signature(function).parameters}
    named: dict[str, Any] = {by_name.get(name, name): tree(text, dialect) for name, text in texts.items()}
    named.update((name, value) for name, value in offered.items() if name in by_name)
    bound = bind(function, batch, [], named, dialect)
    return function(*bound.args, **bound.kwargs)
