"""`@macro()`: marks a function of a project's `macros/` folder as a macro. It stays the function it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

MARK = "__isomesh_macro__"
"""The attribute of a marked function that holds its `Mark`."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What the decorator said: the macro's name in lower case, and whether no row depends on what it gives."""

    name: str
    metadata_only: bool = False


def macro(name: str = "", *, metadata_only: bool = False) -> Callable[[Function], Function]:
    """Make a function a macro: `@macro()`, or `@macro("name")` to call it by another name than its own.

    The function takes a `MacroEvaluator` and the arguments of the call; it returns SQL text, an expression, a list of
    these, or None. `metadata_only` promises that rows do not depend on it: a change of it builds nothing again.
    """
    if callable(name):
        raise TypeError("write @macro() with brackets")

    def mark(function: Function) -> Function:
        setattr(function, MARK, Mark(name=(name or function.__name__).lower(), metadata_only=metadata_only))
        return function

    return mark
