"""A definition file as blocks and statements: `MODEL (…);`, `AUDIT (…);`, `METRIC (…);` and the SQL that follows them.

In: the text of one file. Out: one `Definition` for each block. Nothing is interpreted here but structure: property
values stay source text (`dialect/values.py` reads them), macros stay unexpanded. Every complaint is a `ModelError` with
its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlglot import TokenType

from isomesh_dagster.dialect.tokens import Source, is_word, stock_dialect, tokenize
from isomesh_dagster.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One `key value` of a block: the key in lower case, the value as written, and where the key stands (from 1).

    A macro in the place of a property has a key that begins with `@` and is no name; `text` is the macro.
    """

    key: str
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`MODEL (…)`, `AUDIT (…)` or `METRIC (…)`: the keyword in upper case, its properties in order, keys distinct."""

    keyword: str
    properties: tuple[Property, ...]
    line: int

    def get(self, key: str) -> Property | None:
        """The property of that lower-case key, if the author gave it."""
        return next((item for item in self.properties if item.key == key), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement as written, without its semicolon, and the line of its first word.

    `kind` is `sql`, `jinja_query`, `jinja_statement` (their text has the markers around it) or `virtual_update` (a
    statement between `ON_VIRTUAL_UPDATE_BEGIN` and `ON_VIRTUAL_UPDATE_END`, which may be of Jinja, too).
    """

    text: str
    line: int
    kind: str = "sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A block and the statements up to the next one; `block` is None for a file without any.

    `dialect` is the block's own, else that of the file. `comment` is what stands directly before the block.
    """

    block: Block | None
    dialect: str
    statements: tuple[Statement, ...]
    comment: str | None = None


_KEYWORDS = frozenset({"MODEL", "AUDIT", "METRIC"})
# Properties whose value is a free expression, in which a word that looks like a key is none.
_FREE = frozenset({"expression", "merge_filter", "when_matched"})
_KEYS = frozenset(
    """
    allow_partials audits batch_concurrency blocking blueprints clustered_by column_descriptions columns cron cron_tz
    default_catalog defaults depends_on description dialect enabled end expression formatting gateway grain grains
    grants grants_target_layer ignored_rules interval_unit kind merge_filter name optimize_query owner
    partitioned_by physical_properties physical_version project references retention session_properties signals skip
    stamp standalone start storage_format table_format table_properties tags validate_query
    virtual_environment_mode virtual_properties when_matched
    """.split()  # noqa: SIM905 - one list of words, read as such
)
_TEMPLATE_MARKS = ("{{", "{%")
_QUOTED = frozenset({TokenType.STRING, TokenType.IDENTIFIER, TokenType.RAW_STRING, TokenType.HEREDOC_STRING})
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.STRING, TokenType.NUMBER, TokenType.IDENTIFIER})
_JOINING = frozenset(
    {
        TokenType.DOT,
        TokenType.EQ,
        TokenType.COLON_EQ,
        TokenType.LT,
        TokenType.GT,
        TokenType.PLUS,
        TokenType.DASH,
        TokenType.COMMA,
    }
)


def parse_file(text: str, default_dialect: str, path: str | None) -> tuple[Definition, ...]:
    """The definitions of one file, in order.

    The file is read in the dialect its first block names, else in `default_dialect`. Raises `ModelError` with `path`
    and line for what is not well formed.
    """
    try:
        readable = _without_jinja(text)
        dialect, line = _header_dialect(readable) or (default_dialect, None)
        try:
            stock_dialect(dialect)
        except ModelError as error:
            raise error.located(line=line) from None
        source = tokenize(readable, dialect)
        _refuse_templates(source)
        return tuple(_definitions(text, source))
    except ModelError as error:
        raise error.located(path=path) from None


def parse_properties(text: str, dialect: str, line: int) -> tuple[Property, ...]:
    """The properties in a text as it stands inside a block; all are told to be at `line`. Raises `ModelError`."""
    source = tokenize(text, dialect)
    found = [_property(source, begin, end) for begin, end in source.split(0, len(source.tokens))]
    return tuple(replace(item, line=line, column=1) for item in found)


def file_source(text: str, default_dialect: str) -> Source:
    """The tokens of a definition file in its own dialect; the bodies of Jinja blocks are blanked, offsets kept.

    Raises `ModelError`.
    """
    readable = _without_jinja(text)
    dialect, _ = _header_dialect(readable) or (default_dialect, None)
    return tokenize(readable, dialect)


def _definitions(text: str, source: Source) -> Iterator[Definition]:
    block: Block | None = None
    comment: str | None = None
    pending: list[tuple[int, int]] = []
    seen = False
    for i, j in source.split(0, len(source.tokens), TokenType.SEMICOLON):
        if i == j:
            continue
        if not _starts_block(source, i):
            pending.append((i, j))
            continue
        if seen:
            yield _definition(text, source, block, comment, pending)
        elif pending:
            raise ModelError(
                f"a statement stands before {source.tokens[i].text.upper()} (…)",
                line=_line(source, pending[0][0]),
                hint="the block comes first, pre-statements after it",
            )
        seen = True
        block, pending = _block(source, i, j), []
        comment = _comment_before(source, i)
    yield _definition(text, source, block, comment, pending)


def _definition(
    text: str, source: Source, block: Block | None, comment: str | None, pending: list[tuple[int, int]]
) -> Definition:
    own = block.get("dialect") if block is not None else None
    dialect = own.text.strip("'\"").lower() if own is not None else source.dialect
    try:
        stock_dialect(dialect)
    except ModelError as error:
        raise error.located(line=own.line if own is not None else None) from None
    return Definition(
        block=block, dialect=dialect, statements=tuple(_statements(text, source, pending)), comment=comment
    )


def _comment_before(source: Source, i: int) -> str | None:
    """The comments that stand right before a block; one behind its keyword belongs to nobody."""
    begin = source.tokens[i - 1].end + 1 if i else 0
    before = source.text[begin : source.tokens[i].start]
    its = [part for part in source.tokens[i].comments or () if part in before]
    return "\n".join(part.strip() for part in its).strip() or None


def _refuse_templates(source: Source) -> None:
    """Jinja outside of its blocks is no SQL: `{{ x }}` would reach the warehouse as it is."""
    if not any(mark in source.text for mark in _TEMPLATE_MARKS):
        return
    for token in source.tokens:
        written = source.text[token.start : token.start + 2]
        if written in _TEMPLATE_MARKS and token.token_type not in _QUOTED:
            line, column = source.line_column(token.start)
            raise ModelError(
                f"Jinja (`{written}`) outside of a block of Jinja",
                line=line,
                column=column,
                hint="put JINJA_QUERY_BEGIN; before the query and JINJA_END; after it, or use macros: @VAR('x')",
            )


def _line(source: Source, i: int) -> int:
    return source.line_column(source.tokens[i].start)[0]


# --- blocks


def _starts_block(source: Source, i: int) -> bool:
    tokens = source.tokens
    return (
        tokens[i].text.upper() in _KEYWORDS
        and is_word(tokens[i])
        and i + 1 < len(tokens)
        and tokens[i + 1].token_type is TokenType.L_PAREN
    )


def _block(source: Source, i: int, j: int) -> Block:
    keyword = source.tokens[i].text.upper()
    close = source.match.get(i + 1)
    end = next((k for k in range(i, j) if source.tokens[k].token_type is TokenType.SEMICOLON), j)
    if close is None or close >= end:
        raise ModelError(
            f"{keyword} (… is not closed",
            line=_line(source, _unclosed(source, i + 1, end)),
            hint="close every bracket of the header, and end it with `);`",
        )
    if close + 1 < j:
        raise ModelError(
            f"`;` is missing after {keyword} (…)",
            line=_line(source, close),
            hint=f"end the block with `);` before `{source.tokens[close + 1].text}`",
        )
    properties: dict[str, Property] = {}
    for begin, end in source.split(i + 2, close):
        item = _property(source, begin, end)
        first = properties.setdefault(item.key, item)
        if first is not item:
            raise ModelError(
                f"property `{item.key}` is given twice",
                line=item.line,
                column=item.column,
                hint=f"the first is on line {first.line}; keep one",
            )
    return Block(keyword=keyword, properties=tuple(properties.values()), line=_line(source, i))


def _unclosed(source: Source, i: int, end: int) -> int:
    """The last bracket opened in `[i, end)` that is not closed there."""
    opened = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
    return next(
        (k for k in range(end - 1, i, -1) if source.tokens[k].token_type in opened and source.match.get(k, end) >= end),
        i,
    )


def _property(source: Source, i: int, j: int) -> Property:
    tokens = source.tokens
    if i == j:
        raise ModelError("a property is missing between two commas", line=_line(source, i), hint="remove one comma")
    line, column = source.line_column(tokens[i].start)
    if tokens[i].token_type is TokenType.PARAMETER:
        return Property(key=f"@{i}", text=source.slice(i, j), line=line, column=column)
    if not is_word(tokens[i]):
        raise ModelError(f"expected a property's name, found `{tokens[i].text}`", line=line, column=column)
    key = tokens[i].text.lower()
    if i + 1 == j:
        raise ModelError(
            f"property `{key}` has no value", line=line, column=column, hint=f"write `{key} value`, or remove it"
        )
    if key not in _FREE:
        _check_comma(source, i, j)
    return Property(key=key, text=source.slice(i + 1, j), line=line, column=column)


def _check_comma(source: Source, i: int, j: int) -> None:
    """A known key inside a value, right after something complete, means that a comma was forgotten."""
    tokens = source.tokens
    k = i + 2
    while k < j - 1:
        before, token, after = tokens[k - 1], tokens[k], tokens[k + 1]
        if (
            token.text.lower() in _KEYS
            and is_word(token)
            and (before.token_type in _CLOSING or is_word(before))
            and after.token_type not in _JOINING
        ):
            line, column = source.line_column(token.start)
            raise ModelError(
                f"a comma is missing before `{token.text}`",
                line=line,
                column=column,
                hint=f"end `{tokens[i].text} …` with a comma",
            )
        match = source.match.get(k)
        k = match + 1 if match is not None and match > k else k + 1


# --- statements

_VIRTUAL_BEGIN, _VIRTUAL_END = "ON_VIRTUAL_UPDATE_BEGIN", "ON_VIRTUAL_UPDATE_END"
_JINJA = {"JINJA_QUERY_BEGIN": "jinja_query", "JINJA_STATEMENT_BEGIN": "jinja_statement"}


def _statements(text: str, source: Source, ranges: list[tuple[int, int]]) -> Iterator[Statement]:
    virtual_since: int | None = None
    jinja: tuple[int, str] | None = None
    for i, j in ranges:
        marker = source.tokens[i].text.upper() if j == i + 1 else ""
        line = _line(source, i)
        if marker in _JINJA:
            jinja = (i, _JINJA[marker])
        elif marker == "JINJA_END":
            if jinja is None:
                raise ModelError("JINJA_END without its JINJA_…_BEGIN", line=line)
            begin, kind = jinja
            written = text[source.tokens[begin].start : source.tokens[i].end + 1]
            yield Statement(
                text=written, line=_line(source, begin), kind=kind if virtual_since is None else "virtual_update"
            )
            jinja = None
        elif marker == _VIRTUAL_BEGIN:
            virtual_since = line
        elif marker == _VIRTUAL_END:
            if virtual_since is None:
                raise ModelError(f"{_VIRTUAL_END} without its {_VIRTUAL_BEGIN}", line=line)
            virtual_since = None
        elif virtual_since is not None and source.tokens[j - 1].text.upper() == _VIRTUAL_END:
            # the last statement of the section may leave out its semicolon
            yield Statement(text=source.slice(i, j - 1), line=line, kind="virtual_update")
            virtual_since = None
        else:
            kind = "sql" if virtual_since is None else "virtual_update"
            yield Statement(text=source.slice(i, j), line=line, kind=kind)
    if jinja is not None:
        raise ModelError(
            f"{source.tokens[jinja[0]].text} is not closed",
            line=_line(source, jinja[0]),
            hint="end it with `JINJA_END;`",
        )
    if virtual_since is not None:
        raise ModelError(f"{_VIRTUAL_BEGIN} is not closed", line=virtual_since, hint=f"end it with `{_VIRTUAL_END};`")


_JINJA_BLOCK = re.compile(r"(JINJA_(?:QUERY|STATEMENT)_BEGIN\s*;)(.*?)(?=JINJA_END\b)", re.DOTALL | re.IGNORECASE)


def _without_jinja(text: str) -> str:
    """The text with the bodies of Jinja blocks blanked, offsets and lines kept: they are no SQL to tokenise."""
    if "jinja_" not in text.lower():
        return text
    return _JINJA_BLOCK.sub(lambda found: found[1] + re.sub(r"[^\n]", " ", found[2]), text)


# --- the dialect, which must be known before the text can be tokenised

_BLOCK = re.compile(r"\b(?:model|audit|metric)\s*\(", re.IGNORECASE)
_HEADER_PART = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|(?P<open>[(\[{])|(?P<close>[)\]}])|\bdialect\s+['\"]?(?P<dialect>\w+)",
    re.DOTALL | re.IGNORECASE,
)


def _header_dialect(text: str) -> tuple[str, int] | None:
    """The `dialect` of the first block and its line; strings and comments that mention the word do not count."""
    if "dialect" not in text.lower():
        return None
    start = _BLOCK.search(text)
    if start is None:
        return None
    depth = 1
    for part in _HEADER_PART.finditer(text, start.end()):
        if part["open"]:
            depth += 1
        elif part["close"]:
            depth -= 1
            if depth == 0:
                return None
        elif part["dialect"] and depth == 1:
            return part["dialect"].lower(), text.count("\n", 0, part.start()) + 1
    return None
