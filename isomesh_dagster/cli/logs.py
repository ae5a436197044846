"""Log records of an invocation as a file of JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click


def log_to(file: Path) -> Callable[[], None]:
    """Append records of what is done to `file` from now on; the function ends that. A disk that is full ends it too,
    with a line on stderr, and nothing else: what is done goes on.
    """
    import logging

    from isomesh_dagster.records.log import LOGGER, JsonLines

    class LogFile(logging.FileHandler):
        def handleError(self, record: logging.LogRecord) -> None:
            error = sys.exc_info()[1]
            if not isinstance(error, OSError):
                super().handleError(record)
                return
            self.setLevel(logging.CRITICAL + 1)
            click.echo(f"{file}: {error.strerror}; what follows is not logged", err=True)

    try:
        handler = LogFile(file, encoding="utf-8")
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
        with suppress(OSError):  # told already, when it could not be written
            handler.close()

    return end
