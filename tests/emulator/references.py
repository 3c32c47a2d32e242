"""Parameters of a task with their dynamic value references filled in, by the rules of Databricks.

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
    """A reference into a known namespace that names nothing there."""

    @classmethod
    def of(cls, text: str, name: str, known: Mapping[str, Any]) -> Self:
        names = sorted(known)
        return cls(f"{text}: there is no '{name}'.{did_you_mean(name, names)}\n  known: {', '.join(names)}")


@dataclass(frozen=True)
class Names:
    """What references may name, by dotted name: `job.run_id`, `tasks.train.values.auc`.

    Values of tasks keep their types; everything else is text.
    """

    values: Mapping[str, Any] = field(default_factory=dict)

    def __or__(self, more: Mapping[str, Any]) -> "Names":
        return Names({**self.values, **more})

    def lookup(self, text: str) -> tuple[bool, Any]:
        """Whether a text between braces is a reference, and what it stands for.

        Raises:
            UnknownReference: it is of a known namespace, and names nothing.
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
    """The text with each reference replaced; what is none stays as it stands, silently.

    A text takes the place of its reference as it is, every other value as JSON.

    Raises:
        UnknownReference: see `Names.lookup`.
    """

    def found(match: re.Match[str]) -> str:
        known, value = names.lookup(match.group(0))
        return to_text(value) if known else match.group(0)

    return _REFERENCE.sub(found, text)


def to_text(value: Any) -> str:
    """A value as a text: `true`, `[1, 2]`; a text is itself."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def of_job(name: str, *, job_id: int, run_id: int, started_at: datetime) -> Names:
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


def of_input(item: Any) -> dict[str, Any]:
    """The names of one iteration of a for-each task: `{{input}}`, and `{{input.key}}` of a mapping."""
    keys = item if isinstance(item, Mapping) else {}
    return {"input": item, **{f"input.{key}": value for key, value in keys.items()}}


def parameters(base: Mapping[str, str], of_the_job: Mapping[str, str], names: Names) -> dict[str, str]:
    """What reaches a notebook as widgets: the task's own, over which the job's win.

    Raises:
        UnknownReference: see `Names.lookup`.
    """
    own = {name: resolve(text, names) for name, text in base.items() if name not in of_the_job}
    return own | dict(of_the_job)
