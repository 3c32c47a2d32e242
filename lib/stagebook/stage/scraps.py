"""Scraps and checks: what a stage hands on, and what it asserts about its data."""

import json
import math
from typing import Any

from stagebook.errors import CheckFailed, ScrapRefused
from stagebook.model.context import MAX_SCRAP_BYTES
from stagebook.stage.databricks import databricks_notebook


def glue(name: str, value: Any) -> None:
    """Hand a value on to later stages, through scrapbook; on Databricks as a task value too.

    NumPy and pandas scalars become Python's; None, NaN and infinities are refused, since they would not
    come back as they went.

    Args:
        value: a number, text, boolean, or lists and mappings of these, at most 48 KiB as JSON.
    Raises:
        ScrapRefused: if the value is not JSON, not finite, or too large.
    Example:
        >>> stage.glue("rows", 336776)
    """
    plain = _plain(name, value)
    size_bytes = len(json.dumps(plain))
    if size_bytes > MAX_SCRAP_BYTES:
        raise ScrapRefused.of(name, f"has {size_bytes:,} bytes, more than {MAX_SCRAP_BYTES:,}")
    import scrapbook

    scrapbook.glue(name, plain)
    if (notebook := databricks_notebook()) is not None:
        notebook.set_task_value(name, plain)


def check(holds: Any, statement: str) -> None:
    """Check a statement about the data; a failed check ends the stage and is never retried.

    Args:
        holds: true or false; NumPy's and pandas' booleans too.
    Raises:
        CheckFailed: with the statement.
    Example:
        >>> stage.check(1 + 1 == 2, "one and one are two")
    """
    if not bool(holds):
        raise CheckFailed(f"this check failed: {statement}")


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
