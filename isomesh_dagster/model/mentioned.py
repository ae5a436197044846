"""Which variables a text with macros mentions, told without reading it as SQL; what they are, for a model's audits."""

from __future__ import annotations

import re
from collections.abc import Iterable

from isomesh_dagster.model.model import AuditCall, Json, Model

_MENTION = re.compile(r"@(?:blueprint_)?var\s*\(\s*'(\w+)'|@\{?\s*([a-z_]\w*)\b(?!\s*\()", re.IGNORECASE)
_TEMPLATE_MENTION = re.compile(r"\b(?:blueprint_)?var\s*\(\s*['\"](\w+)")
_WORD = re.compile(r"\w+")


def is_jinja(text: str) -> bool:
    """Whether a text is a block of Jinja."""
    return text[:6].upper() == "JINJA_"


def mentioned(text: str) -> set[str]:
    """Names in lower case that may be variables in a text with macros."""
    names = {(found[1] or found[2]).lower() for found in _MENTION.finditer(text)} if "@" in text else set()
    if is_jinja(text):
        names |= {name.lower() for name in _TEMPLATE_MENTION.findall(text)} | ({"gateway"} & set(_WORD.findall(text)))
    return names


def audit_variables(audits: Iterable[AuditCall]) -> set[str]:
    """Names that the audits mention and that are none of their arguments."""
    names: set[str] = set()
    for call in audits:
        names |= mentioned(call.query) - call.arguments.keys()
        for text in call.arguments.values():
            names |= mentioned(text)
    return names


def audit_values(model: Model, audits: Iterable[AuditCall]) -> list[tuple[str, Json]]:
    """The variables of the project and of a blueprint's entry that the audits mention, sorted, with their values. The
    gateway's name is none of them: the audit is the same on every system.
    """
    names = audit_variables(audits) & ({*model.variables, *model.blueprint} - {"gateway"})
    return [(name, model.blueprint.get(name, model.variables.get(name))) for name in sorted(names)]
