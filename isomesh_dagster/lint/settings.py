"""Which rules are asked, as the configuration says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinterSettings:
    """`linter.*`: names of rules in lower case, "all" for all; broken `rules` stop a plan, `warn_rules` warn."""

    enabled: bool = False
    rules: tuple[str, ...] = ()
    warn_rules: tuple[str, ...] = ()
    ignored_rules: tuple[str, ...] = ()
