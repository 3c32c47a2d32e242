"""A job's tasks run in order, with conditions, loops and retries; a fake runner executes nothing."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from emulator.bundle import Job
from emulator.references import UnknownReference
from emulator.schedule import Attempt, AttemptResult, JobRun, NotEmulated, run

JOB_RUN = JobRun(run_id=7, started_at=datetime(2026, 3, 1, 2, 30, tzinfo=UTC))
FINE = AttemptResult()
BROKEN = AttemptResult(error="ZeroDivisionError: division by zero")
LATE = AttemptResult(timed_out=True)


@dataclass
class FakeRunner:
    """A runner with fixed results: `results` maps the name of an attempt, or of its notebook, to its result."""

    results: Mapping[str, AttemptResult] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    attempts: list[Attempt] = field(default_factory=list)

    def run(self, attempt: Attempt) -> AttemptResult:
        self.attempts.append(attempt)
        self.before()
        return self.results.get(attempt.name, self.results.get(attempt.notebook.stem, FINE))

    @property
    def names(self) -> list[str]:
        return [attempt.name for attempt in self.attempts]


def notebook(name: str, *upstream: str, **fields) -> dict:
    depends_on = [{"task_key": up} for up in upstream]
    return {"notebook_task": {"notebook_path": f"{name}.ipynb"}, "depends_on": depends_on, **fields}


def job(parameters: Mapping[str, str] | None = None, /, **tasks) -> Job:
    return Job("demo", "demo", parameters or {}, tasks, Path("/bundle/resources"))


def run_with(job: Job, results: Mapping[str, AttemptResult] | None = None, **parameters: str):
    """The result of a run, and the fake runner."""
    fake = FakeRunner(results or {})
    return run(job, fake, JOB_RUN, parameters), fake


def test_tasks_run_after_what_they_depend_on():
    result, fake = run_with(job(c=notebook("c", "b", "a"), b=notebook("b", "a"), a=notebook("a")))
    assert fake.names == ["a-1", "b-1", "c-1"]
    assert fake.attempts[0].notebook == Path("/bundle/resources/a.ipynb")
    assert (result.state, result.states) == ("SUCCESS", {"a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"})


RUN_IFS = ("ALL_SUCCESS", "ALL_DONE", "NONE_FAILED", "AT_LEAST_ONE_SUCCESS", "ALL_FAILED", "AT_LEAST_ONE_FAILED")


@pytest.mark.parametrize(
    ("results", "states"),
    [
        ({}, ("SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS", "EXCLUDED", "EXCLUDED")),
        ({"a": BROKEN}, ("UPSTREAM_FAILED", "SUCCESS", "UPSTREAM_FAILED", "SUCCESS", "EXCLUDED", "SUCCESS")),
        ({"a": BROKEN, "b": LATE}, ("UPSTREAM_FAILED", "SUCCESS", "UPSTREAM_FAILED", "UPSTREAM_FAILED", "SUCCESS", "SUCCESS")),
    ],
)  # fmt: skip
def test_each_run_if_reacts_to_failed_tasks(results, states):
    downstream = {run_if: notebook("x", "a", "b", run_if=run_if) for run_if in RUN_IFS}
    result, _ = run_with(job(a=notebook("a"), b=notebook("b"), **downstream), results)
    assert tuple(result.states[run_if] for run_if in RUN_IFS) == states


def test_a_task_that_did_not_start_has_a_reason():
    result, fake = run_with(
        job(a=notebook("a"), b=notebook("b", "a"), c=notebook("c", "b", run_if="ALL_FAILED")), {"a": BROKEN}
    )
    assert result.states == {"a": "FAILED", "b": "UPSTREAM_FAILED", "c": "SUCCESS"}
    assert (result.state, fake.names) == ("SUCCESS_WITH_FAILURES", ["a-1", "c-1"])
    assert result.tasks["a"].reason == "ZeroDivisionError: division by zero"
    assert result.tasks["b"].reason == "upstream FAILED; runs if ALL_SUCCESS"


def gate(left: str, op: str = "EQUAL_TO", right: str = "true", *upstream: str) -> dict:
    return {
        "condition_task": {"left": left, "op": op, "right": right},
        "depends_on": [{"task_key": up} for up in upstream],
    }


@pytest.mark.parametrize(
    ("promoted", "yes", "no", "after_no"),
    [(True, "SUCCESS", "EXCLUDED", "EXCLUDED"), (False, "EXCLUDED", "SUCCESS", "SUCCESS")],
)
def test_a_condition_excludes_the_other_branch_and_tasks_only_downstream_of_it(promoted, yes, no, after_no):
    tasks = {
        "register": notebook("register"),
        "gate": gate("{{tasks.register.values.promoted}}", "EQUAL_TO", "true", "register"),
        "yes": {**notebook("yes"), "depends_on": [{"task_key": "gate", "outcome": "true"}]},
        "no": {**notebook("no"), "depends_on": [{"task_key": "gate", "outcome": "false"}]},
        "after_no": notebook("after", "no", run_if="ALL_DONE"),
        "both": notebook("both", "yes", "no"),
    }
    result, _ = run_with(job(**tasks), {"register": AttemptResult({"promoted": promoted})})
    assert (result.states["yes"], result.states["no"], result.states["after_no"]) == (yes, no, after_no)
    assert (result.states["both"], result.state) == ("SUCCESS", "SUCCESS")
    assert result.tasks["gate"].outcome is promoted


@pytest.mark.parametrize(
    ("left", "op", "message"),
    [
        ("{{tasks.a.values.rows}}", "GREATER_THAN", "could not convert"),
        ("{{tasks.a.values.list}}", "EQUAL_TO", "compares texts, numbers and booleans"),
        ("{{tasks.a.values.gone}}", "EQUAL_TO", "there is no 'tasks.a.values.gone'"),
    ],
)
def test_a_condition_that_cannot_be_evaluated_fails(left, op, message):
    tasks = {"a": notebook("a"), "c": gate(left, op, "1", "a"), "d": notebook("d", "c")}
    result, _ = run_with(job(**tasks), {"a": AttemptResult({"rows": "many", "list": [1]})})
    assert result.states == {"a": "SUCCESS", "c": "FAILED", "d": "UPSTREAM_FAILED"}
    assert message in result.tasks["c"].reason


def test_a_failed_attempt_is_retried_and_the_last_one_counts():
    results = {"a-1": BROKEN, "a-2": BROKEN, "a-3": AttemptResult({"rows": 3})}
    base_parameters = {"attempt": "{{task.execution_count}}"}
    task = {"notebook_task": {"notebook_path": "a.ipynb", "base_parameters": base_parameters}, "max_retries": 2}
    result, fake = run_with(job(a=task), results)
    assert (result.states, result.tasks["a"].attempts, result.tasks["a"].values) == ({"a": "SUCCESS"}, 3, {"rows": 3})
    assert [attempt.parameters["attempt"] for attempt in fake.attempts] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("settings", "results", "state", "attempts"),
    [
        ({}, {"a": BROKEN}, "FAILED", 1),
        ({"max_retries": 1}, {"a": BROKEN}, "FAILED", 2),
        ({"max_retries": -1}, {"a-1": BROKEN, "a-2": BROKEN, "a-3": BROKEN}, "SUCCESS", 4),
        ({"max_retries": 3}, {"a": LATE}, "TIMEDOUT", 1),
        ({"max_retries": 1, "retry_on_timeout": True}, {"a": LATE}, "TIMEDOUT", 2),
        ({"max_retries": 1, "retry_on_timeout": True}, {"a-1": LATE}, "SUCCESS", 2),
    ],
)
def test_retries_follow_the_settings_of_the_task(settings, results, state, attempts):
    result, _ = run_with(job(a=notebook("a", timeout_seconds=5, **settings)), results)
    assert (result.states["a"], result.tasks["a"].attempts) == (state, attempts)


def test_values_and_parameters_reach_only_the_tasks_downstream():
    base_parameters = {
        "rows": "{{tasks.a.values.rows}}",
        "seed": "1",
        "ran": "{{tasks.a.result_state}}",
        "who": "{{task.name}}",
    }
    b = {**notebook("b", "a"), "notebook_task": {"notebook_path": "b.ipynb", "base_parameters": base_parameters}}
    results = {"a": AttemptResult({"rows": 3}), "x": AttemptResult({"hidden": 1})}
    tasks = {"x": notebook("x"), "a": notebook("a"), "b": b}
    result, fake = run_with(job({"seed": "13", "run": "{{job.run_id}}"}, **tasks), results, seed="14")
    assert fake.attempts[-1].parameters == {"rows": "3", "ran": "success", "who": "b", "seed": "14", "run": "7"}
    assert fake.attempts[-1].upstream == {"a": {"rows": 3}}
    assert result.state == "SUCCESS"


def test_a_reference_to_a_task_that_is_not_upstream_fails_the_task_without_running_it():
    b = {
        **notebook("b"),
        "notebook_task": {"notebook_path": "b.ipynb", "base_parameters": {"x": "{{tasks.a.values.y}}"}},
    }
    result, fake = run_with(job(a=notebook("a"), b=b), {"a": AttemptResult({"y": 1})})
    assert (result.states, fake.names) == ({"a": "SUCCESS", "b": "FAILED"}, ["a-1"])
    assert "there is no 'tasks.a.values.y'" in result.tasks["b"].reason


def test_a_job_with_an_unknown_reference_in_a_parameter_does_not_start():
    with pytest.raises(UnknownReference, match="there is no 'job.naem'"):
        run_with(job({"x": "{{job.naem}}"}, a=notebook("a")))


def loop(inputs: str, *, concurrency: int = 1, **fields) -> dict:
    base_parameters = {"month": "{{input.month}}", "all": "{{input}}"}
    task = {
        "task_key": "one",
        "notebook_task": {"notebook_path": "one.ipynb", "base_parameters": base_parameters},
        **fields,
    }
    depends_on = [{"task_key": "a"}]
    return {"for_each_task": {"inputs": inputs, "concurrency": concurrency, "task": task}, "depends_on": depends_on}


def test_a_loop_runs_its_task_for_each_input_and_retries_each_on_its_own():
    results = {"a": AttemptResult({"months": [{"month": 1}, {"month": 2}]}), "each-1-1": BROKEN}
    result, fake = run_with(job(a=notebook("a"), each=loop("{{tasks.a.values.months}}", max_retries=1)), results)
    assert fake.names == ["a-1", "each-0-1", "each-1-1", "each-1-2"]
    assert [attempt.parameters["month"] for attempt in fake.attempts[1:]] == ["1", "2", "2"]
    assert fake.attempts[1].parameters["all"] == '{"month": 1}'
    assert [iteration.attempts for iteration in result.tasks["each"].iterations] == [1, 2]
    assert result.states["each"] == "SUCCESS"


def test_a_loop_with_a_failed_iteration_runs_the_others_and_fails():
    tasks = {"a": notebook("a"), "each": loop('[{"month": 1}, {"month": 2}, {"day": 3}]'), "b": notebook("b", "each")}
    result, fake = run_with(job(**tasks), {"each-0-1": BROKEN})
    assert fake.names == ["a-1", "each-0-1", "each-1-1"]
    assert [str(iteration.state) for iteration in result.tasks["each"].iterations] == ["FAILED", "SUCCESS", "FAILED"]
    assert (result.tasks["each"].reason, result.states["b"]) == ("iterations [0, 2] failed", "UPSTREAM_FAILED")


@pytest.mark.parametrize("inputs", ["{", '{"month": 1}', "{{tasks.a.values.gone}}"])
def test_a_loop_over_inputs_that_are_no_list_fails(inputs):
    result, fake = run_with(job(a=notebook("a"), each=loop(inputs)))
    assert (result.states["each"], fake.names) == ("FAILED", ["a-1"])


def test_no_more_iterations_run_at_once_than_the_loop_allows():
    running, peak, lock = [0], [0], threading.Lock()
    barrier = threading.Barrier(2, timeout=10)

    def meet() -> None:
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        barrier.wait()
        with lock:
            running[0] -= 1

    each = {**loop("[1, 2, 3, 4]", concurrency=2), "depends_on": []}
    each["for_each_task"]["task"]["notebook_task"]["base_parameters"] = {}
    run(job(each=each), FakeRunner(before=meet), JOB_RUN)
    assert peak == [2]


def test_a_task_of_another_type_is_refused_before_anything_runs():
    fake = FakeRunner()
    with pytest.raises(NotEmulated, match="task 'wheel' is of another type"):
        run(job(a=notebook("a"), wheel={"python_wheel_task": {}}), fake, JOB_RUN)
    assert fake.attempts == []
