"""What a Python macro is given as its first argument: variables, columns, the moment, and SQL as trees."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from isomesh_dagster.dialect.tokens import stock_dialect
from isomesh_dagster.errors import MacroError, UnsupportedError
from isomesh_dagster.macros.arguments import bind
from isomesh_dagster.macros.conditions import evaluate
from isomesh_dagster.macros.opened import opened_files
from isomesh_dagster.macros.values import Fragment, to_sql
from isomesh_dagster.macros.warehouse import ASK_FIRST, NOTHING_BUILT
from isomesh_dagster.relation import Relation

if TYPE_CHECKING:
    from isomesh_dagster.macros.call import Call
    from isomesh_dagster.macros.expander import Expander
    from isomesh_dagster.macros.project import PythonMacro
    from isomesh_dagster.macros.warehouse import SeenSnapshot


class RuntimeStage(Enum):
    """The values of `runtime_stage`, for macros that compare with `RuntimeStage.EVALUATING.value`."""

    LOADING = "loading"
    CREATING = "creating"
    EVALUATING = "evaluating"
    PROMOTING = "promoting"
    AUDITING = "auditing"
    TESTING = "testing"
    BEFORE_ALL = "before_all"
    AFTER_ALL = "after_all"


class MacroEvaluator:
    """The model that calls a macro, at the moment it is rendered for. All that is asked of it is remembered, so that
    the model is rendered again when an answer changes.
    """

    def __init__(self, expander: Expander) -> None:
        self._expander = expander
        self.locals: MutableMapping[str, Any] = _Locals(self)
        """Variables and what `@DEF` defined, by name in any case; and what the macro notes for itself."""

    @property
    def dialect(self) -> str:
        """The dialect of the model."""
        return self._expander.dialect

    # --- variables

    def var(self, name: str, default: Any = None) -> Any:
        """A variable of the configuration."""
        try:
            return self._expander.scope.configured_value(name.lower())
        except KeyError:
            return default

    def blueprint_var(self, name: str, default: Any = None) -> Any:
        """A variable of the model's entry of `blueprints`."""
        if name.lower() not in self._expander.blueprint:
            self._expander.scope.note(name.lower())
            return default
        value = self._expander.scope.given_value(name.lower())
        return self._tree(value) if isinstance(value, Fragment) else value

    @property
    def variables(self) -> dict[str, Any]:
        """All variables of the configuration and of the entry of `blueprints`."""
        of_blueprint = {name: self.blueprint_var(name) for name in self._expander.blueprint}
        configured = self._expander.scope.configured.keys() - {"default_catalog"}
        return {**{name: self.var(name) for name in sorted(configured)}, **of_blueprint}

    @property
    def gateway(self) -> str | None:
        """The chosen gateway."""
        gateway: str | None = self.var("gateway")
        return gateway

    @property
    def default_catalog(self) -> str | None:
        """The gateway's default catalog."""
        catalog: str | None = self._value("default_catalog", None)
        return catalog

    @property
    def runtime_stage(self) -> str:
        """`loading`, `creating`, `evaluating`, `auditing`, `promoting` or `testing`."""
        return str(self._value("runtime_stage", "loading"))

    @property
    def this_model(self) -> str:
        """The relation at hand, as SQL."""
        return str(self._sql("this_model"))

    @property
    def this_model_fqn(self) -> str:
        """The model's own full name in quotes, whatever is being built."""
        name = self._expander.model
        if not name:
            raise MacroError("there is no model here", hint="statements around a plan have none")
        catalog = self.default_catalog
        return Relation.parse(name if catalog is None or name.count(".") != 1 else f"{catalog}.{name}").sql

    @property
    def this_env(self) -> str:
        """The environment, in statements around a plan."""
        return str(self.locals["this_env"])

    @property
    def schemas(self) -> list[str]:
        """The schemas of the environment, in statements around a plan."""
        found: list[str] = self.locals["schemas"]
        return found

    @property
    def views(self) -> list[str]:
        """The views of the environment, in statements around a plan."""
        found: list[str] = self.locals["views"]
        return found

    # --- relations

    def columns_to_types(self, model_name: str | exp.Table | exp.Column) -> dict[str, exp.DataType]:
        """The columns of a model or of a declared table by name, in order. Types nobody declared are estimates.

        Raises MacroError when the columns are not known.
        """
        relation = model_name if isinstance(model_name, str) else model_name.sql(dialect=self.dialect)
        known = self._expander.columns_of(relation)
        return {
            column.name: exp.DataType.build(
                column.type if column.type.upper() != "UNKNOWN" else "unknown", dialect=known.dialect or None, udt=True
            )
            for column in known.columns
        }

    # --- SQL

    def parse_one(self, sql: str | exp.Expr, into: Any = None, **options: Any) -> exp.Expr:
        """The tree of a query or of one expression, in the model's dialect, the macros in it expanded."""
        if isinstance(sql, exp.Expr):
            return sql
        sql = ", ".join(self._expander.pieces(sql)) if "@" in sql else sql
        stock = stock_dialect(self.dialect)
        try:
            found = stock.parse_into(into, sql, **options) if into is not None else stock.parse(sql, **options)
        except SqlglotError as error:
            raise MacroError(f"cannot read `{sql}`: {str(error).partition(chr(10))[0]}") from None
        if not found or found[0] is None:
            raise MacroError("there is no SQL to read")
        return found[0]

    def eval_expression(self, node: Any) -> Any:
        """The Python value of a condition or literal, as `@IF` computes it; what is no expression is itself."""
        return evaluate(node.sql(dialect=self.dialect), self.dialect) if isinstance(node, exp.Expr) else node

    def template(self, text: object, local_variables: Mapping[str, Any] | None = None) -> str:
        """The text with `@x` and `@{x}` replaced by bare values."""
        given = {name.lower(): to_sql(value, self.dialect) for name, value in (local_variables or {}).items()}
        with self._expander.scope.parameters(given):
            return self._expander.scope.template(str(text))

    def send(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """What a macro gives for these arguments: a tree, a list of several, None for nothing."""
        named = [f"{key} := {self._written(value)}" for key, value in kwargs.items()]
        arguments = ", ".join([*map(self._written, args), *named])
        return self._expanded(f"@{name}({arguments})")

    def transform(self, expression: Any) -> Any:
        """The tree with the macros in it expanded: another tree, a list of several, None for nothing."""
        return self._expanded(self._written(expression))

    # --- the warehouse, where the model is built

    @property
    def engine_adapter(self) -> Any:
        """The warehouse: its `dialect`, and `fetchone`, `fetchall`, `fetchdf` where a model is built or tested. Raises
        UnsupportedError while files are read: ask `runtime_stage` first.
        """
        self._expander.scope.note("runtime_stage")  # what it answers is not known before
        if self._expander.warehouse is None:
            raise UnsupportedError(NOTHING_BUILT, hint=ASK_FIRST)
        return self._expander.warehouse.adapter

    def resolve_table(self, name: str | exp.Table) -> str:
        """The relation that a model's rows are in, as SQL; the name itself where nothing is built."""
        self._expander.scope.note("runtime_stage")
        written = name if isinstance(name, str) else name.sql(dialect=self.dialect)
        return written if self._expander.warehouse is None else self._expander.warehouse.table(written)

    def get_snapshot(self, model_name: str | exp.Table) -> SeenSnapshot | None:
        """A model's version: `name`, `version` and `parents` (names and versions); None where nothing is built."""
        self._expander.scope.note("runtime_stage")
        written = model_name if isinstance(model_name, str) else model_name.sql(dialect=self.dialect)
        return None if self._expander.warehouse is None else self._expander.warehouse.snapshot(written)

    # --- inside

    def _value(self, name: str, default: Any) -> Any:
        try:
            value = self._expander.scope.find_value(name.lower())
        except KeyError:
            return default
        return self._tree(value) if isinstance(value, Fragment) else value

    def _expanded(self, text: str) -> Any:
        found = [self._tree(piece) for piece in self._expander.pieces(text)]
        return found if len(found) > 1 else next(iter(found), None)

    def _written(self, value: Any) -> str:
        if not isinstance(value, exp.Expr):
            return to_sql(value, self.dialect)
        # a function of a macro is written `x -> …`, however the dialect writes its own
        return str(value.sql(dialect=None if isinstance(value, exp.Lambda) else self.dialect))

    def _sql(self, name: str) -> str | None:
        return self._expander.scope.find(name)

    def _tree(self, text: str) -> Any:
        return tree(text, self.dialect)


class _Locals(MutableMapping[str, Any]):
    """Names of a model as data; reading one is remembered. What a macro notes in here is its own, for this call."""

    def __init__(self, evaluator: MacroEvaluator) -> None:
        self._evaluator = evaluator
        self._notes: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._notes:
            return self._notes[name]
        if name not in self:
            raise KeyError(name)
        return self._evaluator._value(name, None)

    def __setitem__(self, name: str, value: Any) -> None:
        self._notes[name] = value

    def __delitem__(self, name: str) -> None:
        del self._notes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._notes or (isinstance(name, str) and self._evaluator._expander.scope.knows(name.lower()))

    def __iter__(self) -> Iterator[str]:
        scope = self._evaluator._expander.scope
        return iter(sorted({*scope.variables, *scope.definitions, *self._notes}))

    def __len__(self) -> int:
        return len(list(iter(self)))


def call_python(expander: Expander, call: Call, macro: PythonMacro) -> list[str]:
    """What a Python macro gives in the place of its call."""
    positional = [item for position in range(call.count) for item in _arguments(call, *call.positional[position])]
    named: dict[str, Any] = {}
    for name, span in call.named.items():
        items = _arguments(call, *span)
        named[name] = items[0] if len(items) == 1 else exp.Tuple(expressions=items)
    return _called(expander, call.name, macro, positional, named)


def call_with_values(
    expander: Expander, name: str, macro: PythonMacro, positional: tuple[Any, ...], named: Mapping[str, Any]
) -> list[str]:
    """What a Python macro gives for Python values, as a template has them: they are passed as they are."""
    return _called(expander, name, macro, list(positional), {key.lower(): value for key, value in named.items()})


def _called(
    expander: Expander, name: str, macro: PythonMacro, positional: list[Any], named: Mapping[str, Any]
) -> list[str]:
    evaluator = MacroEvaluator(expander)
    try:
        bound = bind(macro.function, evaluator, positional, _as_spelled(named, macro), expander.dialect)
        with opened_files() as opened:
            result = macro.function(*bound.args, **bound.kwargs)
        macro.opened |= opened
        return list(_pieces(result, expander))
    except MacroError as error:
        error.message = f"@{name}: {error.message}"
        raise
    except UnsupportedError:
        raise
    except Exception as error:
        line = macro.line_of(error)
        place = f" ({macro.path}:{line})" if line is not None else ""
        raise MacroError(f"@{name} failed{place}: {type(error).__name__}: {error}") from error


def _as_spelled(named: Mapping[str, Any], macro: PythonMacro) -> dict[str, Any]:
    """Arguments by the parameters' own spelling: names are compared without case."""
    spelled = {parameter.lower(): parameter for parameter in macro.parameters}
    return {spelled.get(name, name): value for name, value in named.items()}


def _arguments(call: Call, i: int, j: int) -> list[Any]:
    """The expressions that one argument stands for."""
    dialect = call.dialect
    tokens = call.source.tokens
    if tokens[i].text == "[" and call.source.match.get(i) == j - 1:
        return [exp.Array(expressions=[tree(item, dialect) for item in call.expander.collection(call.source, i, j)])]
    if call.function_at(i, j) is not None:
        return [_lambda(call.source.slice(i, j), dialect)]
    return [tree(item, dialect) for item in call.expander.items(call.source, i, j)]


def _lambda(text: str, dialect: str) -> Any:
    found: Any = stock_dialect(dialect).parse(f"SELECT F({text})")[0]
    return found.selects[0].expressions[0]


def tree(text: str, dialect: str) -> Any:
    """The tree of a query or of one expression. Raises MacroError when it cannot be read."""
    stock = stock_dialect(dialect)
    reason = "expected one expression"
    try:
        if _QUERY.match(text):
            return stock.parse(text)[0]
        parsed: Any = stock.parse(f"SELECT {text}")[0]
        is_alone = isinstance(parsed, exp.Select) and not any(parsed.args[key] for key in parsed.args.keys() - _ALONE)
        if is_alone and len(parsed.selects) == 1:
            return parsed.selects[0]
    except SqlglotError as error:
        reason = str(error).partition("\n")[0]
    raise MacroError(f"cannot read the argument `{text}`", hint=reason)


_ALONE = {"expressions"}
_QUERY = re.compile(r"[\s(]*(SELECT|WITH)\b", re.IGNORECASE)


def _text(found: exp.Expr, dialect: str) -> str:
    """The SQL of a tree. Compiled, the SQL library insists on lists and texts where the plain one takes tuples and
    numbers too.
    """
    try:
        return found.sql(dialect=dialect)
    except TypeError:
        _make_strict(found)
        return found.sql(dialect=dialect)


def _make_strict(node: exp.Expr) -> None:
    for key, value in list(node.args.items()):
        if isinstance(value, tuple):
            node.set(key, list(value))
        elif isinstance(node, exp.Literal) and key == "this":
            node.set(key, str(value))
    for child in node.iter_expressions():
        _make_strict(child)


def _pieces(result: Any, expander: Expander) -> Iterator[str]:
    """The SQL that a macro's result is: nothing, one piece or several; macros in it are expanded."""
    if result is None:
        return
    if isinstance(result, list | tuple):
        for item in result:
            yield from _pieces(item, expander)
        return
    if isinstance(result, exp.Expr):
        text = _text(result, expander.dialect)
    elif isinstance(result, str):
        text = result.rstrip().rstrip(";")  # people end a query they write so
    elif isinstance(result, bool | int | float):
        text = to_sql(result, expander.dialect)
    else:
        raise MacroError(
            f"returned a {type(result).__name__}", hint="return SQL text, an expression, a list of these, or None"
        )
    yield from expander.pieces(text)
