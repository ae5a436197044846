"""What an apply did, as one document and as one sentence. Reads events, computes nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.plan.words import count
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


@dataclass(slots=True, kw_only=True)
class Report:
    """Collects the events of one apply, in the order they came."""

    events: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Take one event in."""
        self.events.append(event)

    @property
    def failed(self) -> bool:
        """Whether something did not work."""
        return any(isinstance(event, Failed) for event in self.events)

    @property
    def promoted(self) -> bool:
        """Whether an environment shows something new."""
        return any(isinstance(event, Promoted) for event in self.events)

    def json(self, seconds: float) -> dict[str, object]:
        """What was done and the seconds it took."""
        built = [event for event in self.events if isinstance(event, Built)]
        promoted = [event for event in self.events if isinstance(event, Promoted)]
        return {
            "seconds": round(seconds, 3),
            "built": [_built_json(event) for event in built if not event.repoint],
            "repointed": [event.model for event in built if event.repoint],
            "audited": [
                {"model": event.model, **audit}
                for event in self.events
                if isinstance(event, Audited)
                for audit in _audits_json((event,))
            ],
            "reused": [event.model for event in self.events if isinstance(event, Reused)],
            "waiting": [_waiting_json(event) for event in self.events if isinstance(event, Waiting)],
            "skipped": [
                {"model": event.model, "because": event.because} for event in self.events if isinstance(event, Skipped)
            ],
            "failed": [
                {"model": event.model, "error": message_of(event.error), "audits": _audits_json(event.audits)}
                for event in self.events
                if isinstance(event, Failed)
            ],
            "promoted": _promoted_json(promoted[-1]) if promoted else None,
        }

    def sentence(self, seconds: float) -> str:
        """What was done, in one line."""
        built = [event for event in self.events if isinstance(event, Built)]
        computed = [event for event in built if not event.repoint]
        rows = sum(event.rows for event in computed if event.rows is not None)
        parts = []
        if computed:
            parts.append(f"built {count(len(computed), 'model')}" + (f" ({count(rows, 'row')})" if rows else ""))
        if len(built) > len(computed):
            parts.append(f"pointed {count(len(built) - len(computed), 'view')} at new tables")
        audited = {event.model for event in self.events if isinstance(event, Audited)}
        if audited:
            parts.append(f"audited {count(len(audited), 'table')}")
        reused = sum(isinstance(event, Reused) for event in self.events)
        if reused:
            parts.append(f"reused {count(reused, 'table')}")
        waiting = {event.model for event in self.events if isinstance(event, Waiting)}
        if waiting:
            parts.append(f"{count(len(waiting), 'model')} {'waits' if len(waiting) == 1 else 'wait'}")
        parts += [
            f"{event.environment} swapped in {seconds_words(event.seconds)}, promotion {event.number}"
            for event in self.events
            if isinstance(event, Promoted)
        ]
        return f"Done in {seconds_words(seconds)}: {', '.join(parts) or 'nothing to do'}."


def event_line(event: Event) -> tuple[str, str] | None:
    """One event as a line and a style for people; None for those that only move a progress bar."""
    match event:
        case Built(repoint=True):
            return f"pointed  {event.model}", "dim"
        case Built():
            rows = f"  {count(event.rows, 'row')}" if event.rows is not None else ""
            return f"built    {event.model}{rows}  {seconds_words(event.seconds)}", "green"
        case Reused():
            return f"reused   {event.model}", "dim"
        case Waiting():
            what = f"signal {event.signal}" if event.signal is not None else event.parent
            return f"waits    {event.model}: for {what}, {count(event.units, 'interval')}", "yellow"
        case Skipped():
            return f"skipped  {event.model}, because {event.because} failed", "yellow"
        case Failed():
            return f"failed   {event.model}: {_first_line(event.error)}", "red"
        case Promoted():
            views = f"{count(len(event.created), 'view')} set, {len(event.dropped)} dropped"
            told = "".join(f"; {note}" for note in event.notes)
            return f"swapped  {event.environment}: {views}  {seconds_words(event.seconds)}{told}", "green"
        case Audited():
            where = f" in {event.interval}" if event.interval is not None else ""
            if event.passed:
                return f"passed   {event.model}: {event.audit}{where}", "green"
            kind = "blocking" if event.blocking else "not blocking"
            return f"audit    {event.model}: {event.audit} found {count(event.failing_rows, 'row')}{where} ({kind})", (
                "red" if event.blocking else "yellow"
            )
        case Dropped():
            what = "environment" if event.environment is not None else "relation"
            if event.kept_because is not None:
                return f"kept     {what} {event.name}: {event.kept_because}", "yellow"
            return f"dropped  {what} {event.name}", "green"
        case Evaluated():
            return None


def failing_audits(event: Event) -> tuple[Audited, ...]:
    """Audits of a build that found rows but did not stop it."""
    match event:
        case Built():
            return tuple(audit for audit in event.audits if not audit.passed)
        case _:
            return ()


def message_of(error: Exception) -> str:
    """An error's message without its place and hint, on one line."""
    return " ".join((error.message if isinstance(error, IsomeshError) else str(error)).split())


def _first_line(error: Exception) -> str:
    """How an error's message begins; a warehouse's goes on with the statement, which the end of the command shows."""
    message = error.message if isinstance(error, IsomeshError) else str(error)
    return message.strip().partition("\n")[0].strip()


def seconds_words(seconds: float) -> str:
    """Seconds as people read them: `0.24 s`, `12.3 s`, `4 min 10 s`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _built_json(event: Built) -> dict[str, object]:
    return {
        "model": event.model,
        "version": event.snapshot.version,
        "physical_table": str(event.physical),
        "intervals": [list(interval.iso()) for interval in event.intervals],
        "rows": event.rows,
        "seconds": round(event.seconds, 3),
        "audits": _audits_json(event.audits),
    }


def _waiting_json(event: Waiting) -> dict[str, object]:
    return {
        "model": event.model,
        "signal": event.signal,
        "parent": event.parent,
        "intervals": [list(interval.iso()) for interval in event.intervals],
        "units": event.units,
    }


def _audits_json(audits: Iterable[Audited]) -> list[dict[str, object]]:
    return [
        {
            "audit": audit.audit,
            "passed": audit.passed,
            "failing_rows": audit.failing_rows,
            "blocking": audit.blocking,
            "interval": list(audit.interval.iso()) if audit.interval is not None else None,
        }
        for audit in audits
    ]


def _promoted_json(event: Promoted) -> dict[str, object]:
    return {
        "environment": event.environment,
        "plan_id": event.plan_id,
        "number": event.number,
        "views_created": list(event.created),
        "views_dropped": list(event.dropped),
        "notes": list(event.notes),
        "seconds": round(event.seconds, 3),
    }
