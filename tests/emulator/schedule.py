"""Runs the tasks of a job in order, with conditions, loops and retries; a `Runner` executes the notebooks.

One task runs at a time, and as many iterations of a loop at once as the loop allows: an order that Databricks may choose
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
from emulator.rules import JobState, TaskState
from stagebook import graph
from stagebook.databricks.validate.subject import dependencies
from stagebook.model.pipeline import RunIf

Values = Mapping[str, Any]

KINDS = ("notebook_task", "condition_task", "for_each_task")


class NotEmulated(Exception):
    """A task is of a type that is not emulated."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of a notebook task. `upstream` holds the values of all tasks upstream; `name` is that of its folder."""

    name: str
    notebook: Path
    parameters: Mapping[str, str]
    upstream: Mapping[str, Values]
    timeout_seconds: float | None = None


@dataclass(frozen=True)
class AttemptResult:
    """How an attempt ended: with task values, and an error if it failed."""

    values: Values = field(default_factory=dict)
    error: str | None = None
    timed_out: bool = False


class Runner(Protocol):
    """Executes notebooks; iterations of a loop call it from several threads at once."""

    def run(self, attempt: Attempt) -> AttemptResult: ...


@dataclass(frozen=True)
class TaskResult:
    """How a task ended. `outcome` is a condition's, `iterations` are a loop's."""

    state: TaskState
    attempts: int = 0
    values: Values = field(default_factory=dict)
    outcome: bool | None = None
    reason: str = ""
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
class JobRun:
    """Ids and start time of one run of a job."""

    run_id: int
    started_at: datetime
    job_id: int = 11


def run(job: Job, runner: Runner, job_run: JobRun, parameters: Mapping[str, str] | None = None) -> JobResult:
    """Run a job once.

    Args:
        parameters: values of the job's parameters for this run, as `run-now` takes them.
    Raises:
        NotEmulated: a task is neither a notebook nor a condition nor a loop.
        UnknownReference: a parameter of the job refers to an unknown name.
    """
    for name, task in job.tasks.items():
        if not any(kind in task for kind in KINDS):
            raise NotEmulated(f"task '{name}' is of another type than {', '.join(KINDS)}")
    names = references.job_names(job.name, job_id=job_run.job_id, run_id=job_run.run_id, started_at=job_run.started_at)
    resolved = {name: resolve(text, names) for name, text in {**job.parameters, **(parameters or {})}.items()}
    names |= {f"job.parameters.{name}": text for name, text in resolved.items()}
    edges = {name: [up["task_key"] for up in dependencies(task)] for name, task in job.tasks.items()}
    state = _RunState(job, runner, resolved, names, edges)
    for name in graph.order(edges):
        state.results[name] = state.run_task(name)
    states = {name: result.state for name, result in state.results.items()}
    return JobResult(rules.job_state(edges, states), state.results)


@dataclass
class _RunState:
    """A job's run in progress: `results` of the tasks that have ended."""

    job: Job
    runner: Runner
    parameters: Mapping[str, str]
    names: Names
    edges: Mapping[str, list[str]]
    results: dict[str, TaskResult] = field(default_factory=dict)

    def run_task(self, name: str) -> TaskResult:
        task = self.job.tasks[name]
        states = [self._branch_state(upstream) for upstream in dependencies(task)]
        run_if = RunIf(task.get("run_if", RunIf.ALL_SUCCESS))
        state = rules.state_without_start(run_if, states)
        if state is not None:
            return TaskResult(state, reason=f"upstream {', '.join(states)}; runs if {run_if}")
        names = self.names | self._upstream_names(name)
        try:
            if "condition_task" in task:
                return _condition(task["condition_task"], names)
            if "for_each_task" in task:
                return self._loop(name, task["for_each_task"], names)
            return self._notebook(name, name, task, names)
        except (UnknownReference, ValueError) as fault:
            return TaskResult(TaskState.FAILED, reason=str(fault))

    def _branch_state(self, upstream: Mapping[str, Any]) -> TaskState:
        result = self.results[upstream["task_key"]]
        return rules.branch_state(result.state, result.outcome, upstream.get("outcome"))

    def _upstream(self, name: str) -> list[str]:
        return sorted(graph.upstream(self.edges, [name]) - {name})

    def _upstream_names(self, name: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for up in self._upstream(name):
            result = self.results[up]
            names[f"tasks.{up}.result_state"] = result.state.lower()
            names[f"tasks.{up}.execution_count"] = str(result.attempts)
            names |= {f"tasks.{up}.values.{key}": value for key, value in result.values.items()}
        return names

    def _notebook(self, name: str, folder: str, task: Mapping[str, Any], names: Names) -> TaskResult:
        """Run all attempts of a notebook task; references are filled in anew for each.

        Args:
            name: of the task whose upstream values it gets; an iteration has its loop's.
        """
        notebook_task = task["notebook_task"]
        max_retries = task.get("max_retries", 0)
        upstream = {up: self.results[up].values for up in self._upstream(name)}
        n = 0
        while True:
            n += 1
            task_names = {"task.name": task.get("task_key", name), "task.execution_count": str(n)}
            task_names["task.run_id"] = f"{self.names.values['job.run_id']}{len(self.results):03}{n}"
            task_names["task.notebook_path"] = notebook_task["notebook_path"]
            base_parameters = notebook_task.get("base_parameters", {})
            attempt = Attempt(
                f"{folder}-{n}",
                (self.job.folder / notebook_task["notebook_path"]).resolve(),
                references.widgets(base_parameters, self.parameters, names | task_names),
                upstream,
                task.get("timeout_seconds") or None,
            )
            result = self.runner.run(attempt)
            if result.error is None and not result.timed_out:
                return TaskResult(TaskState.SUCCESS, n, result.values)
            retries = task.get("retry_on_timeout", False) if result.timed_out else True
            if not retries or (max_retries >= 0 and n > max_retries):
                state = TaskState.TIMEDOUT if result.timed_out else TaskState.FAILED
                return TaskResult(state, n, result.values, reason=result.error or "timed out")

    def _loop(self, name: str, loop: Mapping[str, Any], names: Names) -> TaskResult:
        """Run one task for each of the inputs; all are run, also after one has failed.

        Raises:
            ValueError: the inputs are not a list in JSON.
        """
        inputs = json.loads(resolve(loop["inputs"], names))
        if not isinstance(inputs, list):
            raise ValueError(f"the inputs of a for_each_task are a list, and not {inputs!r}")

        def run_iteration(index: int) -> TaskResult:
            iteration_names = names | references.input_names(inputs[index])
            try:
                return self._notebook(name, f"{name}-{index}", loop["task"], iteration_names)
            except UnknownReference as fault:
                return TaskResult(TaskState.FAILED, reason=str(fault))

        with ThreadPoolExecutor(max_workers=loop.get("concurrency", 1)) as pool:
            iterations = tuple(pool.map(run_iteration, range(len(inputs))))
        failed = [index for index, result in enumerate(iterations) if result.state.is_failure]
        reason = f"iterations {failed} failed" if failed else ""
        return TaskResult(TaskState.FAILED if failed else TaskState.SUCCESS, 1, reason=reason, iterations=iterations)


def _condition(task: Mapping[str, Any], names: Names) -> TaskResult:
    """The result of a condition task.

    Raises:
        ValueError: an operand is a list or mapping, or not a number although the operator compares numbers.
    """
    left, right = (_operand(str(task[side]), names) for side in ("left", "right"))
    outcome = rules.holds(left, task["op"], right)
    return TaskResult(TaskState.SUCCESS, 1, outcome=outcome, reason=f"{left} {task['op']} {right}")


def _operand(text: str, names: Names) -> str:
    is_reference, value = names.lookup(text)
    if is_reference and isinstance(value, list | dict):
        raise ValueError(f"{text}: a condition compares texts, numbers and booleans, not {value!r}")
    return resolve(text, names)
