"""Turns a sweep into jobs of a bundle: stages that no configuration changes run once, the others once for each.

A for-each task repeats one task. If the configurations differ in one stage, that is its notebook task, on the job's
cluster. If they differ in several, these stages are a job of their own, which the for-each task runs.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from stagebook import graph
from stagebook.config.references import references
from stagebook.databricks.export.job import derived_job
from stagebook.errors import ConfigError
from stagebook.model.deployment import Target
from stagebook.model.pipeline import Pipeline, RunIf, Stage
from stagebook.notebooks.parameters import to_text

MAX_INPUT_CHARACTERS = 5000
"""Of the inputs of a for-each task. Pages of docs.databricks.com/jobs say 10,000, newer ones 5,000."""


class NotRepeatable(ConfigError):
    """A for-each task cannot repeat the sweep."""

    @classmethod
    def missing_parameter(cls, sweep: str, n: int, stage: str, parameter: str) -> Self:
        return cls(
            f"databricks.sweeps.{sweep}: configuration {n} leaves {stage}.{parameter} to the notebook.\n"
            "  A for-each task passes the same parameters each time: a parameter that one configuration sets has to be"
            " set in all."
        )

    @classmethod
    def too_large(cls, sweep: str, size: int) -> Self:
        return cls(
            f"databricks.sweeps.{sweep}: its configurations are {size:,} characters as inputs of a for-each task.\n"
            f"  It takes {MAX_INPUT_CHARACTERS:,}: divide the sweep into several files."
        )

    @classmethod
    def missing_upstream(cls, sweep: str, stage: str, upstream: str) -> Self:
        return cls(
            f"databricks.sweeps.{sweep}: stage '{stage}' depends on '{upstream}', which the sweep leaves out.\n"
            "  A job has no earlier run to reuse: select stages by `to` alone."
        )

    @classmethod
    def reads_task_values(cls, sweep: str, stage: str, upstream: str) -> Self:
        return cls(
            f"databricks.sweeps.{sweep}: the notebook of '{stage}' reads task values itself, and '{upstream}' is in\n"
            "  another job there. Pass them as parameters: {{tasks.<stage>.values.<name>}}."
        )


@dataclass(frozen=True)
class SweepJob:
    """A sweep that becomes a job.

    `pipelines` holds one pipeline per configuration, at least two; the stages in `selected` run, at most `concurrency`
    configurations at once.
    """

    name: str
    concurrency: int
    pipelines: tuple[Pipeline, ...]
    selected: frozenset[str]

    @property
    def job_key(self) -> str:
        """The key of the job in the bundle."""
        return f"{self.pipelines[0].name}_{self.name}"

    @cached_property
    def varied_parameters(self) -> dict[tuple[str, str], list[str]]:
        """(stage, parameter) → its text in each configuration, for those in which configurations differ.

        Raises:
            NotRepeatable: a configuration does not set it.
        """
        varied: dict[tuple[str, str], list[str]] = {}
        for stage in self._in_order(self.selected):
            configurations = [pipeline.stages[stage].parameters for pipeline in self.pipelines]
            for name in dict.fromkeys(name for parameters in configurations for name in parameters):
                texts = [to_text(parameters[name]) if name in parameters else None for parameters in configurations]
                if len(set(texts)) > 1:
                    if None in texts:
                        raise NotRepeatable.missing_parameter(self.name, texts.index(None) + 1, stage, name)
                    varied[stage, name] = [text for text in texts if text is not None]
        return varied

    @cached_property
    def repeated_stages(self) -> list[str]:
        """The stages that run for each configuration: those with other parameters, and what is downstream of them."""
        downstream = graph.downstream(self._graph, {stage for stage, _ in self.varied_parameters})
        return self._in_order(downstream & self.selected)

    @cached_property
    def shared_stages(self) -> list[str]:
        """The stages that run once."""
        return self._in_order(self.selected - set(self.repeated_stages))

    @property
    def _graph(self) -> dict[str, tuple[str, ...]]:
        return {name: stage.depends_on for name, stage in self.pipelines[0].stages.items()}

    def _in_order(self, stages: Collection[str]) -> list[str]:
        return [name for name in graph.order(self._graph) if name in stages]


def sweep_jobs(sweep: SweepJob, target: Target, notebooks: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The jobs of a sweep by key: the one to start, and the one that it repeats if it repeats several stages.

    Args:
        notebooks: stage → path of its notebook, from the file that the jobs are written to.
    Raises:
        NotRepeatable: the message says which stage or parameter is the obstacle.
    """
    _check_upstream(sweep)
    return _JobBuilder(sweep, target, notebooks).jobs()


def _check_upstream(sweep: SweepJob) -> None:
    """Raises: NotRepeatable: a selected stage depends on one that is not; a job has no earlier run to reuse."""
    for name in sweep.selected:
        for up in sweep.pipelines[0].stages[name].depends_on:
            if up not in sweep.selected:
                raise NotRepeatable.missing_upstream(sweep.name, name, up)


@dataclass(frozen=True)
class _JobBuilder:
    """Builds the jobs of one sweep for one target."""

    sweep: SweepJob
    target: Target
    notebooks: Mapping[str, str]

    @property
    def stages(self) -> Mapping[str, Stage]:
        return self.sweep.pipelines[0].stages

    def jobs(self) -> dict[str, dict[str, Any]]:
        sweep, repeated = self.sweep, self.sweep.repeated_stages
        if len(repeated) == 1 and self.stages[repeated[0]].only_if is None:
            return {sweep.job_key: self._repeating_a_stage(self.stages[repeated[0]])}
        upstream_values = dict(_upstream_values(sweep))
        job_parameters = {
            _input_name(stage, name): _input_reference(stage, name) for stage, name in sweep.varied_parameters
        }
        job_parameters |= {parameter: reference for reference, parameter in upstream_values.items()}
        run = {"job_id": f"${{resources.jobs.{sweep.job_key}_one.id}}", "job_parameters": job_parameters}
        iteration = {"task_key": f"{sweep.name}_iteration", "run_job_task": run}
        shared = self._job({name: self.stages[name] for name in sweep.shared_stages})
        return {
            sweep.job_key: self._with_for_each(shared, iteration),
            f"{sweep.job_key}_one": self._configuration_job(upstream_values),
        }

    def _repeating_a_stage(self, stage: Stage) -> dict[str, Any]:
        """The job whose for-each task repeats the one stage that differs."""
        inputs = {name: _input_reference(stage.name, name) for _, name in self.sweep.varied_parameters}
        shared = {name: self.stages[name] for name in self.sweep.shared_stages}
        job = self._job(shared | {stage.name: _with_parameters(stage, inputs)})
        (task,) = [task for task in job["tasks"] if task["task_key"] == stage.name]
        job["tasks"].remove(task)
        iteration = {key: value for key, value in task.items() if key not in ("depends_on", "run_if")}
        return self._with_for_each(job, iteration | {"task_key": f"{stage.name}_iteration"})

    def _with_for_each(self, job: dict[str, Any], iteration: Mapping[str, Any]) -> dict[str, Any]:
        """The job with the for-each task after the shared stages that the repeated ones depend on."""
        sweep, shared = self.sweep, self.sweep.shared_stages
        upstream = dict.fromkeys(
            up for name in sweep.repeated_stages for up in self.stages[name].depends_on if up in shared
        )
        key = sweep.name
        while key in self.stages:
            key += "_"
        task: dict[str, Any] = {"task_key": key}
        if upstream:
            task["depends_on"] = [{"task_key": name} for name in upstream]
        task["for_each_task"] = {
            "inputs": _inputs_json(sweep),
            "concurrency": sweep.concurrency,
            "task": dict(iteration),
        }
        return job | {"tasks": [*job["tasks"], task]}

    def _configuration_job(self, upstream_values: Mapping[str, str]) -> dict[str, Any]:
        """The job of one configuration; its parameters are the varied ones and the scraps of shared stages.

        Args:
            upstream_values: reference → the job's parameter that replaces it.
        """
        sweep = self.sweep
        stages = {}
        for name in sweep.repeated_stages:
            stage = self.stages[name]
            parameters = {key: _replaced(value, upstream_values) for key, value in stage.parameters.items()}
            parameters |= {
                parameter: _job_parameter(_input_name(name, parameter))
                for owner, parameter in sweep.varied_parameters
                if owner == name
            }
            repeated_upstream = tuple(up for up in stage.depends_on if up in sweep.repeated_stages)
            stages[name] = replace(
                _with_parameters(stage, parameters),
                depends_on=repeated_upstream,
                run_if=stage.run_if if repeated_upstream else RunIf.ALL_SUCCESS,
                only_if=_replaced(stage.only_if, upstream_values),
            )
        defaults = {_input_name(*key): texts[0] for key, texts in sweep.varied_parameters.items()}
        defaults |= dict.fromkeys(upstream_values.values(), "")
        parallel_runs = {"max_concurrent_runs": sweep.concurrency, "queue": True}
        return self._job(stages, "_one", defaults, **parallel_runs)

    def _job(
        self,
        stages: Mapping[str, Stage],
        suffix: str = "",
        parameters: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """A job of these stages, without the pipeline's own schedule, queue and patch.

        Args:
            suffix: of the job's name.
            parameters: of the job, beside the pipeline's.
            settings: fields of the deployment.
        """
        base = self.sweep.pipelines[0]
        overrides = {"schedule": None, "max_concurrent_runs": None, "queue": None, "job": {}, **settings}
        pipeline = replace(
            base,
            name=f"{self.sweep.job_key}{suffix}",
            parameters={**base.parameters, **(parameters or {})},
            stages=stages,
            deployment=replace(base.deployment, **overrides),
        )
        return derived_job(pipeline, self.target, self.notebooks)


def _input_name(stage: str, parameter: str) -> str:
    return f"{stage}__{parameter}"


def _input_reference(stage: str, parameter: str) -> str:
    return f"{{{{input.{_input_name(stage, parameter)}}}}}"


def _job_parameter(name: str) -> str:
    return f"{{{{job.parameters.{name}}}}}"


def _inputs_json(sweep: SweepJob) -> str:
    """The configurations as the inputs of a for-each task.

    Raises:
        NotRepeatable: they are too large.
    """
    varied = sweep.varied_parameters
    inputs = [{_input_name(*key): texts[n] for key, texts in varied.items()} for n in range(len(sweep.pipelines))]
    text = json.dumps(inputs, ensure_ascii=False)
    if len(text) > MAX_INPUT_CHARACTERS:
        raise NotRepeatable.too_large(sweep.name, len(text))
    return text


def _upstream_values(sweep: SweepJob) -> Iterator[tuple[str, str]]:
    """Reference to a scrap of a shared stage → the parameter by which a configuration's job gets it."""
    shared = sweep.shared_stages
    for name in sweep.repeated_stages:
        stage = sweep.pipelines[0].stages[name]
        if stage.dbutils_inputs is not None and (task_values := stage.dbutils_inputs.task_values) != frozenset():
            for up in shared:
                if task_values is None or any(task == up for task, _ in task_values):
                    raise NotRepeatable.reads_task_values(sweep.name, name, up)
        for text, up, scrap in references([*stage.parameters.values(), stage.only_if]):
            if up in shared:
                yield text, f"{up}__{scrap}"


def _replaced(value: Any, upstream_values: Mapping[str, str]) -> Any:
    """The value with each reference replaced by its parameter of the job."""
    for reference, parameter in upstream_values.items() if isinstance(value, str) else ():
        value = value.replace(reference, _job_parameter(parameter))
    return value


def _with_parameters(stage: Stage, parameters: Mapping[str, Any]) -> Stage:
    return replace(stage, parameters={**stage.parameters, **parameters})
