"""Turns a stage into its tasks: the notebook task, and a condition task in front of it if the stage has `only_if`."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.databricks.export.cluster import new_cluster
from stagebook.model.deployment import ClusterProfile, Deployment
from stagebook.model.pipeline import Pipeline, RetryPolicy, RunIf, Stage
from stagebook.notebooks.parameters import to_text

ENVIRONMENT = "stagebook"
"""Key of the serverless environment that the wheel and the requirements are installed in."""

KIT_PREFIX = "stagebook_"
"""Prefix of the parameters that the kit itself needs on Databricks."""


@dataclass(frozen=True)
class TaskContext:
    """What the tasks of one job share.

    `notebooks` maps a stage to the path of its notebook, `profiles` are the target's. `has_environment`: serverless
    tasks use the environment `ENVIRONMENT`. `has_catalog`: the target names a catalog, so tasks pass what the kit needs
    to know. `runner` is the path of the notebook that runs a stage through papermill, or None.
    """

    notebooks: Mapping[str, str]
    profiles: Mapping[str, ClusterProfile]
    libraries: tuple[Mapping[str, Any], ...]
    has_environment: bool
    has_catalog: bool
    runner: str | None = None


def condition_key(stage: str, task_keys: Collection[str]) -> str:
    """The task key of the condition in front of a stage; none of `task_keys`."""
    key = f"{stage}_if"
    while key in task_keys:
        key += "_"
    return key


def is_serverless(stage: Stage, profiles: Mapping[str, ClusterProfile]) -> bool:
    """Whether a stage runs without a cluster: it has no profile, or a serverless one."""
    return stage.profile is None or profiles[stage.profile].serverless


def tasks_of(
    stage: Stage, pipeline: Pipeline, context: TaskContext, own_parameters: Collection[str]
) -> list[dict[str, Any]]:
    """The tasks of a stage, the condition first.

    Args:
        own_parameters: parameters that are not parameters of the job, so that the task passes them.
    """
    start: dict[str, Any] = {}
    if stage.depends_on:
        start["depends_on"] = [{"task_key": name} for name in stage.depends_on]
    if stage.run_if != RunIf.ALL_SUCCESS:
        start["run_if"] = str(stage.run_if)
    tasks: list[dict[str, Any]] = []
    if stage.only_if is not None:
        key = condition_key(stage.name, pipeline.stages)
        test = {"left": stage.only_if, "op": "EQUAL_TO", "right": "true"}
        tasks.append({"task_key": key, **start, "condition_task": test})
        start = {"depends_on": [{"task_key": key, "outcome": "true"}]}
    return [*tasks, {"task_key": stage.name, **start, **_notebook_task(stage, pipeline, context, own_parameters)}]


def _notebook_task(
    stage: Stage, pipeline: Pipeline, context: TaskContext, own_parameters: Collection[str]
) -> dict[str, Any]:
    task = _compute(stage, pipeline.deployment, context) | _retries(stage.retry)
    notebook = context.notebooks[stage.name]
    notebook_task: dict[str, Any] = {"notebook_path": context.runner or notebook}
    parameters = {name: to_text(value) for name, value in stage.parameters.items() if name in own_parameters}
    if context.has_catalog:
        parameters |= {f"{KIT_PREFIX}stage": stage.name, f"{KIT_PREFIX}attempt": "{{task.execution_count}}"}
    if context.runner is not None:
        parameters[f"{KIT_PREFIX}notebook"] = "${workspace.file_path}/" + notebook.removeprefix("../")
    if parameters:
        notebook_task["base_parameters"] = parameters
    return task | {"notebook_task": notebook_task}


def _compute(stage: Stage, deployment: Deployment, context: TaskContext) -> dict[str, Any]:
    if stage.profile is None or is_serverless(stage, context.profiles):
        return {"environment_key": ENVIRONMENT} if context.has_environment else {}
    if deployment.cluster_per_task:
        compute = {"new_cluster": new_cluster(stage.profile, context.profiles[stage.profile], deployment)}
    else:
        compute = {"job_cluster_key": stage.profile}
    return compute | ({"libraries": [dict(library) for library in context.libraries]} if context.libraries else {})


def _retries(retry: RetryPolicy) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if retry.max_retries:
        fields["max_retries"] = retry.max_retries
    if retry.min_interval:
        fields["min_retry_interval_millis"] = int(retry.min_interval.total_seconds() * 1000)
    if retry.retry_on_timeout:
        fields["retry_on_timeout"] = True
    if retry.timeout is not None:
        fields["timeout_seconds"] = math.ceil(retry.timeout.total_seconds())
    return fields
