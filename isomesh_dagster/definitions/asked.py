"""What a run's configuration asks of its plan, as people write it; and the wish that is."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from isomesh_dagster import dates
from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.wish import Wish, span
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category

_CATEGORIES = {
    one.value.replace("_", "-"): one for one in (Category.BREAKING, Category.NON_BREAKING, Category.FORWARD_ONLY)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The fields of the resource that say what is planned, as `Wish` has them.

    `start` and `end` bound what is built: dates or moments as in models, UTC where they say nothing else; a date as the
    end is included. `categorize` holds categories by model, written as on the command line.
    """

    start: str | None = None
    end: str | None = None
    forward_only: bool = False
    effective_from: str | None = None
    categorize: Mapping[str, str] = field(default_factory=dict)
    skip_backfill: bool = False
    empty_backfill: bool = False
    no_gaps: bool = False
    create_from: str | None = None
    min_intervals: int = 0
    run: bool = False
    ignore_cron: bool = False

    def wish(self, now: int, **more: Any) -> Wish:
        """The wish, with what `more` asks besides. `now` is epoch milliseconds UTC. Raises PlanError."""
        return Wish(
            within=self.span(now),
            choices={model: _category(model, text) for model, text in self.categorize.items()},
            forward_only=self.forward_only,
            effective_from=None if self.effective_from is None else dates.to_ms(self.effective_from, now_ms=now),
            skip_backfill=self.skip_backfill,
            empty_backfill=self.empty_backfill,
            no_gaps=self.no_gaps,
            create_from=self.create_from,
            min_intervals=self.min_intervals,
            run=self.run,
            ignore_cron=self.ignore_cron,
            **more,
        )

    def span(self, now: int) -> Interval | None:
        """The range of time; None: all of it. `now` is epoch milliseconds UTC."""
        start = None if self.start is None else dates.to_ms(self.start, now_ms=now)
        end = None if self.end is None else dates.to_exclusive_end_ms(self.end, now_ms=now)
        return span(start, end, now)

    def nothing(self, why: str) -> None:
        """Raises PlanError when anything is asked; `why` says of the work that it could not heed it."""
        asked = [one.name for one in fields(self) if getattr(self, one.name)]
        if asked:
            raise PlanError(
                f"{why}: {', '.join(asked)} cannot be asked of it", hint="leave it out of the resource isomesh"
            )


NOTHING_ASKED = Asked()


def _category(model: str, text: str) -> Category:
    written = text.strip().lower().replace("_", "-")
    if written not in _CATEGORIES:
        near = difflib.get_close_matches(written, _CATEGORIES, n=1)
        raise PlanError(
            f"{text!r} is no category for {model}",
            hint=f"did you mean {near[0]}?" if near else f"it is one of {', '.join(_CATEGORIES)}",
        )
    return _CATEGORIES[written]
