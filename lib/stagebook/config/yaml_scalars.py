"""What plain scalars mean in YAML 1.2's core schema, whatever a YAML library makes of them.

ruamel.yaml also reads numbers of YAML 1.1 (`2024_11`, `0b11`, `1_0.5`), has types for `=` and `<<` that it cannot
construct, and makes infinity of `1234e567`.
"""

import math
import re
from typing import Any

MAX_DIGITS = 1000
"""Of an integer: Python writes none with many more, and no pipeline needs them."""

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{f"-{word}": -math.inf for word in (".inf", ".Inf", ".INF")},
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_IN_BASE = ((re.compile(r"0o[0-7]+"), 8), (re.compile(r"0x[0-9a-fA-F]+"), 16))
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class TooLargeNumber(ValueError):
    """A number is written that no integer or float of Python can hold."""


def core_value(text: str) -> Any:
    """The value of a plain scalar: null, a boolean, a number, else the text itself.

    Raises:
        TooLargeNumber: a number that would become infinity, or has too many digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text, 10)
    for pattern, base in _IN_BASE:
        if pattern.fullmatch(text):
            return _integer(text[2:], base)
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text)
    if math.isinf(number):
        raise TooLargeNumber(f"the number {_short(text)} is larger than any float; infinity is written .inf")
    return number


def _integer(digits: str, base: int) -> int:
    if len(digits) > MAX_DIGITS:
        raise TooLargeNumber(f"the number {_short(digits)} has more than {MAX_DIGITS:,} digits")
    return int(digits, base)


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:27]}…"
