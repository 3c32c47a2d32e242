"""What a notebook that was written for Databricks gets from its run: widgets, and task values of stages upstream."""

from collections.abc import Callable, Mapping
from typing import Any

from stagebook import dag
from stagebook.model.pipeline import Stage
from stagebook.notebook.values import to_text

TaskValues = dict[str, dict[str, Any]]
"""Task → key → value."""


def task_values(stage: Stage, stages: Mapping[str, Stage], scraps: Callable[[str], Mapping[str, Any]]) -> TaskValues:
    """The task values that the stage may read: those that its notebook names, or all where that cannot be told.

    What it may read counts as what it depends on, and nothing else is handed to it: so it cannot read what does not
    count.

    Args: scraps: those of an upstream stage that has ended.
    """
    if stage.guest is None:
        return {}
    above = dag.upstream({name: one.depends_on for name, one in stages.items()}, [stage.name]) - {stage.name}
    wanted = stage.guest.values
    if wanted is None:
        return {up: dict(scraps(up)) for up in sorted(above)}
    named = {task for task, _ in wanted}
    return {
        up: {key: value for key, value in scraps(up).items() if (up, key) in wanted} for up in sorted(above & named)
    }


def counted(values: TaskValues) -> dict[str, Any]:
    """Task values as what a stage depends on, by names that no parameter has."""
    return {f"tasks.{task}.values.{key}": value for task, held in values.items() for key, value in held.items()}


def is_counted(name: str) -> bool:
    """Whether a name is one that `counted` gives."""
    return name.startswith("tasks.")


def widgets(stage: Stage, parameters: Mapping[str, Any]) -> dict[str, str] | None:
    """The parameters as texts, as a job passes them; None where the notebook was not written for Databricks."""
    return None if stage.guest is None else {name: to_text(value) for name, value in parameters.items()}


def injected(stage: Stage, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are set in the notebook's parameters cell."""
    if stage.guest is None:
        return dict(parameters)
    return {name: value for name, value in parameters.items() if name in stage.guest.injected}
