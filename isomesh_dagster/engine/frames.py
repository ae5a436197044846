"""Data frames, on every engine: their libraries, and names for them in SQL."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import count

from isomesh_dagster.errors import EngineError

_numbers = count()


def new_name(prefix: str) -> str:
    """A name that no other relation of this process has."""
    return f"_isomesh_{prefix}_{next(_numbers)}"


def need_installed(library: str) -> None:
    """Refuse a library that is not there, or that DuckDB cannot work with alone."""
    for name in (library, *(("pyarrow",) if library == "polars" else ())):
        if find_spec(name) is None:
            raise EngineError(
                f"{name} is not installed" + (", which DuckDB needs for polars" if name != library else ""),
                hint=f"install {name} beside isomesh-dagster",
            )
