"""All that a person may ask of a plan, as one value: the command line, Dagster and a saved plan hand over the same.

A wish never reaches execution: each part of it changes what is decided, and the plan says what was decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from isomesh_dagster.errors import PlanError
from isomesh_dagster.model.model import Json
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a plan besides the environment and the moment. Models are named by selections, as
    `graph.selection` reads them, until the project has looked them up; a plan's own wish holds names.

    within          the range of time that is built or restated, `[start, end)` in epoch milliseconds UTC; None: all
    choices         categories that people chose for models that are edited or new, by name
    restate         make the rows of these models, and of all that reads them, again
    select          take the files' changes of these models only
    backfill        build these models, and what they read, only
    skip_backfill   build nothing: make empty tables, and leave their intervals to be built later
    empty_backfill  build nothing: make empty tables, and count their intervals as built
    no_gaps         refuse a plan after which a table holds fewer intervals than the one it takes the place of
    create_from     the environment a new one is compared with; None: prod
    min_intervals   build at least so many of the latest units of each model, whatever `within` says
    run             also build what the clock has made due
    ignore_cron     with `run`: up to now, whatever the models' crons say
    forward_only    every change keeps tables and the rows in them, where the kind of model allows it
    effective_from  what forward-only changes mean is computed again from this moment on (epoch milliseconds UTC)
    allow_destructive, allow_additive   models whose tables may lose, or gain, columns, whatever their properties say
    enable_preview  forward-only changes are shown outside of prod in a table with rows, whatever the configuration says
    no_auto_categorization   people say what every edit means that touches rows, whatever the configuration says
    skip_linter     lint rules are not checked
    diff_rendered   differences of texts are those of queries as they run, macros expanded
    """

    within: Interval | None = None
    choices: Mapping[str, Category] = field(default_factory=lambda: MappingProxyType({}))
    restate: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    backfill: tuple[str, ...] = ()
    skip_backfill: bool = False
    empty_backfill: bool = False
    no_gaps: bool = False
    create_from: str | None = None
    min_intervals: int = 0
    run: bool = False
    ignore_cron: bool = False
    forward_only: bool = False
    effective_from: int | None = None
    allow_destructive: tuple[str, ...] = ()
    allow_additive: tuple[str, ...] = ()
    enable_preview: bool = False
    no_auto_categorization: bool = False
    skip_linter: bool = False
    diff_rendered: bool = False

    def __post_init__(self) -> None:
        for asked, other, told in self._contradictions():
            if asked and other:
                raise PlanError(told)
        if self.min_intervals < 0:
            raise PlanError(f"min_intervals is a number of intervals, not {self.min_intervals}")
        if self.ignore_cron and not self.run:
            raise PlanError("ignore_cron says how far run goes", hint="ask for run as well")

    def _contradictions(self) -> tuple[tuple[bool, bool, str], ...]:
        """Pairs that cannot both be asked, with why."""
        restates = bool(self.restate)
        return (
            (self.skip_backfill, self.empty_backfill, "skip_backfill and empty_backfill exclude each other"),
            (restates, bool(self.select or self.choices), "a restatement ignores the files: nothing can be selected"),
            (restates, bool(self.backfill), "restate and backfill exclude each other: both say what is built"),
            (restates, self.skip_backfill or self.empty_backfill, "a restatement builds: it leaves no table empty"),
            (restates, self.is_forward_only, "a restatement ignores the files: nothing can be forward-only"),
            (restates, self.allows_changes, "a restatement ignores the files: no table gets other columns"),
            (
                self.effective_from is not None,
                self.skip_backfill or self.empty_backfill,
                "effective_from and skip_backfill or empty_backfill exclude each other: one computes rows again",
            ),
            (restates, self.run, "restate and run exclude each other: plan one after the other"),
            (self.run, self.within is not None, "run builds up to now: it takes no start and no end"),
        )

    @property
    def is_forward_only(self) -> bool:
        """Whether it asks for a forward-only change, or how one is made."""
        return self.forward_only or self.effective_from is not None or Category.FORWARD_ONLY in self.choices.values()

    @property
    def allows_changes(self) -> bool:
        """Whether it allows tables to lose or gain columns, whatever their properties say."""
        return bool(self.allow_destructive or self.allow_additive)


NOTHING = Wish()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWish:
    """What is asked of a run besides the environment and the moment.

    within          the range of time that is built, as in `Wish`
    select          selections of the models that are built, names once they are looked up; none: all
    auto_upstream   whether what the selected models read is built too
    ignore_cron     build up to now, in whole interval units, whatever the models' crons say
    """

    within: Interval | None = None
    select: tuple[str, ...] = ()
    auto_upstream: bool = True
    ignore_cron: bool = False


EVERYTHING_DUE = RunWish()


def span(start: int | None, end: int | None, now: int) -> Interval | None:
    """`[start, end)` as people ask for it: without a start from the beginning of time, without an end up to `now`; None
    without both. Raises PlanError when it ends before it starts.
    """
    if start is None and end is None:
        return None
    stop = now if end is None else end
    first = min(0, stop - 1) if start is None else start
    if first >= stop:
        raise PlanError(
            "the range ends before it starts", hint="the start must be before the end, which is now if left out"
        )
    return Interval(first, stop)


def wish_to_json(wish: Wish) -> dict[str, Json]:
    """The wish as JSON; only what differs from asking nothing."""
    asked: dict[str, Json] = {}
    if wish.within is not None:
        asked["within"] = [wish.within.start, wish.within.end]
    if wish.choices:
        asked["choices"] = {name: category.value for name, category in sorted(wish.choices.items())}
    for key in _PLAIN:
        value = getattr(wish, key)
        if value != getattr(NOTHING, key):
            asked[key] = list(value) if isinstance(value, tuple) else value
    return asked


def wish_from_json(asked: Mapping[str, Json]) -> Wish:
    """The inverse of `wish_to_json`. Raises ValueError, TypeError or AttributeError for what it never wrote."""
    known: dict[str, object] = {}
    for key, value in asked.items():
        match key, value:
            case "within", [int(start), int(end)]:
                known[key] = Interval(start, end)
            case "choices", dict():
                known[key] = {name: Category(category) for name, category in value.items()}
            case "effective_from", int(moment):
                known[key] = moment
            case _ if key in _PLAIN and _is_like(value, getattr(NOTHING, key)):
                known[key] = tuple(value) if isinstance(value, list) else value
            case _:
                raise ValueError(f"no part of a wish: {key!r}")
    return Wish(**known)  # type: ignore[arg-type]


_PLAIN = (
    "restate",
    "select",
    "backfill",
    "skip_backfill",
    "empty_backfill",
    "no_gaps",
    "create_from",
    "min_intervals",
    "run",
    "ignore_cron",
    "forward_only",
    "effective_from",
    "allow_destructive",
    "allow_additive",
    "enable_preview",
    "no_auto_categorization",
    "skip_linter",
    "diff_rendered",
)


def _is_like(value: Json, default: object) -> bool:
    """Whether the value is of the kind its default is of."""
    if isinstance(default, tuple):
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, str) if default is None else type(value) is type(default)
