"""The table of `docs/format.md`: everything of the model format that is known here, and what becomes of it.

    python -m isomesh_dagster.cli.format_page docs/format.md

writes the table between the page's two marks; a test fails when it is not what the code says.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BEGIN = "<!-- from the code: python -m isomesh_dagster.cli.format_page docs/format.md -->"
END = "<!-- the end of what is from the code -->"

YES = "yes"
IDLE = "accepted, not read"
KEPT = "kept"
NO = "refused"

# what a key's being known does not tell
SAYS: dict[tuple[str, str], tuple[str, str]] = {
    ("configuration", "default_scheduler"): (IDLE, "Dagster schedules"),
    ("configuration", "default_test_connection"): (IDLE, "unit tests run on DuckDB in memory"),
    ("configuration", "gateways.*.scheduler"): (IDLE, "Dagster schedules"),
    ("configuration", "gateways.*.test_connection"): (IDLE, "unit tests run on DuckDB in memory"),
    ("MODEL", "grants"): (YES, "on Postgres; DuckDB has no users"),
    ("MODEL", "gateway"): (
        YES,
        "must be the chosen one; `enabled @IF(@gateway = …)` keeps it out of others",
    ),
    ("MODEL", "clustered_by"): (KEPT, "a change makes a new table; no engine here clusters"),
    ("MODEL", "table_format"): (KEPT, "a change makes a new table; the engines here have one format"),
    ("MODEL", "storage_format"): (KEPT, "a change makes a new table; the engines here have one format"),
    ("MODEL", "physical_properties"): (KEPT, "a change makes a new table; no engine here has options of tables"),
    ("MODEL", "virtual_properties"): (KEPT, "a change is one of the metadata; no engine here has options of views"),
    ("MODEL", "optimize_query"): (KEPT, "queries run as they are written anyway"),
    ("MODEL", "retention"): (IDLE, "as in SQLMesh"),
    ("kind", "VIEW"): (YES, "`materialized` keeps rows on Postgres, not on DuckDB"),
}
"""What the table says of a row instead, by part and name."""


class Row(NamedTuple):
    """One line of the table: the part of the format, the name there, whether it is supported, and what goes with it."""

    part: str
    name: str
    support: str
    note: str = ""


def rows() -> Iterator[Row]:
    """The lines of the table in order."""
    for row in _rows():
        support, note = SAYS.get((row.part, row.name), (row.support, row.note))
        yield row._replace(support=support, note=note)


def _rows() -> Iterator[Row]:
    yield from _configuration()
    yield from _properties()
    yield from _kinds()
    yield from _macros()
    yield from _audits()
    yield from _unit_tests()
    yield from _rules()
    yield from _commands()


def table() -> str:
    """The table as Markdown."""
    lines = ["| part | name | support | |", "|---|---|---|---|"]
    for row in rows():
        note = row.note.replace("|", "\\|")
        lines.append(f"| {row.part} | `{row.name}` | {row.support} | {note} |")
    return "\n".join(lines)


def renewed(page: str) -> str:
    """The page with the table as it is now. ValueError when the page has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks the marks around the table")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


# --- the parts


_ON_DUCKDB = {
    "environment_catalog_mapping": "on DuckDB; on Postgres a connection sees one database",
    "environment_suffix_target": "`catalog` on DuckDB",
}


def _configuration() -> Iterator[Row]:
    from isomesh_dagster.config import keys

    part = "configuration"
    for name in keys.ROOT_KEYS:
        if name in keys.UNSUPPORTED_KEYS:
            yield Row(part, name, NO, _refusal(keys.UNSUPPORTED_KEYS[name]))
        elif name in keys.HARMLESS_KEYS or name in keys.UNREAD_KEYS:
            yield Row(part, name, IDLE, keys.UNREAD_KEYS.get(name, ""))
        elif name not in ("plan", "linter", "format", "gateways", "model_defaults"):
            yield Row(part, name, YES, _ON_DUCKDB.get(name, ""))
    yield from (Row(part, f"gateways.*.{name}", YES) for name in keys.GATEWAY_KEYS)
    yield Row(part, "model_defaults.*", YES, _listed(sorted(keys.MODEL_DEFAULT_KEYS)))
    for group, model in (("plan", keys.PlanConfig), ("linter", keys.LinterConfig), ("format", keys.FormatConfig)):
        idle = keys.IDLE_KEYS[group]
        refused = keys.UNSUPPORTED_PLAN_KEYS if group == "plan" else {}
        known = [name for name in model.model_fields if name not in idle and name not in refused]
        yield Row(part, f"{group}.*", YES, _listed(known))
        yield from (Row(part, f"{group}.{name}", IDLE, "") for name in idle)
    for name, unsupported in keys.UNSUPPORTED_PLAN_KEYS.items():
        yield Row(part, f"plan.{name}", NO, _refusal(unsupported))


def _refusal(unsupported: object) -> str:
    idle = [repr(value) if isinstance(value, str) else str(value).lower() for value in getattr(unsupported, "idle", ())]
    allowed = f"; may be {' or '.join(f'`{value}`' for value in idle if value != 'none')}" if idle != ["none"] else ""
    return f"{getattr(unsupported, 'effect', '')}{allowed}"


def _properties() -> Iterator[Row]:
    from isomesh_dagster.model.properties import ALIASES, AUDIT_PROPERTIES, MODEL_PROPERTIES, Refused

    for part, known in (("MODEL", MODEL_PROPERTIES), ("AUDIT", AUDIT_PROPERTIES)):
        for name, what in known.items():
            if isinstance(what, Refused):
                harmless = " or ".join(f"`{one}`" for one in sorted(what.harmless))
                yield Row(part, name, NO, f"{what.instead}; may be {harmless}" if harmless else what.instead)
            else:
                other = [alias for alias, meant in ALIASES.items() if meant == name and part == "MODEL"]
                yield Row(part, name, YES, f"also {_listed(other)}" if other else "")


def _kinds() -> Iterator[Row]:
    from isomesh_dagster.model.kind_properties import kinds_described, parameters_refused

    for name, parameters, instead in kinds_described():
        if instead is not None:
            yield Row("kind", name, NO, instead)
        else:
            yield Row("kind", name, YES, _listed(parameters))
    for name, instead in parameters_refused().items():
        yield Row("kind", f"… ({name})", NO, instead)


def _macros() -> Iterator[Row]:
    from isomesh_dagster.macros.clauses import CLAUSES
    from isomesh_dagster.macros.library import MACROS
    from isomesh_dagster.macros.variables import RUNTIME_VARIABLES, TIME_VARIABLES

    for name in sorted({*MACROS, *CLAUSES}):
        macro = MACROS.get(name)
        arguments = [*macro.names, *(f"{option} :=" for option in macro.options)] if macro is not None else []
        yield Row("macro", f"@{name.upper()}", YES, _listed(arguments))
    yield Row(
        "variable", "@start_…", YES, _listed(sorted(name for name in TIME_VARIABLES if name.startswith("start_")))
    )
    for prefix in sorted({name.partition("_")[0] for name in TIME_VARIABLES} - {"start"}):
        yield Row("variable", f"@{prefix}_…", YES, "in the same forms")
    for name in sorted({*RUNTIME_VARIABLES, "gateway", "model_kind_name", "default_catalog"} - TIME_VARIABLES):
        yield Row("variable", f"@{name}", YES)


def _audits() -> Iterator[Row]:
    from isomesh_dagster.model.audits import BUILT_IN, NON_BLOCKING

    for name, audit in BUILT_IN.items():
        if not name.endswith(NON_BLOCKING):
            yield Row("audit", name, YES, _listed(audit.arguments or ()))
    yield Row("audit", f"…{NON_BLOCKING}", YES, "every audit above, only warning")


def _unit_tests() -> Iterator[Row]:
    from isomesh_dagster.model.fixtures import CSV_KEYS, FIXTURE_KEYS
    from isomesh_dagster.model.unit_tests import OUTPUT_KEYS, TEST_KEYS

    for name in TEST_KEYS:
        note = {"outputs": OUTPUT_KEYS, "inputs": FIXTURE_KEYS}.get(name, ())
        yield Row("unit test", name, YES, _listed(note))
    yield Row("unit test", "csv_settings", YES, _listed(CSV_KEYS))


def _rules() -> Iterator[Row]:
    from isomesh_dagster.lint.rules import RULES

    for rule in RULES:
        yield Row("lint rule", rule.name, YES, rule.summary)
    yield Row("lint rule", "linter/*.py", YES, "classes that derive from `Rule`")


def _commands() -> Iterator[Row]:
    from isomesh_dagster.cli.main import cli

    for name, command in cli.commands.items():
        yield Row("command", f"isomesh {name}", YES, inspect.cleandoc(command.get_short_help_str(limit=120)))


def _listed(names: object) -> str:
    return ", ".join(f"`{name}`" for name in names) if isinstance(names, list | tuple) else ""


def main(path: str) -> None:
    """Write the table into the page."""
    page = Path(path)
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
