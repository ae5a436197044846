"""What a word without quotes stands for in YAML 1.2, which the model format is written in.

PyYAML reads YAML 1.1, where `NO` is false, `010` eight and `10:30` six hundred and thirty: it takes the files apart,
the words are read here.
"""

from __future__ import annotations

import re

PLAIN_KINDS = ("str", "int", "float", "bool", "null")
"""The types of PyYAML's whose values are read here; the others are dates, and what only YAML itself has."""

BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""The words, in small letters, that a header takes for true and false; `model_defaults` hold the same."""

_INT = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_BASED = re.compile(r"[-+]?0(x[0-9a-fA-F]+|o[0-7]+|b[01]+)")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def plain_value(text: str, kind: str) -> bool | int | float | str | None:
    """The value of a word without quotes that PyYAML takes for a `kind`, one of PLAIN_KINDS: `010` is ten, `1e3` a
    number, `10:30` and `no` are texts. Raises ValueError for a number with more digits than Python reads.
    """
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true" if text.lower() in ("true", "false") else text
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _SPECIAL.fullmatch(text):
        return float(text.lower().replace(".", ""))
    return text
