"""References to scraps of upstream stages: `{{tasks.<stage>.values.<name>}}`, in Databricks' notation."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from stagebook.model.pipeline import Stage

_ANY = re.compile(r"\{\{(.*?)\}\}")
_TASK_VALUE = re.compile(r"\s*tasks\.([A-Za-z0-9_-]+)\.values\.([A-Za-z0-9_.-]+)\s*")


def references(value: Any) -> Iterator[tuple[str, str | None, str | None]]:
    """Each reference in a value as `(text, stage, scrap)`; stage and scrap are None if it is not a task value."""
    if isinstance(value, str):
        for match in _ANY.finditer(value):
            parts = _TASK_VALUE.fullmatch(match.group(1))
            stage, scrap = parts.groups() if parts else (None, None)
            yield match.group(0), stage, scrap
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def holds_reference(value: Any) -> bool:
    """Whether a value contains a reference, so that it is known only when upstream stages have ended."""
    return next(references(value), None) is not None


def resolve(value: Any, lookup: Callable[[str, str], Any]) -> Any:
    """The value with each reference replaced by its scrap.

    A text that is one reference and nothing else becomes the scrap with its type; inside other text a
    scrap is written as text (JSON for lists and mappings).

    Args: lookup: the value of `(stage, scrap)`; its exceptions pass through.
    """
    if isinstance(value, dict):
        return {name: resolve(item, lookup) for name, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, lookup) for item in value]
    if not isinstance(value, str):
        return value
    in_text = list(references(value))
    if len(in_text) == 1 and in_text[0][0] == value.strip():
        _, stage, scrap = in_text[0]
        return lookup(str(stage), str(scrap))
    for text, stage, scrap in in_text:
        item = lookup(str(stage), str(scrap))
        value = value.replace(text, item if isinstance(item, str) else json.dumps(item))
    return value


def condition_refusal(stage: Stage, scrap: Callable[[str, str], Any]) -> str | None:
    """The reason why `only_if` keeps a stage from running, or None.

    Args: scrap: the value of `(stage, scrap)`; None, which is not true, if it was never glued.
    """
    if stage.only_if is None:
        return None
    value = resolve(stage.only_if, scrap)
    return None if value in (True, "true") else f"only_if {stage.only_if} is {value!r}"
