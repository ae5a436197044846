"""Names for columns that are only cast: `SELECT id::INT` gives a column `id`, as the model format has it.

Warehouses disagree about such a name (DuckDB calls it `CAST(id AS INTEGER)`), and readers rely on it. Text in, text
out, by tokens: nothing else of the query moves.
"""

from __future__ import annotations

from sqlglot import TokenType

from isomesh_dagster.dialect.tokens import Source, is_word, tokenize

_CASTS = frozenset({"CAST", "TRY_CAST", "SAFE_CAST"})
# what ends the list of what a SELECT returns
_ENDS = frozenset(
    {
        *("FROM", "INTO", "WHERE", "GROUP", "HAVING", "QUALIFY", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH"),
        *("UNION", "INTERSECT", "EXCEPT", "SELECT"),
    }
)
_NO_NAMES = frozenset({"TRUE", "FALSE", "NULL", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_USER"})
_TYPES_OF_WORDS = frozenset(
    {
        ("DOUBLE", "PRECISION"),
        ("CHARACTER", "VARYING"),
        *((kind, which, "TIME", "ZONE") for kind in ("TIME", "TIMESTAMP") for which in ("WITH", "WITHOUT")),
    }
)


def with_cast_names(query: str, dialect: str) -> str:
    """The query in which every column that is cast and has no alias is called as what is cast, in subqueries too."""
    if "::" not in query and "CAST" not in query.upper():
        return query
    source = tokenize(query, dialect)
    names: list[tuple[int, str]] = []
    for at, token in enumerate(source.tokens):
        if token.text.upper() == "SELECT" and is_word(token):
            for i, j in source.split(*_returned(source, at)):
                name = _cast_name(source, i, j)
                if name is not None:
                    names.append((source.tokens[j - 1].end + 1, name))
    text = query
    for end, name in sorted(names, reverse=True):
        text = f"{text[:end]} AS {name}{text[end:]}"
    return text


def _returned(source: Source, select: int) -> tuple[int, int]:
    """The tokens `[i, j)` of what a SELECT returns."""
    tokens = source.tokens
    begin = select + 1
    if begin < len(tokens) and tokens[begin].text.upper() in ("DISTINCT", "ALL"):
        begin += 1
        if begin + 1 < len(tokens) and tokens[begin].text.upper() == "ON":
            begin = source.match.get(begin + 1, begin) + 1
    k = begin
    while k < len(tokens):
        token = tokens[k]
        if token.token_type in (TokenType.SEMICOLON, TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE):
            break
        # `* EXCEPT (…)` goes on
        if token.text.upper() in _ENDS and is_word(token) and tokens[k - 1].token_type is not TokenType.STAR:
            break
        k = max(source.match.get(k, k), k) + 1
    return begin, min(k, len(tokens))


def _cast_name(source: Source, i: int, j: int) -> str | None:
    """The name of the column that tokens `[i, j)` cast, as it is written; None when they are something else."""
    tokens = source.tokens
    if j - i < 3:
        return None
    if tokens[i].text.upper() in _CASTS and source.match.get(i + 1) == j - 1:
        k = i + 2
        while k < j - 1 and not (tokens[k].text.upper() == "AS" and is_word(tokens[k])):
            k = max(source.match.get(k, k), k) + 1
        return _column(source, i + 2, k) or _cast_name(source, i + 2, k)
    signs = [k for k in range(i, j) if tokens[k].token_type is TokenType.DCOLON]
    if not signs or not all(
        _is_type(source, begin + 1, end) for begin, end in zip(signs, [*signs[1:], j], strict=True)
    ):
        return None
    return _column(source, i, signs[0]) or _cast_name(source, i, signs[0])


def _column(source: Source, i: int, j: int) -> str | None:
    """The last part of a dotted name; None for anything else."""
    tokens = source.tokens[i:j]
    if len(tokens) % 2 == 0 or any(token.token_type is not TokenType.DOT for token in tokens[1::2]):
        return None
    if not all(is_word(token) or token.token_type is TokenType.IDENTIFIER for token in tokens[::2]):
        return None
    last = tokens[-1]
    return None if is_word(last) and last.text.upper() in _NO_NAMES else source.text[last.start : last.end + 1]


def _is_type(source: Source, i: int, j: int) -> bool:
    """Whether tokens `[i, j)` are a type and nothing after it: a word or some, `(10, 2)`, `[]`."""
    tokens = source.tokens
    k = i
    words: list[str] = []
    while k < j:
        opening = tokens[k].token_type
        if opening in (TokenType.L_PAREN, TokenType.L_BRACKET) and words:
            k = source.match.get(k, j)
        elif is_word(tokens[k]):
            words += tokens[k].text.upper().split()
        else:
            return False
        k += 1
    return len(words) == 1 or tuple(words) in _TYPES_OF_WORDS
