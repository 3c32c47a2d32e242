"""When a task starts, which way a condition goes, and how a job ends."""

from itertools import product

import pytest
from emulator.rules import TaskState, branch_state, holds, job_state, state_without_start

from stagebook import graph
from stagebook.model.pipeline import RunIf
from stagebook.model.record import StageStatus

GOOD, BAD, LATE, OUT = TaskState.SUCCESS, TaskState.FAILED, TaskState.TIMEDOUT, TaskState.EXCLUDED
UP = TaskState.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("run_if", "upstream", "state"),
    [
        (RunIf.ALL_SUCCESS, [], None),
        (RunIf.ALL_SUCCESS, [GOOD, OUT], None),
        (RunIf.ALL_SUCCESS, [OUT, OUT], OUT),
        (RunIf.ALL_SUCCESS, [GOOD, BAD], UP),
        (RunIf.ALL_SUCCESS, [UP], UP),
        (RunIf.ALL_DONE, [BAD, LATE, UP], None),
        (RunIf.ALL_DONE, [OUT], OUT),
        (RunIf.NONE_FAILED, [GOOD, OUT], None),
        (RunIf.NONE_FAILED, [LATE, OUT], UP),
        (RunIf.AT_LEAST_ONE_SUCCESS, [BAD, GOOD], None),
        (RunIf.AT_LEAST_ONE_SUCCESS, [BAD, OUT], None),
        (RunIf.AT_LEAST_ONE_SUCCESS, [BAD, UP], UP),
        (RunIf.ALL_FAILED, [BAD, LATE, UP], None),
        (RunIf.ALL_FAILED, [BAD, OUT], OUT),
        (RunIf.ALL_FAILED, [], None),
        (RunIf.AT_LEAST_ONE_FAILED, [GOOD, UP], None),
        (RunIf.AT_LEAST_ONE_FAILED, [GOOD, OUT], OUT),
    ],
)
def test_run_if_decides_whether_a_task_starts(run_if, upstream, state):
    assert state_without_start(run_if, upstream) is state


def test_our_runner_decides_the_same_in_every_case():
    statuses = {
        GOOD: StageStatus.SUCCEEDED,
        BAD: StageStatus.FAILED,
        OUT: StageStatus.SKIPPED,
        UP: StageStatus.UPSTREAM_FAILED,
    }
    answers = {None: "start", OUT: "skip", UP: "upstream_failed"}
    cases = [(run_if, states) for n in range(4) for states in product(statuses, repeat=n) for run_if in RunIf]
    for run_if, states in cases:
        assert (
            graph.readiness(run_if, [statuses[state] for state in states])
            == answers[state_without_start(run_if, states)]
        )
    assert len(cases) == 6 * (1 + 4 + 16 + 64)


@pytest.mark.parametrize(
    ("state", "outcome", "required", "expected"),
    [
        (GOOD, True, "true", GOOD),
        (GOOD, True, "false", OUT),
        (GOOD, False, "false", GOOD),
        (GOOD, None, None, GOOD),
        (BAD, None, "true", BAD),
        (OUT, None, "true", OUT),
    ],
)
def test_the_other_branch_of_a_condition_is_excluded(state, outcome, required, expected):
    assert branch_state(state, outcome, required) is expected


@pytest.mark.parametrize(
    ("left", "op", "right", "answer"),
    [
        ("12.0", "EQUAL_TO", "12", False),
        ("true", "EQUAL_TO", "true", True),
        ("True", "EQUAL_TO", "true", False),
        ("12.0", "NOT_EQUAL", "12", True),
        ("12.0", "GREATER_THAN_OR_EQUAL", "12", True),
        ("10.0", "GREATER_THAN_OR_EQUAL", "12", False),
        ("9", "GREATER_THAN", "10", False),
        ("9", "LESS_THAN", "10", True),
        ("1e1", "LESS_THAN_OR_EQUAL", "10", True),
    ],
)
def test_equality_compares_texts_and_order_compares_numbers(left, op, right, answer):
    assert holds(left, op, right) is answer


@pytest.mark.parametrize(("op", "message"), [("GREATER_THAN", "many"), ("EQUALS", "no operator 'EQUALS'")])
def test_a_condition_that_cannot_be_evaluated_is_an_error(op, message):
    with pytest.raises(ValueError, match=message):
        holds("many", op, "1")


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({"a": GOOD, "b": GOOD, "c": OUT}, "SUCCESS"),
        ({"a": BAD, "b": GOOD, "c": GOOD}, "SUCCESS_WITH_FAILURES"),
        ({"a": BAD, "b": UP, "c": GOOD}, "FAILED"),
        ({"a": GOOD, "b": LATE, "c": GOOD}, "FAILED"),
    ],
)
def test_the_leaves_of_a_job_decide_how_it_ended(states, expected):
    assert job_state({"a": [], "b": ["a"], "c": ["a"]}, states) == expected
