"""The function of a Python model: what it reads, found in its text, and what a model with one must be.

`context.resolve_table("…")` names a parent, `context.var("…")` a variable, wherever the function or anything it reaches
in the project says so. Arguments may be computed from constants of their module and from variables; they are computed
when the project is loaded, so that no dependency is found out only when the model runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isomesh_dagster.dialect.query import normalize_name
from isomesh_dagster.errors import ModelError
from isomesh_dagster.macros.outline import ContextUse
from isomesh_dagster.macros.project import ProjectMacros
from isomesh_dagster.model.blueprints import plain_value
from isomesh_dagster.model.kind_properties import HeaderKind, SeedFile
from isomesh_dagster.model.kinds import Embedded, External, View, kind_name
from isomesh_dagster.model.model import Json, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCode:
    """A function under `@model(…)`: its name, its digest, its text, what the code asks of `context`, each with the path
    of its file, the names of its parameters, and what a function that was made was `given`.
    """

    function: str
    digest: str
    source: str
    uses: tuple[tuple[str, ContextUse], ...] = ()
    parameters: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReads:
    """What code reads: normalised names of tables, and keys of variables: `var x`, `blueprint_var x`, `var gateway`."""

    tables: frozenset[str]
    variables: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """The variables' names, whichever they are of."""
        return frozenset(key.partition(" ")[2] for key in self.variables)


CALLED_WITH = frozenset({"context", "start", "end", "execution_time", "latest", "runtime_stage"})
"""What every function is given; any other parameter is a variable of that name."""

NO_CODE_READS = CodeReads(tables=frozenset(), variables=frozenset())


def code_reads(
    code: ModelCode,
    macros: ProjectMacros,
    *,
    dialect: str,
    variables: Mapping[str, Json],
    blueprint: Mapping[str, str],
    with_tables: bool,
) -> CodeReads:
    """What the code reads; tables only `with_tables`. Raises ModelError at an argument that cannot be computed."""
    context = _Asked(variables, blueprint)
    context.asked |= {f"var {name.lower()}" for name in code.parameters if name not in CALLED_WITH}
    tables: set[str] = set()
    for path, use in code.uses:
        if use.asks == "gateway":
            context.asked.add("var gateway")
        elif use.asks != "table":
            context.asked.add(f"{use.asks} {_argument(use, path, macros, context, code.given).lower()}")
        elif with_tables:
            name = _argument(use, path, macros, context, code.given)
            try:
                tables.add(normalize_name(name, dialect))
            except ModelError as error:
                raise error.located(path=path, line=use.line) from None
    return CodeReads(tables=frozenset(tables), variables=frozenset(context.asked))


class _Asked:
    """What stands for `context` while arguments are computed: it knows variables, and remembers which are asked for."""

    def __init__(self, variables: Mapping[str, Json], blueprint: Mapping[str, str]) -> None:
        self.asked: set[str] = set()
        self._variables = variables
        self._blueprint = blueprint

    def var(self, var_name: str, default: Any = None) -> Any:
        self.asked.add(f"var {var_name.lower()}")
        return self._variables.get(var_name.lower(), default)

    def blueprint_var(self, var_name: str, default: Any = None) -> Any:
        self.asked.add(f"blueprint_var {var_name.lower()}")
        written = self._blueprint.get(var_name.lower())
        return default if written is None else plain_value(written)

    @property
    def gateway(self) -> Any:
        return self.var("gateway")


def _argument(use: ContextUse, path: str, macros: ProjectMacros, context: _Asked, given: Mapping[str, Any]) -> str:
    """The value of an argument, a text."""
    try:
        value = eval(
            compile(use.argument.strip(), path, "eval", dont_inherit=True),
            macros.namespace(path),
            {**given, "context": context},
        )
    except ModelError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        if isinstance(value, str):
            return value
        reason = f"it is {value!r}, no text"
    what = f"context.{'resolve_table' if use.asks == 'table' else use.asks}({use.argument})"
    raise ModelError(
        f"{what} cannot be computed when the project is loaded ({reason})",
        path=path,
        line=use.line,
        hint="write the name as a text"
        + (", or list everything that is read in depends_on=[…]" if use.asks == "table" else ""),
    )


def check_python_kind(kind: HeaderKind) -> None:
    """Refuse kinds whose rows no function can make. Raises ModelError without a place."""
    if isinstance(kind, View | SeedFile | Embedded | External):
        name = "SEED" if isinstance(kind, SeedFile) else kind_name(kind)
        raise ModelError(
            f"a Python model cannot be of kind {name}",
            hint="use FULL or one of the INCREMENTAL kinds; SQL for a view can be given with is_sql=True",
        )


def check_python_model(model: Model) -> None:
    """Refuse a Python model whose table nobody could make. Raises ModelError without a place."""
    if model.columns is None:
        raise ModelError("a Python model needs `columns`", hint='write columns={"name": "TYPE", …}')
    unknown = [column.name for column in model.columns if column.type.upper() == "UNKNOWN"]
    if unknown:
        raise ModelError(f"column {unknown[0]!r} has no type", hint="a Python model tells all types in `columns`")
