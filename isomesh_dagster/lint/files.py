"""How the SQL files of a project are laid out.

In: a file's text. Out: its text as the project's style has it, or why it is left alone. Pure; who reads and writes
files is the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

from isomesh_dagster.dialect.file_layout import HeaderStyle, lay_out_file
from isomesh_dagster.dialect.header import parse_file
from isomesh_dagster.dialect.style import Style
from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.model.scalars import BOOLEANS

HEADER = HeaderStyle(
    order=(
        *("name", "project", "kind", "dialect", "gateway", "enabled", "standalone", "skip", "blocking"),
        *("start", "end", "cron", "cron_tz", "interval_unit", "allow_partials"),
        *("owner", "stamp", "description", "columns", "column_descriptions"),
        *("grain", "grains", "references", "tags"),
        *("partitioned_by", "clustered_by", "table_format", "storage_format"),
        *("physical_properties", "table_properties", "virtual_properties", "session_properties"),
        *("depends_on", "signals", "defaults", "audits", "on_destructive_change", "on_additive_change"),
        *("grants", "grants_target_layer", "optimize_query", "formatting", "ignored_rules", "blueprints"),
    ),
    listed=frozenset(
        {
            *("columns", "column_descriptions", "audits", "defaults", "signals", "grants", "blueprints"),
            *("physical_properties", "table_properties", "virtual_properties", "session_properties"),
        }
    ),
)
"""The order of properties in a header, and those that have an item a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formatted:
    """What became of a file.

    text   its new text; the old one when it is left alone
    why    why it is left alone, in words; None when it is not
    left   lines of queries that stay as they are inside a file that is laid out
    """

    text: str
    why: str | None = None
    left: tuple[int, ...] = ()


def formatted(text: str, dialect: str, style: Style) -> Formatted:
    """The file's text in the project's layout; line breaks are `\\n`. `dialect` is that of files that name none.

    It is left alone when it says `formatting false`, cannot be read, would lose a comment or say something else, or
    would look different when laid out again. Of what it says only the canonical text is compared: whether models keep
    their fingerprints is for the caller to check.
    """
    try:
        if _opted_out(text, dialect):
            return Formatted(text=text, why="it says formatting false")
        laid = lay_out_file(text, dialect, style, HEADER)
        return Formatted(text=laid.text, left=laid.left)
    except RecursionError:
        return Formatted(text=text, why="it is nested too deeply")
    except IsomeshError as error:
        return Formatted(text=text, why=error.message)


def _opted_out(text: str, dialect: str) -> bool:
    first = parse_file(text, dialect, None)[0].block
    says = first.get("formatting") if first is not None else None
    return says is not None and BOOLEANS.get(says.text.strip().lower(), True) is False
