"""Python models: a file of `models/` whose functions make rows, or give the SQL of a model.

In: the text of one file and a `ParseContext`. Out: values, as for SQL files. The file's module is run to learn what its
decorators were given; no function of a model is.
"""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from typing import Any

from isomesh_dagster.dialect.header import Block, Definition, Statement
from isomesh_dagster.errors import IsomeshError, ModelError
from isomesh_dagster.macros.outline import ModelFunction, sql_model_macro
from isomesh_dagster.macros.project import given_values, module_key
from isomesh_dagster.macros.python_models import MARK, ModelMark
from isomesh_dagster.model.context import ParseContext, Reads
from isomesh_dagster.model.parse import ParsedFile, parse_definition
from isomesh_dagster.model.python_code import ModelCode
from isomesh_dagster.model.python_header import STATEMENTS, properties, statements
from isomesh_dagster.model.statements import Statements


def parse_python(text: str, path: str, context: ParseContext) -> ParsedFile:
    """The models of a Python file at `path` (relative to the root, posix); none when no function is decorated.

    Raises ModelError (or its kinds) with path and line, ConfigError when the module cannot be run.
    """
    parsed = [
        _PythonModel(text, path, context, found, made).parse()
        for found in context.macros.model_functions(path)
        for made in (context.macros.made(path, found) if found.within else [None])
    ]
    models = [model for one in parsed for model in one.models]
    again = next((model for k, model in enumerate(models) if model.name in {other.name for other in models[:k]}), None)
    if again is not None:
        raise ModelError("two functions of the file are this model", path=path, line=again.line, model=again.name)
    found = {field.name: {name for one in parsed for name in getattr(one.reads, field.name)} for field in fields(Reads)}
    found["macros"].add(module_key(path))
    found["seeds"].update(context.macros.opened([module_key(path)]))
    awaiting = {name for one in parsed for name in one.awaiting}
    return ParsedFile(
        models=() if awaiting else tuple(models),
        reads=Reads(**{key: tuple(sorted(names)) for key, names in found.items()}),
        names=tuple(name for one in parsed for name in one.names),
        awaiting=tuple(sorted(awaiting)),
    )


class _PythonModel:
    """One decorated function, and its decorator as a header; `made` is the function where another one made it."""

    def __init__(self, text: str, path: str, context: ParseContext, found: ModelFunction, made: Any = None) -> None:
        self.text = text
        self.path = path
        self.context = context
        self.found = found
        self.made = made

    def parse(self) -> ParsedFile:
        try:
            mark = self._mark()
            given = mark.properties
            lines, node = self._lines()
            line = self.found.line
            dialect = str(given.get("dialect") or self.context.dialect)
            header = properties(given, lines, line, dialect)
            block = Block(keyword="MODEL", properties=header, line=line)
            definition = Definition(block=block, dialect=dialect, statements=())
            pre, post, update = (
                tuple(statements(key, given.get(key), lines.get(key, line), dialect)) for key in STATEMENTS
            )
            around = Statements(pre=pre, post=post, virtual_update=update)
            if mark.is_sql:
                macro = sql_model_macro(self.path, self.found.function)
                written = replace(around, query=Statement(text=f"@{macro}()", line=node.lineno))
                return parse_definition(definition, self.text, self.path, self.context, written)
            function = self.found.function
            if self.made is not None:
                if "name" not in given:
                    raise ModelError(
                        "a model that a function makes needs a name", hint='write @model(f"schema.{…}", …)'
                    )
                function = f"{function} of {given['name']}"
            code = ModelCode(
                function=function,
                digest=self.context.macros.function_digest(self.path, function) or "",
                source=ast.get_source_segment(self.text, node) or "",
                uses=self.context.macros.context_uses(self.path, function),
                given={} if self.made is None else given_values(self.made),
                parameters=tuple(one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)),
            )
            return parse_definition(definition, self.text, self.path, self.context, around, code)
        except IsomeshError as error:
            raise error.located(path=self.path, line=self.found.line) from None

    def _mark(self) -> ModelMark:
        function: Any = self.made or self.context.macros.function(self.path, self.found.function)
        marks: tuple[ModelMark, ...] = getattr(function, MARK, ())
        if len(marks) != 1:
            raise ModelError(
                f"`{self.found.function}` is not one model: it is marked {len(marks)} times",
                hint="write @model(…) once, above all other decorators; several models with blueprints=[{…}, {…}]",
            )
        return marks[0]

    def _is_at_line(self, node: ast.AST) -> bool:
        return any(one.lineno == self.found.line for one in getattr(node, "decorator_list", ()))

    def _lines(self) -> tuple[dict[str, int], ast.FunctionDef]:
        """The lines of the decorator's arguments, and the function without its decorators."""
        tree = ast.parse(self.text)
        among = tree.body if self.made is None else [one for one in ast.walk(tree) if self._is_at_line(one)]
        node = [one for one in among if isinstance(one, ast.FunctionDef) and one.name == self.found.function][-1]
        lines: dict[str, int] = {}
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and decorator.lineno == self.found.line:
                lines = {item.arg: item.lineno for item in decorator.keywords if item.arg is not None}
                if decorator.args:
                    lines["name"] = decorator.args[0].lineno
        return lines, node
