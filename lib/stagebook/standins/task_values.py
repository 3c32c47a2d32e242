"""`dbutils.jobs.taskValues`: small values that tasks of a job hand on."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from stagebook.model.context import MAX_SCRAP_BYTES
from stagebook.standins.errors import NoTaskValue


class TaskValues(Protocol):
    """Where the values of a job's tasks are kept."""

    def put(self, key: str, value: Any) -> None:
        """Keep a value of this task, a JSON value of at most 48 KiB; a later one of the same key wins."""
        ...

    def of(self, task: str) -> Mapping[str, Any] | None:
        """All values of a task upstream; None where no task of this name is upstream."""
        ...


class TaskValuesUtility:
    """`dbutils.jobs.taskValues`."""

    def __init__(self, values: TaskValues | None) -> None:
        self._values = values

    def set(self, key: str, value: Any) -> None:
        """Hand a value on to tasks downstream; outside of a job nothing happens.

        Raises:
            TypeError: the key is no text, or the value is not JSON.
            ValueError: its JSON is larger than 48 KiB.
        """
        if not isinstance(key, str):
            raise TypeError(f"the key of a task value must be a str, and {key!r} is {type(key).__name__}")
        plain = _plain(key, value)
        if self._values is not None:
            self._values.put(key, plain)

    def get(self, taskKey: str, key: str, default: Any = None, debugValue: Any = None) -> Any:
        """The value that a task upstream has set.

        Args:
            default: what stands for a value that was not set.
            debugValue: what stands for every value outside of a job.
        Raises:
            TypeError: this is not a job, and there is no `debugValue`.
            NoTaskValue: there is no such task upstream; or it has not set the value, and there is no `default`.
        """
        if self._values is None:
            if debugValue is None:
                raise TypeError("Must pass debugValue when calling get outside of a job context.")
            return debugValue
        found = self._values.of(taskKey)
        if found is None:
            raise NoTaskValue.of_task(taskKey)
        if key in found:
            return found[key]
        if default is None:
            raise NoTaskValue.of_key(taskKey, key, sorted(found))
        return default


class Jobs:
    """`dbutils.jobs`."""

    def __init__(self, values: TaskValues | None) -> None:
        self.taskValues = TaskValuesUtility(values)


def _plain(key: str, value: Any) -> Any:
    """The value as it comes back from JSON."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as fault:
        raise TypeError(f"task value '{key}' cannot be expressed as JSON: {fault}") from None
    if (size := len(text.encode())) > MAX_SCRAP_BYTES:
        raise ValueError(f"task value '{key}' has {size:,} bytes as JSON; the limit is {MAX_SCRAP_BYTES:,}")
    return json.loads(text)
