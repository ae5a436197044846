"""What a seed's file says: hashes of its content, and the names of its columns. Bytes in, plain values out."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Callable, Iterator
from hashlib import blake2b

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.kinds import CsvSettings


def seed_hash(content: bytes) -> str:
    """What a seed's bytes say, whatever the line endings and the blank lines at the end."""
    text = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n")
    return blake2b(text, digest_size=16).hexdigest()


def seed_columns(content: bytes, settings: CsvSettings, dialect: str) -> tuple[str, ...] | None:
    """The normalised names in the header of a CSV file; None when they cannot all be told, or repeat."""
    try:
        # the first line is at most this long, and a cut in the middle of a character harms no name before it
        return _names(next(_rows(content[:1_000_000], settings), []), dialect)
    except (LookupError, csv.Error):
        return None


def column_hashes(content: bytes, settings: CsvSettings, dialect: str) -> dict[str, str]:
    """What each column of a CSV file says, row by row, by normalised name in the file's order.

    Empty when that cannot be told: names repeat, rows are of unequal length, or the file is over 10 MB.
    """
    if len(content) > _COMPARED:
        return {}
    try:
        rows = _rows(content, settings)
        names = _names(next(rows, []), dialect)
        if names is None:
            return {}
        columns = list(zip(*(row for row in rows if row), strict=True)) or [()] * len(names)
        if len(columns) != len(names):
            return {}
        return {name: _digest(values) for name, values in zip(names, columns, strict=True)}
    except (LookupError, ValueError, csv.Error):
        return {}


_COMPARED = 10_000_000  # bytes; comparing more by column would make loading slow


def _rows(content: bytes, settings: CsvSettings) -> Iterator[list[str]]:
    encoding = settings.encoding or "utf-8"
    text = content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding, "replace")
    if settings.lineterminator:
        text = text.replace(settings.lineterminator, "\n")
    return csv.reader(
        io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n"), newline=""),
        delimiter=settings.delimiter or ",",
        quotechar=settings.quotechar or '"',
        escapechar=settings.escapechar,
        doublequote=settings.doublequote is not False,
        skipinitialspace=bool(settings.skipinitialspace),
    )


def _names(header: list[str], dialect: str) -> tuple[str, ...] | None:
    from isomesh_dagster.model.decode import column_name  # needs the SQL library, which a build does without

    try:
        names = tuple(column_name(name, dialect) for name in header)
    except ModelError:
        return None
    return names if names and len(set(names)) == len(names) else None


def _digest(values: tuple[str, ...]) -> str:
    # each value with its length: no other values read the same
    text = "".join(f"{len(value)}:{value}" for value in values)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def seed_path(written: str, model_path: str) -> str:
    """The path of a seed's file relative to the root, from what a model's header says. Raises ModelError."""
    folder = posixpath.dirname(model_path)
    relative = written.removeprefix("$root/") if written.startswith("$root/") else posixpath.join(folder, written)
    path = posixpath.normpath(relative)
    if posixpath.isabs(written) or path.startswith("../") or path in ("..", "."):
        raise ModelError(
            f"path {written!r} is outside the project",
            hint="keep seeds in the project; $root/… starts at its folder, other paths at the model's",
        )
    return path


def seed_bytes(path: str, read: Callable[[str], bytes]) -> bytes:
    """What is in a seed's file, by `read`. Raises ModelError when it cannot be read."""
    try:
        return read(path)
    except FileNotFoundError:
        raise ModelError(
            f"there is no file {path}", hint="$root/… starts at the project's folder, other paths at the model's"
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
