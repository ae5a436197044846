"""Column lineage that people can see in an asset's metadata: a small picture, and a table that can be copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

import dagster as dg

_MOST_LINES = 40  # of a picture: beyond that nobody can follow the lines
_MOST_LETTERS = 34
_ROW = 18
_LETTER = 6.7
_TOP = 8
_GAP = 130
_INK, _FAINT, _ACCENT = "#3d4451", "#9aa3b2", "#4f43dd"


def lineage_markdown(lineage: dg.TableColumnLineage, name: str) -> dg.MarkdownMetadataValue:
    """What each column of `name` is made of: a picture where it stays readable, and a table."""
    sources = {
        column: [f"{'.'.join(dep.asset_key.path)}.{dep.column_name}" for dep in deps]
        for column, deps in lineage.deps_by_column.items()
    }
    parts = []
    if sum(map(len, sources.values())) <= _MOST_LINES and any(sources.values()):
        parts.append(f"![columns of {name}](data:image/svg+xml,{quote(lineage_svg(sources, name))})")
    rows = [
        f"| `{column}` | {', '.join(f'`{one}`' for one in made_of) or '–'} |" for column, made_of in sources.items()
    ]
    parts.append("\n".join(["| column | made of |", "|---|---|", *rows]))
    return dg.MarkdownMetadataValue("\n\n".join(parts))


def lineage_svg(sources: Mapping[str, Sequence[str]], name: str) -> str:
    """Columns on the right, what they are made of on the left, a line for each."""
    left = list(dict.fromkeys(one for made_of in sources.values() for one in made_of))
    right = list(sources)
    width = round(max(map(len, map(_short, left))) * _LETTER) + 16
    own = round(max(map(len, map(_short, [*right, name]))) * _LETTER) + 16
    height = _TOP * 2 + (max(len(left), len(right)) + 1) * _ROW
    places = {one: _TOP + (index + 1) * _ROW + _ROW // 2 for index, one in enumerate(left)}
    shapes = [_text(width + _GAP, _TOP + _ROW // 2, name, _ACCENT, bold=True)]
    shapes += [_text(8, y, one, _INK) for one, y in places.items()]
    for index, column in enumerate(right):
        y = _TOP + (index + 1) * _ROW + _ROW // 2
        shapes.append(_text(width + _GAP, y, column, _INK))
        for one in sources[column]:
            middle, end = width + _GAP // 2, width + _GAP - 6
            shapes.append(
                f'<path d="M{width} {places[one]}C{middle} {places[one]} {middle} {y} {end} {y}"'
                f' fill="none" stroke="{_FAINT}"/>'
            )
    total = width + _GAP + own
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{height}" viewBox="0 0 {total} {height}"'
        f' font-family="monospace" font-size="11">{"".join(shapes)}</svg>'
    )


def _text(x: int, y: int, text: str, colour: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y + 4}" fill="{colour}"{weight}>{escape(_short(text))}</text>'


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
