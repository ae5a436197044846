"""Descriptions of models and columns as comments on the views of production, where people and tools look them up.

Views of other environments get none: they come and go, and a comment costs half as much as a view. Tables of the
physical layer get none: they are shared by environments, whose descriptions may differ.
"""

from __future__ import annotations

from collections.abc import Iterable

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Relation, literal, quote


def comment_on(session: Session, view: Relation, model: Model) -> None:
    """Write the model's descriptions on its view, which has just been replaced. Where the engine keeps the comments of
    a replaced view, those that the model does not give any more are taken away.

    A description of a column that the view does not have is passed over.
    """
    keeps = session.capabilities.keeps_comments
    texts = []
    if model.description or keeps:
        texts.append(f"COMMENT ON VIEW {view.sql} IS {_comment(model.description)}")
    described = model.described_columns
    if described or keeps:
        columns = (name for name, _ in session.columns(view)) if keeps else _columns(session, view, model)
        texts += [
            f"COMMENT ON COLUMN {view.sql}.{quote(name)} IS {_comment(text)}"
            for name in columns
            if (text := described.get(name) or described.get(name.lower())) or keeps
        ]
    if texts:
        session.execute(";\n".join(texts))


def _columns(session: Session, view: Relation, model: Model) -> Iterable[str]:
    """The view's columns. The warehouse is asked only when the model's text does not tell all that are described."""
    if model.output is not None and model.described_columns.keys() <= set(model.output):
        return model.output
    return [name for name, _ in session.columns(view)]


def _comment(text: str | None) -> str:
    return "NULL" if not text else literal(text)
