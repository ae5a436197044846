"""Values of header properties: `kind INCREMENTAL_BY_TIME_RANGE (time_column ds)`, `audits (not_null(columns := (a)))`.

In: a property's source text. Out: a `Value`, a small closed tree whose every node keeps its source text, so that what
is an expression in one place and a list in another can be read either way. The same grammar in every dialect; dialects
only differ in what they call a string or a quoted name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlglot import Token, TokenType

from isomesh_dagster.dialect.tokens import Source, is_word, tokenize
from isomesh_dagster.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A name, dotted name, number or boolean, as written; quotes of quoted names are kept."""

    text: str

    @property
    def content(self) -> str:
        """The word without the quotes of a single quoted name."""
        inner = self.text[1:-1]
        if len(self.text) > 1 and self.text[0] in '"`[' and not re.search(r"[\"`\]]", inner):
            return inner
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class String:
    """A string literal: its source text, and what it says."""

    text: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """`(a, b)` or `[a, b]`."""

    text: str
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`name(arguments)`; the name as written."""

    text: str
    name: str
    arguments: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """`key = value`, `key := value` or `key value` inside brackets; an unquoted key is in lower case."""

    text: str
    key: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Any other expression, as written."""

    text: str


Value = Word | String | Items | Call | Pair | Raw


def parse_value(text: str, dialect: str, line: int | None = None) -> Value:
    """The value of a property. `line` (of the property in its file) is told in the `ModelError` of a broken one."""
    source = _read(text, dialect, line)
    if not source.tokens:
        raise ModelError("a value is missing", line=line)
    return _value(source, 0, len(source.tokens), line)


def pairs(value: Value, line: int | None = None) -> dict[str, Value]:
    """The settings inside `kind NAME (…)`, `physical_properties (…)` and their like, by lower-case key.

    `key (a, b)` reads as the key and its items. No brackets, so no settings, give an empty dict. Raises `ModelError`
    for what is no setting, and for a key given twice.
    """
    match value:
        case Call(arguments=members) | Items(items=members):
            pass
        case Word():
            return {}
        case _:
            raise ModelError(f"expected (key = value, …), found `{value.text}`", line=line)
    settings: dict[str, Value] = {}
    for member in members:
        match member:
            case Pair(key=key, value=its):
                pass
            case Call(name=name, arguments=arguments, text=text):
                key, its = name.lower(), Items(text=text[len(name) :].strip(), items=arguments)
            case _:
                raise ModelError(f"expected a key and its value, found `{member.text}`", line=line)
        if key in settings:
            raise ModelError(f"`{key}` is given twice", line=line, hint="keep one")
        settings[key] = its
    return settings


def split_expressions(text: str, dialect: str, line: int | None = None) -> list[str]:
    """Expressions between top-level commas: of a bracketed list, or of a bare one (`a`, `(a, b)`, `[a, b]`, `a, b`)."""
    source = _read(text, dialect, line)
    tokens = source.tokens
    if len(tokens) == 1 and (inner := _bracket_name(source, 0)) is not None:
        return split_expressions(inner, dialect, line)
    i, j = 0, len(tokens)
    if tokens and _is_bracketed(source, 0, j):
        i, j = 1, j - 1
    return [source.slice(*part) for part in source.split(i, j)]


def parse_columns(text: str, dialect: str, line: int | None = None) -> list[tuple[str, str]]:
    """Names and types of `(a INT, b STRUCT<x INT, y INT>)`, both as written.

    Raises `ModelError` for a column without a type.
    """
    source = _read(text, dialect, line)
    tokens = source.tokens
    i, j = (1, len(tokens) - 1) if tokens and _is_bracketed(source, 0, len(tokens)) else (0, len(tokens))
    columns = []
    for begin, end in _split_types(source, i, j):
        if begin == end:
            raise ModelError("a column is missing between two commas", line=line)
        name = source.slice(begin, begin + 1)
        if end == begin + 1:
            raise ModelError(f"column `{name}` has no type", line=line, hint=f"write `{name} TYPE`")
        columns.append((name, source.slice(begin + 1, end)))
    return columns


def _split_types(source: Source, i: int, j: int) -> list[tuple[int, int]]:
    """As `Source.split`, but `<` and `>` are brackets: in a list of columns they compare nothing."""
    ranges = []
    begin, depth, k = i, 0, i
    while k < j:
        token = source.tokens[k]
        match = source.match.get(k)
        if match is not None and match > k:
            k = match
        elif token.token_type is TokenType.COMMA and depth == 0:
            ranges.append((begin, k))
            begin = k + 1
        elif token.token_type not in (TokenType.STRING, TokenType.IDENTIFIER):
            depth += token.text.count("<") - token.text.count(">")
        k += 1
    if begin < j:
        ranges.append((begin, j))
    return ranges


# --- the grammar

_SIMPLE = re.compile(r"[+-]?[\w$]+(?:\.[\w$]+)*")
_BRACKETS = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET})
# `$$it's$$`, `r'\d'`, `e'\n'`, `N'x'`: which of them there are is the dialect's business
_OTHER_STRINGS = frozenset(
    {TokenType.HEREDOC_STRING, TokenType.RAW_STRING, TokenType.BYTE_STRING, TokenType.NATIONAL_STRING}
)
_KEY_SIGNS = frozenset({TokenType.EQ, TokenType.COLON_EQ})
# Words that go on with an expression, so that `a IS NULL` is no pair of `a` and something.
_CONTINUING = frozenset({
    "and", "as", "asc", "at", "between", "collate", "desc", "div", "escape", "glob", "ilike", "in", "is", "isnull",
    "like", "mod", "not", "notnull", "nulls", "or", "over", "regexp", "rlike", "similar", "then", "else", "end",
    "within",
})  # fmt: skip
_LEADING = frozenset({"case", "cast", "exists", "from", "interval", "not", "select", "when", "with"})


def _read(text: str, dialect: str, line: int | None) -> Source:
    try:
        source = tokenize(text, dialect)
    except ModelError as error:
        if line is None:
            raise
        raise ModelError(error.message, line=line + (error.line or 1) - 1, hint=error.hint) from None
    for k, token in enumerate(source.tokens):
        if token.token_type in (*_BRACKETS, TokenType.R_PAREN, TokenType.R_BRACKET) and k not in source.match:
            raise ModelError(f"bracket `{token.text}` has no partner in `{text}`", line=line)
    return source


def _is_bracketed(source: Source, i: int, j: int) -> bool:
    return source.tokens[i].token_type in _BRACKETS and source.match.get(i) == j - 1


def _bracket_name(source: Source, i: int) -> str | None:
    """The inside of `[…]` where the dialect reads that as one quoted name (T-SQL); None for anything else."""
    token = source.tokens[i]
    if token.token_type is TokenType.IDENTIFIER and source.text[token.start] == "[":
        return source.text[token.start + 1 : token.end]
    return None


def _value(source: Source, i: int, j: int, line: int | None) -> Value:
    tokens, text = source.tokens, source.slice(i, j)
    first = tokens[i]
    if first.token_type is TokenType.STRING and (content := _string(source, i, j)) is not None:
        return String(text=text, content=content)
    if j - i == 1 and first.token_type in _OTHER_STRINGS:
        return String(text=text, content=first.text)
    if _is_bracketed(source, i, j):
        return Items(text=text, items=_members(source, i + 1, j - 1, line))
    if j - i == 1:
        inner = _bracket_name(source, i)
        if inner is not None:
            nested = _read(inner, source.dialect, line)
            return Items(text=text, items=_members(nested, 0, len(nested.tokens), line))
        if first.token_type is TokenType.IDENTIFIER or is_word(first) or first.token_type is TokenType.NUMBER:
            return Word(text=text)
        return Raw(text=text)
    if _SIMPLE.fullmatch(text) or _is_dotted(source, i, j):
        return Word(text=text)
    if is_word(first) and tokens[i + 1].token_type in _BRACKETS and source.match.get(i + 1) == j - 1:
        members = _members(source, i + 2, j - 1, line)
        if tokens[i + 1].token_type is TokenType.L_BRACKET:
            return Items(text=text, items=members) if first.text.upper() == "ARRAY" else Raw(text=text)
        return Call(text=text, name=first.text, arguments=members)
    return Raw(text=text)


def _members(source: Source, i: int, j: int, line: int | None) -> tuple[Value, ...]:
    members = []
    for begin, end in source.split(i, j):
        if begin == end:
            raise ModelError(f"an item is missing between two commas in `{source.slice(i, j)}`", line=line)
        members.append(_member(source, begin, end, line))
    return tuple(members)


def _member(source: Source, i: int, j: int, line: int | None) -> Value:
    """One item of a bracketed list, where a pair may stand."""
    tokens = source.tokens
    begin = _after_key(source, i, j)
    if begin is None or begin >= j:
        return _value(source, i, j, line)
    key = source.slice(i, begin)
    after = tokens[begin]
    if after.token_type in _KEY_SIGNS:
        if begin + 1 == j:
            raise ModelError(f"`{key}` has no value", line=line, hint=f"write `{key} {after.text} value`")
        value = _value(source, begin + 1, j, line)
    elif begin == i + 1 and is_word(tokens[i]) and key.lower() not in _LEADING and _starts_operand(source, begin, j):
        value = _value(source, begin, j, line)
    else:
        return _value(source, i, j, line)
    return Pair(text=source.slice(i, j), key=_key(tokens[i], key, begin == i + 1), value=value)


def _after_key(source: Source, i: int, j: int) -> int | None:
    """The token after a name, dotted name or string at `i`; None when there is none of these."""
    tokens = source.tokens
    if tokens[i].token_type is TokenType.STRING:
        return i + 1
    k = i
    while k < j and (is_word(tokens[k]) or tokens[k].token_type is TokenType.IDENTIFIER):
        if k + 2 < j and tokens[k + 1].token_type is TokenType.DOT:
            k += 2
        else:
            return k + 1
    return None


def _key(token: Token, text: str, single: bool) -> str:
    if single and token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
        return token.text
    return text.lower()


def _starts_operand(source: Source, k: int, j: int) -> bool:
    """Whether a value begins at `k`, rather than the rest of the expression before it; `key (…)` stays a call."""
    token = source.tokens[k]
    if token.token_type is TokenType.L_PAREN:
        return source.match[k] != j - 1
    if token.token_type is TokenType.STAR:
        return k + 1 == j
    if token.token_type is TokenType.DASH:
        return k + 2 == j and source.tokens[k + 1].token_type is TokenType.NUMBER
    if is_word(token):
        return token.text.lower() not in _CONTINUING
    return token.token_type in (
        TokenType.STRING,
        TokenType.NUMBER,
        TokenType.IDENTIFIER,
        TokenType.L_BRACKET,
        TokenType.PARAMETER,
    )


def _string(source: Source, i: int, j: int) -> str | None:
    """What a string says. `'it''s'` is two tokens where a backslash escapes; it is one string here anyway."""
    tokens = source.tokens
    for k in range(i, j):
        if tokens[k].token_type is not TokenType.STRING or (k > i and not source.adjacent(k - 1)):
            return None
    return "'".join(token.text for token in tokens[i:j])


def _is_dotted(source: Source, i: int, j: int) -> bool:
    tokens = source.tokens
    return (j - i) % 2 == 1 and all(
        tokens[k].token_type is TokenType.DOT
        if (k - i) % 2
        else is_word(tokens[k]) or tokens[k].token_type is TokenType.IDENTIFIER
        for k in range(i, j)
    )
