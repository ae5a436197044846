"""Where something lives in a warehouse, its columns, and where a query mentions it: ground values without a room."""

from __future__ import annotations

from dataclasses import dataclass


def quote(identifier: str) -> str:
    """The identifier in double quotes, inner quotes doubled: the one way names reach SQL on our engines."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a string literal, inner quotes doubled: how it reaches SQL where no parameter can stand."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Relation:
    """A table or view. `catalog` None means the gateway's default catalog."""

    schema: str
    name: str
    catalog: str | None = None

    @classmethod
    def parse(cls, dotted: str) -> Relation:
        """From `name`, `schema.name` or `catalog.schema.name`, already normalised and unquoted.

        A one-part name lives in the schema `default`, as the model format has it.
        """
        parts = dotted.split(".")
        if len(parts) == 1:
            return cls(schema="default", name=parts[0])
        if len(parts) == 2:
            return cls(schema=parts[0], name=parts[1])
        if len(parts) == 3:
            return cls(catalog=parts[0], schema=parts[1], name=parts[2])
        raise ValueError(f"not a relation: {dotted!r}")

    @property
    def sql(self) -> str:
        """Quoted, for SQL text."""
        return ".".join(quote(part) for part in (self.catalog, self.schema, self.name) if part is not None)

    def __str__(self) -> str:
        return ".".join(part for part in (self.catalog, self.schema, self.name) if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: normalised name, type as SQL text of the model's dialect ("UNKNOWN" when not known), description."""

    name: str
    type: str = "UNKNOWN"
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange:
    """One change of a table's columns. `type` is the column's afterwards, `was` before, both in the engine's spelling;
    `was` None: it is added, `type` None: it is dropped.
    """

    name: str
    type: str | None
    was: str | None

    def __str__(self) -> str:
        if self.was is None:
            return f"ADD COLUMN {self.name} {self.type}"
        if self.type is None:
            return f"DROP COLUMN {self.name} {self.was}"
        return f"ALTER COLUMN {self.name} {self.was} → {self.type}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownColumns:
    """The columns of a relation as far as text tells, in order; types are SQL text of `dialect`.

    `is_declared` tells whether an author wrote the types down; else they are an estimate that nothing may be cast to.
    """

    columns: tuple[Column, ...]
    dialect: str = ""
    is_declared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One mention of a table in a rendered query: characters `[start, end)` of the text, and the normalised name meant.

    `alias_needed` is the last part of the name, quoted, when the mention has no alias of its own, so that columns
    qualified with it still resolve after the name was replaced by a physical one; None when it has an alias. `by_text`
    is False when replacing these characters is not enough (columns are qualified by the schema too, say):
    `dialect.query.splice` then generates the query anew from its tree.
    """

    start: int
    end: int
    name: str
    alias_needed: str | None = None
    by_text: bool = True
