"""The tables that statements around a query mention: INSERT, CREATE INDEX, GRANT, COPY and whatever else an engine has.

What the SQL library parses is read from its tree; of the rest (VACUUM, an engine's own commands) dotted names are read
from the tokens, so that a name never stays behind because a statement is unusual.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlglot import Token, TokenType, exp

from isomesh_dagster.dialect import tokens as source_tokens
from isomesh_dagster.dialect.facts import Places
from isomesh_dagster.dialect.query import StatementFacts
from isomesh_dagster.dialect.tree import Mention, Tree, normal_parts, parse_statement
from isomesh_dagster.errors import ModelError
from isomesh_dagster.relation import Reference


def facts(sql: str, dialect: str, default_catalog: str | None) -> StatementFacts:
    """See `query.statement_facts`."""
    try:
        root, tokens = parse_statement(sql, dialect)
    except ModelError:
        return _from_tokens(sql, dialect, default_catalog)
    if isinstance(root, exp.Command):
        return _from_tokens(sql, dialect, default_catalog)
    tree = Tree(root, dialect, default_catalog)
    places = Places(sql, tokens, tree)
    references = []
    reads: set[str] = set()
    writes: set[str] = set()
    for mention in tree.mentions:
        is_source = _is_source(mention)
        (reads if is_source else writes).add(mention.name)
        reference = places.reference(mention)
        if not is_source and not isinstance(mention.node.parent, _ALIASED_TARGETS):
            reference = replace(reference, alias_needed=None, by_text=True)
        references.append(reference)
    return StatementFacts(
        references=tuple(sorted(references, key=lambda reference: reference.start)),
        reads=tuple(sorted(reads)),
        writes=tuple(sorted(writes - reads)),
    )


_ALIASED_TARGETS = (exp.Delete, exp.Update, exp.Merge)


def _is_source(mention: Mention) -> bool:
    """Whether rows are read there: in FROM, in a join, in MERGE … USING."""
    node, parent = mention.node, mention.node.parent
    if isinstance(parent, exp.Merge):
        return node.arg_key == "using"
    if isinstance(parent, (exp.Copy, exp.Summarize)):
        return False  # read as well, but takes no alias
    return isinstance(parent, (exp.From, exp.Join, exp.Subquery, exp.Table, exp.In, exp.Lateral))


def _from_tokens(sql: str, dialect: str, default_catalog: str | None) -> StatementFacts:
    try:
        source = source_tokens.tokenize(sql, dialect)
    except ModelError:
        return StatementFacts()
    stock = source_tokens.stock_dialect(dialect)
    references = []
    for chain in _chains(source.tokens):
        if not 2 <= len(chain) <= 3:
            continue
        identifiers = [exp.to_identifier(one.text, quoted=one.token_type is TokenType.IDENTIFIER) for one in chain]
        parts = normal_parts(identifiers, stock)
        if any("." in part for part in parts):
            continue
        if len(parts) == 3 and default_catalog is not None and parts[0].lower() == default_catalog.lower():
            parts = parts[1:]
        references.append(Reference(start=chain[0].start, end=chain[-1].end + 1, name=".".join(parts)))
    return StatementFacts(
        references=tuple(references), writes=tuple(sorted({reference.name for reference in references}))
    )


def _chains(tokens: list[Token]) -> Iterator[list[Token]]:
    """Names joined by dots, each as its names, longest first."""
    k = 0
    while k < len(tokens):
        chain = []
        while k < len(tokens) and _is_name(tokens[k]):
            chain.append(tokens[k])
            if k + 1 >= len(tokens) or tokens[k + 1].token_type is not TokenType.DOT:
                break
            k += 2
        if chain:
            yield chain
        k += 1


def _is_name(token: Token) -> bool:
    return token.token_type is TokenType.IDENTIFIER or source_tokens.is_word(token)
