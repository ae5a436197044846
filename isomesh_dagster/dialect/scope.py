"""What names mean at one place of a query, for the walk in `lineage`: sources, CTEs, windows, output columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """Rows made by an expression (UNNEST, VALUES, PIVOT, a table function): a column may depend on all of it.

    `names` are the columns' names where the query gives them; such a column is known by its position.
    """

    def __init__(self, fingerprint: str, reads: Reads, names: Sequence[str] = ()) -> None:
        self.fingerprint = fingerprint
        self.reads = reads
        self.names = list(names)

    def column(self, name: str) -> tuple[str, Reads]:
        """The column as a value."""
        which = f"no. {self.names.index(name)}" if name in self.names else name
        return fingerprint("computed", self.fingerprint, which), self.reads

    def row(self) -> tuple[str, Reads]:
        """All columns as one value."""
        return fingerprint("row", self.fingerprint), self.reads


Source = Table | Derived | Computed


@dataclass
class Scope:
    """What names mean at one place.

    sources  by alias, those of queries around this one included
    places   by alias: what tells the source's values from those of others at hand; "" when there is nothing to tell
    before   the rows of all sources at hand, in order
    windows  named windows
    outputs  the columns of the SELECT, which its ORDER BY may name
    level    the rows that aggregates and windows are computed over
    around   the scope this one is in: what a subquery in FROM sees
    """

    sources: dict[str, Source] = field(default_factory=dict)
    ctes: dict[str, Summary] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    windows: dict[str, exp.Expr] = field(default_factory=dict)
    outputs: dict[str, ColumnSummary] = field(default_factory=dict)
    level: str = ""
    around: Scope | None = None

    def inner(self) -> Scope:
        """For a query inside: it sees the sources around it (correlation) and the CTEs, not windows and outputs."""
        return Scope(
            sources=dict(self.sources),
            ctes=dict(self.ctes),
            places=dict(self.places),
            before=list(self.before),
            around=self,
        )

    def add(self, names: Iterable[str], source: Source, rows: str, *, optional: bool) -> None:
        """A further source under these names, and its rows. `optional`: a join may put NULL in the place of its row.

        One table may be at hand twice, and what is computed in a subquery is not computed again where its row is
        missing: so only the values of the one source that always has a row are what they are by themselves.
        """
        place = fingerprint("at", *self.before) if self.before else "optional" if optional else ""
        for name in names:
            self.sources[name] = source
            self.places[name] = place
        self.before.append(rows)

    def column(self, alias: str, name: str) -> tuple[str, Reads]:
        """The column of a source as a value. Raises Opaque when there is none."""
        return self._placed(alias, self._source(alias, name).column(name))

    def row(self, alias: str) -> tuple[str, Reads]:
        """All columns of a source as one value. Raises Opaque when there is no such source."""
        return self._placed(alias, self._source(alias, alias).row())

    def values(self, name: str) -> set[str]:
        """The fingerprints of all columns of that name."""
        has_it = {
            alias
            for alias, source in self.sources.items()
            if not isinstance(source, Derived) or name in source.summary.columns
        }
        return {self.column(alias, name)[0] for alias in has_it}

    def _source(self, alias: str, name: str) -> Source:
        if alias not in self.sources:
            told = name if alias == name else f"{alias}.{name}"
            raise Opaque(f"cannot tell which table {told} belongs to")
        return self.sources[alias]

    def _placed(self, alias: str, value: tuple[str, Reads]) -> tuple[str, Reads]:
        place = self.places.get(alias)
        return (fingerprint(place, value[0]), value[1]) if place else value


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
