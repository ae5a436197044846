"""What mends a violation: pieces of files that are replaced, and files that are added. Texts in, texts out.

A fix of ours never changes what a model's rows are; what a rule of the project's own proposes is the project's to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from isomesh_dagster.errors import LintError


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A piece of a file and what stands there instead; places are (line, character), both from 0, the end excluded."""

    path: str
    start: tuple[int, int]
    end: tuple[int, int]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file that is added; one that is there already is left as it is."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One way to mend a violation, all of it or nothing; paths are relative to the project's root."""

    title: str
    edits: tuple[Edit, ...] = ()
    files: tuple[NewFile, ...] = ()


def edited(text: str, path: str, edits: Iterable[Edit]) -> str:
    """The text of the file with the edits made; one that another one touches already is left for the next time.

    Raises LintError for a place that the file does not have.
    """
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    pieces = sorted((_offset(starts, path, edit.start), _offset(starts, path, edit.end), edit.text) for edit in edits)
    made: list[str] = []
    at = 0
    for begin, end, new in pieces:
        if begin < at or end < begin:
            continue
        made += [text[at:begin], new]
        at = end
    return "".join([*made, text[at:]])


def _offset(starts: list[int], path: str, place: tuple[int, int]) -> int:
    line, character = place
    if not 0 <= line < len(starts) - 1 or not 0 <= character < starts[line + 1] - starts[line]:
        raise LintError(f"a fix is for line {line + 1}, which the file does not have", path=path, line=line + 1)
    return starts[line] + character
