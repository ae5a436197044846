"""Files that people keep: replaced whole, or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def write_whole(contents: Mapping[Path, str | bytes]) -> None:
    """Write these files, with their folders; text as UTF-8, as it is. What is there before is replaced and keeps its
    permissions; a link stays a link.

    Each is written beside its place first, and takes it when all are written: a full disk or a killed process leaves
    every file as it was. Raises OSError, which names the file.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            if path.exists() and not path.is_file() and not path.is_dir():  # a pipe, a terminal
                path.write_bytes(_encoded(content))
                continue
            place = Path(os.path.realpath(path))
            part = place.with_name(f".{place.name[:200]}.{os.getpid()}-{threading.get_ident()}")
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                parts[part] = place
                part.write_bytes(_encoded(content))
                with suppress(FileNotFoundError):
                    part.chmod(place.stat().st_mode)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
        for part, place in parts.items():
            part.replace(place)
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _encoded(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
