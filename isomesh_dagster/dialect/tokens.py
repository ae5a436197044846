"""SQL text as tokens with exact places: the one way this package reads text that is not (yet) plain SQL.

In: text and a dialect's name. Out: a `Source`, whose tokens know where they start and end, so that callers splice the
author's own text instead of regenerating it. Tokens come from sqlglot's stock tokenizer; nothing of it is subclassed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from sqlglot import Token, TokenType
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import TokenError

from isomesh_dagster.errors import ModelError

_PARTNER = {
    TokenType.R_PAREN: TokenType.L_PAREN,
    TokenType.R_BRACKET: TokenType.L_BRACKET,
    TokenType.R_BRACE: TokenType.L_BRACE,
}
_BRACKETS = frozenset("()[]{}")
_OPENING = frozenset(_PARTNER.values())
# After one of these at the start of a statement the tokenizer swallows the rest as one string.
_COMMANDS = frozenset(
    {
        TokenType.COMMAND,
        TokenType.EXECUTE,
        TokenType.FETCH,
        TokenType.RENAME,
        TokenType.SHOW,
    }
)
_STATEMENT_START = frozenset({TokenType.SEMICOLON, TokenType.BEGIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Text and its tokens.

    `match` leads from a bracket's token index to its partner's, both ways; unbalanced brackets have no entry. Token
    `start` and `end` are offsets into `text`, the end included.
    """

    text: str
    dialect: str
    tokens: list[Token]
    match: dict[int, int]

    def slice(self, i: int, j: int) -> str:
        """The text of tokens `[i, j)`, with everything between them."""
        return self.text[self.tokens[i].start : self.tokens[j - 1].end + 1] if j > i else ""

    def line_column(self, offset: int) -> tuple[int, int]:
        """Line and column of a character, both from 1."""
        return self.text.count("\n", 0, offset) + 1, offset - self.text.rfind("\n", 0, offset)

    def adjacent(self, i: int) -> bool:
        """Whether token `i` and the next touch, with nothing between them."""
        return i + 1 < len(self.tokens) and self.tokens[i + 1].start == self.tokens[i].end + 1

    def holding(self, sign: str, i: int, j: int) -> Iterator[int]:
        """Tokens of `[i, j)` in whose text the character stands, in order; comments are no tokens."""
        if i >= j:
            return
        tokens, end, k = self.tokens, self.tokens[j - 1].end + 1, i
        at = self.text.find(sign, tokens[i].start, end)
        while at >= 0:
            k = bisect_right(tokens, at, k, j, key=_start) - 1
            if tokens[k].end >= at:
                yield k
                at = tokens[k].end
            at = self.text.find(sign, at + 1, end)

    def split(self, i: int, j: int, separator: TokenType = TokenType.COMMA) -> list[tuple[int, int]]:
        """Ranges of tokens `[i, j)` between separators outside brackets; an empty range has equal ends.

        No tokens give no ranges; a trailing separator is ignored.
        """
        ranges = []
        begin = k = i
        while k < j:
            kind = self.tokens[k].token_type
            if kind in _OPENING:
                k = self.match.get(k, k)
            elif kind is separator:
                ranges.append((begin, k))
                begin = k + 1
            k += 1
        if begin < j:
            ranges.append((begin, j))
        return ranges


def _start(token: Token) -> int:
    return token.start


def is_word(token: Token) -> bool:
    """Whether the token is an unquoted word: a name or a keyword, no string, number or quoted name."""
    text = token.text
    return len(text) == token.end - token.start + 1 and (text[:1].isalpha() or text[:1] == "_")


@lru_cache(maxsize=64)
def stock_dialect(name: str) -> Dialect:
    """The stock sqlglot dialect of that name. Raises `ModelError` when there is none."""
    try:
        return Dialect.get_or_raise(name)
    except ValueError as error:
        raise ModelError(
            str(error).split(". Did")[0].rstrip("."), hint=_nearest_dialect(name) or "see the dialects of sqlglot"
        ) from None


def tokenize(text: str, dialect: str) -> Source:
    """The text's tokens. Raises `ModelError` with the line when a quote or comment is never closed."""
    stock = stock_dialect(dialect)
    try:
        tokens = _flat_commands(text, stock.tokenize(text), stock)
        if "@" in text and _joins_at(dialect):
            tokens = [part for token in tokens for part in _around_at(token)]
    except TokenError:
        line = _line_of_open_quote(text)
        raise ModelError(
            "a quote or comment is not closed" if line else f"the text is not valid {dialect or 'SQL'}",
            line=line or 1,
            hint="close it, or check the model's `dialect`",
        ) from None
    return Source(text=text, dialect=dialect, tokens=tokens, match=_brackets(tokens))


def _brackets(tokens: list[Token]) -> dict[int, int]:
    match: dict[int, int] = {}
    stack: list[int] = []
    for index, token in enumerate(tokens):
        if token.text not in _BRACKETS:  # comparing texts first is twice as fast
            continue
        kind = token.token_type
        if kind in _OPENING:
            stack.append(index)
        elif kind in _PARTNER:
            if stack and tokens[stack[-1]].token_type is _PARTNER[kind]:
                match[index] = stack[-1]
                match[stack.pop()] = index
            else:
                stack.clear()  # unbalanced: what was open stays without a partner
    return match


def _flat_commands(text: str, tokens: list[Token], stock: Dialect) -> list[Token]:
    """Tokens with each swallowed command (`CALL f(@x)`) told as the tokens it is made of."""
    if not any(token.token_type in _COMMANDS for token in tokens):
        return tokens
    flat: list[Token] = []
    for index, token in enumerate(tokens):
        command = tokens[index - 1] if index else None
        if command is not None and token.token_type is TokenType.STRING and command.token_type in _COMMANDS:
            starts_statement = index < 2 or tokens[index - 2].token_type in _STATEMENT_START
            begin = command.end + 1
            rest = text[begin : token.end + 1]
            if starts_statement and rest.strip() == token.text.strip():
                flat.extend(
                    Token(t.token_type, t.text, t.line, t.col, t.start + begin, t.end + begin, t.comments)
                    for t in stock.tokenize(rest)
                )
                continue
        flat.append(token)
    return flat


@lru_cache(maxsize=64)
def _joins_at(dialect: str) -> bool:
    """Whether the dialect takes `a@b` for one word, as T-SQL does."""
    return len(stock_dialect(dialect).tokenize("a@b")) == 1


def _around_at(token: Token) -> list[Token]:
    """A word with `@` in it as the words and signs it would be elsewhere; any other token as it is."""
    if "@" not in token.text or not is_word(token):
        return [token]
    parts = []
    start = token.start
    for text in re.split("(@)", token.text):
        if text:
            kind = TokenType.PARAMETER if text == "@" else TokenType.VAR
            parts.append(Token(kind, text, token.line, token.col, start, start + len(text) - 1, []))
            start += len(text)
    return parts


_QUOTED = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|`[^`]*`|(?P<open>/\*|['\"`])", re.DOTALL
)


def _line_of_open_quote(text: str) -> int | None:
    for found in _QUOTED.finditer(text):
        if found["open"]:
            return text.count("\n", 0, found.start()) + 1
    return None


def _nearest_dialect(name: str) -> str | None:
    from difflib import get_close_matches

    near = get_close_matches(name, list(Dialect.classes), n=1)
    return f"did you mean {near[0]}?" if near else None
