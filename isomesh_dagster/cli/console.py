"""What people read: plans, tables, results and errors, with rich. Answers go to stdout, the rest to stderr.

Colour and width follow the terminal; in a pipe there is none of both, and no line is cut or wrapped. NO_COLOR is
honoured.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import TextIO

from rich.console import Console as Rich
from rich.table import Table
from rich.text import Text

from isomesh_dagster.errors import EngineError, IsomeshError
from isomesh_dagster.plan.explain import headline, plan_sections, plan_steps, summary
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.sections import Item, Section, folded

# Wide enough that nothing is wrapped where nobody looks at a width.
_NO_WIDTH = 100_000

_TONES: Mapping[str, tuple[str, str]] = {
    "added": ("+", "green"),
    "removed": ("-", "red"),
    "direct": ("~", "yellow"),
    "indirect": ("›", "cyan"),
    "metadata": ("·", "dim"),
    "build": ("▸", "blue"),
    "reuse": ("=", "dim"),
    "warning": ("!", "magenta"),
    "step": ("•", "blue"),
}

# What a message ends with when it quotes what it stumbled upon: `… at 'GRUOP'`, ``unknown kind `FUL` ``.
_SPOT = re.compile(r"at '([^']+)'$|[`'@]([A-Za-z_][A-Za-z0-9_.]*)[`']?$")

_WORD = re.compile(r"""@?[\w.]+|"[^"]*"|'[^']*'""")

_ROW_STYLES: Mapping[str, str] = {"expected": "green", "actual": "red", "missing": "green", "extra": "red"}


class Console:
    """stdout and stderr of one invocation."""

    def __init__(self) -> None:
        self.out = _rich(sys.stdout)
        self.err = _rich(sys.stderr)

    def json(self, document: object) -> None:
        """One JSON document on stdout, in ASCII where stdout cannot show every letter."""
        unicode = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
        write_plain(json.dumps(document, indent=2, ensure_ascii=not unicode))

    def csv(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table as CSV on stdout, in UTF-8 whatever the terminal speaks: a letter is never replaced."""
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", errors="strict")
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)

    def line(self, text: str = "", style: str = "") -> None:
        """A line of the answer."""
        self.out.print(Text(text, style=style), soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        """A line beside the answer, on stderr."""
        self.err.print(Text(text, style=style), soft_wrap=True)

    def code(self, text: str, language: str = "sql") -> None:
        """SQL, or another language, coloured on a terminal, as it is elsewhere."""
        if self.out.is_terminal:
            from rich.syntax import Syntax

            self.out.print(Syntax(text, language, theme="ansi_dark", background_color="default", word_wrap=True))
        else:
            write_plain(text)

    def plan(self, plan: Plan, *, diffs: bool = True, every: bool = False) -> None:
        """The plan: headline, what changes, what is built and reused, one sentence of summary. `every` line of it, also
        where there are many.
        """
        self.line(headline(plan), "bold")
        self.sections(plan_sections(plan, diffs=diffs), every=every)
        self.line()
        self.line(summary(plan), "bold green" if plan.is_empty else "bold")

    def sections(self, sections: Iterable[Section], *, every: bool = False) -> None:
        """Sections of a plan, each after a blank line, long ones folded unless `every` line is wanted."""
        told = [*sections]
        shown = told if every else [folded(section) for section in told]
        self._sections(shown)
        if shown != told:
            self.note("Long lists are folded by schema: isomesh plan --verbose shows every line.")

    def steps(self, plan: Plan) -> None:
        """Every step an apply of the plan would take, numbered by section."""
        self.line()
        self.line("What an apply does, in order", "bold underline")
        self._sections(plan_steps(plan), numbered=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
        """Rows under column names; None is shown as an empty cell, numbers to the right."""
        cells = [list(row) for row in rows]
        table = Table(title=Text(title) if title else None, title_justify="left", box=None, pad_edge=False)
        for index, column in enumerate(columns):
            numeric = bool(cells) and all(row[index] is None or isinstance(row[index], Number) for row in cells)
            table.add_column(Text(column, style="bold"), justify="right" if numeric else "left", overflow="fold")
        for row in cells:
            table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
        self.out.print(table)

    def cells(
        self, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[tuple[str, bool]]]], *, beside: bool = False
    ) -> None:
        """Rows under column names, each with a label; a marked cell carries `≠` and a colour. `beside`: on stderr."""
        table = Table(box=None, pad_edge=False)
        table.add_column(" " * 8)
        for column in columns:
            table.add_column(Text(column, style="bold"), overflow="fold")
        for label, cells in rows:
            style = _ROW_STYLES[label]
            texts = [Text(f"≠ {cell}" if marked else cell, style=style if marked else "") for cell, marked in cells]
            table.add_row(Text(f"         {label}", style=style), *texts)
        (self.err if beside else self.out).print(table)

    def error(self, error: IsomeshError, *, gateway: str | None, files: Path | None = None) -> None:
        """One readable message on stderr: where, what, how to mend it, on which gateway; the line of a model's or a
        macro's file below it, if `files` is the folder they are in.
        """
        text = Text("error", style="bold red")
        text.append(f" [{gateway}]" if gateway else "", style="red")
        where = error.place or ""
        if error.model is not None:
            where = f"{where} ({error.model})" if where else error.model
        text.append(f" {where}" if where else "", style="bold")
        text.append(f": {error.message}")
        self.err.print(text, soft_wrap=True)
        for line in excerpt(error, files) if files is not None else ():
            self.err.print(Text(f"    {line}"), soft_wrap=True)
        if error.hint:
            self.err.print(Text(f"  hint: {error.hint}", style="cyan"), soft_wrap=True)

    def traceback(self) -> None:
        """The traceback of the exception being handled, on stderr."""
        import traceback

        self.err.print(Text(traceback.format_exc()), soft_wrap=True)

    def _sections(self, sections: Iterable[Section], *, numbered: bool = False) -> None:
        for number, section in enumerate(sections, start=1):
            sign, style = _TONES[section.tone]
            self.line()
            self.line(f"{number}. {section.title}" if numbered else section.title, "bold")
            for item in section.items:
                self._item(item, sign, style)

    def _item(self, item: Item, sign: str, style: str) -> None:
        text = Text(f"  {sign} ", style=style)
        text.append(item.name, style=style if style != "dim" else "")
        if item.label:
            text.append(f"  {item.label}", style="bold")
        if item.text:
            text.append(f"  {item.text}", style="dim")
        self.out.print(text, soft_wrap=True)
        for line in item.diff.splitlines():
            self.out.print(Text(f"      {line}", style=_diff_style(line)), soft_wrap=True)
        for child in item.children:
            self.out.print(Text(f"      └ {child}", style="cyan"), soft_wrap=True)


def excerpt(error: IsomeshError, files: Path) -> tuple[str, ...]:
    """The line of SQL or Python that an error is about, and carets under the word at its place as far as that is known.

    Nothing for other files (a configuration may hold secrets), for an error that is about a file or a model as a whole,
    and for one that brings lines of its own.
    """
    if error.path is None or error.line is None or "\n" in error.message or not error.path.endswith((".sql", ".py")):
        return ()
    if error.column is None and (error.line == 1 or isinstance(error, EngineError)):
        return ()
    try:
        lines = (files / error.path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    if not 0 < error.line <= len(lines):
        return ()
    line = lines[error.line - 1]
    column = error.column
    if column is None:  # the spot is often in the message: … at 'GRUOP'
        quoted = _SPOT.search(error.message)
        spot = (quoted[1] or quoted[2]) if quoted is not None else ""
        column = line.index(spot) + 1 if spot and line.count(spot) == 1 else None
    shown = line.strip().expandtabs(1)
    if column is None:
        return (shown,)
    indent = len(line) - len(line.lstrip())
    word = _WORD.match(line, column - 1)
    return shown, " " * max(column - 1 - indent, 0) + "^" * (len(word[0]) if word is not None else 1)


def write_plain(text: str) -> None:
    """Write a line to stdout as it is: no markup, no width, no colour."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _rich(stream: TextIO) -> Rich:
    interactive = stream.isatty()
    return Rich(file=stream, highlight=False, markup=False, emoji=False, width=None if interactive else _NO_WIDTH)


def _diff_style(line: str) -> str:
    if line.startswith("+"):
        return "green"
    if line.startswith("-"):
        return "red"
    return "dim"
