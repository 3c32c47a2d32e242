"""Databricks' rules for tasks that have ended: whether a task starts, which way a condition goes, how a job ends.

Sources: https://docs.databricks.com/jobs/run-if.html and https://docs.databricks.com/jobs/if-else.html
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal

from stagebook.model.pipeline import RunIf


class TaskState(StrEnum):
    """How a task ended; `{{tasks.<task>.result_state}}` is the same in lower case."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    TIMEDOUT = "TIMEDOUT"
    EXCLUDED = "EXCLUDED"
    UPSTREAM_FAILED = "UPSTREAM_FAILED"

    @property
    def is_failure(self) -> bool:
        return self in (TaskState.FAILED, TaskState.TIMEDOUT, TaskState.UPSTREAM_FAILED)


JobState = Literal["SUCCESS", "SUCCESS_WITH_FAILURES", "FAILED"]

_HANDLES_FAILURES = (RunIf.ALL_FAILED, RunIf.AT_LEAST_ONE_FAILED)


def state_without_start(run_if: RunIf, upstream: Sequence[TaskState]) -> TaskState | None:
    """How a task ends that does not start because of the states of its upstream tasks; None: it starts.

    An excluded task counts as a success, but where all are excluded the task is too, whatever its `run_if`.
    """
    if not upstream:
        return None
    if all(state is TaskState.EXCLUDED for state in upstream):
        return TaskState.EXCLUDED
    failed = [state.is_failure for state in upstream]
    match run_if:
        case RunIf.ALL_SUCCESS | RunIf.NONE_FAILED:
            starts = not any(failed)
        case RunIf.AT_LEAST_ONE_SUCCESS:
            starts = not all(failed)
        case RunIf.ALL_DONE:
            starts = True
        case RunIf.ALL_FAILED:
            starts = all(failed)
        case RunIf.AT_LEAST_ONE_FAILED:
            starts = any(failed)
    if starts:
        return None
    return TaskState.EXCLUDED if run_if in _HANDLES_FAILURES else TaskState.UPSTREAM_FAILED


def branch_state(state: TaskState, outcome: bool | None, required: str | None) -> TaskState:
    """The state of an upstream task for a task that requires an outcome of it: excluded if it has the other outcome."""
    if required is None or state is not TaskState.SUCCESS:
        return state
    return TaskState.SUCCESS if required == ("true" if outcome else "false") else TaskState.EXCLUDED


def holds(left: str, op: str, right: str) -> bool:
    """Whether a condition holds: equality compares texts, order compares numbers.

    Raises:
        ValueError: an operand is not a number although the operator compares numbers.
    """
    match op:
        case "EQUAL_TO":
            return left == right
        case "NOT_EQUAL":
            return left != right
        case "GREATER_THAN":
            return float(left) > float(right)
        case "GREATER_THAN_OR_EQUAL":
            return float(left) >= float(right)
        case "LESS_THAN":
            return float(left) < float(right)
        case "LESS_THAN_OR_EQUAL":
            return float(left) <= float(right)
        case _:
            raise ValueError(f"a condition_task has no operator {op!r}")


def job_state(graph: Mapping[str, Sequence[str]], states: Mapping[str, Any]) -> JobState:
    """How a job ended: its leaves decide, which are the tasks that no task depends on.

    Args:
        graph: task → the tasks that it depends on.
    """
    inner = {up for upstream in graph.values() for up in upstream}
    if any(states[name].is_failure for name in graph if name not in inner):
        return "FAILED"
    return "SUCCESS_WITH_FAILURES" if any(state.is_failure for state in states.values()) else "SUCCESS"
