"""Documents that know where they may be broken into lines, and their text within a width.

A document is text, a list of documents, or one of the classes here. A `Group` stands on one line when it fits and holds
nothing that needs a line of its own; otherwise its own `Line`s (not those of groups inside it) become line breaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True, slots=True)
class Line:
    """A place for a line break; on one line it is a space, or nothing if `soft`. `hard` ones always break."""

    soft: bool = False
    hard: bool = False


@dataclass(frozen=True, slots=True)
class Indent:
    """Lines that begin inside `doc` are indented by so many spaces more."""

    by: int
    doc: Doc


@dataclass(frozen=True, slots=True)
class Group:
    """On one line, or broken at its own lines."""

    doc: Doc


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment. `own`: on a line of its own; else at the end of the line it stands on, whatever follows there."""

    text: str
    own: bool


Doc = Union[str, list["Doc"], Line, Indent, Group, Comment]  # noqa: UP007 - it names itself

SPACE = Line()
SOFT = Line(soft=True)
HARD = Line(hard=True)


def print_doc(doc: Doc, width: int) -> str:
    """The document's text, without a line break at the end. No line ends in spaces, none is empty."""
    printer = _Printer(width)
    printer.emit(doc, 0, False, 0)
    printer.break_line(0)
    return "\n".join(printer.lines)


class _Printer:
    def __init__(self, width: int) -> None:
        self.lines: list[str] = []
        self._width = width
        self._text = ""  # of the current line, without its indentation
        self._indent = 0
        self._suffix: list[str] = []  # comments that end the current line
        self._closed = False  # by a comment on a line of its own

    def emit(self, doc: Doc, indent: int, flat: bool, rest: int) -> None:
        """Print `doc`; `rest` is the width of the text that follows it without a possible break."""
        match doc:
            case str():
                self._write(doc, indent)
            case list():
                for k, part in enumerate(doc):
                    self.emit(part, indent, flat, _text_after(doc, k, rest) if isinstance(part, Group | Indent) else 0)
            case Indent(by=by, doc=inner):
                self.emit(inner, indent + by, flat, rest)
            case Group(doc=inner):
                if not flat:
                    width = _flat_width(inner)
                    column = (self._indent if self._text else indent) + len(self._text)
                    flat = width is not None and column + width + rest <= self._width
                self.emit(inner, indent, flat, rest)
            case Line(soft=soft, hard=hard):
                if hard or not flat:
                    self.break_line(indent)
                elif not soft:
                    self._write(" ", indent)
            case Comment(text=text, own=True):
                self.break_line(indent)
                self._write(text, indent)
                self._closed = True
            case Comment(text=text):
                self._suffix.append(text)

    def break_line(self, indent: int) -> None:
        """End the current line, if there is anything on it."""
        line, ended = self._text.rstrip(), False  # by a comment up to the end of the line: another one goes below
        for comment in self._suffix:
            if line and not ended:
                line = f"{line} {comment}"
            else:
                self.lines += [" " * self._indent + line] if line else []
                line = comment
            ended = not comment.endswith("*/")
        if line:
            self.lines.append(" " * self._indent + line)
        self._text, self._suffix, self._closed, self._indent = "", [], False, indent

    def _write(self, text: str, indent: int) -> None:
        if self._closed:
            self.break_line(indent)
        if not self._text and text.isspace():
            return
        before, found, last = text.rpartition("\n")
        if found:  # a text of several lines stands as it is
            self.lines += (" " * self._indent + self._text + before).split("\n")
            self._text, self._indent = last, 0
        else:
            self._text += text


def _text_after(parts: list[Doc], k: int, rest: int) -> int:
    width = 0
    for part in parts[k + 1 :]:
        if not isinstance(part, str):
            return width
        width += len(part)
    return width + rest


def _flat_width(doc: Doc) -> int | None:
    """The document's width on one line; None when it cannot stand on one."""
    match doc:
        case str():
            return None if "\n" in doc else len(doc)
        case list():
            total = 0
            for part in doc:
                width = _flat_width(part)
                if width is None:
                    return None
                total += width
            return total
        case Line(soft=soft, hard=hard):
            return None if hard else 0 if soft else 1
        case Comment():
            return None
        case Indent(doc=inner) | Group(doc=inner):
            return _flat_width(inner)
