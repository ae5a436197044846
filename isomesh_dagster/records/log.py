"""What happens, as structured log records: one more reader of the events, for machines that collect logs.

Every record carries gateway, environment, plan and commit, and model, interval, rows and seconds where they apply, as
attributes of the record (`extra`) and, through `JsonLines`, as one JSON object per line. The logger is called
`isomesh`; under Dagster it is a managed logger (`python_logs` in dagster.yaml), so that the run shows its records.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.records.events import (
    Audited,
    Built,
    Dropped,
    Evaluated,
    Event,
    Failed,
    Promoted,
    Reused,
    Skipped,
    Waiting,
)
from isomesh_dagster.snapshot.interval import Interval

LOGGER = "isomesh"
_FIELDS = "isomesh"
_log = logging.getLogger(LOGGER)
_log.addHandler(logging.NullHandler())  # who does not ask for records sees none, not even warnings on stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is at work: every record says so. `commit` None: the files are not known to be those of a commit."""

    gateway: str
    environment: str
    plan: str
    commit: str | None = None


def is_wanted() -> bool:
    """Whether somebody collects records of what is done."""
    return _log.isEnabledFor(logging.INFO)


def logged(events: Iterable[Event], work: Work) -> Iterator[Event]:
    """The events as they are, each logged as it passes. An interrupt, wherever it comes, reaches who makes them."""
    source = iter(events)
    try:
        for event in source:
            log_event(event, work)
            yield event
    except KeyboardInterrupt as interrupt:
        if isinstance(source, Generator):
            source.throw(interrupt)
        raise


def log_event(event: Event, work: Work) -> None:
    """One record for the event; its audits that found rows get one each."""
    level, message, fields = _record(event)
    if not _log.isEnabledFor(level):
        return
    said = {"event": type(event).__name__.lower(), **fields}
    common = {"gateway": work.gateway, "environment": work.environment, "plan": work.plan, "commit": work.commit}
    known = {key: value for key, value in {**common, **said}.items() if value is not None}
    _log.log(level, message, extra={_FIELDS: known})
    if isinstance(event, Evaluated | Built | Failed):
        for audit in event.audits:
            if not audit.passed and not isinstance(event, Built):
                log_event(audit, work)


class JsonLines(logging.Formatter):
    """One JSON object per record: time (UTC), level, logger, message, and the fields of `Work` and of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def _record(event: Event) -> tuple[int, str, dict[str, Any]]:
    fields: dict[str, Any]
    match event:
        case Evaluated():
            fields = {"interval": _interval(event.interval), "rows": event.rows, "seconds": round(event.seconds, 3)}
            return logging.INFO, f"wrote {event.model}", {"model": event.model, **fields}
        case Built():
            fields = {
                "table": str(event.physical),
                "version": event.snapshot.version,
                "intervals": [_interval(one) for one in event.intervals],
                "rows": event.rows,
                "seconds": round(event.seconds, 3),
            }
            verb = "pointed" if event.repoint else "built"
            return logging.INFO, f"{verb} {event.model}", {"model": event.model, **fields}
        case Reused():
            return logging.INFO, f"reused {event.model}", {"model": event.model, "table": str(event.physical)}
        case Waiting():
            what = event.signal if event.signal is not None else event.parent
            intervals = [_interval(one) for one in event.intervals]
            return (
                logging.WARNING,
                f"{event.model} waits for {what}",
                {"model": event.model, "for": what, "intervals": intervals},
            )
        case Skipped():
            message = f"skipped {event.model}, because {event.because} failed"
            return logging.WARNING, message, {"model": event.model, "because": event.because}
        case Failed():
            error = event.error
            if not isinstance(error, IsomeshError):
                return logging.ERROR, f"{event.model} failed: {error}", {"model": event.model}
            told = {"path": error.path, "line": error.line, "hint": error.hint}
            return logging.ERROR, f"{event.model} failed: {error.message}", {"model": event.model, **told}
        case Audited():
            level = logging.INFO if event.passed else logging.ERROR if event.blocking else logging.WARNING
            found = "passed" if event.passed else f"found {event.failing_rows} rows"
            fields = {
                "audit": event.audit,
                "failing_rows": event.failing_rows,
                "blocking": event.blocking,
                "interval": _interval(event.interval),
            }
            return level, f"audit {event.audit} of {event.model} {found}", {"model": event.model, **fields}
        case Promoted():
            fields = {
                "promotion": event.number,
                "views_set": len(event.created),
                "views_dropped": len(event.dropped),
                "seconds": round(event.seconds, 3),
            }
            return logging.INFO, f"{event.environment} promoted", fields
        case Dropped():
            if event.kept_because is not None:
                return logging.WARNING, f"kept {event.name}: {event.kept_because}", {"object": event.name}
            return logging.INFO, f"dropped {event.name}", {"object": event.name}


def _interval(interval: Interval | None) -> list[str] | None:
    return list(interval.iso()) if interval is not None else None
