"""What counts as the same statement: its canonical text, and the digest of that.

The canonical text is the statement's own words (tokens as the author wrote them) with one space between them. Left out
are comments (optimizer hints stay: they may change rows), layout and trailing semicolons; folded is the case of
keywords, and of unquoted identifiers where the dialect does not tell them apart by case. Everything else (literals,
quoted names, parentheses) stays to the letter, so two statements with one canonical text mean the same.

No tree, no generated SQL and no token types of the SQL library go in, only where its tokens begin and end: a new
release of it, or its compiled build, must not change the fingerprint of a model nobody touched. For the same reason the
keywords of case-sensitive dialects are a list of our own.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from isomesh_dagster.errors import ModelError

if TYPE_CHECKING:
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.tokenizer_core import Token

# The words of a query that are reserved everywhere, so that they can be a name only after a dot or `AS`.
_RESERVED = """
    all and as asc between by case cross desc distinct else end exists from group having in inner is join left like
    limit not null on or order outer right select then union using when where with
"""
_KEYWORDS = frozenset(_RESERVED.split())


class _Rules(NamedTuple):
    """How one dialect's words become canonical: its tokenizer, and which words lose their case."""

    dialect: Dialect
    folds_identifiers: bool
    verbatim: frozenset[object]  # token types of strings, quoted identifiers and hints


def canonical_tokens(sql: str, dialect: str) -> str:
    """The canonical text of `sql`; empty for text without a word. Canonical text is its own canonical text.

    Raises ModelError (line and column in `sql`) when it cannot be cut into tokens, or the dialect is unknown.
    """
    words = _words(sql, _rules(dialect), dialect)
    while words and words[-1] == ";":
        words.pop()
    return " ".join(words)


def _words(sql: str, rules: _Rules, dialect: str) -> list[str]:
    words: list[str] = []
    previous = ""
    end = 0
    for token in tokenize(sql, dialect):
        text, begin, end = sql[token.start : token.end + 1], end, token.end + 1
        if begin and len(token.text) > len(text):  # the tokenizer hands back all of a command (CALL …) as one string
            words += _words(sql[begin:end], rules, dialect)
            continue
        if rules.folds_identifiers and text.isascii() and text.isidentifier():  # most of a query
            words.append(text.lower())
            continue
        if token.token_type in rules.verbatim:
            words.append(text)
            previous = ""
            continue
        for word in text.split():  # `GROUP  BY` may be one token
            folded = word.lower() if word.isascii() else word.translate(_ASCII_LOWER)
            keep = not rules.folds_identifiers and (folded not in _KEYWORDS or previous in (".", "as"))
            words.append(word if keep else folded)
            previous = folded
    return words


def digest(sql: str, dialect: str) -> str:
    """blake2b-128 of the canonical text, as 32 hexadecimal digits. Raises as `canonical_tokens`."""
    return blake2b(canonical_tokens(sql, dialect).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def tokenize(sql: str, dialect: str) -> list[Token]:
    """The tokens of `sql`, `start` and `end` (inclusive) counting characters. Raises as `canonical_tokens`."""
    from sqlglot.errors import TokenError

    try:
        return _rules(dialect).dialect.tokenize(sql)
    except TokenError as error:
        line, column = _open_end(sql, dialect)
        raise ModelError(
            "the SQL breaks off inside a quoted text or comment",
            line=line,
            column=column,
            hint="close the quote or comment that starts here",
        ) from error


@lru_cache(maxsize=64)
def sql_dialect(name: str) -> Dialect:
    """The SQL library's dialect of that name. Raises ModelError for an unknown one."""
    from sqlglot.dialects.dialect import Dialect

    try:
        return Dialect.get_or_raise(name)
    except ValueError as error:
        near = difflib.get_close_matches(name.lower(), list(Dialect.classes), n=1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else f"known dialects: {', '.join(sorted(filter(None, Dialect.classes)))}"
        )
        raise ModelError(f"unknown dialect {name!r}", hint=hint) from error


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@lru_cache(maxsize=64)
def _rules(name: str) -> _Rules:
    from sqlglot.dialects.dialect import NormalizationStrategy
    from sqlglot.tokenizer_core import TokenType

    dialect = sql_dialect(name)
    # BigQuery says "case-insensitive", but its table names are not.
    sensitive = (
        dialect.normalization_strategy is NormalizationStrategy.CASE_SENSITIVE
        or type(dialect).__name__.lower() == "bigquery"
    )
    verbatim = {kind for kind in TokenType if kind.name.endswith("STRING")} | {TokenType.IDENTIFIER, TokenType.HINT}
    return _Rules(dialect, not sensitive, frozenset(verbatim))


def _open_end(sql: str, dialect: str) -> tuple[int, int]:
    """Line and column (from 1) of what is never closed: the last quote or comment with sound text before it."""
    from sqlglot.errors import TokenError

    engine = sql_dialect(dialect)
    for index in range(len(sql) - 1, -1, -1):
        if sql[index] in "'\"`$[/":
            try:
                engine.tokenize(sql[:index])
            except TokenError:
                continue
            return sql.count("\n", 0, index) + 1, index - sql.rfind("\n", 0, index)
    return 1, 1
