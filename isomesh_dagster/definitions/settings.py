"""What definitions show: the settings of a translator, in Python and as `settings` of a component."""

# no postponed annotations: Dagster reads those of what a defs.yaml may hold when it makes its schema
from dataclasses import dataclass
from typing import Annotated

import dagster as dg


def says(description: str) -> dg.Resolver:
    """For the annotation of a field: what schemas, and editors that read them, tell of it."""
    resolver: dg.Resolver = dg.Resolver.default(description=description)
    return resolver


@dataclass(frozen=True, slots=True, kw_only=True)
class IsomeshTranslatorSettings(dg.Resolvable):
    """What definitions show. Each field says it in its annotation, where editors of a defs.yaml show it too."""

    code_references: Annotated[bool, says("A link to the model's file and line.")] = True
    query: Annotated[bool, says("The query as written, as Markdown.")] = True
    audits_as_checks: Annotated[bool, says("An asset check per audit; audits run and block in either case.")] = True
    unit_tests_as_checks: Annotated[
        bool, says("An asset check per unit test; without them runs run no unit tests.")
    ] = True
    # every picture is loaded with the definitions, hence the limit
    lineage_picture: Annotated[
        bool, says("What columns are made of, as Markdown with a picture; in projects of some hundred models at most.")
    ] = True
    # Dagster reads the events of what a model stands on in every run: they would cost a third more
    lineage_in_events: Annotated[
        bool, says("The lineage of columns with each materialization, too, for tools that read it there.")
    ] = False
    intervals_as_checks: Annotated[
        bool, says("A check `intervals_complete` on models that are built by intervals.")
    ] = True
    freshness: Annotated[bool, says("A freshness policy from the model's cron.")] = False
    ledgers: Annotated[bool, says("An asset beside each time-range model whose partitions are its intervals.")] = False
