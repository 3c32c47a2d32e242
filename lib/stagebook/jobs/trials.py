"""A sweep as jobs of a bundle: what its configurations have in common runs once, the rest once for each of them.

A for-each task repeats one task. Where only one stage differs it is that stage's notebook, on the job's cluster; where
several do, they are a job of their own, which the for-each task runs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from stagebook import dag
from stagebook.errors import ConfigError
from stagebook.jobs.job import derived
from stagebook.model.deployment import Deployment, Target
from stagebook.model.pipeline import Pipeline, RunIf, Stage
from stagebook.notebook.values import to_text
from stagebook.params.references import references

MOST_INPUT_CHARACTERS = 5000
"""Of the inputs of a for-each task. Pages of docs.databricks.com/jobs say 10,000, newer ones 5,000."""


class NotRepeatable(ConfigError):
    """A sweep that a for-each task cannot repeat."""

    @classmethod
    def left_open(cls, sweep: str, n: int, stage: str, parameter: str) -> Self:
        return cls(
            f"databricks.sweeps.{sweep}: configuration {n} leaves {stage}.{parameter} to the notebook.\n"
            "  A for-each task passes the same parameters each time: set in all configurations what one sets."
        )

    @classmethod
    def too_large(cls, sweep: str, size: int) -> Self:
        return cls(
            f"databricks.sweeps.{sweep}: its configurations are {size:,} characters as inputs of a for-each task.\n"
            f"  It takes {MOST_INPUT_CHARACTERS:,}: divide the sweep into several files."
        )

    @classmethod
    def without(cls, sweep: str, stage: str, upstream: str) -> Self:
        return cls(
            f"databricks.sweeps.{sweep}: stage '{stage}' stands on '{upstream}', which the sweep leaves out.\n"
            "  A job has no earlier run to stand on: say what runs by `to` alone."
        )

    @classmethod
    def by_itself(cls, sweep: str, stage: str, upstream: str) -> Self:
        return cls(
            f"databricks.sweeps.{sweep}: the notebook of '{stage}' gets task values by itself, and '{upstream}' is in\n"
            "  another job there. Pass them as parameters: {{tasks.<stage>.values.<name>}}."
        )


@dataclass(frozen=True)
class Trials:
    """The configurations of a sweep, each as the pipeline that it makes; `selected` stages run, so many at once."""

    sweep: str
    concurrency: int
    pipelines: tuple[Pipeline, ...]
    selected: frozenset[str]

    @property
    def name(self) -> str:
        """The key of the job in the bundle."""
        return f"{self.pipelines[0].name}_{self.sweep}"

    @property
    def varied(self) -> dict[tuple[str, str], list[str]]:
        """(stage, parameter) → its text in each configuration, for those in which configurations differ.

        Raises:
            NotRepeatable: a configuration does not set it.
        """
        found: dict[tuple[str, str], list[str]] = {}
        for stage in self._in_order(self.selected):
            given = [pipeline.stages[stage].parameters for pipeline in self.pipelines]
            for name in dict.fromkeys(name for parameters in given for name in parameters):
                texts = [to_text(parameters[name]) if name in parameters else None for parameters in given]
                if len(set(texts)) > 1:
                    if None in texts:
                        raise NotRepeatable.left_open(self.sweep, texts.index(None) + 1, stage, name)
                    found[stage, name] = [text for text in texts if text is not None]
        return found

    @property
    def repeated(self) -> list[str]:
        """The stages that run for each configuration: those that differ, and what stands on them."""
        below = dag.downstream(self._graph, {stage for stage, _ in self.varied})
        return self._in_order(below & self.selected)

    @property
    def common(self) -> list[str]:
        """The stages that run once."""
        return self._in_order(self.selected - set(self.repeated))

    @property
    def _graph(self) -> dict[str, tuple[str, ...]]:
        return {name: stage.depends_on for name, stage in self.pipelines[0].stages.items()}

    def _in_order(self, stages: frozenset[str] | set[str]) -> list[str]:
        return [name for name in dag.order(self._graph) if name in stages]


def jobs(trials: Trials, target: Target, notebooks: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The jobs of a sweep by key: the one that is run, and where need be the one that it repeats.

    Args:
        notebooks: stage → path of its notebook, from the file that the jobs are written to.
    Raises:
        NotRepeatable: see there.
    """
    _whole(trials)
    repeated, stages = trials.repeated, trials.pipelines[0].stages
    if len(repeated) == 1 and stages[repeated[0]].only_if is None:
        return {trials.name: _of_one_stage(trials, stages[repeated[0]], target, notebooks)}
    passed = dict(_passed(trials))
    given = {_key(*place): _input(place) for place in trials.varied} | {name: text for text, name in passed.items()}
    run = {"job_id": f"${{resources.jobs.{trials.name}_one.id}}", "job_parameters": given}
    each = {"task_key": f"{trials.sweep}_iteration", "run_job_task": run}
    return {
        trials.name: _repeating(_job(trials, trials.common, {}, target, notebooks), trials, each),
        f"{trials.name}_one": _one(trials, passed, target, notebooks),
    }


def _whole(trials: Trials) -> None:
    """Refuse a sweep that leaves out what its stages stand on: a job has no earlier run."""
    for name in trials.selected:
        for up in trials.pipelines[0].stages[name].depends_on:
            if up not in trials.selected:
                raise NotRepeatable.without(trials.sweep, name, up)


def _of_one_stage(trials: Trials, stage: Stage, target: Target, notebooks: Mapping[str, str]) -> dict[str, Any]:
    """The job whose for-each task repeats the one stage that differs."""
    changed = _with(stage, {place[1]: _input(place) for place in trials.varied})
    whole = _job(trials, [*trials.common, stage.name], {stage.name: changed}, target, notebooks)
    (task,) = [one for one in whole["tasks"] if one["task_key"] == stage.name]
    whole["tasks"].remove(task)
    each = {key: value for key, value in task.items() if key not in ("depends_on", "run_if")}
    return _repeating(whole, trials, each | {"task_key": f"{stage.name}_iteration"})


def _key(stage: str, parameter: str) -> str:
    return f"{stage}__{parameter}"


def _input(place: tuple[str, str]) -> str:
    return f"{{{{input.{_key(*place)}}}}}"


def _inputs(trials: Trials) -> str:
    """The configurations as a for-each task takes them."""
    varied = trials.varied
    found = [{_key(*place): texts[n] for place, texts in varied.items()} for n in range(len(trials.pipelines))]
    text = json.dumps(found, ensure_ascii=False)
    if len(text) > MOST_INPUT_CHARACTERS:
        raise NotRepeatable.too_large(trials.sweep, len(text))
    return text


def _repeating(job: dict[str, Any], trials: Trials, each: Mapping[str, Any]) -> dict[str, Any]:
    """The job with the for-each task behind the stages that the repeated ones stand on."""
    stages = trials.pipelines[0].stages
    above = dict.fromkeys(up for name in trials.repeated for up in stages[name].depends_on if up in trials.common)
    key = trials.sweep
    while key in stages:
        key += "_"
    task: dict[str, Any] = {"task_key": key}
    if above:
        task["depends_on"] = [{"task_key": name} for name in above]
    task["for_each_task"] = {"inputs": _inputs(trials), "concurrency": trials.concurrency, "task": dict(each)}
    return job | {"tasks": [*job["tasks"], task]}


def _one(trials: Trials, passed: Mapping[str, str], target: Target, notebooks: Mapping[str, str]) -> dict[str, Any]:
    """The job of one configuration: what differs, and what the common stages have found, are its parameters."""
    base, varied = trials.pipelines[0], trials.varied
    changed = {}
    for name in trials.repeated:
        stage = base.stages[name]
        own = {parameter: f"{{{{job.parameters.{_key(name, parameter)}}}}}" for at, parameter in varied if at == name}
        inside = tuple(up for up in stage.depends_on if up in trials.repeated)
        changed[name] = replace(
            _with(stage, {key: _told(value, passed) for key, value in stage.parameters.items()} | own),
            depends_on=inside,
            run_if=stage.run_if if inside else RunIf.ALL_SUCCESS,
            only_if=_told(stage.only_if, passed),
        )
    parameters = {_key(*place): texts[0] for place, texts in varied.items()} | dict.fromkeys(passed.values(), "")
    pipeline = replace(base, parameters={**base.parameters, **parameters})
    at_once = {"max_concurrent_runs": trials.concurrency, "queue": True}
    return _job(replace(trials, pipelines=(pipeline,)), trials.repeated, changed, target, notebooks, "_one", **at_once)


def _passed(trials: Trials) -> Iterator[tuple[str, str]]:
    """Reference to what a common stage has found → the parameter that a configuration's job gets it by."""
    for name in trials.repeated:
        stage = trials.pipelines[0].stages[name]
        if stage.guest is not None and (read := stage.guest.values) != frozenset():
            for up in trials.common:
                if read is None or any(task == up for task, _ in read):
                    raise NotRepeatable.by_itself(trials.sweep, name, up)
        for text, up, scrap in references([*stage.parameters.values(), stage.only_if]):
            if up in trials.common:
                yield text, f"{up}__{scrap}"


def _told(value: Any, passed: Mapping[str, str]) -> Any:
    for text, name in passed.items() if isinstance(value, str) else ():
        value = value.replace(text, f"{{{{job.parameters.{name}}}}}")
    return value


def _with(stage: Stage, parameters: Mapping[str, Any]) -> Stage:
    return replace(stage, parameters={**stage.parameters, **parameters})


def _job(
    trials: Trials,
    stages: list[str],
    changed: Mapping[str, Stage],
    target: Target,
    notebooks: Mapping[str, str],
    suffix: str = "",
    **settings: Any,
) -> dict[str, Any]:
    """A job of these stages; what was said of the pipeline's own job by a patch or a schedule is not said of it."""
    base = trials.pipelines[0]
    deployment: Deployment = replace(
        base.deployment, **{"schedule": None, "max_concurrent_runs": None, "queue": None, "job": {}, **settings}
    )
    kept = {name: changed.get(name, base.stages[name]) for name in stages}
    return derived(replace(base, name=f"{trials.name}{suffix}", stages=kept, deployment=deployment), target, notebooks)
