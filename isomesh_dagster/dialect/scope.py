"""What names mean at one place of a query, for the walk in `lineage`: sources, CTEs, windows, output columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from sqlglot import exp

from isomesh_dagster.dialect.summary import ALL, ColumnSummary, Opaque, Reads, Summary


class Table:
    """A table known by name. As all sources it tells the fingerprint and the reads of a column, and of a whole row."""

    def __init__(self, name: str) -> None:
        self.name = name

    def column(self, name: str) -> tuple[str, Reads]:
        """The column as a value."""
        return f"c{(self.name, name)!r}", frozenset({(self.name, name)})

    def row(self) -> tuple[str, Reads]:
        """All columns as one value."""
        return f"row {self.name!r}", frozenset({(self.name, ALL)})


class Derived:
    """A CTE or subquery."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary

    def column(self, name: str) -> tuple[str, Reads]:
        """The column as a value; Opaque when there is none of that name."""
        found = self.summary.columns.get(name)
        if found is None:
            raise Opaque(f"unknown column {name}")
        return found.fingerprint, found.reads

    def row(self) -> tuple[str, Reads]:
        """All columns as one value."""
        parts = [name + column.fingerprint for name, column in self.summary.columns.items()]
        return fingerprint("row", self.summary.rows, *parts), self.summary.reads


class Computed:
    """Rows made by an expression (UNNEST, VALUES, PIVOT, a table function): a column may depend on all of it."""

    def __init__(self, fingerprint: str, reads: Reads) -> None:
        self.fingerprint = fingerprint
        self.reads = reads

    def column(self, name: str) -> tuple[str, Reads]:
        """The column as a value."""
        return fingerprint("computed", self.fingerprint, name), self.reads

    def row(self) -> tuple[str, Reads]:
        """All columns as one value."""
        return fingerprint("row", self.fingerprint), self.reads


Source = Table | Derived | Computed


@dataclass
class Scope:
    """What names mean at one place. `outputs` are the columns of the SELECT, which its ORDER BY may name."""

    sources: dict[str, Source] = field(default_factory=dict)
    ctes: dict[str, Summary] = field(default_factory=dict)
    windows: dict[str, exp.Expr] = field(default_factory=dict)
    outputs: dict[str, ColumnSummary] = field(default_factory=dict)

    def inner(self) -> Scope:
        """For a query inside: it sees the sources around it (correlation) and the CTEs, not windows and outputs."""
        return Scope(sources=dict(self.sources), ctes=dict(self.ctes))


def renamed(summary: Summary, alias: exp.Expr | None) -> Summary:
    """The summary with the column names of `AS q(a, b)`."""
    given = [column.name for column in (alias.args.get("columns") or ())] if alias is not None else []
    if not given:
        return summary
    names = given + list(summary.columns)[len(given) :]
    if len(names) != len(summary.columns) or len(set(names)) != len(names):
        raise Opaque("the column names of an alias do not fit")
    columns = dict(zip(names, summary.columns.values(), strict=True))
    return Summary(columns=columns, rows=summary.rows, row_reads=summary.row_reads)


def fingerprint(*parts: str) -> str:
    """A digest of the parts; where one ends and the next begins matters."""
    return blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
