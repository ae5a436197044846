"""The project's configuration, read for one gateway.

`load_settings` reads `config.yaml` (keys as in the model format), an overlay in the person's home, and `ISOMESH__…`
variables; chooses the gateway (`gateways`); and reads the variables of that gateway only. `keys` says
which keys are supported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from isomesh_dagster.config.connections import (
    KNOWN_TYPES,
    STATES,
    UNSUPPORTED_OPTIONS,
    WAREHOUSES,
    DuckDBConnection,
    PostgresConnection,
    StateConnection,
    WarehouseConnection,
)
from isomesh_dagster.config.environment_catalogs import environment_catalogs
from isomesh_dagster.config.errors import dotted, mapping_of, unknown_key, validated
from isomesh_dagster.config.file import (
    DOTENV_VARIABLE,
    FILE_NAMES,
    MappingNode,
    Node,
    Place,
    ScalarNode,
    Variables,
    environment_overlay,
    find_config,
    merged,
    other_overlay,
    read_config,
    read_dotenv,
)
from isomesh_dagster.config.gateways import GATEWAY_VARIABLE, chosen_gateway, gateways_of, is_anonymous
from isomesh_dagster.config.keys import (
    GATEWAY_CHOICE_KEYS,
    GATEWAY_KEYS,
    MODEL_DEFAULT_KEYS,
    ROOT_KEYS,
    TYPED_KEYS,
    UNREAD_KEYS,
    UNSUPPORTED_KEYS,
    UNSUPPORTED_PLAN_KEYS,
    FormatConfig,
    RootConfig,
    Unsupported,
)
from isomesh_dagster.config.settings import PlanSettings, Settings
from isomesh_dagster.config.values import as_written, as_yaml, looks_secret, resolve, variables_in
from isomesh_dagster.dialect.style import Style
from isomesh_dagster.errors import ConfigError, hide
from isomesh_dagster.lint.settings import LinterSettings
from isomesh_dagster.model.model import Json
from isomesh_dagster.plan.automatic import AutoCategorize

if TYPE_CHECKING:
    from isomesh_dagster.config.git import GitConfig

HOME_VARIABLE = "ISOMESH_HOME"

M = TypeVar("M", bound=BaseModel)


def load_settings(
    root: Path,
    gateway: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    checkout: Path | None = None,
    checkout_decides: bool = False,
) -> Settings:
    """The configuration of the project at `root` for the chosen gateway.

    `checkout` is a folder with the files of some commit: models are read there. Everything about systems (gateways,
    connections, git) comes from `root`; with `checkout_decides` what shapes the project (defaults, variables,
    environments, linter) comes from the checkout's own configuration, if it has one.

    `environ` stands in for the process's environment variables; a `.env` file beside config.yaml, or the file that
    ISOMESH_DOTENV names, overrides them, except for ISOMESH_GATEWAY, where the process decides. Raises ConfigError with
    file, line and key.
    """
    root = Path(root).absolute()
    process = os.environ if environ is None else environ
    variables = Variables(process, read_dotenv(root, process.get(DOTENV_VARIABLE)))
    tree = _read(root, variables)
    if checkout is not None and checkout_decides:
        tree = _shaped_by(checkout, tree)
    for key in tree.items:
        if key not in ROOT_KEYS:
            raise unknown_key(tree, "", key, ROOT_KEYS)
    gateways = gateways_of(tree)
    chosen = chosen_gateway(
        tree, gateways, gateway, process.get(GATEWAY_VARIABLE) or variables.get(GATEWAY_VARIABLE), variables
    )
    settings = _Loading(root, variables).settings(tree, chosen, gateways)
    hide(settings.secret_values(), _told_anyway(settings))
    return settings if checkout is None else replace(settings, checkout=checkout)


def _told_anyway(settings: Settings) -> tuple[str, ...]:
    """Words of the configuration that messages are made of: a password that is one of them keeps nothing secret."""
    places = [
        word
        for one in (settings.connection, settings.state_connection)
        if isinstance(one, PostgresConnection)
        for word in (one.host, one.user, one.database, one.role or "")
    ]
    return (*settings.gateways, settings.project, *WAREHOUSES, *STATES, "isomesh", *places)


def _notes_on_variables(*nodes: MappingNode) -> list[str]:
    """What to tell of `variables` that seem to hold secrets: models are made of them."""
    given = [node.items["variables"] for node in nodes if "variables" in node.items]
    return [
        f"variables hold the value of {name}: what models make of them is in plans, in the state and in the warehouse;"
        " a secret belongs into the connection"
        for node in given
        for name in variables_in(node)
        if looks_secret(name)
    ]


def _as_written(tree: MappingNode, key: str, checked: tuple[str, ...]) -> tuple[str, ...]:
    """The statements of a key as they are written; `checked` is what they are with all values put in."""
    if not checked:
        return ()
    return tuple(bare for text in as_written(tree.items[key]) if (bare := text.strip().rstrip(";").rstrip()))


def _shaped_by(checkout: Path, deployed: MappingNode) -> MappingNode:
    """The configuration of the checkout with the systems that are deployed."""
    if not any((checkout / name).is_file() for name in (*FILE_NAMES, "config.py")):
        return deployed  # an older commit may have none
    path = find_config(checkout)
    own = read_config(path, path.name)
    systems = GATEWAY_CHOICE_KEYS | {"git"}
    return MappingNode(
        place=own.place,
        items={
            **{key: node for key, node in own.items.items() if key not in systems},
            **{key: node for key, node in deployed.items.items() if key in systems},
        },
    )


def _read(root: Path, variables: Variables) -> MappingNode:
    """The project's file, the person's and the environment's overlay, as one tree."""
    path = find_config(root)
    tree = read_config(path, path.name)
    home = variables.get(HOME_VARIABLE)
    folder = Path(home) if home else Path(variables["HOME"], ".isomesh") if variables.get("HOME") else None
    if folder is not None:
        personal = [folder / name for name in FILE_NAMES[:2] if (folder / name).is_file()]
        if len(personal) > 1:
            raise ConfigError(
                f"both {personal[0].name} and {personal[1].name} are there", path=str(folder), hint="keep one"
            )
        for file in personal:
            tree = merged(tree, read_config(file, str(file)))
    return merged(tree, environment_overlay(variables), any_case=True)


def _check_dialect(name: str, key: str, place: Place) -> None:
    """Raises ConfigError for a dialect nobody speaks; those of our engines are known without the SQL library."""
    if name.strip().lower() in ("", "duckdb", "postgres"):
        return
    from isomesh_dagster.dialect.canonical import sql_dialect
    from isomesh_dagster.errors import ModelError

    try:
        sql_dialect(name)
    except ModelError as error:
        raise ConfigError(f"{key}: {error.message}", path=place.path, line=place.line, hint=error.hint) from None


@dataclass(frozen=True, slots=True)
class _Loading:
    """Turns the parts of a tree into values; knows where relative paths start and where variables come from."""

    root: Path
    variables: Variables

    def settings(self, tree: MappingNode, chosen: str, gateways: Mapping[str, MappingNode]) -> Settings:
        top = self.top(tree)
        key = "gateway" if is_anonymous(chosen, tree) else f"gateways.{chosen}"
        gateway = gateways[chosen]
        for name in gateway.items:
            if name not in GATEWAY_KEYS:
                raise unknown_key(gateway, key, name, GATEWAY_KEYS)

        if "connection" in gateway.items:
            connection = self.warehouse(gateway.items["connection"], f"{key}.connection")
        elif "default_connection" in tree.items:
            connection = self.warehouse(tree.items["default_connection"], "default_connection")
        else:
            raise ConfigError(f"{key}: 'connection' is missing", path=gateway.place.path, line=gateway.place.line)
        state = None
        if "state_connection" in gateway.items:
            state = self.state(gateway.items["state_connection"], f"{key}.state_connection", connection)
        self.only_builtin(gateway, "scheduler", key)
        self.only_builtin(tree, "default_scheduler", "")

        git, bot_notes = self.git(tree, gateway, key)
        defaults = self.model_defaults(tree, "") | self.model_defaults(gateway, key)
        dialect = defaults.get("dialect") or connection.dialect
        return Settings(
            root=self.root,
            gateway=chosen,
            gateways=tuple(gateways),
            connection=connection,
            state_connection=state,
            state_schema=self.text(gateway, "state_schema", key) or "isomesh",
            project=top.project,
            default_catalog=connection.default_catalog,
            dialect=str(dialect).strip().lower(),
            model_defaults=defaults,
            variables=self.named_values(tree, "") | self.named_values(gateway, key),
            environment_suffix_target=top.environment_suffix_target,
            environment_catalog_mapping=environment_catalogs(top, tree, connection),
            physical_schema_mapping=tuple(top.physical_schema_mapping.items()),
            snapshot_ttl=top.snapshot_ttl,
            environment_ttl=top.environment_ttl,
            pinned_environments=top.pinned_environments,
            scheduled_environments=top.scheduled_environments,
            default_target_environment=top.default_target_environment,
            time_column_format=top.time_column_format,
            physical_table_naming_convention=top.physical_table_naming_convention,
            infer_names=top.model_naming.infer_names,
            before_all=_as_written(tree, "before_all", top.before_all),
            after_all=_as_written(tree, "after_all", top.after_all),
            environ=self.variables,
            ignore_patterns=top.ignore_patterns,
            plan=PlanSettings(
                no_diff=top.plan.no_diff,
                auto_apply=top.plan.auto_apply,
                auto_categorize=AutoCategorize(**top.plan.auto_categorize_changes.model_dump(exclude={"python"})),
                forward_only=top.plan.forward_only,
                enable_preview=top.plan.enable_preview is not False,
            ),
            linter=LinterSettings(**top.linter.model_dump(exclude={"use_project_index"})),
            format=_style(top.format),
            notes=(
                *(
                    f"{name} is not read: {effect}"
                    for name, effect in UNREAD_KEYS.items()
                    if name in tree.items and not _is_empty(tree.items[name])
                ),
                *(["connection.pretty_sql is not read: statements run as they are"] if connection.pretty_sql else []),
                *(f"{name} is not read: write {ours}" for name, ours in other_overlay(self.variables)),
                *bot_notes,
                *_notes_on_variables(tree, gateway),
            ),
            git=git,
        )

    def git(self, tree: MappingNode, gateway: MappingNode, key: str) -> tuple[GitConfig | None, tuple[str, ...]]:
        """`git` of the gateway, else of the root, completed by `cicd_bot`; and notes about the latter."""
        if not {"git", "cicd_bot"} & {*tree.items, *gateway.items}:
            return None, ()
        from isomesh_dagster.config.git import BOT_KEYS, GitConfig, from_bot  # only who uses it pays for it

        bot = tree.items.get("cicd_bot")
        bot_node = mapping_of(bot, "cicd_bot") if bot is not None else None
        if bot_node is not None:
            for name in bot_node.items:
                if name not in BOT_KEYS:
                    raise unknown_key(bot_node, "cicd_bot", name, BOT_KEYS)
        where, node = (key, gateway.items.get("git")) if "git" in gateway.items else ("", tree.items.get("git"))
        if node is None:
            asked = bot_node is not None and bot_node.items
            return None, (
                "cicd_bot is not read: write `git: {remote: …}` and its settings count there",
            ) if asked else ()
        written = mapping_of(node, dotted(where, "git"))
        values = {} if bot_node is None else resolve(bot_node, self.variables, "cicd_bot")
        taken, notes = from_bot(values, written.items)
        added = {name: bot_node.items[source] for name, source in taken.items()} if bot_node is not None else {}
        complete = MappingNode(place=written.place, items={**written.items, **added})
        return self.validated(GitConfig, complete, dotted(where, "git")), notes

    def top(self, tree: MappingNode) -> RootConfig:
        """The root keys that are typed; unsupported ones refused, harmless ones left unread."""
        self.refuse(tree, "", UNSUPPORTED_KEYS)
        typed = MappingNode(place=tree.place, items={k: v for k, v in tree.items.items() if k in TYPED_KEYS})
        plan = tree.items.get("plan")
        if plan is not None:
            plan = mapping_of(plan, "plan")
            self.refuse(plan, "plan", UNSUPPORTED_PLAN_KEYS)
            typed = MappingNode(place=typed.place, items={**typed.items, "plan": plan.without(*UNSUPPORTED_PLAN_KEYS)})
        return self.validated(RootConfig, typed, "")

    def refuse(self, node: MappingNode, key: str, table: Mapping[str, Unsupported]) -> None:
        """Refuse the keys of the table that would change something."""
        for name, unsupported in table.items():
            value_node = node.items.get(name)
            if value_node is None:
                continue
            value = as_yaml(resolve(value_node, self.variables, dotted(key, name)))
            if value not in unsupported.idle:
                place = value_node.place
                raise ConfigError(
                    f"{dotted(key, name)} is not supported yet: remove it ({unsupported.effect})",
                    path=place.path,
                    line=place.line,
                )

    def warehouse(self, node: Node, key: str) -> WarehouseConnection:
        written, options = self.connection(node, key, WAREHOUSES)
        return self.validated(WAREHOUSES[written], options, key)

    def state(self, node: Node, key: str, warehouse: WarehouseConnection) -> StateConnection:
        written, options = self.connection(node, key, STATES)
        connection: StateConnection = self.validated(STATES[written], options, key)
        in_memory = isinstance(connection, DuckDBConnection) and connection.path is None
        if in_memory and not (isinstance(warehouse, DuckDBConnection) and warehouse.path is None):
            raise ConfigError(
                f"{key}: state in memory is lost with the process while the warehouse stays",
                path=node.place.path,
                line=node.place.line,
                hint="give it a database, or leave state_connection out",
            )
        return connection

    def connection(self, node: Node, key: str, supported: Mapping[str, Any]) -> tuple[str, MappingNode]:
        """The type of a connection, and its options less those that are not supported and say nothing."""
        mapping = mapping_of(node, key)
        written = self.text(mapping, "type", key)
        place = mapping.items["type"].place if "type" in mapping.items else mapping.place
        choice = "supported are " + ", ".join(supported)
        if written is None:
            raise ConfigError(f"{key}: 'type' is missing", path=place.path, line=place.line, hint=choice)
        if written not in supported:
            told = f"type {written} is not supported yet" if written in KNOWN_TYPES else "the type is not known"
            if written == "sqlite":
                told = "type sqlite can hold state only"
            raise ConfigError(f"{key}.type: {told}", path=place.path, line=place.line, hint=choice)
        for name, effect in UNSUPPORTED_OPTIONS.items():
            if name in mapping.items and not _is_empty(mapping.items[name]):
                place = mapping.items[name].place
                raise ConfigError(
                    f"{key}.{name} is not supported yet: remove it ({effect})", path=place.path, line=place.line
                )
        return written, mapping.without(*UNSUPPORTED_OPTIONS)

    def only_builtin(self, node: MappingNode, name: str, key: str) -> None:
        scheduler = node.items.get(name)
        if scheduler is None:
            return
        value = resolve(scheduler, self.variables, dotted(key, name))
        if value is not None and value != {"type": "builtin"}:
            raise ConfigError(
                f"{dotted(key, name)} is not supported: remove it (Dagster schedules here)",
                path=scheduler.place.path,
                line=scheduler.place.line,
            )

    def model_defaults(self, node: MappingNode, key: str) -> dict[str, Any]:
        """`model_defaults` under a node; dates and numbers of `start` as text."""
        if "model_defaults" not in node.items:
            return {}
        key = dotted(key, "model_defaults")
        defaults = mapping_of(node.items["model_defaults"], key)
        result: dict[str, Any] = {}
        for name, value_node in defaults.items.items():
            if name not in MODEL_DEFAULT_KEYS:
                raise unknown_key(defaults, key, name, sorted(MODEL_DEFAULT_KEYS))
            value = as_yaml(resolve(value_node, self.variables, f"{key}.{name}"))
            if name in {"dialect", "cron", "cron_tz", "owner"} and not isinstance(value, str):
                place = value_node.place
                raise ConfigError(
                    f"{key}.{name}: must be text", path=place.path, line=place.line, hint="put it in quotes"
                )
            if name == "dialect" and isinstance(value, str):
                _check_dialect(value, f"{key}.{name}", value_node.place)
            if name == "start" and isinstance(value, int):
                value = str(value)  # 20200101 is a date, not 20 million milliseconds after 1970
            result[name] = value
        return result

    def named_values(self, node: MappingNode, key: str) -> dict[str, Json]:
        """`variables` under a node, by lower-case name."""
        if "variables" not in node.items:
            return {}
        key = dotted(key, "variables")
        written = mapping_of(node.items["variables"], key)
        result: dict[str, Json] = {}
        for name, value_node in written.items.items():
            if name.lower() in result:
                place = value_node.place
                raise ConfigError(
                    f"{key}: {name!r} is written twice, case does not matter", path=place.path, line=place.line
                )
            result[name.lower()] = as_yaml(resolve(value_node, self.variables, f"{key}.{name}"))
        return result

    def text(self, node: MappingNode, name: str, key: str) -> str | None:
        """The text under one key; None when it is not there or null."""
        value_node = node.items.get(name)
        if value_node is None:
            return None
        value = resolve(value_node, self.variables, dotted(key, name))
        if value is not None and not isinstance(value, str):
            place = value_node.place
            raise ConfigError(
                f"{dotted(key, name)}: must be text", path=place.path, line=place.line, hint="put it in quotes"
            )
        return None if value is None else str(value)

    def validated(self, model: type[M], node: MappingNode, key: str) -> M:
        return validated(model, resolve(node, self.variables, key), node, key, root=self.root)


def _style(config: FormatConfig) -> Style:
    return Style(
        indent=config.indent,
        pad=config.indent if config.pad is None else config.pad,
        max_text_width=config.max_text_width,
        leading_comma=config.leading_comma,
        normalize_functions=config.normalize_functions or None,
        append_newline=config.append_newline,
    )


def _is_empty(node: Node) -> bool:
    return node.tag == "null" if isinstance(node, ScalarNode) else not node.items
