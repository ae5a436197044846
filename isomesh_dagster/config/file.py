"""Configuration files as trees that know their lines and have not read a single variable yet.

`read_config` gives the tree of one YAML file, `environment_overlay` that of the `ISOMESH__…` variables, and `merged`
lays one over the other; `values.resolve` turns a part of a tree into plain data.
No error raised here repeats a value or a line of a file: either may hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isomesh_dagster.errors import ConfigError

if TYPE_CHECKING:
    import yaml


FILE_NAMES = ("config.yaml", "config.yml", "sqlmesh.yaml", "sqlmesh.yml")
OVERLAY_PREFIX = "ISOMESH__"
DOTENV_VARIABLE = "ISOMESH_DOTENV"
"""Names the file of variables that is read in place of the project's `.env`."""

REPLACED = re.compile(
    r"\{\{-?(?P<code>.*?)-?\}\}|(?P<block>\{%.*%\})|(?P<escape>\$\$\{[^}]*\}?)"
    r"|\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}"
)
"""What stands for something else in a value: `code`, a `block`, an `escape`, or a variable's `name` and `default`."""
_DOTENV_REFERENCE = re.compile(r"\$\{(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?\}")
# Two characters of Unicode's private area fence a stand-in for a replaced part while YAML is parsed.
_OPEN, _CLOSE = "\ue000", "\ue001"
_UNSUPPORTED_JINJA = {
    "{%": "Jinja blocks are",
    "{#": "Jinja comments are",
    "{{": "an expression over several lines is",
}
WRITE = "write the value, or one {{ env_var('NAME', 'default') }} on one line"
"""The hint for an expression that a configuration cannot have."""

_STAND_IN = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value was written: a file (relative to the project where it is inside) and line from 1, or a variable."""

    path: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarNode:
    """One value as written. `tag` is PyYAML's name of its type, `plain` whether it was written without quotes or tag.

    `variable` names the environment variable whose whole value this is; `text` is empty then.
    """

    place: Place
    text: str = ""
    tag: str = "str"
    plain: bool = True
    variable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceNode:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingNode:
    """Keys and values in order. The place of each value is that of its key."""

    place: Place
    items: Mapping[str, Node]

    def without(self, *keys: str) -> MappingNode:
        """The same, less these keys."""
        return MappingNode(place=self.place, items={k: v for k, v in self.items.items() if k not in keys})


Node = ScalarNode | SequenceNode | MappingNode


class Variables(Mapping[str, str]):
    """The process's variables under those of a `.env` file; looking one up reads that one only.

    `${OTHER}` and `${OTHER:-default}` inside a `.env` value are replaced when the value is looked up.
    """

    def __init__(self, process: Mapping[str, str], dotenv: Mapping[str, str] | None = None) -> None:
        self._process = process
        self._dotenv = dict(dotenv or {})

    def __getitem__(self, name: str) -> str:
        return self._lookup(name, frozenset())

    def __iter__(self) -> Iterator[str]:
        yield from self._dotenv
        yield from (name for name in self._process if name not in self._dotenv)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._dotenv or name in self._process

    def _lookup(self, name: str, asked: frozenset[str]) -> str:
        if name not in self._dotenv or name in asked:  # a value may build on the process's variable of its own name
            return self._process[name]

        def replacement(match: re.Match[str]) -> str:
            try:
                return self._lookup(match["name"], asked | {name})
            except KeyError:
                return match["default"] or ""

        return _DOTENV_REFERENCE.sub(replacement, self._dotenv[name])


def read_dotenv(root: Path, instead: str | None = None) -> dict[str, str]:
    """The variables of the project's `.env` file as written; empty without one. The process's own stay as they are.

    `instead` is the path of another file. Raises ConfigError when that is not there.
    """
    path = Path(instead) if instead else root / ".env"
    if not path.is_file():
        if instead:
            raise ConfigError(
                "there is no such file of variables", path=instead, hint=f"--dotenv or {DOTENV_VARIABLE} names it"
            )
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}


def find_config(root: Path) -> Path:
    """The one configuration file of the project. Raises ConfigError when there is none, or more than one."""
    found = [name for name in FILE_NAMES if (root / name).is_file()]
    if len(found) > 1:
        raise ConfigError(f"both {found[0]} and {found[1]} are in {root}", path=found[1], hint="keep one of them")
    if (root / "config.py").is_file():
        from isomesh_dagster.config.python import refusal

        raise refusal(root / "config.py", found[0] if found else FILE_NAMES[0])
    if not found:
        above = next((one for one in root.parents if any((one / name).is_file() for name in FILE_NAMES)), None)
        raise ConfigError(
            f"no config.yaml in {root}",
            hint="run this in a project's folder, or name the folder with --project"
            + (f": {above} has one" if above is not None else ""),
        )
    return root / found[0]


def read_config(path: Path, shown: str) -> MappingNode:
    """The tree of a YAML file; `shown` is the path that errors tell. An empty file is an empty mapping.

    Raises ConfigError with line and column for what is not YAML, for a key written twice, for Jinja beyond expressions.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=shown) from None
    except UnicodeDecodeError:
        # The decoding error would carry the bytes it stumbled over.
        raise ConfigError("cannot be read as UTF-8 text", path=shown) from None
    masked, expressions = _masked(text, shown)
    try:
        root = yaml.compose(masked, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        raise ConfigError(
            "is not valid YAML",
            path=shown,
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
            hint="look for a missing quote, a tab, or a wrong indent at or just before this place",
        ) from None
    if root is None:
        return MappingNode(place=Place(path=shown, line=1), items={})
    tree = _Converter(shown, masked, expressions).node(root, None)
    if not isinstance(tree, MappingNode):
        raise ConfigError("must hold `key: value` lines", path=shown, line=1)
    return tree


def environment_overlay(variables: Mapping[str, str]) -> MappingNode:
    """The tree that variables like `ISOMESH__MODEL_DEFAULTS__DIALECT` stand for; `__` nests, case does not matter.

    Only names are read here, values when the tree is resolved.
    """
    tree: dict[str, Any] = {}
    for name in sorted(variables):
        if not name.upper().startswith(OVERLAY_PREFIX):
            continue
        *parents, last = name[len(OVERLAY_PREFIX) :].lower().split("__")
        level = tree
        for parent in parents:
            level = level.setdefault(parent, {})
            if not isinstance(level, dict):
                raise ConfigError(
                    f"{name} goes into a key that another variable sets", path=name, hint="unset one of the two"
                )
        if not last or last in level:
            raise ConfigError(f"{name} names no key of its own", path=name, hint="write ISOMESH__<KEY>__<KEY>")
        level[last] = ScalarNode(place=Place(path=name), variable=name)
    return _overlay_node(tree, Place(path=OVERLAY_PREFIX))


def other_overlay(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables of the anchor's overlay, which are not read, each with its name here."""
    for name in sorted(variables):
        key = name.upper().removeprefix("SQLMESH__")
        if key != name.upper() and key != "DISABLE_ANONYMIZED_ANALYTICS":
            yield name, OVERLAY_PREFIX + key


def _overlay_node(tree: Mapping[str, Any], place: Place) -> MappingNode:
    items = {key: _overlay_node(value, place) if isinstance(value, dict) else value for key, value in tree.items()}
    return MappingNode(place=place, items=items)


def merged(base: MappingNode, overlay: MappingNode, *, any_case: bool = False) -> MappingNode:
    """`overlay` laid over `base`: mappings merge key by key, all else is replaced, lists too.

    A mapping whose `type` differs replaces the whole of the other: two connections' keys do not mix. `any_case`: a key
    of the overlay means the one of `base` that differs from it in case only.
    """
    items = dict(base.items)
    written = {key.lower(): key for key in items} if any_case else {}
    for own, above in overlay.items.items():
        key = own if own in items else written.get(own, own)
        below = items.get(key)
        if isinstance(below, MappingNode) and isinstance(above, MappingNode) and not _differs_in_type(below, above):
            items[key] = merged(below, above, any_case=any_case)
        else:
            items[key] = above
    return MappingNode(place=base.place, items=items)


def _differs_in_type(below: MappingNode, above: MappingNode) -> bool:
    old, new = below.items.get("type"), above.items.get("type")
    return isinstance(old, ScalarNode) and isinstance(new, ScalarNode) and old.text != new.text


def place_of(node: Node, keys: tuple[str | int, ...]) -> Place:
    """The place of the value under `keys`, or of the nearest one above it that is written."""
    for key in keys:
        below: Node | None = None
        if isinstance(node, MappingNode):
            below = node.items.get(str(key))
        elif isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.items):
            below = node.items[key]
        if below is None:
            break
        node = below
    return node.place


def _masked(text: str, shown: str) -> tuple[str, list[str]]:
    """The text with a stand-in of the same length for each replaced part: YAML sees no braces, columns stay right."""
    expressions: list[str] = []

    def stand_in(match: re.Match[str]) -> str:
        expressions.append(match[0])
        return f"{_OPEN}{len(expressions) - 1:0{len(match[0]) - 2}}{_CLOSE}"

    lines = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.lstrip().startswith("#"):
            lines.append(line)
            continue
        if _OPEN in line or _CLOSE in line:
            raise ConfigError("holds a character of Unicode's private area", path=shown, line=number, hint="remove it")
        # a block inside a value is told when somebody asks for the value; one around lines decides what the file is
        masked = line if line.lstrip().startswith("{%") else REPLACED.sub(stand_in, line)
        for sign, what in _UNSUPPORTED_JINJA.items():
            if sign in masked:
                raise ConfigError(
                    f"{what} not supported in configuration",
                    path=shown,
                    line=number,
                    column=masked.index(sign) + 1,
                    hint=WRITE,
                )
        lines.append(masked)
    return "\n".join(lines), expressions


class _Converter:
    """YAML's nodes as ours: aliases followed, `<<` merged, keys checked, expressions put back."""

    def __init__(self, shown: str, text: str, expressions: list[str]) -> None:
        self.shown = shown
        self.text = text
        self.expressions = expressions
        self.above: set[int] = set()

    def node(self, node: yaml.Node, key_place: Place | None) -> Node:
        import yaml

        place = key_place or self.place(node)
        if isinstance(node, yaml.ScalarNode):
            text = _STAND_IN.sub(lambda match: self.expressions[int(match[1])], node.value)
            prefix, _, tag = node.tag.rpartition(":")
            if prefix != "tag:yaml.org,2002":
                raise ConfigError("YAML tags (!name) are not supported", path=self.shown, line=place.line)
            before = self.text[node.start_mark.index : node.end_mark.index - len(node.value)]  # an anchor, a tag
            return ScalarNode(place=place, text=text, tag=tag, plain=not node.style and "!" not in before)
        if id(node) in self.above:
            raise ConfigError("a YAML anchor contains itself", path=self.shown, line=place.line)
        self.above.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return SequenceNode(place=place, items=tuple(self.node(item, None) for item in node.value))
            return self.mapping(node, place)
        finally:
            self.above.discard(id(node))

    def mapping(self, node: yaml.Node, place: Place) -> MappingNode:
        import yaml

        inherited: dict[str, Node] = {}
        items: dict[str, Node] = {}
        for key, value in node.value:
            key_place = self.place(key)
            if not isinstance(key, yaml.ScalarNode) or _STAND_IN.search(key.value):
                raise ConfigError("a key must be plain text", path=self.shown, line=key_place.line)
            if key.tag.endswith(":merge"):
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in reversed(sources):
                    below = self.node(source, None)
                    if not isinstance(below, MappingNode):
                        raise ConfigError("<< takes a mapping", path=self.shown, line=key_place.line)
                    inherited.update(below.items)
                continue
            if key.value in items:
                raise ConfigError(
                    f"key {key.value!r} is written twice",
                    path=self.shown,
                    line=key_place.line,
                    hint="keep one: YAML would silently take the last",
                )
            items[key.value] = self.node(value, key_place)
        return MappingNode(place=place, items={**inherited, **items})

    def place(self, node: yaml.Node) -> Place:
        return Place(path=self.shown, line=node.start_mark.line + 1)
