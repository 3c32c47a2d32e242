"""A pipeline and a target in, a job definition out: what stands under `resources.jobs.<name>` of a bundle."""

from collections.abc import Mapping
from typing import Any

from stagebook import dag
from stagebook.jobs import patch
from stagebook.jobs.cluster import new_cluster
from stagebook.jobs.tasks import ENVIRONMENT, HANDED_ON, Setting, serverless, tasks_of
from stagebook.model.deployment import Deployment, Target
from stagebook.model.pipeline import Pipeline
from stagebook.notebook.values import to_text

WHEEL = "../dist/*.whl"
REQUIREMENTS = "../requirements.txt"
RUNNER = "../runners/databricks_task.py"
"""The notebook that runs a stage through papermill, from the job's file."""


def job(pipeline: Pipeline, target: Target, notebooks: Mapping[str, str]) -> dict[str, Any]:
    """The whole job for one target, with the parameter file's patch (`databricks.job`) laid over it.

    Args:
        notebooks: stage → path of its notebook, from the file that the job is written to.
    """
    whole = patch.apply(patch.keyed(derived(pipeline, target, notebooks)), pipeline.deployment.job)
    return patch.listed(whole | {"tasks": _in_order(whole.get("tasks", {}))})


def override(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What a target of a bundle says so that the base job becomes the other one; empty where they are equal."""
    return patch.listed(patch.diff(patch.keyed(base), patch.keyed(other)))


def derived(pipeline: Pipeline, target: Target, notebooks: Mapping[str, str]) -> dict[str, Any]:
    """The job as it follows from stages, profiles and settings, without the parameter file's patch."""
    deployment = pipeline.deployment
    without_cluster = [s.name for s in pipeline.stages.values() if serverless(s, target.profiles)]
    libraries: list[dict[str, Any]] = [{"whl": WHEEL}] if deployment.packages else []
    libraries += [{"requirements": REQUIREMENTS}] if deployment.requirements else []
    shared = job_parameters(pipeline)
    setting = Setting(
        notebooks,
        target.profiles,
        tuple(libraries),
        bool(libraries and without_cluster),
        bool(target.catalog),
        RUNNER if deployment.execute_with == "papermill" else None,
    )
    stages = [pipeline.stages[name] for name in dag.order(_graph(pipeline))]
    result: dict[str, Any] = {"name": pipeline.name, **_settings(deployment, pipeline.name)}
    if parameters := {**shared, **_of_the_kit(target, pipeline)}:
        result["parameters"] = [{"name": name, "default": text} for name, text in parameters.items()]
    if without_cluster:
        result["performance_target"] = deployment.performance_target
    if setting.environment:
        result["environments"] = [_environment(deployment)]
    used = dict.fromkeys(s.profile for s in stages if s.profile and not serverless(s, target.profiles))
    if used and not deployment.cluster_per_task:
        result["job_clusters"] = [
            {"job_cluster_key": name, "new_cluster": new_cluster(name, target.profiles[name], deployment)}
            for name in used
        ]
    result["tasks"] = [
        task for stage in stages for task in tasks_of(stage, pipeline, setting, set(stage.parameters) - set(shared))
    ]
    return result


def job_parameters(pipeline: Pipeline) -> dict[str, str]:
    """The parameters that reach all stages, as texts.

    A job's parameter wins over a task's of the same name, so a name that some stage sets for itself is not one:
    then each task passes its own value.
    """
    texts = {name: to_text(value) for name, value in sorted(pipeline.parameters.items())}
    stages = pipeline.stages.values()
    return {
        name: text
        for name, text in texts.items()
        if all(to_text(stage.parameters[name]) == text for stage in stages if name in stage.parameters)
    }


def _of_the_kit(target: Target, pipeline: Pipeline) -> dict[str, str]:
    """Where tables, files and models are, for the kit: handed on where the target has a catalog."""
    if not target.catalog:
        return {}
    places = {"catalog": target.catalog, "schema": target.schema, "volume": target.volume, "run_id": "{{job.run_id}}"}
    places["experiment"] = _workspace_path(pipeline.tracking.experiment)
    places["model"] = model_name(pipeline, target)
    return {f"{HANDED_ON}{name}": value for name, value in places.items() if value}


def model_name(pipeline: Pipeline, target: Target) -> str:
    """The registered model's name in a target, in three levels where the target says them."""
    name = pipeline.tracking.registered_model
    return f"{target.catalog}.{target.schema}.{name}" if "." not in name and target.catalog and target.schema else name


def _workspace_path(experiment: str) -> str:
    """Experiments are files of the workspace there, so their names are absolute paths."""
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
    if deployment.notices:
        result["email_notifications"] = {event: list(to) for event, to in deployment.notices.items()}
    if deployment.webhooks:
        result["webhook_notifications"] = {
            event: [{"id": one} for one in ids] for event, ids in deployment.webhooks.items()
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


def _graph(pipeline: Pipeline) -> dict[str, list[str]]:
    return {name: list(stage.depends_on) for name, stage in pipeline.stages.items()}


def _in_order(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Each task after what it depends on; what a patch made of them may be a circle, which the check reports."""
    graph = {
        name: [up["task_key"] for up in task.get("depends_on", ()) if up.get("task_key") in tasks]
        for name, task in tasks.items()
    }
    if dag.find_cycle(graph):
        return dict(tasks)
    return {name: tasks[name] for name in dag.order(graph)}
