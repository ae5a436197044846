"""Log records of an invocation as a file of JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click


def log_to(file: Path) -> Callable[[], None]:
    """Append records of what is done to `file` from now on; the function ends that."""
    import logging

    from isomesh_dagster.records.log import LOGGER, JsonLines

    try:
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(file), hint=error.strerror) from None
    handler.setFormatter(JsonLines())
    logger = logging.getLogger(LOGGER)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def end() -> None:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()

    return end
