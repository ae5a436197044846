"""The keys of config.yaml: which are typed, which change nothing here, which are known and not supported.

A key that the format knows and we do not support is refused unless it holds its default: a setting is never dropped in
silence when a table, a name or a promotion would differ by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from isomesh_dagster import dates
from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.model import names

MODEL_DEFAULT_KEYS = frozenset(
    {
        *(
            "kind",
            "dialect",
            "cron",
            "cron_tz",
            "owner",
            "start",
            "interval_unit",
            "enabled",
            "formatting",
            "optimize_query",
        ),
        *("table_format", "storage_format", "allow_partials", "batch_concurrency", "forward_only", "gateway"),
        *("on_destructive_change", "on_additive_change", "audits"),
        *("physical_properties", "virtual_properties", "session_properties"),
        *("pre_statements", "post_statements", "on_virtual_update"),
    }
)
"""What `model_defaults` may hold."""

GATEWAY_KEYS = (
    *("connection", "state_connection", "test_connection", "scheduler"),
    *("state_schema", "variables", "model_defaults", "git"),
)

GATEWAY_CHOICE_KEYS = frozenset(
    {"gateways", "gateway", "default_gateway", "default_connection", "default_test_connection", "default_scheduler"}
)
"""Root keys that are read only as far as the chosen gateway needs them."""

HARMLESS_KEYS = frozenset(
    {
        *("ui", "log_limit", "disable_anonymized_analytics", "username"),
        *("infer_python_dependencies", "janitor", "migration", "run"),
    }
)
"""Accepted and not read: they tune the anchor's own tools and scheduler, and change neither a table nor a name here."""


UNREAD_KEYS: Mapping[str, str] = {
    "notification_targets": "nobody is notified",
    "users": "nobody is notified or asked for an approval",
}
"""Accepted and not read either, but told in a note: no table differs, yet people may wait for their effect."""


class Unsupported:
    """A key that is refused: the values that are as good as leaving it out, and what any other would do."""

    __slots__ = ("effect", "idle")

    def __init__(self, effect: str, *idle: Any) -> None:
        self.effect = effect
        self.idle = idle


UNSUPPORTED_KEYS: Mapping[str, Unsupported] = {
    "virtual_environment_mode": Unsupported("it would write production's tables in place", "full"),
    "gateway_managed_virtual_layer": Unsupported("it would create views through another gateway", False),
    "env_vars": Unsupported("it would set environment variables of the process", {}, None),
    "cache_dir": Unsupported("it would move the cache", None),
    "loader": Unsupported("it would load another kind of project", None),
    "loader_kwargs": Unsupported("it would configure another loader", {}, None),
    "dbt": Unsupported("it would configure dbt projects", {}, None),
}

UNSUPPORTED_PLAN_KEYS: Mapping[str, Unsupported] = {
    "use_finalized_state": Unsupported("it would compare with the last finished state", False),
    "always_recreate_environment": Unsupported("it would compare every plan with production", False),
}


IDLE_KEYS: Mapping[str, tuple[str, ...]] = {
    "plan": ("no_prompts", "include_unmodified"),
    "linter": ("use_project_index",),
    "format": ("normalize", "no_rewrite_casts"),
}
"""Keys that are accepted within these and change nothing."""


def _checked(check: Callable[[Any], Any], value: object) -> Any:
    """Run a check of ours inside pydantic, which tells the place of ValueErrors only: theirs are message and hint."""
    try:
        return check(value)
    except IsomeshError as error:
        raise ValueError(error.message, error.hint) from None


def _duration(value: object) -> object:
    return _checked(dates.duration, value) if isinstance(value, str) else value


def _environment(value: object) -> object:
    return _checked(names.validate_environment, value)


_PATTERN_HINT = "write a name such as staging, or pr_* for all that begin so: a-z, 0-9, _ and *"


def _environment_pattern(value: object) -> object:
    if not isinstance(value, str):
        return _environment(value)
    try:
        names.validate_environment(value.replace("*", "x"))
    except IsomeshError:
        raise ValueError(f"{value!r} can be the name of no environment", _PATTERN_HINT) from None
    return value


EnvironmentName = Annotated[str, BeforeValidator(_environment)]
EnvironmentPattern = Annotated[str, BeforeValidator(_environment_pattern)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _mode(value: object) -> object:
    """YAML reads a bare `off` as false; the case of letters does not matter."""
    return "off" if value is False else value.lower() if isinstance(value, str) else value


Mode = Annotated[Literal["full", "semi", "off"], BeforeValidator(_mode)]


class AutoCategorizeConfig(_Config):
    """`plan.auto_categorize_changes`: which changes a plan categorizes by itself, by what the model is made from.

    `full` all, `semi` those that are surely non-breaking, `off` none. `python` is accepted; there are no such models.
    """

    sql: Mode = "full"
    seed: Mode = "full"
    external: Mode = "full"
    python: Mode = "full"


class PlanConfig(_Config):
    """`plan`: what the command line asks; what has no field in `PlanSettings` is accepted and changes nothing here."""

    no_prompts: bool = True
    auto_apply: bool = False
    auto_categorize_changes: AutoCategorizeConfig = AutoCategorizeConfig()
    include_unmodified: bool = False
    forward_only: bool = False
    enable_preview: bool | None = None
    no_diff: bool = False


def _rule_names(value: object) -> object:
    """Names of rules in lower case; a single one may stand without a list."""
    names_given = [value] if isinstance(value, str) else value
    if isinstance(names_given, list) and all(isinstance(name, str) for name in names_given):
        return tuple(name.strip().lower() for name in names_given)
    return value


RuleNames = Annotated[tuple[str, ...], BeforeValidator(_rule_names)]


class LinterConfig(_Config):
    """`linter`: rules that are errors, that warn, and that are left out of both; the last is accepted and not read."""

    enabled: bool = False
    rules: RuleNames = ()
    warn_rules: RuleNames = ()
    ignored_rules: RuleNames = ()
    use_project_index: bool | None = None


class FormatConfig(_Config):
    """`format`: how files are laid out. Those below `append_newline` change nothing here: words are never rewritten."""

    indent: int = Field(default=2, ge=1, le=16)
    pad: int | None = Field(default=None, ge=0, le=16)
    max_text_width: int = Field(default=80, ge=20, le=1000)
    leading_comma: bool = False
    normalize_functions: Literal["upper", "lower", False] = "upper"
    append_newline: bool = True
    normalize: bool = False
    no_rewrite_casts: bool = True


class NamingConfig(_Config):
    """`model_naming`: whether models that give no name are called by their path."""

    infer_names: bool = False


def _statements(value: object) -> object:
    """SQL statements without their semicolons; a single one may stand without a list."""
    given = [value] if isinstance(value, str) else value or []
    if isinstance(given, list) and all(isinstance(text, str) for text in given):
        return tuple(bare for text in given if (bare := text.strip().rstrip(";").rstrip()))
    return value


Statements = Annotated[tuple[str, ...], BeforeValidator(_statements)]


class RootConfig(_Config):
    """The typed keys at the root of config.yaml."""

    project: str = ""
    snapshot_ttl: Duration = timedelta(weeks=1)
    environment_ttl: Duration | None = timedelta(weeks=1)
    pinned_environments: tuple[EnvironmentName, ...] = ()
    scheduled_environments: tuple[EnvironmentPattern, ...] = ()
    default_target_environment: EnvironmentName = "prod"
    environment_suffix_target: Literal["schema", "table", "catalog"] = "schema"
    environment_catalog_mapping: Mapping[str, str] = Field(default_factory=dict)
    physical_schema_mapping: Mapping[str, str] = Field(default_factory=dict)
    time_column_format: str = "%Y-%m-%d"
    physical_table_naming_convention: Literal["schema_and_table", "table_only", "hash_md5"] = "schema_and_table"
    model_naming: NamingConfig = NamingConfig()
    before_all: Statements = ()
    after_all: Statements = ()
    ignore_patterns: tuple[str, ...] = (".ipynb_checkpoints/*",)
    plan: PlanConfig = PlanConfig()
    linter: LinterConfig = LinterConfig()
    format: FormatConfig = FormatConfig()

    @field_validator("environment_catalog_mapping", mode="before")
    @classmethod
    def _nothing(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("environment_catalog_mapping", "physical_schema_mapping", mode="after")
    @classmethod
    def _patterns(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for pattern in value:
            _pattern(pattern)
        return value


def _pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error:
        raise ValueError(f"{text!r} is not a regular expression") from None


TYPED_KEYS = frozenset(RootConfig.model_fields)
ROOT_KEYS = tuple(
    sorted(
        TYPED_KEYS
        | HARMLESS_KEYS
        | GATEWAY_CHOICE_KEYS
        | frozenset(UNREAD_KEYS)
        | frozenset(UNSUPPORTED_KEYS)
        | {"model_defaults", "variables", "git", "cicd_bot"}
    )
)
"""Every key the root may hold."""
