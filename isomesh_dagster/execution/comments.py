"""Descriptions of models and columns as comments on the views of an environment, where people and tools look them up.

Tables of the physical layer get none: they are shared by environments, whose descriptions may differ.
"""

from __future__ import annotations

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Relation, quote


def comment_on(session: Session, view: Relation, model: Model) -> None:
    """Write the model's descriptions on its view, which has just been made and has no comments yet.

    A description of a column that the view does not have is passed over.
    """
    if model.description:
        session.execute(f"COMMENT ON VIEW {view.sql} IS {_literal(model.description)}")
    described = model.described_columns
    if not described:
        return
    for name, _ in session.columns(view):
        text = described.get(name) or described.get(name.lower())
        if text:
            session.execute(f"COMMENT ON COLUMN {view.sql}.{quote(name)} IS {_literal(text)}")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
