"""What is doubtful in a query that runs: stars, columns that do not resolve, output columns without a name.

Facts only; whether one of them is an error is for lint rules to say. Lines count from 1 in the text given; None where
the text does not tell. The work on trees is in `doubts`, imported when first used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isomesh_dagster.relation import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One doubtful thing, in words, and its line."""

    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFindings:
    """What is doubtful in one query.

    star        its output columns are not all named: a star stands among them
    unexpanded  the columns that such a star stands for cannot be told
    unresolved  a column that no table has, or several have; looked for only when the columns of all tables are known
    unnamed     an output column without a name, or with that of another one
    """

    star: Finding | None = None
    unexpanded: Finding | None = None
    unresolved: Finding | None = None
    unnamed: Finding | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data; what was not found is left out."""
        found = {name: getattr(self, name) for name in ("star", "unexpanded", "unresolved", "unnamed")}
        return {name: [one.text, one.line] for name, one in found.items() if one is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> QueryFindings:
        """The findings that `to_json` encoded."""
        return cls(**{name: Finding(text=text, line=line) for name, (text, line) in data.items()})


def query_findings(sql: str, dialect: str, schema: Mapping[str, Sequence[Column]]) -> QueryFindings:
    """What is doubtful in the one query in `sql`; `schema` has the columns of the tables it reads, as far as known.

    Never raises: there are no findings in what nothing can be told about.
    """
    from isomesh_dagster.dialect import doubts

    return doubts.query_findings(sql, dialect, schema)
