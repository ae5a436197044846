"""`isomesh dag`: the project's graph as one HTML page that needs no network."""

from __future__ import annotations

import json
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isomesh_dagster.cli.parameters import models_option, selected
from isomesh_dagster.cli.session import Session, pass_session
from isomesh_dagster.files import write_whole

if TYPE_CHECKING:
    from isomesh_dagster.model.model import Model
    from isomesh_dagster.project import Project


@click.command(short_help="Write the graph of models as one HTML page.")
@click.argument(
    "file", type=click.Path(dir_okay=False, path_type=Path), default=Path("dag.html"), metavar="[FILE.html]"
)
@models_option
@pass_session
def dag(session: Session, *, file: Path, models: tuple[str, ...]) -> None:
    """Write the graph of all models as one HTML page: search, columns, SQL, and where every column comes from and goes.

    The page holds everything; it opens without a network and can be sent to somebody. FILE is dag.html when it is left
    out.

    \b
    Examples:
      isomesh dag
      isomesh --gateway production dag /tmp/shop.html
      isomesh dag routes.html -m '+marts.routes'     this model and what it reads
    """
    with session.project() as project:
        document = dag_document(project, selected(project, models))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole({file: dag_page(document)})
    number = len(document["models"])
    session.console.line(f"{number} model{'' if number == 1 else 's'} in {file}", "bold green")


def dag_page(document: dict[str, Any]) -> str:
    """The page with the document in it."""
    template = resources.files("isomesh_dagster.cli").joinpath("dag.html").read_text(encoding="utf-8")
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    # what could end the script element, or begin a comment in it, is written as an escape of JSON
    data = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return template.replace("/*DATA*/null", data, 1)


def dag_document(project: Project, names: Collection[str] | None = None) -> dict[str, Any]:
    """Everything the page shows, as JSON-ready data: models (None: all) with their places, parents, columns, reads."""
    from isomesh_dagster.graph.layers import draw

    chosen = {name: model for name, model in project.models.items() if names is None or name in names}
    undeclared = sorted({name for model in chosen.values() for name in model.depends_on} - project.models.keys())
    parents = {
        name: tuple(one for one in model.depends_on if one != name and (one in chosen or one in undeclared))
        for name, model in chosen.items()
    }
    order = [*undeclared, *(name for name in project.graph.order if name in chosen)]
    drawing = draw(order, parents)
    columns, reads = project.all_columns(), project.column_reads()
    models = []
    for name in order:
        model = project.models.get(name)
        item: dict[str, Any] = {
            "name": name,
            "kind": "UNDECLARED",
            "at": [drawing.places[name].layer, drawing.places[name].height],
            "parents": [[parent, drawing.route(parent, name)] for parent in parents.get(name, ())],
        }
        if model is not None:
            item |= _facts(model)
            item["columns"] = [
                [column.name, column.type, column.description or model.column_descriptions.get(column.name) or ""]
                for column in columns.get(name) or ()
            ]
        if name in reads:
            item["reads"] = reads[name].to_json()
        models.append(item)
    return {"project": project.settings.project or project.root.name, "gateway": project.gateway, "models": models}


def _facts(model: Model) -> dict[str, Any]:
    from isomesh_dagster.model.kinds import External, kind_name

    facts: dict[str, Any] = {
        "kind": kind_name(model.kind),
        "path": f"{model.path}:{model.line}",
        "description": model.description or "",
        "owner": model.owner or "",
        "tags": list(model.tags),
        "audits": [call.name for call in model.audits],
        "sql": model.query,
    }
    if not isinstance(model.kind, External):
        facts["cron"] = model.cron
    return facts
