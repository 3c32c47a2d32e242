"""What Databricks makes of the ends of tasks: whether a task starts, which way a condition goes, how a job ended.

Sources: https://docs.databricks.com/jobs/run-if.html and https://docs.databricks.com/jobs/if-else.html
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal

from stagebook.model.pipeline import RunIf


class State(StrEnum):
    """How a task ended; in lower case what `{{tasks.<task>.result_state}}` says."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    TIMEDOUT = "TIMEDOUT"
    EXCLUDED = "EXCLUDED"
    UPSTREAM_FAILED = "UPSTREAM_FAILED"

    @property
    def is_failure(self) -> bool:
        return self in (State.FAILED, State.TIMEDOUT, State.UPSTREAM_FAILED)


JobState = Literal["SUCCESS", "SUCCESS_WITH_FAILURES", "FAILED"]

_HANDLES_FAILURES = (RunIf.ALL_FAILED, RunIf.AT_LEAST_ONE_FAILED)


def decide(run_if: RunIf, upstream: Sequence[State]) -> State | None:
    """How a task ends that does not start, given how all of its upstream tasks ended; None: it starts.

    An excluded task counts as a success, but where all are excluded the task is too, whatever its `run_if`.
    """
    if not upstream:
        return None
    if all(state is State.EXCLUDED for state in upstream):
        return State.EXCLUDED
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
    return State.EXCLUDED if run_if in _HANDLES_FAILURES else State.UPSTREAM_FAILED


def behind(state: State, outcome: bool | None, wanted: str | None) -> State:
    """What an upstream task is for one that waits for an outcome of it: excluded where it went the other way."""
    if wanted is None or state is not State.SUCCESS:
        return state
    return State.SUCCESS if wanted == ("true" if outcome else "false") else State.EXCLUDED


def holds(left: str, op: str, right: str) -> bool:
    """Whether a condition holds: equality compares texts, order compares numbers.

    Raises:
        ValueError: an operand of a comparison of numbers is none.
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


def result(graph: Mapping[str, Sequence[str]], states: Mapping[str, Any]) -> JobState:
    """How a job ended: its leaves decide, the tasks that none depends on.

    Args:
        graph: task → the tasks that it depends on.
    """
    inner = {up for above in graph.values() for up in above}
    if any(states[name].is_failure for name in graph if name not in inner):
        return "FAILED"
    return "SUCCESS_WITH_FAILURES" if any(state.is_failure for state in states.values()) else "SUCCESS"
