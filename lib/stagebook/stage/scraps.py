"""Scraps and claims: what a stage hands on, and what it asserts about its data."""

import json
import math
from typing import Any

from stagebook.errors import ClaimFailed, ScrapRefused
from stagebook.model.context import MAX_SCRAP_BYTES
from stagebook.model.gate import Verdict
from stagebook.stage.host import host


def glue(name: str, value: Any) -> None:
    """Hand a value on to later stages, through scrapbook; on Databricks as a task value too.

    NumPy and pandas scalars become Python's; None, NaN and infinities are refused, since they would not
    come back as they went.

    Raises:
        ScrapRefused: if the value is not JSON, not finite, or larger than 48 KiB.
    """
    plain = _plain(name, value)
    size = len(json.dumps(plain))
    if size > MAX_SCRAP_BYTES:
        raise ScrapRefused.of(name, f"has {size:,} bytes, more than {MAX_SCRAP_BYTES:,}")
    import scrapbook

    scrapbook.glue(name, plain)
    if (there := host()) is not None:
        there.hand_on(name, plain)


def _plain(name: str, value: Any) -> Any:
    """The value in Python's own JSON types."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    match value:
        case float() if not math.isfinite(value):
            raise ScrapRefused.of(name, f"is {value}: glue a finite number, or nothing")
        case bool() | int() | float() | str():
            return value
        case dict():
            return {str(key): None if item is None else _plain(name, item) for key, item in value.items()}
        case list() | tuple():
            return [None if item is None else _plain(name, item) for item in value]
        case _:
            raise ScrapRefused.of(name, f"is a {type(value).__name__}")


def glue_gate(verdict: Verdict) -> None:
    """Hand the gate's verdict on as `gate` (all figures) and `gate_passed` (true or false).

    A run whose gate refused ends with exit status 4.
    """
    glue("gate", verdict.to_json())
    glue("gate_passed", verdict.passed)


def claim(holds: Any, text: str) -> None:
    """Assert a statement about the data; a failed claim ends the stage and is never retried.

    Raises:
        ClaimFailed: with the text.
    """
    if not bool(holds):
        raise ClaimFailed(f"this claim does not hold: {text}")
