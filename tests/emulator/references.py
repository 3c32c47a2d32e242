"""Fills in the dynamic value references in parameters of a task, by the rules of Databricks.

Source: https://docs.databricks.com/jobs/dynamic-value-references.html
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from stagebook.errors import did_you_mean

NAMESPACES = ("job", "task", "tasks", "workspace", "input")

_REFERENCE = re.compile(r"\{\{([^{}]*)\}\}")
_PART = r"(?:[A-Za-z0-9_-]+|`[^`]+`)"
_PATH = re.compile(rf"\s*({_PART}(?:\.{_PART})*)\s*")
_PARTS = re.compile(r"`([^`]+)`|([A-Za-z0-9_-]+)")


class UnknownReference(Exception):
    """A reference into a namespace of Databricks names nothing there."""

    @classmethod
    def of(cls, text: str, name: str, values: Mapping[str, Any]) -> Self:
        names = sorted(values)
        return cls(f"{text}: there is no '{name}'.{did_you_mean(name, names)}\n  allowed: {', '.join(names)}")


@dataclass(frozen=True)
class Names:
    """The values that references may name, by dotted name: `job.run_id`, `tasks.train.values.auc`.

    Values of tasks have their types; everything else is text.
    """

    values: Mapping[str, Any] = field(default_factory=dict)

    def __or__(self, values: Mapping[str, Any]) -> "Names":
        return Names({**self.values, **values})

    def lookup(self, text: str) -> tuple[bool, Any]:
        """Whether a text in braces is a reference, and its value.

        Raises:
            UnknownReference: it is of a namespace of Databricks, and names nothing.
        """
        path = _PATH.fullmatch(text[2:-2])
        if path is None:
            return False, None
        name = ".".join(quoted or plain for quoted, plain in _PARTS.findall(path.group(1)))
        if name.partition(".")[0] not in NAMESPACES:
            return False, None
        if name not in self.values:
            raise UnknownReference.of(text, name, self.values)
        return True, self.values[name]


def resolve(text: str, names: Names) -> str:
    """The text with each reference replaced; braces with anything else stay, as on Databricks.

    A reference to a text becomes this text, any other value becomes JSON.

    Raises:
        UnknownReference: see `Names.lookup`.
    """

    def replacement(match: re.Match[str]) -> str:
        is_reference, value = names.lookup(match.group(0))
        return to_text(value) if is_reference else match.group(0)

    return _REFERENCE.sub(replacement, text)


def to_text(value: Any) -> str:
    """A value as text: `true`, `[1, 2]`; a text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def job_names(name: str, *, job_id: int, run_id: int, started_at: datetime) -> Names:
    """The names of one run of a job, without its parameters."""
    start = {
        "iso_date": f"{started_at:%Y-%m-%d}",
        "iso_datetime": f"{started_at:%Y-%m-%dT%H:%M:%S}",
        "timestamp_ms": str(int(started_at.timestamp() * 1000)),
        "iso_weekday": str(started_at.isoweekday()),
        "is_weekday": "true" if started_at.isoweekday() < 6 else "false",
        **{part: str(getattr(started_at, part)) for part in ("year", "month", "day", "hour", "minute", "second")},
    }
    return Names(
        {
            "job.id": str(job_id),
            "job.name": name,
            "job.run_id": str(run_id),
            "job.repair_count": "0",
            "job.trigger.type": "onetime",
            "workspace.id": "1",
            "workspace.url": "example.cloud.databricks.com",
            **{f"job.start_time.{part}": text for part, text in start.items()},
        }
    )


def input_names(item: Any) -> dict[str, Any]:
    """The names of one iteration of a for-each task: `{{input}}`, and `{{input.key}}` of a mapping."""
    keys = item if isinstance(item, Mapping) else {}
    return {"input": item, **{f"input.{key}": value for key, value in keys.items()}}


def widgets(task_parameters: Mapping[str, str], job_parameters: Mapping[str, str], names: Names) -> dict[str, str]:
    """The widgets of a notebook: the task's parameters and the job's, which win.

    Raises:
        UnknownReference: see `Names.lookup`.
    """
    own = {name: resolve(text, names) for name, text in task_parameters.items() if name not in job_parameters}
    return own | dict(job_parameters)
