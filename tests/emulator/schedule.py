"""The tasks of a job in order, with conditions, loops and retries; who executes a notebook is given.

One task runs at a time, and the iterations of a loop as many at once as it allows: an order that Databricks may choose
too. A retry starts at once.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from emulator import references, rules
from emulator.bundle import Job
from emulator.references import Names, UnknownReference, resolve
from emulator.rules import JobState, State
from stagebook import dag
from stagebook.jobs.check.subject import dependencies
from stagebook.model.pipeline import RunIf

Values = Mapping[str, Any]

KINDS = ("notebook_task", "condition_task", "for_each_task")


class NotEmulated(Exception):
    """A task is of a type that is not emulated."""


@dataclass(frozen=True)
class Order:
    """One attempt of a notebook task. `upstream` holds the values of all tasks upstream; `name` is its folder's."""

    name: str
    notebook: Path
    parameters: Mapping[str, str]
    upstream: Mapping[str, Values]
    timeout_seconds: float | None = None


@dataclass(frozen=True)
class Ended:
    """How an attempt ended: with task values, and an error where it failed."""

    values: Values = field(default_factory=dict)
    error: str | None = None
    timed_out: bool = False


class Runner(Protocol):
    """Executes notebooks; called from several threads at once by the iterations of a loop."""

    def run(self, order: Order) -> Ended: ...


@dataclass(frozen=True)
class TaskResult:
    """How a task ended. `outcome` is a condition's, `iterations` are a loop's."""

    state: State
    attempts: int = 0
    values: Values = field(default_factory=dict)
    outcome: bool | None = None
    why: str = ""
    iterations: tuple["TaskResult", ...] = ()


@dataclass(frozen=True)
class JobResult:
    """How a run of a job ended."""

    state: JobState
    tasks: Mapping[str, TaskResult]

    @property
    def states(self) -> dict[str, str]:
        return {name: str(task.state) for name, task in self.tasks.items()}


@dataclass(frozen=True)
class Moment:
    """What tells one run of a job from others."""

    run_id: int
    started_at: datetime
    job_id: int = 11


def run(job: Job, runner: Runner, moment: Moment, given: Mapping[str, str] | None = None) -> JobResult:
    """One run of a job.

    Args:
        given: values of the job's parameters for this run, as `run-now` takes them.
    Raises:
        NotEmulated: a task is neither a notebook nor a condition nor a loop.
        UnknownReference: a parameter of the job refers to what there is not.
    """
    for name, task in job.tasks.items():
        if not any(kind in task for kind in KINDS):
            raise NotEmulated(f"task '{name}' is of another type than {', '.join(KINDS)}")
    names = references.of_job(job.name, job_id=moment.job_id, run_id=moment.run_id, started_at=moment.started_at)
    asked = {name: resolve(text, names) for name, text in {**job.parameters, **(given or {})}.items()}
    names |= {f"job.parameters.{name}": text for name, text in asked.items()}
    one = _Run(
        job, runner, asked, names, {name: [up["task_key"] for up in dependencies(t)] for name, t in job.tasks.items()}
    )
    for name in dag.order(one.graph):
        one.results[name] = one.task(name)
    states = {name: result.state for name, result in one.results.items()}
    return JobResult(rules.result(one.graph, states), one.results)


@dataclass
class _Run:
    """A run under way: what is known of the tasks that have ended."""

    job: Job
    runner: Runner
    parameters: Mapping[str, str]
    names: Names
    graph: Mapping[str, list[str]]
    results: dict[str, TaskResult] = field(default_factory=dict)

    def task(self, name: str) -> TaskResult:
        task = self.job.tasks[name]
        states = [self._behind(upstream) for upstream in dependencies(task)]
        ended = rules.decide(RunIf(task.get("run_if", RunIf.ALL_SUCCESS)), states)
        if ended is not None:
            return TaskResult(ended, why=f"upstream {', '.join(states)}; runs if {task.get('run_if', 'ALL_SUCCESS')}")
        names = self.names | self._upstream_names(name)
        try:
            if "condition_task" in task:
                return _condition(task["condition_task"], names)
            if "for_each_task" in task:
                return self._loop(name, task["for_each_task"], names)
            return self._notebook(name, name, task, names)
        except (UnknownReference, ValueError) as fault:
            return TaskResult(State.FAILED, why=str(fault))

    def _behind(self, upstream: Mapping[str, Any]) -> State:
        result = self.results[upstream["task_key"]]
        return rules.behind(result.state, result.outcome, upstream.get("outcome"))

    def _upstream(self, name: str) -> list[str]:
        return sorted(dag.upstream(self.graph, [name]) - {name})

    def _upstream_names(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for up in self._upstream(name):
            result = self.results[up]
            found[f"tasks.{up}.result_state"] = result.state.lower()
            found[f"tasks.{up}.execution_count"] = str(result.attempts)
            found |= {f"tasks.{up}.values.{key}": value for key, value in result.values.items()}
        return found

    def _notebook(self, name: str, folder: str, task: Mapping[str, Any], names: Names) -> TaskResult:
        """All attempts of a notebook task; references are filled in for each anew.

        Args:
            name: of the task upstream of which its values are; an iteration has its loop's.
        """
        given = task["notebook_task"]
        most = task.get("max_retries", 0)
        upstream = {up: self.results[up].values for up in self._upstream(name)}
        attempt = 0
        while True:
            attempt += 1
            own = {"task.name": task.get("task_key", name), "task.execution_count": str(attempt)}
            own["task.run_id"] = f"{self.names.values['job.run_id']}{len(self.results):03}{attempt}"
            own["task.notebook_path"] = given["notebook_path"]
            widgets = references.parameters(given.get("base_parameters", {}), self.parameters, names | own)
            order = Order(
                f"{folder}-{attempt}",
                (self.job.home / given["notebook_path"]).resolve(),
                widgets,
                upstream,
                task.get("timeout_seconds") or None,
            )
            ended = self.runner.run(order)
            if ended.error is None and not ended.timed_out:
                return TaskResult(State.SUCCESS, attempt, ended.values)
            again = task.get("retry_on_timeout", False) if ended.timed_out else True
            if not again or (most >= 0 and attempt > most):
                state = State.TIMEDOUT if ended.timed_out else State.FAILED
                return TaskResult(state, attempt, ended.values, why=ended.error or "timed out")

    def _loop(self, name: str, loop: Mapping[str, Any], names: Names) -> TaskResult:
        """One task for each of the inputs; all are run, also after one has failed.

        Raises:
            ValueError: the inputs are no list in JSON.
        """
        inputs = json.loads(resolve(loop["inputs"], names))
        if not isinstance(inputs, list):
            raise ValueError(f"the inputs of a for_each_task are a list, and not {inputs!r}")

        def one(place: int) -> TaskResult:
            item = names | references.of_input(inputs[place])
            try:
                return self._notebook(name, f"{name}-{place}", loop["task"], item)
            except UnknownReference as fault:
                return TaskResult(State.FAILED, why=str(fault))

        with ThreadPoolExecutor(max_workers=loop.get("concurrency", 1)) as pool:
            done = tuple(pool.map(one, range(len(inputs))))
        failed = [place for place, result in enumerate(done) if result.state.is_failure]
        why = f"iterations {failed} failed" if failed else ""
        return TaskResult(State.FAILED if failed else State.SUCCESS, 1, why=why, iterations=done)


def _condition(task: Mapping[str, Any], names: Names) -> TaskResult:
    """Which way a condition goes.

    Raises:
        ValueError: an operand is a list or mapping, or none of the numbers that its operator wants.
    """
    left, right = (_operand(str(task[side]), names) for side in ("left", "right"))
    outcome = rules.holds(left, task["op"], right)
    return TaskResult(State.SUCCESS, 1, outcome=outcome, why=f"{left} {task['op']} {right}")


def _operand(text: str, names: Names) -> str:
    known, value = names.lookup(text)
    if known and isinstance(value, list | dict):
        raise ValueError(f"{text}: a condition compares texts, numbers and truths, not {value!r}")
    return resolve(text, names)
