"""What somebody does in the UI from an empty warehouse on, and what the pages must say."""

from __future__ import annotations

from collections.abc import Callable

from isomesh_dagster_tests.browser.person import Person
from isomesh_dagster_tests.browser.site import Site

_CARRIER_DAYS = "models/marts/carrier_days.sql"
_PLAIN = "  COUNT(*) AS flights,\n"
_WORST = f"{_PLAIN}  MAX(departure_delay) AS worst_delay,\n"


def _environment(name: str) -> str:
    return f"resources:\n  isomesh:\n    config:\n      environment: {name}\n"


def load(person: Person, site: Site) -> None:
    """Load the raw tables from the graph of assets."""
    person.open("/asset-groups")
    person.sees("shared_preview")
    person.write('group:"raw"')
    person.key("Enter")
    person.press("Materialize all")
    person.follow()
    person.wait_for_run()
    person.sees("raw__flights")


def apply(person: Person, site: Site) -> None:
    """Build everything and let prod show it, with a configuration given in the dialog."""
    person.open("/locations/definitions.py/jobs/apply")
    person.sees("A failed blocking audit leaves the environment as it was.")
    person.press("Materialize all…")
    person.click("Select a partition or create one")
    person.click("prod")
    person.click("Partition selection")
    person.sees("1 partition")
    person.click("Config")
    person.press("Add config")
    person.sees("No errors")
    person.write("resources:\n  isomesh:\n    config:\n      no_gaps: true\n")
    person.press("Save config")
    person.sees("no_gaps: true")
    person.picture("launch")
    person.press("Launch 1 run")
    person.follow()
    person.wait_for_run()
    person.sees("partition: prod")


def look(person: Person, site: Site) -> None:
    """The graph, a model with its description, columns and checks, and what its columns are made of."""
    person.open("/asset-groups")
    person.sees("shared_preview", "environments", "intervals")
    person.picture("graph")
    person.open("/assets/core/flights")
    person.sees("The fact of the project", "6,042", "DuckDB", "models/core/flights.sql")
    person.picture("asset")
    person.open("/assets/marts/carrier_days")
    person.sees("INCREMENTAL_BY_TIME_RANGE")
    person.click("[Show Markdown]")
    person.sees("isomesh/column_lineage", "core.flights.departure_delay")
    person.picture("lineage", of=person.dialog())
    person.open("/assets/core/flights?view=checks")
    person.sees("Checks (6)", "accepted_values", "unique_values", "This is a blocking asset check.", "Passed")


def ledger(person: Person, site: Site) -> None:
    """The days of a model as partitions."""
    person.open("/assets/core/flights_intervals?view=partitions")
    person.sees("365 Partitions Selected", "Materialized (365)", "Missing (0)")
    person.picture("intervals")


def plan(person: Person, site: Site) -> None:
    """Edit a model, see that it is out of date, and what a plan would do about it."""
    site.edit(_CARRIER_DAYS, _PLAIN, _WORST)
    person.reload_definitions()
    person.open("/assets/marts/carrier_days")
    person.sees("Unsynced (1)")
    person.launch("plan", _environment("dev_jo"))
    person.wait_for_run()
    person.click("[Show Markdown]")
    person.sees(
        "Plan for dev_jo on gateway nonproduction",
        "marts.carrier_days non-breaking: adds column worst_delay",
        "reports.carrier_months indirect-non-breaking: reads no changed column of marts.carrier_days",
    )
    person.picture("plan")


def build(person: Person, site: Site) -> None:
    """Build what the edit asks for, which no environment shows yet; what was there says so, and its checks do."""
    person.open("/locations/definitions.py/jobs/build")
    person.press("Materialize all")
    person.follow()
    person.wait_for_run()
    person.open("/assets/marts/carrier_days?view=events")
    person.sees("isomesh/reused false isomesh/rows_written 42", "2013-01-01 → 2013-12-31")
    person.open("/assets/core/flights?view=checks")
    person.sees("isomesh/reused true", "Passed")
    person.picture("checks")


def promote(person: Person, site: Site) -> None:
    """Let prod show it."""
    person.launch("promote", _environment("prod"))
    person.wait_for_run()
    person.open("/assets/environment?view=partitions&partition=prod")
    person.sees("edited marts.carrier_days", "To go back to 1:")


def roll_back(person: Person, site: Site) -> None:
    """Go back, and read in the environment's history who did what."""
    person.launch("rollback", _environment("prod"))
    person.wait_for_run()
    person.open("/assets/environment?view=partitions&partition=prod")
    person.sees("rollback to 1", "edited marts.carrier_days", "new 23 models", "To go back to 2:")
    person.picture("environment")


def refused_query(person: Person, site: Site) -> None:
    """SQL that the warehouse refuses: the run says in which line, and what would be right."""
    site.edit(_CARRIER_DAYS, "SUM(distance_miles)", "SUM(distance_kilometres)")
    _materialize(person, "marts/carrier_days", "Failure")
    person.sees("models/marts/carrier_days.sql:30:7", "distance_kilometres", "did you mean distance_miles?")
    site.edit(_CARRIER_DAYS, "SUM(distance_kilometres)", "SUM(distance_miles)")


def refused_rows(person: Person, site: Site) -> None:
    """Rows that a blocking audit refuses: the run says which audit, and how many rows; nothing of them stays."""
    site.edit("models/core/flights.sql", "  outcome\nFROM", "  UPPER(outcome) AS outcome\nFROM")
    _materialize(person, "core/flights", "Failure")
    person.sees(
        "models/core/flights.sql:1 (core.flights): audit accepted_values found 6,042 rows",
        "what was written is rolled back",
        "mend the rows or the query",
    )
    person.open("/assets/core/flights?view=checks")
    person.sees("accepted_values", "Failed", "isomesh/failing_rows 6042")


def _materialize(person: Person, asset: str, status: str) -> None:
    person.reload_definitions()
    person.open(f"/assets/{asset}")
    person.press("Materialize")
    person.follow()
    person.wait_for_run(status)


CHAPTERS: tuple[Callable[[Person, Site], None], ...] = (
    load,
    apply,
    look,
    ledger,
    plan,
    build,
    promote,
    roll_back,
    refused_query,
    refused_rows,
)
"""In the order of the story: each begins where the one before it ended."""
