"""Turns a pipeline and a target into a job definition: the content of `resources.jobs.<name>` of a bundle."""

from collections.abc import Mapping
from typing import Any

from stagebook import graph
from stagebook.databricks import merge_patch
from stagebook.databricks.export.cluster import new_cluster
from stagebook.databricks.export.tasks import ENVIRONMENT, KIT_PREFIX, TaskContext, is_serverless, tasks_of
from stagebook.model.deployment import Deployment, Target
from stagebook.model.pipeline import Pipeline
from stagebook.notebooks.parameters import to_text

WHEEL = "../dist/*.whl"
REQUIREMENTS = "../requirements.txt"
RUNNER = "../runners/databricks_task.py"
"""The notebook that runs a stage through papermill, from the job's file."""


def job(pipeline: Pipeline, target: Target, notebooks: Mapping[str, str]) -> dict[str, Any]:
    """The whole job for one target, with the parameter file's patch (`databricks.job`) applied.

    Args:
        notebooks: stage → path of its notebook, from the file that the job is written to.
    """
    derived = merge_patch.lists_to_mappings(derived_job(pipeline, target, notebooks))
    patched = merge_patch.apply(derived, pipeline.deployment.job)
    return merge_patch.mappings_to_lists(patched | {"tasks": _sorted_tasks(patched.get("tasks", {}))})


def override(default_job: Mapping[str, Any], target_job: Mapping[str, Any]) -> dict[str, Any]:
    """What a target of a bundle sets to turn the default job into its own; empty if they are equal."""
    old, new = (merge_patch.lists_to_mappings(definition) for definition in (default_job, target_job))
    return merge_patch.mappings_to_lists(merge_patch.diff(old, new))


def derived_job(pipeline: Pipeline, target: Target, notebooks: Mapping[str, str]) -> dict[str, Any]:
    """The job that follows from stages, profiles and settings, without the parameter file's patch."""
    deployment = pipeline.deployment
    serverless = [s.name for s in pipeline.stages.values() if is_serverless(s, target.profiles)]
    libraries: list[dict[str, Any]] = [{"whl": WHEEL}] if deployment.packages else []
    libraries += [{"requirements": REQUIREMENTS}] if deployment.requirements else []
    shared = job_parameters(pipeline)
    context = TaskContext(
        notebooks,
        target.profiles,
        tuple(libraries),
        has_environment=bool(libraries and serverless),
        has_catalog=bool(target.catalog),
        runner=RUNNER if deployment.execute_with == "papermill" else None,
    )
    stages = [pipeline.stages[name] for name in graph.order(_edges(pipeline))]
    result: dict[str, Any] = {"name": pipeline.name, **_settings(deployment, pipeline.name)}
    if parameters := {**shared, **_kit_parameters(target, pipeline)}:
        result["parameters"] = [{"name": name, "default": text} for name, text in parameters.items()]
    if serverless:
        result["performance_target"] = deployment.performance_target
    if context.has_environment:
        result["environments"] = [_environment(deployment)]
    profiles = dict.fromkeys(s.profile for s in stages if s.profile and not is_serverless(s, target.profiles))
    if profiles and not deployment.cluster_per_task:
        result["job_clusters"] = [
            {"job_cluster_key": name, "new_cluster": new_cluster(name, target.profiles[name], deployment)}
            for name in profiles
        ]
    result["tasks"] = [
        task for stage in stages for task in tasks_of(stage, pipeline, context, set(stage.parameters) - set(shared))
    ]
    return result


def job_parameters(pipeline: Pipeline) -> dict[str, str]:
    """The parameters that reach all stages, as texts.

    A job's parameter wins over a task's of the same name. So a name that some stage sets to a value of its own is not
    one: each task passes its value instead.
    """
    texts = {name: to_text(value) for name, value in sorted(pipeline.parameters.items())}
    stages = pipeline.stages.values()
    return {
        name: text
        for name, text in texts.items()
        if all(to_text(stage.parameters[name]) == text for stage in stages if name in stage.parameters)
    }


def _kit_parameters(target: Target, pipeline: Pipeline) -> dict[str, str]:
    """Where the kit finds tables, files and models on Databricks; none if the target has no catalog."""
    if not target.catalog:
        return {}
    values = {"catalog": target.catalog, "schema": target.schema, "volume": target.volume, "run_id": "{{job.run_id}}"}
    values["experiment"] = _workspace_path(pipeline.tracking.experiment)
    values["model"] = model_name(pipeline, target)
    return {f"{KIT_PREFIX}{name}": value for name, value in values.items() if value}


def model_name(pipeline: Pipeline, target: Target) -> str:
    """The registered model's name in a target, in three levels if the target has catalog and schema."""
    name = pipeline.tracking.registered_model
    return f"{target.catalog}.{target.schema}.{name}" if "." not in name and target.catalog and target.schema else name


def _workspace_path(experiment: str) -> str:
    """The experiment's name on Databricks: an absolute path, since experiments are files of the workspace."""
    return experiment if experiment.startswith("/") else f"/Shared/{experiment}"


def _settings(deployment: Deployment, pipeline: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if tags := ({"pipeline": pipeline} if deployment.attribution else {}) | dict(deployment.tags):
        result["tags"] = tags
    if deployment.max_concurrent_runs is not None:
        result["max_concurrent_runs"] = deployment.max_concurrent_runs
    if deployment.queue is not None:
        result["queue"] = {"enabled": deployment.queue}
    if deployment.schedule is not None:
        result["schedule"] = {
            "quartz_cron_expression": deployment.schedule.quartz_cron_expression,
            "timezone_id": deployment.schedule.timezone_id,
            "pause_status": "PAUSED" if deployment.schedule.paused else "UNPAUSED",
        }
    if deployment.email_notifications:
        result["email_notifications"] = {
            event: list(addresses) for event, addresses in deployment.email_notifications.items()
        }
    if deployment.webhook_notifications:
        result["webhook_notifications"] = {
            event: [{"id": destination} for destination in destinations]
            for event, destinations in deployment.webhook_notifications.items()
        }
    if deployment.run_duration_seconds is not None:
        rule = {"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": deployment.run_duration_seconds}
        result["health"] = {"rules": [rule]}
    return result


def _environment(deployment: Deployment) -> dict[str, Any]:
    wheel = [WHEEL] if deployment.packages else []
    spec = {
        "environment_version": deployment.environment_version,
        "dependencies": [*wheel, *deployment.requirements],
    }
    return {"environment_key": ENVIRONMENT, "spec": spec}


def _edges(pipeline: Pipeline) -> dict[str, list[str]]:
    return {name: list(stage.depends_on) for name, stage in pipeline.stages.items()}


def _sorted_tasks(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks, each after those it depends on; unsorted if a patch made a cycle, which `validate` reports."""
    edges = {
        name: [up["task_key"] for up in task.get("depends_on", ()) if up.get("task_key") in tasks]
        for name, task in tasks.items()
    }
    if graph.find_cycle(edges):
        return dict(tasks)
    return {name: tasks[name] for name in graph.order(edges)}
