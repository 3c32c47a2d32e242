"""`dbutils.jobs.taskValues`: small values that the tasks of a job pass to tasks downstream."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from stagebook.dbutils.errors import NoTaskValue
from stagebook.model.context import MAX_SCRAP_BYTES


class TaskValues(Protocol):
    """Stores the values of a job's tasks."""

    def put(self, key: str, value: Any) -> None:
        """Store a value of this task, a JSON value of at most 48 KiB; a later one of the same key replaces it."""
        ...

    def of(self, task: str) -> Mapping[str, Any] | None:
        """All values of a task upstream; None if no task of this name is upstream."""
        ...


class TaskValuesUtility:
    """`dbutils.jobs.taskValues`."""

    def __init__(self, values: TaskValues | None) -> None:
        self._values = values

    def set(self, key: str, value: Any) -> None:
        """Pass a value to tasks downstream; outside of a job nothing happens.

        Raises:
            TypeError: the key is not a str, or the value is not JSON.
            ValueError: its JSON is larger than 48 KiB.
        """
        if not isinstance(key, str):
            raise TypeError(f"the key of a task value must be a str, and {key!r} is {type(key).__name__}")
        json_value = _json_value(key, value)
        if self._values is not None:
            self._values.put(key, json_value)

    def get(self, taskKey: str, key: str, default: Any = None, debugValue: Any = None) -> Any:
        """The value that a task upstream has set.

        Args:
            default: the result if the task has not set the value.
            debugValue: the result outside of a job.
        Raises:
            TypeError: outside of a job, if there is no `debugValue`.
            NoTaskValue: no such task is upstream; or it has not set the value, and there is no `default`.
        """
        if self._values is None:
            if debugValue is None:
                raise TypeError("Must pass debugValue when calling get outside of a job context.")
            return debugValue
        values = self._values.of(taskKey)
        if values is None:
            raise NoTaskValue.of_task(taskKey)
        if key in values:
            return values[key]
        if default is None:
            raise NoTaskValue.of_key(taskKey, key, sorted(values))
        return default


class Jobs:
    """`dbutils.jobs`."""

    def __init__(self, values: TaskValues | None) -> None:
        self.taskValues = TaskValuesUtility(values)


def _json_value(key: str, value: Any) -> Any:
    """The value as it comes back from JSON."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as fault:
        raise TypeError(f"task value '{key}' cannot be expressed as JSON: {fault}") from None
    if (size := len(text.encode())) > MAX_SCRAP_BYTES:
        raise ValueError(f"task value '{key}' has {size:,} bytes as JSON; the limit is {MAX_SCRAP_BYTES:,}")
    return json.loads(text)
