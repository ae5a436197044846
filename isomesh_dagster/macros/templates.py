"""Jinja in models: a block between `JINJA_QUERY_BEGIN;` (or `JINJA_STATEMENT_BEGIN;`) and `JINJA_END;`.

In: the text of the block, and the expander of the model. Out: SQL, in which macros may still stand. Templates run in
Jinja's sandbox. A name that is not defined is an error. What a template mentions counts as read, whichever branch is
taken; macros from `macros/*.sql` are called by their names, those written in Python too.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from isomesh_dagster.errors import IsomeshError, MacroError
from isomesh_dagster.macros.values import Fragment, Variable, to_name
from isomesh_dagster.macros.variables import RANGE_VARIABLES, RUNTIME_VARIABLES, TIME_VARIABLES

if TYPE_CHECKING:
    from isomesh_dagster.macros.expander import Expander
    from isomesh_dagster.macros.project import ProjectMacros

_BLOCK = re.compile(r"\s*JINJA_(?:QUERY|STATEMENT)_BEGIN\s*;[^\S\n]*\n?(.*?)\s*JINJA_END\s*;?\s*\Z", re.DOTALL | re.I)
_WORD = re.compile(r"[A-Za-z_]\w*")
_VARIABLE = re.compile(r"\b(?:blueprint_)?var\s*\(\s*['\"](\w+)")
_QUOTED = re.compile(r"'([^']*)'")

# names besides those of time that a template may use as they are
_PLAIN = frozenset(
    {"runtime_stage", "this_model", "model_kind_name", "default_catalog", "this_env", "schemas", "views"}
)


def block_content(text: str) -> str | None:
    """The template in a block; None for text that is none."""
    found = _BLOCK.match(text) if text.lstrip()[:6].upper() == "JINJA_" else None
    return found[1] if found is not None else None


def render_template(text: str, expander: Expander, macros: ProjectMacros) -> str:
    """The SQL that a template gives. Raises MacroError; its line is counted in the template."""
    import jinja2

    with expander.scope.call(text):
        _note(text, expander, macros)
        environment = _environment(expander, macros)
        try:
            return str(environment.from_string(text).render())
        except jinja2.UndefinedError as error:
            raise _undefined(error) from None
        except jinja2.TemplateSyntaxError as error:
            raise MacroError(f"Jinja: {error.message}", line=error.lineno) from None
        except IsomeshError:
            raise
        except Exception as error:
            raise MacroError(f"Jinja: {type(error).__name__}: {error}", line=_line(error)) from error


def _undefined(error: Exception) -> MacroError:
    """What is told of a name that the template has not; `start_ds` and its like are there only for some kinds."""
    named = _QUOTED.search(str(error))
    if named is not None and (name := named[1]) in RANGE_VARIABLES:
        message = f"the query of kind FULL or VIEW has no range, so there is no {name}"
        hint = f"use execution_{name.split('_', 1)[1]}"
    else:
        message, hint = str(error), "variables are read by {{ var('name') }}"
    return MacroError(f"Jinja: {message}", line=_line(error), hint=hint)


def _line(error: BaseException) -> int | None:
    """The line of the template at which an error happened."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
            break
        trace = trace.tb_next
    return line


def _note(text: str, expander: Expander, macros: ProjectMacros) -> None:
    """Records all that a template, and the macros it mentions, may read."""
    words = set(_WORD.findall(text))
    for name in words & macros.templates.keys():
        expander.scope.note_fact(macros.template_key(name))
    for name in {word.lower() for word in words} & macros.names:
        expander.scope.note_fact(macros.key(name))
    for piece in (text, *macros.template_reach(words)):
        for name in _VARIABLE.findall(piece):
            expander.scope.note(name.lower())
        for name in RUNTIME_VARIABLES.intersection(_WORD.findall(piece)):
            expander.scope.note(name)


def _environment(expander: Expander, macros: ProjectMacros) -> Any:
    import jinja2
    from jinja2.runtime import Context
    from jinja2.sandbox import SandboxedEnvironment

    names = _Names(expander, macros)

    class TemplateContext(Context):
        """Asks for a name that the template does not set itself."""

        def resolve_or_missing(self, key: str) -> Any:
            found = super().resolve_or_missing(key)
            return names.find(key, found) if found is jinja2.utils.missing else found

    environment = SandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        autoescape=False,
    )
    environment.context_class = TemplateContext
    environment.filters["b64encode"] = lambda value: base64.b64encode(_bytes(value)).decode("ascii")
    environment.filters["b64decode"] = lambda value: base64.b64decode(_bytes(value)).decode("utf-8")
    environment.globals.update(var=names.var, blueprint_var=names.blueprint_var)
    names.load = lambda source, name: getattr(environment.from_string(source).module, name)
    return environment


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


class _Gateway(str):
    """The gateway's name, as `{{ gateway }}` and as `{{ gateway() }}`."""

    __slots__ = ()

    def __call__(self) -> str:
        return str(self)


class _Names:
    """What names of a template mean besides its own."""

    load: Callable[[str, str], Any]

    def __init__(self, expander: Expander, macros: ProjectMacros) -> None:
        self._expander = expander
        self._macros = macros
        self._loaded: dict[str, Any] = {}

    def find(self, name: str, missing: object) -> Any:
        """The value of a name; `missing` when it has none."""
        if name in self._loaded:
            return self._loaded[name]
        value = missing
        if name == "gateway":
            value = _Gateway(self._value("gateway", ""))
        elif name in TIME_VARIABLES or name in _PLAIN or name in self._expander.arguments:
            value = self._value(name, missing)
        elif name in self._macros.templates:
            self._expander.check_macro(self._macros.template_key(name), name)
            value = self.load(self._macros.templates[name].source, name)
        elif name.lower() in self._macros.names:
            value = self._python(name.lower())
        elif (lost := self._expander.lost_macro(name)) is not None:
            raise lost
        self._loaded[name] = value
        return value

    def var(self, name: str, default: Any = None) -> Any:
        """A variable of the configuration."""
        try:
            return self._expander.scope.configured_value(name.lower())
        except KeyError:
            return default

    def blueprint_var(self, name: str, default: Any = None) -> Any:
        """A variable of the entry of `blueprints`, as SQL."""
        if name.lower() not in self._expander.blueprint:
            self._expander.scope.note(name.lower())
            return default
        return str(self._expander.scope.given_value(name.lower()))

    def _value(self, name: str, default: Any) -> Any:
        try:
            return self._plain(name, self._expander.scope.find_value(name))
        except KeyError:
            return default

    def _plain(self, name: str, value: Variable) -> Any:
        if not isinstance(value, Fragment):
            return value
        form = name.rpartition("_")[2] if name in TIME_VARIABLES else ""
        quoted = _QUOTED.search(value)
        if quoted is not None and form in ("dt", "dtntz"):
            return datetime.fromisoformat(quoted[1])
        if quoted is not None and form == "date":
            return date.fromisoformat(quoted[1])
        is_sql = name in _PLAIN or name in self._expander.arguments
        return str(value) if is_sql else to_name(value, self._expander.dialect)

    def _python(self, name: str) -> Callable[..., str]:
        from isomesh_dagster.macros.evaluator import call_with_values

        def call(*arguments: Any, **named: Any) -> str:
            self._expander.check_macro(self._macros.key(name), name)
            return ", ".join(call_with_values(self._expander, name, self._macros.python(name), arguments, named))

        return call
