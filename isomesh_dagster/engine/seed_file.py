"""A seed's CSV file as DuckDB reads it, and the types of its columns where the model declares none.

The model format reads seeds with pandas, so its rules hold: a column is a number or a boolean only if every value is
one, whole numbers with a gap are DOUBLE, and dates are text. All values are looked at; none is sampled.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isomesh_dagster.relation import quote

_IN_NO_FILE = "\ufdd0"  # a code point that is no character; DuckDB 1 takes no NUL here
# what pandas, and so the model format, reads as a missing value
_MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
_NATIVE_ENCODINGS = frozenset({"utf-8", "utf8", "utf-16", "latin-1"})

_WHOLE = r"\s*[+-]?\d+\s*"
_NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*|[+-]?inf(inity)?"


@contextmanager
def readable(path: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A file DuckDB can read, and the settings left to tell it: odd encodings and separators are written anew."""
    encoding = (settings.get("encoding") or "utf-8").lower()
    if encoding in _NATIVE_ENCODINGS and not settings.get("skipinitialspace") and not settings.get("lineterminator"):
        yield path, dict(settings)
        return
    with open(path, encoding=encoding, newline="") as source:
        text = source.read()
    if terminator := settings.get("lineterminator"):
        text = text.replace(terminator, "\n")
    rows = csv.reader(
        text.splitlines(keepends=True),
        delimiter=settings.get("delimiter") or ",",
        quotechar=settings.get("quotechar") or '"',
        escapechar=settings.get("escapechar"),
        doublequote=settings.get("doublequote", True),
        skipinitialspace=bool(settings.get("skipinitialspace")),
    )
    with tempfile.TemporaryDirectory(prefix="isomesh_seed_") as folder:
        copy = Path(folder, "seed.csv")
        with copy.open("w", encoding="utf-8", newline="") as target:
            csv.writer(target, lineterminator="\n").writerows(rows)
        yield str(copy), {key: settings[key] for key in ("na_values", "keep_default_na") if key in settings}


def source(path: str, settings: Mapping[str, Any]) -> str:
    """The file's rows as a table function: every value as the text it is."""
    quotechar = settings.get("quotechar") or '"'
    escape = settings.get("escapechar") or (quotechar if settings.get("doublequote", True) else "")
    options = [
        "header = true",
        f"delim = {_literal(settings.get('delimiter') or ',')}",
        f"quote = {_literal(quotechar)}",
        f"escape = {_literal(escape)}",
        # missing values are told by `value`: DuckDB would look for them among the names of the columns too
        f"nullstr = [{_literal(_IN_NO_FILE)}]",
        "all_varchar = true",
    ]
    if settings.get("encoding"):
        options.append(f"encoding = {_literal(settings['encoding'].lower().replace('utf8', 'utf-8'))}")
    return f"read_csv({_literal(path)}, {', '.join(options)})"


def value(name: str, kind: str | None, settings: Mapping[str, Any]) -> str:
    """The column as an item of a SELECT: missing values are NULL, the others of type `kind` (None: text)."""
    given = _given(name, settings)
    return f"{given if kind is None else f'CAST({given} AS {kind})'} AS {quote(name)}"


def misfit(name: str, kind: str, settings: Mapping[str, Any]) -> str:
    """An item of a SELECT over all rows: some value of the column that is not of type `kind`, NULL when all are."""
    given = _given(name, settings)
    return f"MIN({given}) FILTER ({given} IS NOT NULL AND TRY_CAST({given} AS {kind}) IS NULL)"


def survey(names: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Items of a SELECT over all rows that tell what the columns hold: five for each, as `inferred` takes them."""
    items: list[str] = []
    for name in names:
        given = _given(name, settings)
        items += [
            f"COUNT(*) - COUNT({given})",
            f"BOOL_AND(regexp_full_match({given}, {_literal(_WHOLE)}))",
            f"BOOL_AND(TRY_CAST({given} AS BIGINT) IS NOT NULL) FILTER ({given} IS NOT NULL)",
            f"BOOL_AND(regexp_full_match({given}, {_literal(_NUMBER)}, 'i'))",
            f"BOOL_AND({given} IN ('True', 'TRUE', 'true', 'False', 'FALSE', 'false'))",
        ]
    return ", ".join([*items, "COUNT(*)"])


def inferred(names: Sequence[str], told: Sequence[Any], settings: Mapping[str, Any]) -> list[str]:
    """The columns as items of a SELECT, of the types that the values allow; `told` is the row `survey` asks for."""
    items: list[str] = []
    for index, name in enumerate(names):
        missing, is_whole, fits, is_number, is_boolean = told[5 * index : 5 * index + 5]
        if is_boolean and missing:  # pandas has no boolean with gaps: the column is text
            items.append(f"LOWER({_given(name, settings)}) AS {quote(name)}")
        elif is_boolean:
            items.append(value(name, "BOOLEAN", settings))
        elif is_whole and not fits:  # more digits than any whole number has
            items.append(value(name, None, settings))
        elif is_whole and not missing:
            items.append(value(name, "BIGINT", settings))
        elif is_number or (is_number is None and told[-1]):  # without any value at all too, if there are rows
            items.append(value(name, "DOUBLE", settings))
        else:
            items.append(value(name, None, settings))
    return items


def _given(name: str, settings: Mapping[str, Any]) -> str:
    """The column's text, NULL where it stands for a missing value."""
    missing = (*(settings.get("na_values") or ()), *(_MISSING if settings.get("keep_default_na", True) else ()))
    column = quote(name)
    if not missing:
        return column
    return f"CASE WHEN {column} NOT IN ({', '.join(map(_literal, dict.fromkeys(missing)))}) THEN {column} END"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
