"""A model's own fingerprint that is the same in every system, although names may differ by gateway.

Two gateways render one file to two texts when the names in it depend on the gateway. What people decide about an edit
holds in both all the same, so it is kept under digests in which every model stands for the file it was written in. What
an author lets depend on the gateway besides names stays in the digest: there the systems differ, and a decision of one
is none of the other's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from isomesh_dagster.model.model import Model
from isomesh_dagster.snapshot.fingerprint import ALGORITHM, digest, hidden_parts, kind_parts, python_parts


def identities(models: Iterable[Model]) -> dict[str, str]:
    """What each model, by name, is in every system: its file, and its place in it when the file has several."""
    files: dict[str, list[Model]] = defaultdict(list)
    for model in models:
        files[model.path].append(model)
    found: dict[str, str] = {}
    for path, entries in files.items():
        for number, model in enumerate(sorted(entries, key=lambda one: (one.line, one.name))):
            found[model.name] = path if len(entries) == 1 else f"{path}#{number}"
    return found


def portable(model: Model, names: Mapping[str, str]) -> str:
    """The digest of what the model's rows depend on by itself, hex of 8 bytes. `names` is what `identities` says of all
    models of the project. Tokenises the model's texts.
    """
    from isomesh_dagster.dialect.canonical import digest as tokens
    from isomesh_dagster.model.mentioned import is_jinja

    def written(text: str) -> str:
        return text if is_jinja(text) else tokens(text, model.dialect)

    pieces: list[str] = []
    done = 0
    for reference in sorted(model.references, key=lambda one: one.start):
        pieces += [
            tokens(model.rendered[done : reference.start], model.dialect),
            names.get(reference.name, reference.name),
        ]
        done = reference.end
    if model.rendered:
        pieces.append(tokens(model.rendered[done:], model.dialect))
    variables = {name: value for name, value in model.variables.items() if name != "gateway"}
    statements = [written(text) for text in (*model.pre_statements, *model.post_statements)]
    return digest(
        [
            ALGORITHM,
            names.get(model.name, model.name),
            model.dialect,
            {key: value for key, value in kind_parts(model).items() if key != "path"},
            pieces,
            written(model.query) if model.is_dynamic else "",
            # what macros give to a query is in its pieces; to statements it may be anything
            [statements, sorted(variables.items()), *sorted(model.macros.items())] if statements else [],
            [[column.name, column.type] for column in model.columns] if model.columns is not None else None,
            model.partitioned_by,
            model.clustered_by,
            sorted(model.physical_properties.items()),
            sorted(model.session_properties.items()),
            model.table_format,
            model.storage_format,
            model.interval_unit,
            model.stamp,
            python_parts(model),
            hidden_parts(model),
        ],
        size=8,
    )
