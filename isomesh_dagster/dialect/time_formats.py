"""Formats of dates and moments: from a dialect's own notation (`yyyy-MM-dd`) to that of `strftime` (`%Y-%m-%d`)."""

from __future__ import annotations

import re

from sqlglot.time import format_time

from isomesh_dagster.dialect.tokens import stock_dialect
from isomesh_dagster.errors import ModelError

_DIRECTIVE = re.compile(r"%-?[aAbBdfGHIjmMpSuUVwWyYzZ%]")
_STRICT = re.compile(r"(%[mdHIMS])strict")  # two digits, as ever
_QUOTED = re.compile(r"'([^'%]*)'|\"([^\"%]*)\"")  # letters that stand for themselves: 'T' in Java, "T" in Postgres
_UNREAD = re.compile(r"[A-Za-z%]")


def strftime_format(written: str, dialect: str) -> str:
    """The format as `strftime` has it. What is written with `%` is that already, but where the dialect's own notation
    has the sign too (`%i` for minutes).

    Raises ModelError for a format in neither notation, and for one with parts that `strftime` has no word for.
    """
    stock = stock_dialect(dialect)
    mapping = stock.TIME_MAPPING
    has_percent = any(key.startswith("%") for key in mapping)
    if "%" in written and not has_percent:
        found, unread = written, "%" in _DIRECTIVE.sub("", written)
    else:
        # at even places what is notation, at odd places letters between quotes
        parts = _QUOTED.sub(lambda quoted: f"\0{quoted[1] or quoted[2] or ''}\0", written).split("\0")
        parts[::2] = [_STRICT.sub(r"\1", format_time(part, mapping, stock.TIME_TRIE) or "") for part in parts[::2]]
        found = "".join(parts)
        unread = any(_rest(part, has_percent) for part in parts[::2])
    if unread or not _DIRECTIVE.search(found):
        known = "strftime's" if has_percent or not mapping else f"{dialect}'s or strftime's"
        raise ModelError(f"{written!r} is no format of dates in {known} notation", hint="write it like '%Y-%m-%d'")
    return found


def _rest(part: str, has_percent: bool) -> bool:
    """Whether something of a translated format was not understood; beside `%` letters stand for themselves."""
    left = _DIRECTIVE.sub("", part)
    return "%" in left if has_percent else bool(_UNREAD.search(left))
