"""What a query reads and returns, and the same query over other tables: text and plain values in, the same out.

Positions count characters of the text given. Names are normalised as the dialect does it, joined by dots, without
quotes and without the default catalog; a mention that no model can be named by (a file, a stage, a function, a part
with a dot in it, more than three parts) is left alone. Errors carry a line and a column, both from 1, relative to the
text.

The work on syntax trees is in `facts`, `statements`, `rewrite` and `qualified`, imported when first used: a warm start
needs no SQL library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from isomesh_dagster.dialect.canonical import tokenize
from isomesh_dagster.errors import ModelError, UnsupportedError
from isomesh_dagster.relation import Column, Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFacts:
    """What one query tells about itself without knowing any table.

    references  every mention of a table, in the order of the text; a name that means a CTE is not one
    depends_on  the names mentioned, sorted, each once
    has_star    whether a column added to a table it reads can change its result without a word of it changing: a star
                (`*`, `t.*`, `COLUMNS(…)`) over such a table, a whole row as a value, NATURAL JOIN, PIVOT. `COUNT(*)`,
                `EXISTS (SELECT * …)` and a star over CTEs or subqueries alone are none
    output      the names of its columns in order, when all are known from the text; else None
    comments    what its author wrote behind the columns of the (first) SELECT, by column name
    """

    references: tuple[Reference, ...]
    depends_on: tuple[str, ...]
    has_star: bool
    output: tuple[str, ...] | None
    comments: Mapping[str, str] = field(default_factory=dict)


def normalize_name(name: str | Sequence[str], dialect: str) -> str:
    """The name as models are known by: normalised parts joined by dots, unquoted.

    `name` is SQL text such as `Db.T`, `"Db"."T"` or `` `project.db.t` ``, or its one to three parts, each written the
    same way. Raises ModelError when it is not a table name or a part contains a dot.
    """
    from isomesh_dagster.dialect import rewrite

    return rewrite.normalize_name(name if isinstance(name, str) else ".".join(name), dialect)


def analyse(sql: str, dialect: str, *, default_catalog: str | None = None) -> QueryFacts:
    """The facts of the one query in `sql`.

    Raises ModelError for text that does not parse, holds no or several statements, or anything but a query: DML, DDL,
    COPY, SET, a command, a CTE that deletes, SELECT INTO.
    """
    from isomesh_dagster.dialect import facts

    return facts.analyse(sql, dialect, default_catalog)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementFacts:
    """What any one statement tells about tables.

    references  every mention, in the order of the text, also of what is written, dropped or granted
    reads       the names it reads rows of, sorted
    writes      all other names mentioned, sorted: made, written, altered, granted
    """

    references: tuple[Reference, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


def statement_facts(sql: str, dialect: str, *, default_catalog: str | None = None) -> StatementFacts:
    """The tables that a statement of any kind mentions. Never raises for what the SQL library does not understand:
    there a name is what is written as `schema.table`, and taken as written to.
    """
    from isomesh_dagster.dialect import statements

    return statements.facts(sql, dialect, default_catalog)


def found_again(sql: str, dialect: str, references: Sequence[Reference], before: str) -> tuple[Reference, ...] | None:
    """The references of `before` where they are in `sql`, when nothing but the contents of strings tells the two apart,
    as of one query rendered for two days; None when anything else may. Nothing is parsed.
    """
    if sql == before:
        return tuple(references)
    if dialect not in _PLAIN_STRINGS or any(mark in sql or mark in before for mark in _OTHER_QUOTES):
        return None
    old, new = ([found.span() for found in _STRINGS.finditer(text) if found["text"]] for text in (before, sql))
    if len(old) != len(new):
        return None
    moves: list[tuple[int, int]] = []  # behind this place of the old text everything is so much further on
    then = now = 0
    for (start, end), (starts, ends) in zip((*old, (len(before),) * 2), (*new, (len(sql),) * 2), strict=True):
        if before[then:start] != sql[now:starts]:
            return None
        then, now = end, ends
        moves.append((end, ends - end))
    again = []
    for reference in references:
        if any(start < reference.end and reference.start < end for start, end in old):
            return None
        by = next((by for end, by in reversed(moves) if end <= reference.start), 0)
        again.append(replace(reference, start=reference.start + by, end=reference.end + by))
    return tuple(again)


_PLAIN_STRINGS = frozenset({"", "duckdb", "postgres"})
_OTHER_QUOTES = ("$", "\\", "`", "/*")
_STRINGS = re.compile(r"""--[^\n]*|"[^"]*"|(?P<text>'[^']*')""")


def splice(sql: str, references: Sequence[Reference], replacements: Mapping[str, str], dialect: str) -> str:
    """`sql` with each mention of a name in `replacements` replaced by that text; everything else stays as written.

    `references` are those of `analyse(sql, …)`. A replacement is the SQL of a relation (`"p"."t__1"`) or a subquery in
    parentheses. A mention without an alias gets its last part as one, so that columns qualified with it still resolve.
    For the few shapes where replacing characters is not enough (`Reference.by_text` is False) the whole query is
    generated anew from its tree; raises ModelError when that cannot be done faithfully.
    """
    mentions = [reference for reference in references if reference.name in replacements]
    if not all(reference.by_text for reference in mentions):
        from isomesh_dagster.dialect import rewrite

        return rewrite.replace_tables(sql, references, replacements, dialect)
    pieces: list[str] = []
    position = 0
    for reference in mentions:
        text = replacements[reference.name]
        if reference.alias_needed is not None:
            # Oracle knows no AS before the alias of a table.
            text += f" {reference.alias_needed}" if dialect == "oracle" else f" AS {reference.alias_needed}"
        before, after = sql[position : reference.start], sql[reference.end : reference.end + 1]
        pieces += (before, " " if before[-1:].isalnum() else "", text, " " if _continues_word(after) else "")
        position = reference.end
    return "".join(pieces) + sql[position:]


def transpile(
    sql: str,
    read: str,
    write: str,
    *,
    reads: Callable[[str], bool] | None = None,
    schema: Callable[[], Mapping[str, Sequence[Column]]] = dict,
) -> str:
    """`sql` in another dialect; several statements stay several. The same dialect twice returns the text as it is.

    What an expression means may hang on types (`a / b` of whole numbers): `schema` gives the columns of the tables that
    are read, as far as they are known, by normalised name, their types as `read` writes them.

    `reads` tells whether the engine's parser takes a text: one in its own dialect that only the library reads
    (`a JOIN b` without a condition) is written again from its tree, if that is what the engine takes.
    Raises ModelError when it does not parse, UnsupportedError when the other dialect cannot say it.
    """
    if read == write and (reads is None or reads(sql)):
        return sql
    from isomesh_dagster.dialect import rewrite

    if read != write or reads is None:
        return rewrite.transpile(sql, read, write, schema())
    try:
        again = rewrite.transpile(sql, read, write, {})
    except (ModelError, UnsupportedError):
        return sql  # the engine tells what is wrong with it
    return again if reads(again) else sql


def output_columns(sql: str, dialect: str, schema: Mapping[str, Sequence[Column]]) -> tuple[Column, ...] | None:
    """The columns the query returns, in order: normalised names, types as SQL text of `dialect` or "UNKNOWN".

    The types are an estimate (a sum may be wider than said): show them, do not cast to them. `schema` gives the columns
    of the tables it reads, by normalised name (with or without the default catalog). None when their names cannot be
    known: a star over a table that is not in `schema`, an expression without a name, the same name twice. Raises as
    `analyse`.
    """
    from isomesh_dagster.dialect import qualified

    return qualified.output_columns(sql, dialect, schema)


def type_key(text: str, dialect: str) -> str:
    """What a column's type is: equal for two spellings of one type (`INT` and `integer`, `DECIMAL(9,2)` and
    `DECIMAL(9, 2)`). For comparing, with one release of the SQL library; a type it does not know is its text.
    """
    from isomesh_dagster.dialect import qualified

    return qualified.type_key(text, dialect)


def without_terminator(sql: str, dialect: str) -> str:
    """The statement without semicolons at its end, so that it can stand in parentheses.

    Raises ModelError when it cannot be cut into tokens.
    """
    tokens = tokenize(sql, dialect)
    for token in reversed(tokens):
        if token.text != ";" or token.start != token.end:
            break
        sql = sql[: token.start] + sql[token.end + 1 :]
    return sql


def _continues_word(character: str) -> bool:
    return character.isalnum() or character in tuple('_"`[')
