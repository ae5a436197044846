"""A definition file laid out: blocks one property a line in a given order, queries as `layout` has them.

Everything that is not understood is left as it is: macros, Jinja blocks, statements that are no query. No comment is
lost, and what a comment stands beside or above keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from sqlglot import TokenType

from isomesh_dagster.dialect.atoms import remarks
from isomesh_dagster.dialect.canonical import canonical_tokens
from isomesh_dagster.dialect.header import Definition, file_source, parse_file
from isomesh_dagster.dialect.layout import comments, laid_out
from isomesh_dagster.dialect.style import Style
from isomesh_dagster.dialect.tokens import Source, is_word, tokenize
from isomesh_dagster.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """A file laid out: its text, and lines of the old text where a query was left as it is."""

    text: str
    left: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderStyle:
    """The order of properties (those not listed follow as they were), and the keys whose lists have an item a line."""

    order: Sequence[str]
    listed: Collection[str]


def lay_out_file(text: str, default_dialect: str, style: Style, header: HeaderStyle) -> Laid:
    """The file as the styles have it; laid out again it is itself.

    Raises ModelError for text that is no definition file, or would not come out saying the same with the same comments.
    """
    source = file_source(text, default_dialect)
    first = _File(text, source, style, header).laid()
    after = first.text
    for _ in range(_PASSES):  # a comment that moved may let a line become whole
        before, after = after, _File(after, file_source(after, default_dialect), style, header).laid().text
        if after == before:
            break
    else:
        raise ModelError("its layout would not be final")
    if comments(source) != comments(file_source(after, default_dialect)):
        raise ModelError("a comment would be lost")
    if _said(text, default_dialect) != _said(after, default_dialect):
        raise ModelError("it would say something else")
    return Laid(text=after, left=first.left)


_PASSES = 4


def _said(text: str, default_dialect: str) -> list[object]:
    """What a file says, layout and the order of properties aside."""
    return [
        (
            {item.key: canonical_tokens(item.text, its.dialect) for item in its.block.properties} if its.block else {},
            [(each.kind, _statement_said(each.text, its, each.kind)) for each in its.statements],
        )
        for its in parse_file(text, default_dialect, None)
    ]


def _statement_said(text: str, its: Definition, kind: str) -> str:
    return text if kind.startswith("jinja") else canonical_tokens(text, its.dialect)


@dataclass(slots=True)
class _Entry:
    """Tokens `[begin, end)` of a list, the comments above, and those after it on its line."""

    begin: int
    end: int
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


_BLANK = re.compile(r"\n[ \t\r]*\n")
_BLOCKS = ("MODEL", "AUDIT", "METRIC")
_JINJA = ("JINJA_QUERY_BEGIN", "JINJA_STATEMENT_BEGIN")
_MARKERS = ("ON_VIRTUAL_UPDATE_BEGIN", "ON_VIRTUAL_UPDATE_END")
_QUERY = ("SELECT", "WITH", "FROM", "VALUES", "(")


class _File:
    """One file on its way to its new text."""

    def __init__(self, text: str, source: Source, style: Style, header: HeaderStyle) -> None:
        self._old = text
        self._source = source
        self._style = style
        self._header = header
        self._lines: list[str] = []
        self._left: list[int] = []
        self._dialect = source.dialect
        self._ended = False  # by a comment: nothing more can stand on that line

    def laid(self) -> Laid:
        source, tokens = self._source, self._source.tokens
        ranges = source.split(0, len(tokens), TokenType.SEMICOLON)
        end = 0
        k = 0
        after_block = False
        while k < len(ranges):
            i, j = ranges[k]
            if i == j:  # a semicolon after nothing goes, what is said beside it stays
                self._gap(end, tokens[i].start, after_block)
                after_block = False
                end = tokens[i].end + 1
                k += 1
                continue
            word = tokens[i].text.upper()
            self._gap(end, tokens[i].start, after_block or word in _BLOCKS)
            if j == i + 1 and word in _JINJA:
                k = self._jinja_end(ranges, k)
                text = self._old[tokens[i].start : tokens[ranges[k][1] - 1].end + 1]
                j = ranges[k][1]
            else:
                text = self._piece(i, j)
            after_block = word in _BLOCKS
            end = self._close(text, j)
            k += 1
        self._gap(end, len(self._old), after_block)
        result = "\n".join(self._lines).rstrip()
        return Laid(text=result + ("\n" if self._style.append_newline and result else ""), left=tuple(self._left))

    # -- between statements

    def _gap(self, begin: int, end: int, blank: bool) -> None:
        """Write the comments in characters `[begin, end)`; a blank line where there was one, or `blank`."""
        at = begin
        for remark in remarks(self._source, begin, end):
            start = self._old.index(remark.text, at)
            if at == begin and self._lines and not remark.begins_line and remark.ends_line and not self._ended:
                self._end_line(remark.text)
            else:
                self._blank(blank or _BLANK.search(self._old, at, start) is not None)
                blank = False
                self._lines += remark.text.split("\n")
            at = start + len(remark.text)
        self._blank(blank or _BLANK.search(self._old, at, end) is not None)

    def _end_line(self, comment: str) -> None:
        """Write a comment beside what was written last."""
        self._lines[-1] += f" {comment}"
        self._ended = True

    def _blank(self, wanted: bool) -> None:
        if wanted and self._lines and self._lines[-1]:
            self._lines.append("")

    def _close(self, text: str, j: int) -> int:
        """Write a statement and its semicolon, if it has one; comments before the semicolon come after it."""
        tokens = self._source.tokens
        last = tokens[j - 1].end + 1
        words = tokenize(text, self._dialect).tokens if tokens[j - 1].text.upper() != "JINJA_END" else []
        at = words[-1].end + 1 if words else len(text)
        if j < len(tokens):
            text = f"{text[:at]};{text[at:]}"
        self._lines += text.split("\n")
        self._ended = at < len(text) - 1 and "\n" not in text[at:]
        if j >= len(tokens):
            return last
        for remark in remarks(self._source, last, tokens[j].start):
            if remark.begins_line or self._ended:
                self._lines += remark.text.split("\n")
            else:
                self._end_line(remark.text)
        return tokens[j].end + 1

    def _jinja_end(self, ranges: list[tuple[int, int]], k: int) -> int:
        for n in range(k + 1, len(ranges)):
            if self._source.tokens[ranges[n][0]].text.upper() == "JINJA_END":
                return n
        raise ModelError("a Jinja block is not closed")

    # -- statements

    def _piece(self, i: int, j: int) -> str:
        tokens = self._source.tokens
        word = tokens[i].text.upper()
        if word in _BLOCKS and is_word(tokens[i]) and self._source.match.get(i + 1) == j - 1:
            return self._block(i, j)
        if j == i + 1 and word in _MARKERS:
            return word
        written = self._old[tokens[i].start : tokens[j - 1].end + 1]
        text = laid_out(written, self._dialect, self._style) if word in _QUERY else None
        if text is not None:
            return text
        if word in _QUERY or (word == "@" and tokens[i + 1].text.upper() != "DEF"):
            self._left.append(self._source.line_column(tokens[i].start)[0])
        return written

    # -- blocks

    def _block(self, i: int, j: int) -> str:
        tokens = self._source.tokens
        if self._commented(i, i + 2) or j == i + 3:
            return self._old[tokens[i].start : tokens[j - 1].end + 1]
        entries, closing = self._entries(i + 2, j - 1)
        for entry in entries:
            if tokens[entry.begin].text.lower() == "dialect":
                self._dialect = self._source.slice(entry.begin + 1, entry.end).strip("'\"").lower()
        if not any(tokens[entry.begin].text == "@" for entry in entries):  # a macro's place may matter
            rank = {key: n for n, key in enumerate(self._header.order)}
            entries.sort(key=lambda entry: rank.get(tokens[entry.begin].text.lower(), len(rank)))
        lines = [f"{tokens[i].text.upper()} ("]
        lines += self._entry_lines(entries, closing, [self._property(entry) for entry in entries])
        return "\n".join([*lines, ")"])

    def _entries(self, i: int, j: int) -> tuple[list[_Entry], list[str]]:
        """What stands between the commas of `[i, j)`, and comments after the last of it; `j` is the closing bracket."""
        source, tokens = self._source, self._source.tokens
        entries: list[_Entry] = []
        waiting = [remark.text for remark in remarks(source, tokens[i - 1].end + 1, tokens[i].start)]
        for begin, end in source.split(i, j):
            if begin == end:
                raise ModelError("nothing stands between two commas")
            entry = _Entry(begin, end, before=waiting)
            entries.append(entry)
            waiting = []
            stops = [tokens[end].start]
            if end < j:
                stops.append(tokens[end + 1].start)
            at = tokens[end - 1].end + 1
            for n, stop in enumerate(stops):
                for remark in remarks(source, at, stop):
                    stays = not remark.begins_line and (n == 0 or remark.ends_line) and not entry.after
                    (entry.after if stays else waiting).append(remark.text)
                at = tokens[end].end + 1
        return entries, waiting

    def _entry_lines(self, entries: list[_Entry], closing: list[str], texts: list[str]) -> Iterator[str]:
        """The entries one below the other, one step in."""
        step = " " * self._style.indent
        lead = self._style.leading_comma
        for n, (entry, text) in enumerate(zip(entries, texts, strict=True)):
            for comment in entry.before:
                yield step + comment
            comma = "," if not lead and n + 1 < len(entries) else ""
            before = ", " if lead and n else ""
            after = "".join(f" {comment}" for comment in entry.after)
            yield f"{step}{before}{text}{comma}{after}"
        for comment in closing:
            yield step + comment

    def _property(self, entry: _Entry) -> str:
        source, tokens = self._source, self._source.tokens
        begin, end = entry.begin, entry.end
        written = source.slice(begin, end)
        if end == begin + 1 or not is_word(tokens[begin]) or self._commented(begin, begin + 2):
            return written
        key = tokens[begin].text.lower()
        value = begin + 1
        name = ""
        if key == "kind" and end > value + 1 and is_word(tokens[value]):
            if self._commented(value, value + 2):
                return written
            name, value = f"{tokens[value].text.upper()} ", value + 1
        if tokens[value].token_type is not TokenType.L_PAREN or source.match.get(value) != end - 1 or end == value + 2:
            text = source.slice(begin + 1, end)
            return f"{key} {text.upper() if key == 'kind' and end == begin + 2 and is_word(tokens[value]) else text}"
        members, closing = self._entries(value + 1, end - 1)
        texts = [source.slice(member.begin, member.end) for member in members]
        flat = f"{key} {name}({', '.join(texts)})"
        plain = not closing and not any(member.before or member.after for member in members)
        is_listed = bool(name) or key in self._header.listed
        if (
            not is_listed
            and plain
            and "\n" not in flat
            and len(flat) + self._style.indent <= self._style.max_text_width
        ):
            return flat
        step = " " * self._style.indent
        inner = [step + line for line in self._entry_lines(members, closing, texts)]
        return "\n".join([f"{key} {name}(", *inner, f"{step})"])

    def _commented(self, i: int, j: int) -> bool:
        """Whether a comment stands between tokens `i` and `j - 1`."""
        tokens = self._source.tokens
        return any(remarks(self._source, tokens[k].end + 1, tokens[k + 1].start) for k in range(i, j - 1))
