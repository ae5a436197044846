"""Which edits a plan categorizes by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["full", "semi", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoCategorize:
    """`plan.auto_categorize_changes`: which edits a plan categorizes by itself, by what the model is made from.

    "full": all; "semi": those that are not breaking; "off": none that touches rows. The others are left to people.
    """

    sql: Mode = "full"
    seed: Mode = "full"
    external: Mode = "full"


BY_HAND = AutoCategorize(sql="off", seed="off", external="off")
