"""A model's file as a value.

In: the text of one file and a `ParseContext` (one gateway's settings as far as they matter). Out: values, and what was
read to make them, so that a cache can tell when they are out of date. Pure: a seed's bytes come through the context.
Every error tells the file, the line and the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from isomesh_dagster.dialect.header import Block, Definition, Property, parse_file
from isomesh_dagster.errors import IsomeshError, ModelError, UnsupportedError
from isomesh_dagster.model.audit_blocks import audit_definition
from isomesh_dagster.model.audits import AuditDefinition
from isomesh_dagster.model.blueprints import Blueprint, read_blueprints
from isomesh_dagster.model.context import ParseContext, Reads
from isomesh_dagster.model.entry import Entry, in_order
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.python_code import (
    ModelCode,
)
from isomesh_dagster.model.statements import Statements

_READS = tuple(field.name for field in fields(Reads))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """What a file of `models/` says: one model, one for each entry of its `blueprints`, or none that is `enabled`.

    When its macros ask for columns that the context does not have (yet), there are no models: `awaiting` are the
    relations, and `names` are what the models will be called. Parse it again when the columns are known.
    """

    models: tuple[Model, ...]
    reads: Reads
    names: tuple[str, ...] = ()
    awaiting: tuple[str, ...] = ()


def parse_model(text: str, path: str, context: ParseContext) -> ParsedFile:
    """The models in the text of a file at `path` (relative to the root, posix).

    Raises ModelError (or its kinds) with path and line; ConfigError when one of `model_defaults` is wrong.
    """
    try:
        return _ModelFile(text, path, context).parse()
    except ModelError as error:
        raise error.located(path=path) from None


def parse_definition(
    definition: Definition,
    text: str,
    path: str,
    context: ParseContext,
    statements: Statements,
    code: ModelCode | None = None,
) -> ParsedFile:
    """The models of one definition that is read already, its statements too; `code` makes the rows where no query
    does.
    """
    return _ModelFile(text, path, context, statements, code).models_of(definition, {})


# --- one model file


class _ModelFile:
    """A file: its blocks, and the models its entries make."""

    def __init__(
        self,
        text: str,
        path: str,
        context: ParseContext,
        statements: Statements | None = None,
        code: ModelCode | None = None,
    ) -> None:
        self.text = text
        self.path = path
        self.context = context
        self.statements = statements
        self.code = code

    def parse(self) -> ParsedFile:
        return self.models_of(*self._definitions())

    def models_of(self, definition: Definition, inline: Mapping[str, AuditDefinition]) -> ParsedFile:
        block = definition.block
        if block is None and self.context.infer_names and definition.statements:
            block = Block(keyword="MODEL", properties=(), line=1)
            definition = replace(definition, block=block)
        if block is None:
            raise ModelError("there is no MODEL (…) block", line=1, hint="begin the file with MODEL (name …);")
        given = block.get("blueprints")
        first = self._entry(definition, inline, {})
        entries: tuple[Blueprint, ...] = ()
        if given is not None:
            entries = read_blueprints(given, definition.dialect, first.expander)
            others = tuple(item for item in block.properties if item is not given)
            definition = replace(definition, block=replace(block, properties=others))
        parsed = [self._entry(definition, inline, entry).parse() for entry in entries or ({},)]
        self._check_names([one.name for one in parsed if one.name is not None], given)
        reads = [*(one.reads for one in parsed), Reads(variables=in_order(first.expander.used_variables))]
        awaiting = set().union(first.awaiting, *(one.awaiting for one in parsed))
        return ParsedFile(
            models=() if awaiting else tuple(one.model for one in parsed if one.model is not None),
            reads=Reads(**{key: in_order({name for one in reads for name in getattr(one, key)}) for key in _READS}),
            names=tuple(one.name for one in parsed if one.name is not None),
            awaiting=in_order(awaiting),
        )

    def _entry(self, definition: Definition, inline: Mapping[str, AuditDefinition], blueprint: Blueprint) -> Entry:
        return Entry(
            self.path,
            self.context,
            definition,
            blueprint,
            inline=inline,
            statements=self.statements,
            code=self.code,
        )

    def _check_names(self, names: list[str], given: Property | None) -> None:
        """Every entry of `blueprints` makes a model of its own name."""
        again = next((name for k, name in enumerate(names) if name in names[:k]), None)
        if again is not None:
            raise ModelError(
                f"two entries of `blueprints` make the model {again}",
                line=given.line if given is not None else None,
                hint="use a variable of the entries in the name, as in `name sales.@{customer}`",
            )

    def _definitions(self) -> tuple[Definition, dict[str, AuditDefinition]]:
        first, *others = parse_file(self.text, self.context.dialect, self.path)
        if first.block is not None and first.block.keyword != "MODEL":
            raise _misplaced(first.block.keyword, first.block.line)
        inline: dict[str, AuditDefinition] = {}
        for other in others:
            assert other.block is not None  # only a file without any block has a definition without one
            if other.block.keyword == "MODEL":
                raise ModelError(
                    "a file holds one model, this is the second",
                    line=other.block.line,
                    hint="give it a file of its own",
                )
            if other.block.keyword != "AUDIT":
                raise _misplaced(other.block.keyword, other.block.line)
            audit = audit_definition(other, self.path)
            if audit.name.lower() in inline:
                raise ModelError(f"audit {audit.name!r} is defined twice", line=other.block.line)
            inline[audit.name.lower()] = audit
        return first, inline


def _misplaced(keyword: str, line: int) -> IsomeshError:
    if keyword == "METRIC":
        return UnsupportedError("metrics are not supported", line=line, hint="compute it in a model")
    return ModelError(f"{keyword} (…) comes before MODEL (…)", line=line, hint="begin the file with MODEL (name …);")
