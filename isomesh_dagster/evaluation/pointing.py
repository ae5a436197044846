"""Where in a file an engine's complaint belongs: the engine saw text that was rendered from what somebody wrote.

A place is told only when it is sure (`dialect.counterpart`), and a file only when it still has the whole text, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from isomesh_dagster.errors import EngineError, ModelError

_EXCERPT = re.compile(r"\nLINE \d+: .*\Z", re.DOTALL)
_CANDIDATES = re.compile(r"Candidate (?:bindings|Entries)(.*)")
_QUOTED = re.compile(r'"([^"]+)"')
_LONGEST_HINT = 300


@contextmanager
def pointing(
    root: Path, places: Sequence[str], texts: Sequence[tuple[str, str]], dialects: tuple[str, str]
) -> Iterator[None]:
    """Give an EngineError that is raised within the place in one of the files, if the engine tells one and it is in one
    of `texts`: each as it was run, and as it was written. `dialects` are those of both.

    `places` are files, and folders of SQL files, relative to `root`.
    """
    try:
        yield
    except EngineError as error:
        if error.line is None and error.spot is not None:
            _point(error, root, places, texts, dialects)
        raise


def _point(
    error: EngineError, root: Path, places: Sequence[str], texts: Sequence[tuple[str, str]], dialects: tuple[str, str]
) -> None:
    from isomesh_dagster.dialect.counterpart import counterpart  # it loads the SQL library
    from isomesh_dagster.model.render import is_template

    statement, (start, end) = error.statement or "", error.spot or (0, 0)
    for run, written in texts:
        if not run or not written or statement.count(run) != 1:
            continue
        begin = statement.index(run)
        if not begin <= start < end <= begin + len(run):
            continue
        try:
            place = counterpart(
                run, written, start - begin, end - begin, dialects=dialects, is_rendered=is_template(written)
            )
        except ModelError:  # one of the texts has no tokens in its dialect
            continue
        if place is not None and (found := _in_files(root, places, written)) is not None:
            path, text, first = found
            offset = first + place
            error.path, error.line = path, text.count("\n", 0, offset) + 1
            error.column = offset - text.rfind("\n", 0, offset)
            _tidy(error, statement[start:end])
            return


def _in_files(root: Path, places: Sequence[str], written: str) -> tuple[str, str, int] | None:
    """The one file that has the text, all of its text, and where the text begins; None for none or several."""
    found = []
    for file in [file for place in places for file in _sql_files(root / place)]:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if text.count(written) == 1:
            found.append((file.relative_to(root).as_posix(), text, text.index(written)))
        elif written in text:
            return None
    return found[0] if len(found) == 1 else None


def _sql_files(place: Path) -> Iterable[Path]:
    return sorted(place.rglob("*.sql")) if place.is_dir() else (place,)


def _tidy(error: EngineError, word: str) -> None:
    """The engine's message without the text that it quotes, what it proposes as the hint."""
    first, *more = _EXCERPT.sub("", error.message).split("\n")
    error.message = first
    proposed = " ".join(more).strip()
    if error.hint is not None or not proposed or proposed.startswith("Candidate functions"):
        return
    if candidates := _CANDIDATES.match(proposed):
        names = _QUOTED.findall(candidates[1])
        near = get_close_matches(word.rpartition(".")[2], [name.rpartition(".")[2] for name in names], n=1)
        error.hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    else:
        error.hint = proposed[0].lower() + proposed[1:_LONGEST_HINT]
