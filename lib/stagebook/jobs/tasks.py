"""From a stage to its tasks: the notebook task, and a condition in front of it where the stage has `only_if`."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.jobs.cluster import new_cluster
from stagebook.model.deployment import ClusterProfile, Deployment
from stagebook.model.pipeline import Pipeline, RetryPolicy, RunIf, Stage
from stagebook.notebook.values import to_text

ENVIRONMENT = "stagebook"
"""Key of the serverless environment that the wheel and the requirements are installed in."""

HANDED_ON = "stagebook_"
"""What the names of parameters that the kit itself needs on Databricks start with."""


@dataclass(frozen=True)
class Setting:
    """What the tasks of one job share: paths of notebooks by stage, libraries, the target's profiles."""

    notebooks: Mapping[str, str]
    profiles: Mapping[str, ClusterProfile]
    libraries: tuple[Mapping[str, Any], ...]
    environment: bool
    knows_catalog: bool
    runner: str | None = None  # the notebook that runs a stage through papermill, where that is asked for


def condition_key(stage: str, taken: Collection[str]) -> str:
    """The task key of the condition in front of a stage."""
    key = f"{stage}_if"
    while key in taken:
        key += "_"
    return key


def serverless(stage: Stage, profiles: Mapping[str, ClusterProfile]) -> bool:
    """Whether a stage has no cluster: its profile says so, or it has none."""
    return stage.profile is None or profiles[stage.profile].serverless


def tasks_of(stage: Stage, pipeline: Pipeline, setting: Setting, own_names: Collection[str]) -> list[dict[str, Any]]:
    """The tasks of a stage, the condition first.

    Args:
        own_names: parameters that are not parameters of the job, so that the task passes them.
    """
    before: dict[str, Any] = {}
    if stage.depends_on:
        before["depends_on"] = [{"task_key": name} for name in stage.depends_on]
    if stage.run_if != RunIf.ALL_SUCCESS:
        before["run_if"] = str(stage.run_if)
    tasks: list[dict[str, Any]] = []
    if stage.only_if is not None:
        key = condition_key(stage.name, pipeline.stages)
        test = {"left": stage.only_if, "op": "EQUAL_TO", "right": "true"}
        tasks.append({"task_key": key, **before, "condition_task": test})
        before = {"depends_on": [{"task_key": key, "outcome": "true"}]}
    return [*tasks, {"task_key": stage.name, **before, **_notebook_task(stage, pipeline, setting, own_names)}]


def _notebook_task(stage: Stage, pipeline: Pipeline, setting: Setting, own_names: Collection[str]) -> dict[str, Any]:
    task = _compute(stage, pipeline.deployment, setting) | _retries(stage.retry)
    own = setting.notebooks[stage.name]
    run: dict[str, Any] = {"notebook_path": setting.runner or own}
    given = {name: to_text(value) for name, value in stage.parameters.items() if name in own_names}
    if setting.knows_catalog:
        given |= {f"{HANDED_ON}stage": stage.name, f"{HANDED_ON}attempt": "{{task.execution_count}}"}
    if setting.runner is not None:
        given[f"{HANDED_ON}notebook"] = "${workspace.file_path}/" + own.removeprefix("../")
    if given:
        run["base_parameters"] = given
    return task | {"notebook_task": run}


def _compute(stage: Stage, deployment: Deployment, setting: Setting) -> dict[str, Any]:
    if stage.profile is None or serverless(stage, setting.profiles):
        return {"environment_key": ENVIRONMENT} if setting.environment else {}
    if deployment.cluster_per_task:
        compute = {"new_cluster": new_cluster(stage.profile, setting.profiles[stage.profile], deployment)}
    else:
        compute = {"job_cluster_key": stage.profile}
    return compute | ({"libraries": [dict(library) for library in setting.libraries]} if setting.libraries else {})


def _retries(retry: RetryPolicy) -> dict[str, Any]:
    task: dict[str, Any] = {}
    if retry.max_retries:
        task["max_retries"] = retry.max_retries
    if retry.min_interval:
        task["min_retry_interval_millis"] = int(retry.min_interval.total_seconds() * 1000)
    if retry.retry_on_timeout:
        task["retry_on_timeout"] = True
    if retry.timeout is not None:
        task["timeout_seconds"] = math.ceil(retry.timeout.total_seconds())
    return task
