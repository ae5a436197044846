"""Where in a statement a macro stands, and what that means for the text that takes its place.

A string after `AS` must be a name, nothing at all must take a comma with it. What has no right reading is an error
rather than wrong SQL.
"""

from __future__ import annotations

import re

from sqlglot import TokenType

from isomesh_dagster.dialect.tokens import Source, is_word, tokenize
from isomesh_dagster.macros.clauses import CLAUSE_STARTS
from isomesh_dagster.macros.values import Fragment, identifier, string_content, to_name

_CASTS = frozenset({"CAST", "TRY_CAST", "SAFE_CAST"})
_DOTTED = re.compile(r"[\w\"`]+(?:\.[\w\"`]+)+")
_WORD = re.compile(r"\w+")
_SIMPLE = re.compile(r"[\w.]+|'[^']*'|\"[^\"]*\"")
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.SEMICOLON})
_OPENING = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE})
# What may follow the end of a list.
_AFTER_LIST = _CLOSING | CLAUSE_STARTS | {TokenType.FROM, TokenType.COMMA, TokenType.PARAMETER, TokenType.INTO}
# What may precede the beginning of a list.
_BEFORE_LIST = _OPENING | {
    TokenType.SELECT,
    TokenType.DISTINCT,
    TokenType.FROM,
    TokenType.GROUP_BY,
    TokenType.ORDER_BY,
    TokenType.PARTITION_BY,
    TokenType.SET,
    TokenType.VALUES,
    TokenType.WITH,
}
_OPERANDS = frozenset(
    {
        TokenType.VAR,
        TokenType.IDENTIFIER,
        TokenType.STRING,
        TokenType.NUMBER,
        TokenType.R_PAREN,
        TokenType.R_BRACKET,
    }
)
_QUERY_STARTS = frozenset({"SELECT", "WITH", "FROM", "@"})

Span = tuple[int, int]
Edit = tuple[int, int, str]
"""A replacement: offsets in a text, half-open, and the new text."""


def spliced(text: str, edits: list[Edit], begin: int, end: int) -> str:
    """Characters `[begin, end)` of the text with the edits made."""
    parts: list[str] = []
    for start, stop, new in edits:
        parts += text[begin:start], new
        begin = stop
    return "".join([*parts, text[begin:end]])


def is_statement(source: Source, k: int, end: int) -> bool:
    """Whether tokens `[k, end)` are a statement of their own."""
    tokens = source.tokens
    begins = k == 0 or tokens[k - 1].token_type is TokenType.SEMICOLON
    return begins and (end == len(tokens) or tokens[end].token_type is TokenType.SEMICOLON)


def adapted(source: Source, k: int, end: int, text: str, dialect: str) -> str:
    """The text that takes the place of tokens `[k, end)`: where only a name can stand, a string becomes that name."""
    if k == 0 and end == len(source.tokens):
        return text
    content = string_content(text, dialect)
    if content is None and end < len(source.tokens) and source.tokens[end].token_type is TokenType.DCOLON:
        return operand(text, dialect)  # `::` would take the last word of it only
    before = source.tokens[k - 1].token_type if k > 0 else None
    if before is TokenType.ALIAS:
        if _in_cast(source, k):
            return text if content is None else content
        if content is not None:
            return identifier(content, dialect, quoted=True)
        return to_name(Fragment(text), dialect) if _DOTTED.fullmatch(text) else text
    if content is None:
        return text
    if before is TokenType.DCOLON:
        return content
    dotted = before is TokenType.DOT and source.adjacent(k - 1)
    if dotted or (source.adjacent(end - 1) and source.tokens[end].token_type is TokenType.DOT):
        return identifier(content, dialect)
    if before is TokenType.JOIN or (before is TokenType.FROM and _names_table(source, k)):
        return identifier(content, dialect, quoted=True)
    return content if _is_interval_unit(source, k) and _WORD.fullmatch(content) else text


def operand(text: str, dialect: str) -> str:
    """The expression, in parentheses unless it is a name, a literal or a call."""
    if _SIMPLE.fullmatch(text):
        return text
    source = tokenize(text, dialect)
    whole_call = len(source.tokens) > 2 and source.match.get(1) == len(source.tokens) - 1
    return text if whole_call or source.match.get(0) == len(source.tokens) - 1 else f"({text})"


def removal(source: Source, i: int, j: int, k: int, end: int, gone: dict[int, int]) -> tuple[Span, int] | None:
    """What to cut when tokens `[k, end)` of `[i, j)` are replaced by nothing; None if nothing may not stand there.

    Gives the characters to cut and the token to go on with. `gone` leads from the last token of what was cut before to
    its first, and is brought up to date.
    """
    tokens = source.tokens
    previous = k - 1
    while previous in gone:
        previous = gone[previous] - 1
    before = tokens[previous].token_type if previous >= i else None
    after = tokens[end].token_type if end < j else None
    first, last, resume = tokens[k].start, tokens[end - 1].end + 1, end

    if before in (None, TokenType.SEMICOLON) and after in (None, TokenType.SEMICOLON):
        if after is not None:
            resume = end + 1
            last = tokens[resume].start if resume < j else tokens[end].end + 1
    elif before is TokenType.COMMA and (after is None or after in _AFTER_LIST):
        first, k = tokens[previous].start, previous
    elif after is TokenType.COMMA and (before is None or before in _BEFORE_LIST) and end + 1 < j:
        last, resume = tokens[end + 1].start, end + 1
    elif before is TokenType.L_PAREN and after is TokenType.R_PAREN and _is_function(source, previous):
        pass
    elif not (before in _OPERANDS and (after is None or after in _CLOSING or after in CLAUSE_STARTS)):
        return None
    gone[resume - 1] = k
    return (first, last), resume


def nothing_hint(source: Source, k: int, end: int) -> str:
    """What to write instead of a macro that gives nothing where something must stand."""
    tokens = source.tokens
    name = tokens[k + 1].text.upper()
    if name == "DEF":
        return "@DEF must be a statement of its own, before the query: `@DEF(x, 1);`"
    if end < len(tokens) and tokens[end].token_type is TokenType.ALIAS:
        return f"give a value for the other case, or take the alias into the macro: `@{name}(…, a AS b)`"
    if k > 0 and tokens[k - 1].text.upper() in ("WHERE", "HAVING", "ON", "AND", "OR", "NOT", "QUALIFY"):
        return "write `@AND(…)` around the conditions, which leaves out what is nothing, or `@WHERE(cond) …`"
    return "give a value for the other case"


def _enclosing(source: Source, k: int) -> int | None:
    """The bracket that is open at token `k`."""
    k -= 1
    while k >= 0:
        match = source.match.get(k)
        if match is not None and match < k:
            k = match
        elif source.tokens[k].token_type in _OPENING:
            return k
        k -= 1
    return None


def _in_cast(source: Source, k: int) -> bool:
    opening = _enclosing(source, k)
    return opening is not None and opening > 0 and source.tokens[opening - 1].text.upper() in _CASTS


def _names_table(source: Source, k: int) -> bool:
    """Whether the FROM before `k` is that of a query: not of `EXTRACT(… FROM …)` or `IS DISTINCT FROM`."""
    if k > 1 and source.tokens[k - 2].token_type is TokenType.DISTINCT:
        return False
    opening = _enclosing(source, k)
    return opening is None or source.tokens[opening + 1].text.upper() in _QUERY_STARTS


def _is_interval_unit(source: Source, k: int) -> bool:
    """Whether `k` is the unit of `INTERVAL '1' @unit` or `INTERVAL @n @unit`."""
    tokens = source.tokens
    if k > 2 and tokens[k - 2].text == "@":
        k -= 1
    return k > 1 and tokens[k - 2].token_type is TokenType.INTERVAL


def _is_function(source: Source, opening: int) -> bool:
    """Whether the parenthesis holds the arguments of a function."""
    if opening == 0:
        return False
    token = source.tokens[opening - 1]
    return is_word(token) and token.token_type not in (TokenType.IN, TokenType.VALUES) and source.adjacent(opening - 1)
