"""References to scraps: `{{tasks.<stage>.values.<name>}}`, in Databricks' own notation."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_ANY = re.compile(r"\{\{(.*?)\}\}")
_TASK_VALUE = re.compile(r"\s*tasks\.([A-Za-z0-9_-]+)\.values\.([A-Za-z0-9_.-]+)\s*")


def references(value: Any) -> Iterator[tuple[str, str | None, str | None]]:
    """Each reference in a value as `(text, stage, scrap)`; stage and scrap are None where it is no task value."""
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
    """Whether a value is known only when upstream stages have ended."""
    return next(references(value), None) is not None


def resolve(value: Any, lookup: Callable[[str, str], Any]) -> Any:
    """The value with each reference replaced.

    A text that is one reference and nothing else takes the scrap with its type; inside other text a
    scrap is written as text (JSON for lists and mappings).

    Raises:
        whatever `lookup(stage, scrap)` raises.
    """
    if isinstance(value, dict):
        return {name: resolve(item, lookup) for name, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, lookup) for item in value]
    if not isinstance(value, str):
        return value
    found = list(references(value))
    if len(found) == 1 and found[0][0] == value.strip():
        _, stage, scrap = found[0]
        return lookup(str(stage), str(scrap))
    for text, stage, scrap in found:
        item = lookup(str(stage), str(scrap))
        value = value.replace(text, item if isinstance(item, str) else json.dumps(item))
    return value
