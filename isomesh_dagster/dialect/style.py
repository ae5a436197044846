"""How formatted SQL looks. A value: the settings of `config.yaml` hold one, so it needs no SQL library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How statements and headers are laid out.

    indent               spaces inside brackets
    pad                  spaces before what stands under a clause
    max_text_width       what is longer than that is broken into lines, where it can be
    leading_comma        commas begin lines instead of ending them
    normalize_functions  case of known functions' names, where the dialect does not tell cases apart; None: as written
    append_newline       whether a file ends with a line break
    """

    indent: int = 2
    pad: int = 2
    max_text_width: int = 80
    leading_comma: bool = False
    normalize_functions: Literal["upper", "lower"] | None = "upper"
    append_newline: bool = True
