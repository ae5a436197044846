"""A seed's CSV file as DuckDB reads it, and the types of its columns where the model declares none.

The model format reads seeds with pandas, so its rules hold: a column is a number or a boolean only if every value is
one, whole numbers with a gap are DOUBLE, and dates are text. All values are looked at; none is sampled.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from isomesh_dagster.errors import ModelError
from isomesh_dagster.relation import literal, quote

_IN_NO_FILE = "\ufdd0"  # a code point that is no character; DuckDB 1 takes no NUL here
# what pandas, and so the model format, reads as a missing value
_MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
_NATIVE_ENCODINGS = frozenset({"utf-8", "utf8", "utf-16", "latin-1"})

_WHOLE = r"\s*[+-]?\d+\s*"
_NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*|[+-]?inf(inity)?"


def is_plain(settings: Mapping[str, Any]) -> bool:
    """Whether DuckDB reads the file itself; `parsed` reads what it cannot: odd encodings, separators and escapes."""
    encoding = (settings.get("encoding") or "utf-8").lower()
    odd = ("skipinitialspace", "lineterminator", "escapechar")
    return encoding in _NATIVE_ENCODINGS and not any(settings.get(key) for key in odd)


def uneven(path: str, settings: Mapping[str, Any]) -> str | None:
    """A sentence about the first line of a plain file that has not as many values as the first one; None: all have."""
    try:
        with open(path, encoding=settings.get("encoding") or "utf-8", newline="") as file:
            reader = csv.reader(
                file, delimiter=settings.get("delimiter") or ",", quotechar=settings.get("quotechar") or '"'
            )
            columns = len(next(reader, []))
            for row in reader:
                if row and len(row) != columns:
                    values = f"{len(row)} value{'' if len(row) == 1 else 's'}"
                    return f"line {reader.line_num} of the seed's file has {values} for {columns} columns"
    except (OSError, LookupError, UnicodeError, csv.Error):
        return None
    return None


def parsed(path: str, settings: Mapping[str, Any]) -> tuple[list[str], list[list[str | None]]]:
    """The names in the file's first line, and its rows as texts; cells that a row lacks at its end are None.

    Raises ModelError for a row that is longer than the first line, for what is not CSV, and for an encoding that
    nobody knows or that is not the file's.
    """
    try:
        encoding = (settings.get("encoding") or "utf-8").lower()
        # what begins an UTF-8 file of some editors is no part of the first column's name
        with open(path, encoding="utf-8-sig" if encoding in ("utf-8", "utf8") else encoding, newline="") as file:
            text = file.read()
        if terminator := settings.get("lineterminator"):
            text = text.replace(terminator, "\n")
        reader = csv.reader(
            io.StringIO(text, newline=""),  # lines as CSV has them: no others, as a form feed is for `splitlines`
            delimiter=settings.get("delimiter") or ",",
            quotechar=settings.get("quotechar") or '"',
            escapechar=settings.get("escapechar"),
            doublequote=settings.get("doublequote", True),
            skipinitialspace=bool(settings.get("skipinitialspace")),
        )
        names = next(reader, [])
        rows: list[list[str | None]] = []
        for row in reader:
            if len(row) > len(names):
                raise ModelError(
                    f"line {reader.line_num} of the seed's file has {len(row)} values for {len(names)} columns"
                )
            if row:
                rows.append([*row, *[None] * (len(names) - len(row))])
    except LookupError:
        raise ModelError(f"nobody knows the encoding {settings.get('encoding')!r} of the seed's file") from None
    except (UnicodeError, csv.Error) as error:
        raise ModelError(f"the seed's file cannot be read: {error}", hint="mend the file, or csv_settings") from None
    return names, rows


def source(path: str, settings: Mapping[str, Any]) -> str:
    """The file's rows as a table function: every value as the text it is."""
    quotechar = settings.get("quotechar") or '"'
    escape = quotechar if settings.get("doublequote", True) else ""
    options = [
        "header = true",
        f"delim = {literal(settings.get('delimiter') or ',')}",
        f"quote = {literal(quotechar)}",
        f"escape = {literal(escape)}",
        # missing values are told by `value`: DuckDB would look for them among the names of the columns too
        f"nullstr = [{literal(_IN_NO_FILE)}]",
        "all_varchar = true",
    ]
    if settings.get("encoding"):
        options.append(f"encoding = {literal(settings['encoding'].lower().replace('utf8', 'utf-8'))}")
    return f"read_csv({literal(path)}, {', '.join(options)})"


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
            f"BOOL_AND(regexp_full_match({given}, {literal(_WHOLE)}))",
            f"BOOL_AND(TRY_CAST({given} AS BIGINT) IS NOT NULL) FILTER ({given} IS NOT NULL)",
            f"BOOL_AND(regexp_full_match({given}, {literal(_NUMBER)}, 'i'))",
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
    special = settings.get("na_values") or ()
    if isinstance(special, Mapping):
        special = special.get(name, ())
    missing = (*special, *(_MISSING if settings.get("keep_default_na", True) else ()))
    column = quote(name)
    if not missing:
        return column
    return f"CASE WHEN {column} NOT IN ({', '.join(map(literal, dict.fromkeys(missing)))}) THEN {column} END"
