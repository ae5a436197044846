"""Which word of a written text became a word of the text that was made of it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import Token, TokenType

from isomesh_dagster.dialect.tokens import tokenize

_TEXTS = frozenset({TokenType.STRING, TokenType.NATIONAL_STRING, TokenType.RAW_STRING, TokenType.HEREDOC_STRING})


def counterpart(
    made: str, written: str, start: int, end: int, *, dialects: tuple[str, str], is_rendered: bool
) -> int | None:
    """The offset in `written` of the words at `[start, end)` of `made`; None when it is not sure.

    `dialects` are those of both, `is_rendered` tells whether macros stood in `written`. Where none did and the dialect
    is the same, the words of `written` are in `made` in their order, but for names of tables that were replaced: the
    counterpart has as many of its like before it, if there are as many in both. Elsewhere it must be the only one of
    its like, in both. Raises ModelError when a text has no tokens in its dialect.
    """
    ours, theirs = tokenize(made, dialects[0]).tokens, tokenize(written, dialects[1]).tokens
    first = next((k for k, token in enumerate(ours) if token.start == start), None)
    if first is None:
        return None
    last = max((k for k, token in enumerate(ours) if token.end < end), default=first)
    wanted = [_word(token) for token in ours[first : max(first, last) + 1]]
    in_made, in_written = _occurrences(ours, wanted), _occurrences(theirs, wanted)
    keeps_order = not is_rendered and dialects[1] in ("", dialects[0])
    if len(in_made) != len(in_written) or (len(in_made) > 1 and not keeps_order):
        return None
    return theirs[in_written[in_made.index(first)]].start


def _word(token: Token) -> tuple[bool, str]:
    """What tokens that mean the same have in common: names with quotes or without, in any case; texts are no names."""
    is_text = token.token_type in _TEXTS
    return is_text, token.text if is_text else token.text.casefold()


def _occurrences(tokens: Sequence[Token], wanted: list[tuple[bool, str]]) -> list[int]:
    words = [_word(token) for token in tokens]
    return [k for k in range(len(words) - len(wanted) + 1) if words[k : k + len(wanted)] == wanted]
