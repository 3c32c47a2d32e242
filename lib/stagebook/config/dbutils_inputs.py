"""What a run hands to a Databricks notebook: widgets, and task values of upstream stages."""

from collections.abc import Callable, Mapping
from typing import Any

from stagebook import graph
from stagebook.model.pipeline import Stage
from stagebook.notebooks.parameters import to_text

TaskValues = dict[str, dict[str, Any]]
"""Task → key → value."""


def task_values(stage: Stage, stages: Mapping[str, Stage], scraps: Callable[[str], Mapping[str, Any]]) -> TaskValues:
    """The task values that the stage may read: those that its notebook names, or all upstream if names are computed.

    They are part of the stage's cache key, and no others are handed to it, so it cannot read a value that the key
    does not contain.

    Args: scraps: those of an upstream stage that has ended.
    """
    if stage.dbutils_inputs is None:
        return {}
    edges = {name: other_stage.depends_on for name, other_stage in stages.items()}
    upstream = graph.upstream(edges, [stage.name]) - {stage.name}
    readable = stage.dbutils_inputs.task_values
    if readable is None:
        return {task: dict(scraps(task)) for task in sorted(upstream)}
    tasks = {task for task, _ in readable} & upstream
    return {
        task: {key: value for key, value in scraps(task).items() if (task, key) in readable} for task in sorted(tasks)
    }


def as_parameters(values: TaskValues) -> dict[str, Any]:
    """Task values as parameters of a cache key, under names that no parameter has."""
    return {f"tasks.{task}.values.{key}": value for task, by_key in values.items() for key, value in by_key.items()}


def is_task_value(name: str) -> bool:
    """Whether a parameter of a cache key is a task value, by its name from `as_parameters`."""
    return name.startswith("tasks.")


def widgets(stage: Stage, parameters: Mapping[str, Any]) -> dict[str, str] | None:
    """The parameters as texts, as a job passes them; None for a notebook that was not written for Databricks."""
    return None if stage.dbutils_inputs is None else {name: to_text(value) for name, value in parameters.items()}


def injected(stage: Stage, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are set in the notebook's parameters cell."""
    if stage.dbutils_inputs is None:
        return dict(parameters)
    return {name: value for name, value in parameters.items() if name in stage.dbutils_inputs.injected}
