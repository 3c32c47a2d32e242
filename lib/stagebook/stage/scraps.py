"""Scraps and checks: what a stage hands on, and what it asserts about its data."""

import json
from typing import Any

from stagebook import plain_values
from stagebook.errors import CheckFailed, ScrapRefused
from stagebook.model.context import MAX_SCRAP_BYTES
from stagebook.stage.databricks import databricks_notebook


def glue(name: str, value: Any) -> None:
    """Hand a value on to later stages, through scrapbook; on Databricks as a task value too.

    Scalars of NumPy and pandas become Python's, dates and paths texts, enums their values, sets sorted lists. None, NaN
    and infinities are refused, since task values cannot hold them.

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
    """The value in Python's own JSON types, all of its numbers finite."""
    if value is None:
        raise ScrapRefused.of(name, "is a NoneType")
    try:
        plain = plain_values.plain(value)
    except plain_values.NotPlain as error:
        raise ScrapRefused.of(name, str(error)) from None
    for path in plain_values.not_finite(plain):
        number: Any = plain
        for key in path:
            number = number[key]
        place = f" at {''.join(f'[{key!r}]' for key in path)}" if path else ""
        raise ScrapRefused.of(name, f"is {number}{place}: glue a finite number, or nothing")
    return plain
