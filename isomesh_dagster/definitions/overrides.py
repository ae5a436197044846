"""What a model says about itself in Dagster, in its own header: tags that begin with `dagster/`.

    MODEL (name marts.orders, tags (nightly, 'dagster/group=finance', 'dagster/pool=heavy'))

Tags, because every tool that reads the format keeps them, no engine sees them, and no rows depend on them. Other tags
are shown as tags.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import dagster as dg

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.model import Model

PREFIX = "dagster/"

_AUTOMATION: Mapping[str, Callable[[], dg.AutomationCondition[Any]]] = {
    "eager": dg.AutomationCondition.eager,
    "on_missing": dg.AutomationCondition.on_missing,
}
_ON_CRON = "on_cron "


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the header says; None or empty where it says nothing. `retries` is a number of further tries."""

    group: str | None = None
    owners: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    automation: dg.AutomationCondition[Any] | None = None
    pool: str | None = None
    retries: int | None = None


NONE = Overrides()
_MANY = frozenset({"owner", "kind", "tag"})
_NAMES = ("automation", "group", "kind", "owner", "pool", "retries", "tag")


def overrides(model: Model) -> Overrides:
    """What the model's tags say. Raises ModelError for a name or value that is not understood."""
    said: dict[str, list[str]] = defaultdict(list)
    for tag in model.tags:
        if tag.startswith(PREFIX):
            name, equals, value = tag[len(PREFIX) :].partition("=")
            if name not in _NAMES:
                near = get_close_matches(name, _NAMES, n=1)
                hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known are {', '.join(_NAMES)}"
                raise _error(model, f"no {tag!r} in Dagster: {PREFIX}{name} is not known", hint)
            if not equals or not value.strip():
                raise _error(model, f"the tag {tag!r} has no value", f"write '{PREFIX}{name}=…'")
            if said[name] and name not in _MANY:
                raise _error(model, f"{PREFIX}{name} is said twice", "leave one of them out")
            said[name].append(value.strip())
    if not said:
        return NONE
    one = {name: values[0] for name, values in said.items()}
    return Overrides(
        group=one.get("group"),
        owners=tuple(said.get("owner", ())),
        kinds=tuple(said.get("kind", ())),
        tags=dict(_pair(text) for text in said.get("tag", ())),
        automation=_automation(model, one["automation"]) if "automation" in one else None,
        pool=one.get("pool"),
        retries=_retries(model, one["retries"]) if "retries" in one else None,
    )


def plain_tags(model: Model) -> tuple[str, ...]:
    """The model's tags that are not about Dagster."""
    return tuple(tag for tag in model.tags if not tag.startswith(PREFIX))


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value


def _automation(model: Model, text: str) -> dg.AutomationCondition[Any]:
    if text.startswith(_ON_CRON):
        return dg.AutomationCondition.on_cron(text[len(_ON_CRON) :].strip(), model.cron_tz)
    if text not in _AUTOMATION:
        known = ", ".join((*_AUTOMATION, "on_cron @daily"))
        raise _error(model, f"no automation is named {text!r}", f"known are {known}; a translator can have any other")
    return _AUTOMATION[text]()


def _retries(model: Model, text: str) -> int:
    if not text.isdecimal():
        raise _error(model, f"{PREFIX}retries is a number, not {text!r}", f"write '{PREFIX}retries=3'")
    return int(text)


def _error(model: Model, message: str, hint: str) -> ModelError:
    return ModelError(message, path=model.path, line=model.line, model=model.name, hint=hint)
