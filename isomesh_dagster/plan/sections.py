"""What a plan is told in: titled lists of lines; and how a long list is folded, so that people can read it. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from isomesh_dagster.plan.words import count

# A section with more lines is folded: those that matter most, then a line for each schema with many of the rest.
_LINES = 20
_FIRST = 10
_SCHEMAS = 15
_LABELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a section: a `name`, a short `label` (category, range), a sentence `text`.

    `children` are lines that belong under it; `diff` a unified text diff, "" when there is none. The line with the
    greatest `weight` is told first where not all are; one with none only counts there.
    """

    name: str
    label: str = ""
    text: str = ""
    children: tuple[str, ...] = ()
    diff: str = ""
    weight: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled list of what `noun` calls.

    `tone` says what it is about, so that a terminal can colour it: added, removed, direct, indirect, metadata, build,
    reuse, warning, step.
    """

    title: str
    tone: str
    items: tuple[Item, ...]
    noun: str = "model"


def folded(section: Section) -> Section:
    """The section as it is when it is short; else the lines of most weight, and how many more each schema has."""
    if len(section.items) <= _LINES:
        return section
    weighty = sorted((item for item in section.items if item.weight), key=lambda item: -item.weight)[:_FIRST]
    rest = [item for item in section.items if item not in weighty]
    title = f"{section.title} ({len(section.items):,})"
    return replace(section, title=title, items=(*weighty, *_by_schema(rest, section.noun, {*map(_schema, weighty)})))


def _by_schema(items: Sequence[Item], noun: str, told: Collection[str]) -> Iterator[Item]:
    """A line for each schema with many of the items, in their order; `told` are schemas of which some were told."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[_schema(item)].append(item)
    largest = sorted(groups, key=lambda schema: -len(groups[schema]))[:_SCHEMAS]
    for schema, members in groups.items():
        if schema in largest:
            number = count(len(members), f"other {noun}" if schema in told else noun)
            one = Item(name=f"{schema}.*", label=number, text=_tally(members)) if schema else Item(name=number)
            yield members[0] if len(members) == 1 else one
    if others := [schema for schema in groups if schema not in largest]:
        members = [item for schema in others for item in groups[schema]]
        schemas = count(len(others), "other schema")
        yield Item(name=schemas, label=count(len(members), noun), text=_tally(members))


def _schema(item: Item) -> str:
    """What is before the last dot of the name; "" for a sentence."""
    return "" if " " in item.name else item.name.rpartition(".")[0]


def _tally(items: Sequence[Item]) -> str:
    """What the items' labels say, or their texts, the most frequent first: `18 × view, 2 × seed file`; "" where each
    says another thing.
    """
    labels = Counter(said for item in items if (said := item.label or item.text)).most_common()
    if not labels or labels[0][1] == 1:
        return ""
    if labels[0][1] == len(items):
        return labels[0][0]
    told = [f"{number} × {label}" for label, number in labels[:_LABELS]]
    return ", ".join(told) + (", …" if len(labels) > _LABELS else "")
