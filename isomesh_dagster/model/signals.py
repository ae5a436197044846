"""Signals: what must be ready before an interval of a model is built, as the model's header names it.

In: the uses as written, and the project's Python. Out: the calls that will be asked, with the digest of their code. The
functions themselves run when something is to be built (`evaluation/signals.py`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.audits import AuditUse
from isomesh_dagster.model.model import SignalCall
from isomesh_dagster.model.names import nearest

if TYPE_CHECKING:
    from isomesh_dagster.macros.outline import SignalFunction
    from isomesh_dagster.macros.project import ProjectMacros

BUILT_IN = frozenset({"freshness"})
"""Signals of the model format. `freshness` holds a model back until a table it reads has changed; the warehouses there
are do not tell when a table last changed, and then it is always ready.
"""

OFFERED = ("context", "snapshot", "execution_time")
"""What a signal is given besides the intervals and its arguments, by name, if it takes it."""

_MENTION = re.compile(r"@(?:blueprint_)?var\s*\(\s*'(\w+)'|@\{?\s*([a-z_]\w*)\b(?!\s*\()", re.IGNORECASE)


def resolve(uses: Iterable[AuditUse], macros: ProjectMacros) -> tuple[SignalCall, ...]:
    """The calls that will be asked, in order.

    Raises ModelError for an unknown signal, an unknown argument or a missing one.
    """
    calls: dict[str, SignalCall] = {}
    for use in uses:
        name = use.name.lower()
        if name in calls:
            raise ModelError(f"signal {use.name!r} is named twice", hint="keep one")
        known = macros.signals.get(name)
        if known is not None:
            _check_arguments(use, known)
        elif name not in BUILT_IN:
            raise ModelError(
                f"unknown signal {use.name!r}",
                hint=nearest(name, [*macros.signals, *BUILT_IN]) or "write a function with @signal() into signals/",
            )
        elif use.arguments:
            raise ModelError(f"signal {use.name!r} takes no arguments", hint=f"write {use.name}")
        if known is None:
            calls[name] = SignalCall(name=name)
            continue
        calls[name] = SignalCall(
            name=name,
            arguments=dict(use.arguments),
            code=macros.digests[f"signal {name}"],
            reads=tuple(sorted(_asked(known, macros))),
        )
    return tuple(calls.values())


def _check_arguments(use: AuditUse, known: SignalFunction) -> None:
    listed = [one for one in known.parameters if one not in OFFERED]
    folded = {name.lower() for name in listed}
    for name in use.arguments:
        if name not in folded and not known.takes_any:
            raise ModelError(
                f"signal {use.name!r} has no argument {name!r}",
                hint=nearest(name, listed) or (f"it takes {', '.join(listed)}" if listed else "it takes no arguments"),
            )
    missing = [name for name in known.required if name.lower() not in use.arguments and name not in OFFERED]
    if missing:
        raise ModelError(
            f"signal {use.name!r} needs {', '.join(map(repr, missing))}",
            hint=f"write {use.name}({', '.join(f'{name} := …' for name in missing)})",
        )


def signal_variables(calls: Iterable[SignalCall]) -> set[str]:
    """Names of the variables that the calls' arguments mention, and those that the functions ask their context for."""
    names: set[str] = set()
    for call in calls:
        names.update(call.reads)
        for text in call.arguments.values():
            names |= {(found[1] or found[2]).lower() for found in _MENTION.finditer(text)} if "@" in text else set()
    return names


def _asked(known: SignalFunction, macros: ProjectMacros) -> set[str]:
    uses = macros.context_uses(known.path, known.function)
    return {_literal(path, use.line, use.argument) for path, use in uses if use.asks in ("var", "blueprint_var")}


def _literal(path: str, line: int, argument: str) -> str:
    try:
        return str(ast.literal_eval(argument)).lower()
    except (ValueError, SyntaxError):
        raise ModelError(
            f"`{argument}` is not the name of a variable, written as a text",
            path=path,
            line=line,
            hint='write context.var("name"): what is read is found in the text of the code',
        ) from None
