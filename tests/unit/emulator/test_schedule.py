"""A job's tasks in order, with a fake that executes nothing."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from emulator.bundle import Job
from emulator.references import UnknownReference
from emulator.schedule import Ended, Moment, NotEmulated, Order, run

NOW = Moment(run_id=7, started_at=datetime(2026, 3, 1, 2, 30, tzinfo=UTC))
FINE = Ended()
BROKEN = Ended(error="ZeroDivisionError: division by zero")
LATE = Ended(timed_out=True)


@dataclass
class Fake:
    """Ends each attempt as told: `ends` maps the name of an order, or of its notebook, to how it ends."""

    ends: Mapping[str, Ended] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    orders: list[Order] = field(default_factory=list)

    def run(self, order: Order) -> Ended:
        self.orders.append(order)
        self.before()
        return self.ends.get(order.name, self.ends.get(order.notebook.stem, FINE))

    @property
    def names(self) -> list[str]:
        return [order.name for order in self.orders]


def notebook(name: str, *after: str, **more) -> dict:
    upstream = [{"task_key": up} for up in after]
    return {"notebook_task": {"notebook_path": f"{name}.ipynb"}, "depends_on": upstream, **more}


def job(parameters: Mapping[str, str] | None = None, /, **tasks) -> Job:
    return Job("demo", "demo", parameters or {}, tasks, Path("/bundle/resources"))


def ran(of: Job, ends: Mapping[str, Ended] | None = None, **given: str):
    """The result of a run, and what the fake was told."""
    fake = Fake(ends or {})
    return run(of, fake, NOW, given), fake


def test_tasks_run_after_what_they_depend_on():
    result, fake = ran(job(c=notebook("c", "b", "a"), b=notebook("b", "a"), a=notebook("a")))
    assert fake.names == ["a-1", "b-1", "c-1"]
    assert fake.orders[0].notebook == Path("/bundle/resources/a.ipynb")
    assert (result.state, result.states) == ("SUCCESS", {"a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"})


RUN_IFS = ("ALL_SUCCESS", "ALL_DONE", "NONE_FAILED", "AT_LEAST_ONE_SUCCESS", "ALL_FAILED", "AT_LEAST_ONE_FAILED")


@pytest.mark.parametrize(
    ("ends", "states"),
    [
        ({}, ("SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS", "EXCLUDED", "EXCLUDED")),
        ({"a": BROKEN}, ("UPSTREAM_FAILED", "SUCCESS", "UPSTREAM_FAILED", "SUCCESS", "EXCLUDED", "SUCCESS")),
        ({"a": BROKEN, "b": LATE}, ("UPSTREAM_FAILED", "SUCCESS", "UPSTREAM_FAILED", "UPSTREAM_FAILED", "SUCCESS", "SUCCESS")),
    ],
)  # fmt: skip
def test_a_failing_task_shows_all_six_run_ifs(ends, states):
    behind = {run_if: notebook("x", "a", "b", run_if=run_if) for run_if in RUN_IFS}
    result, _ = ran(job(a=notebook("a"), b=notebook("b"), **behind), ends)
    assert tuple(result.states[run_if] for run_if in RUN_IFS) == states


def test_what_is_behind_a_task_that_did_not_start_knows_why():
    result, fake = ran(
        job(a=notebook("a"), b=notebook("b", "a"), c=notebook("c", "b", run_if="ALL_FAILED")), {"a": BROKEN}
    )
    assert result.states == {"a": "FAILED", "b": "UPSTREAM_FAILED", "c": "SUCCESS"}
    assert (result.state, fake.names) == ("SUCCESS_WITH_FAILURES", ["a-1", "c-1"])
    assert result.tasks["a"].why == "ZeroDivisionError: division by zero"
    assert result.tasks["b"].why == "upstream FAILED; runs if ALL_SUCCESS"


def gate(left: str, op: str = "EQUAL_TO", right: str = "true", *after: str) -> dict:
    return {
        "condition_task": {"left": left, "op": op, "right": right},
        "depends_on": [{"task_key": up} for up in after],
    }


@pytest.mark.parametrize(
    ("promoted", "yes", "no", "end"),
    [(True, "SUCCESS", "EXCLUDED", "EXCLUDED"), (False, "EXCLUDED", "SUCCESS", "SUCCESS")],
)
def test_a_condition_excludes_the_other_branch_and_what_stands_only_behind_it(promoted, yes, no, end):
    tasks = {
        "register": notebook("register"),
        "gate": gate("{{tasks.register.values.promoted}}", "EQUAL_TO", "true", "register"),
        "yes": {**notebook("yes"), "depends_on": [{"task_key": "gate", "outcome": "true"}]},
        "no": {**notebook("no"), "depends_on": [{"task_key": "gate", "outcome": "false"}]},
        "behind_no": notebook("behind", "no", run_if="ALL_DONE"),
        "both": notebook("both", "yes", "no"),
    }
    result, _ = ran(job(**tasks), {"register": Ended({"promoted": promoted})})
    assert (result.states["yes"], result.states["no"], result.states["behind_no"]) == (yes, no, end)
    assert (result.states["both"], result.state) == ("SUCCESS", "SUCCESS")
    assert result.tasks["gate"].outcome is promoted


@pytest.mark.parametrize(
    ("left", "op", "said"),
    [
        ("{{tasks.a.values.rows}}", "GREATER_THAN", "could not convert"),
        ("{{tasks.a.values.list}}", "EQUAL_TO", "compares texts, numbers and truths"),
        ("{{tasks.a.values.gone}}", "EQUAL_TO", "there is no 'tasks.a.values.gone'"),
    ],
)
def test_a_condition_that_cannot_be_told_fails(left, op, said):
    tasks = {"a": notebook("a"), "c": gate(left, op, "1", "a"), "d": notebook("d", "c")}
    result, _ = ran(job(**tasks), {"a": Ended({"rows": "many", "list": [1]})})
    assert result.states == {"a": "SUCCESS", "c": "FAILED", "d": "UPSTREAM_FAILED"}
    assert said in result.tasks["c"].why


def test_a_failed_attempt_is_repeated_and_the_last_one_counts():
    ends = {"a-1": BROKEN, "a-2": BROKEN, "a-3": Ended({"rows": 3})}
    base = {"attempt": "{{task.execution_count}}"}
    task = {"notebook_task": {"notebook_path": "a.ipynb", "base_parameters": base}, "max_retries": 2}
    result, fake = ran(job(a=task), ends)
    assert (result.states, result.tasks["a"].attempts, result.tasks["a"].values) == ({"a": "SUCCESS"}, 3, {"rows": 3})
    assert [order.parameters["attempt"] for order in fake.orders] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("settings", "ends", "state", "attempts"),
    [
        ({}, {"a": BROKEN}, "FAILED", 1),
        ({"max_retries": 1}, {"a": BROKEN}, "FAILED", 2),
        ({"max_retries": -1}, {"a-1": BROKEN, "a-2": BROKEN, "a-3": BROKEN}, "SUCCESS", 4),
        ({"max_retries": 3}, {"a": LATE}, "TIMEDOUT", 1),
        ({"max_retries": 1, "retry_on_timeout": True}, {"a": LATE}, "TIMEDOUT", 2),
        ({"max_retries": 1, "retry_on_timeout": True}, {"a-1": LATE}, "SUCCESS", 2),
    ],
)
def test_how_often_an_attempt_is_repeated(settings, ends, state, attempts):
    result, _ = ran(job(a=notebook("a", timeout_seconds=5, **settings)), ends)
    assert (result.states["a"], result.tasks["a"].attempts) == (state, attempts)


def test_values_and_parameters_reach_the_tasks_downstream_and_only_these():
    base = {"rows": "{{tasks.a.values.rows}}", "seed": "1", "ran": "{{tasks.a.result_state}}", "who": "{{task.name}}"}
    b = {**notebook("b", "a"), "notebook_task": {"notebook_path": "b.ipynb", "base_parameters": base}}
    ends = {"a": Ended({"rows": 3}), "x": Ended({"hidden": 1})}
    tasks = {"x": notebook("x"), "a": notebook("a"), "b": b}
    result, fake = ran(job({"seed": "13", "run": "{{job.run_id}}"}, **tasks), ends, seed="14")
    assert fake.orders[-1].parameters == {"rows": "3", "ran": "success", "who": "b", "seed": "14", "run": "7"}
    assert fake.orders[-1].upstream == {"a": {"rows": 3}}
    assert result.state == "SUCCESS"


def test_a_reference_to_what_is_not_upstream_fails_the_task_without_running_it():
    b = {
        **notebook("b"),
        "notebook_task": {"notebook_path": "b.ipynb", "base_parameters": {"x": "{{tasks.a.values.y}}"}},
    }
    result, fake = ran(job(a=notebook("a"), b=b), {"a": Ended({"y": 1})})
    assert (result.states, fake.names) == ({"a": "SUCCESS", "b": "FAILED"}, ["a-1"])
    assert "there is no 'tasks.a.values.y'" in result.tasks["b"].why


def test_a_job_whose_parameter_refers_to_nothing_does_not_start():
    with pytest.raises(UnknownReference, match="there is no 'job.naem'"):
        ran(job({"x": "{{job.naem}}"}, a=notebook("a")))


def loop(inputs: str, *, concurrency: int = 1, **inner) -> dict:
    base = {"month": "{{input.month}}", "all": "{{input}}"}
    task = {"task_key": "one", "notebook_task": {"notebook_path": "one.ipynb", "base_parameters": base}, **inner}
    upstream = [{"task_key": "a"}]
    return {"for_each_task": {"inputs": inputs, "concurrency": concurrency, "task": task}, "depends_on": upstream}


def test_a_loop_runs_its_task_for_each_input_and_repeats_each_by_itself():
    ends = {"a": Ended({"months": [{"month": 1}, {"month": 2}]}), "each-1-1": BROKEN}
    result, fake = ran(job(a=notebook("a"), each=loop("{{tasks.a.values.months}}", max_retries=1)), ends)
    assert fake.names == ["a-1", "each-0-1", "each-1-1", "each-1-2"]
    assert [order.parameters["month"] for order in fake.orders[1:]] == ["1", "2", "2"]
    assert fake.orders[1].parameters["all"] == '{"month": 1}'
    assert [one.attempts for one in result.tasks["each"].iterations] == [1, 2]
    assert result.states["each"] == "SUCCESS"


def test_a_loop_with_a_failed_iteration_fails_after_all_others():
    tasks = {"a": notebook("a"), "each": loop('[{"month": 1}, {"month": 2}, {"day": 3}]'), "b": notebook("b", "each")}
    result, fake = ran(job(**tasks), {"each-0-1": BROKEN})
    assert fake.names == ["a-1", "each-0-1", "each-1-1"]
    assert [str(one.state) for one in result.tasks["each"].iterations] == ["FAILED", "SUCCESS", "FAILED"]
    assert (result.tasks["each"].why, result.states["b"]) == ("iterations [0, 2] failed", "UPSTREAM_FAILED")


@pytest.mark.parametrize("inputs", ["{", '{"month": 1}', "{{tasks.a.values.gone}}"])
def test_a_loop_over_no_list_fails(inputs):
    result, fake = ran(job(a=notebook("a"), each=loop(inputs)))
    assert (result.states["each"], fake.names) == ("FAILED", ["a-1"])


def test_no_more_iterations_run_at_once_than_the_loop_allows():
    running, most, lock = [0], [0], threading.Lock()
    two = threading.Barrier(2, timeout=10)

    def meet() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        two.wait()
        with lock:
            running[0] -= 1

    each = {**loop("[1, 2, 3, 4]", concurrency=2), "depends_on": []}
    each["for_each_task"]["task"]["notebook_task"]["base_parameters"] = {}
    run(job(each=each), Fake(before=meet), NOW)
    assert most == [2]


def test_a_task_of_another_type_is_refused_before_anything_runs():
    fake = Fake()
    with pytest.raises(NotEmulated, match="task 'wheel' is of another type"):
        run(job(a=notebook("a"), wheel={"python_wheel_task": {}}), fake, NOW)
    assert fake.orders == []
