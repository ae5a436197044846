"""Pieces of a MERGE: `WHEN MATCHED` clauses, and expressions over one of its two tables. Text in, text out.

The tables are known as `target` (what is merged into) and `source` (the new rows).
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError
from sqlglot.errors import UnsupportedError as Untranslatable

from isomesh_dagster.dialect.canonical import sql_dialect, tokenize
from isomesh_dagster.dialect.tree import parse_error
from isomesh_dagster.errors import ModelError, UnsupportedError

AROUND_CLAUSES = "MERGE INTO _target AS target USING _source AS source ON 1 = 1 "
"""What makes a statement of clauses that follow it; an expression becomes one behind `SELECT `."""

_EXAMPLE = "write WHEN MATCHED THEN UPDATE SET a = source.a, …"


def matched_clauses(clauses: str, read: str, write: str) -> str:
    """The `WHEN MATCHED [AND …] THEN UPDATE SET … | DELETE` clauses in dialect `write`.

    Columns that are set lose the name of their table, which engines do not want there. Raises ModelError for anything
    else, UnsupportedError for what `write` cannot say.
    """
    statement = _parse(f"{AROUND_CLAUSES}{clauses}", clauses, read)
    whens = statement.args.get("whens") if isinstance(statement, exp.Merge) else None
    if whens is None or not whens.expressions:
        raise ModelError(f"`{clauses}` are no WHEN MATCHED clauses", hint=_EXAMPLE)
    for when in whens.expressions:
        if not when.args.get("matched") or when.args.get("source"):
            raise ModelError(
                f"`{when.sql(dialect=sql_dialect(read))}` is no WHEN MATCHED clause",
                hint="rows that match none are always inserted; say only what becomes of those that do",
            )
        then = when.args["then"]
        if isinstance(then, exp.Update) and not then.expressions:
            raise ModelError(f"`{when.sql(dialect=sql_dialect(read))}` sets nothing", hint=_EXAMPLE)
        for assignment in then.expressions if isinstance(then, exp.Update) else ():
            column = assignment.this
            if isinstance(column, exp.Column) and column.args.get("table") is not None:
                column.set("table", None)
    return " ".join(_generate(when, write) for when in whens.expressions)


def expression_columns(expression: str, dialect: str) -> tuple[str, ...]:
    """The normalised names of the columns an expression reads, each once. Raises ModelError for what is none."""
    columns = _expression(expression, dialect).find_all(exp.Column)
    names = [sql_dialect(dialect).normalize_identifier(column.this.copy()).name for column in columns]
    return tuple(dict.fromkeys(names))


def condition(expression: str, read: str, write: str) -> str:
    """The expression, which may ask other tables in subqueries, in dialect `write`. Raises as `expression_columns`."""
    return _generate(_expression(expression, read, asks=True), write)


def qualified(expression: str, table: str, read: str, write: str) -> str:
    """The expression in dialect `write`, its columns those of `table`. Raises as `expression_columns`."""
    root = _expression(expression, read)
    for column in root.find_all(exp.Column):
        column.set("table", exp.to_identifier(table))
    return _generate(root, write)


def _expression(expression: str, dialect: str, *, asks: bool = False) -> exp.Expr:
    statement = _parse(f"SELECT {expression}", expression, dialect)
    items = statement.expressions if isinstance(statement, exp.Select) else []
    given = {key for key, value in statement.args.items() if value} - {"expressions"}
    if len(items) != 1 or given or isinstance(items[0], exp.Alias | exp.Star):
        raise ModelError(f"`{expression}` is not one expression over columns")
    if not asks and items[0].find(exp.Query) is not None:
        raise ModelError(f"`{expression}` asks other tables", hint="write an expression over columns")
    root: exp.Expr = items[0]
    return root


def _parse(sql: str, shown: str, dialect: str) -> exp.Expr:
    try:
        statements = sql_dialect(dialect).parser().parse(tokenize(sql, dialect), sql)
    except ParseError as error:
        raise ModelError(f"`{shown}` cannot be read: {parse_error(error).message}") from error
    except ModelError as error:
        raise ModelError(f"`{shown}` cannot be read: {error.message}", hint=error.hint) from None
    if len(statements) != 1 or statements[0] is None:
        raise ModelError(f"`{shown}` is not one piece of SQL")
    return statements[0]


def _generate(node: exp.Expr, dialect: str) -> str:
    try:
        return str(node.sql(dialect=sql_dialect(dialect), unsupported_level=ErrorLevel.RAISE))
    except Untranslatable as error:
        raise UnsupportedError(f"{dialect} cannot say this: {error}") from error
