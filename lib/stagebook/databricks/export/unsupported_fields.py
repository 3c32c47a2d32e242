"""Lists a pipeline's settings that a Databricks job has no field for, and what happens on Databricks instead."""

from collections.abc import Iterator

from stagebook.databricks.export.job import job_parameters
from stagebook.databricks.export.tasks import is_serverless
from stagebook.model.deployment import Target
from stagebook.model.pipeline import Pipeline


def unsupported_fields(pipeline: Pipeline) -> list[str]:
    """One line for each local setting that the job does not have, with what happens on Databricks instead."""
    targets = tuple(pipeline.deployment.targets.values())
    return [
        *_of_stages(pipeline),
        *_of_parameters(pipeline),
        *_of_profiles(pipeline, targets[0]),
        *_of_notifications(pipeline),
        *_of_deployment(pipeline),
        *_of_targets(targets),
    ]


def _of_stages(pipeline: Pipeline) -> Iterator[str]:
    stages = pipeline.stages.values()
    if retried := [stage.name for stage in stages if stage.retry.max_retries and stage.retry.min_interval]:
        yield (
            f"{_listed(retried)}: the wait before a retry doubles, with jitter, in a local run; on Databricks it is"
            " always min_retry_interval_millis, counted from the start of the failed attempt."
        )
    if rounded := [stage.name for stage in stages if stage.retry.timeout and stage.retry.timeout.total_seconds() % 1]:
        yield f"{_listed(rounded)}: timeout_seconds is rounded up to whole seconds."
    if conditional := [stage.name for stage in stages if stage.only_if is not None]:
        yield f"{_listed(conditional)}: the condition_task for only_if has no retries and no notifications."
    if pooled := [stage.name for stage in stages if stage.pools]:
        yield f"{_listed(pooled)}: pools limit runs of one machine; on Databricks each run has clusters of its own."
    if with_engine := [stage.name for stage in stages if stage.engine is not None]:
        yield f"{_listed(with_engine)}: engine is no field of a task; the stage chooses on the cluster as locally."


def _of_parameters(pipeline: Pipeline) -> Iterator[str]:
    if task_only := sorted(set(pipeline.parameters) - set(job_parameters(pipeline))):
        yield (
            f"parameters {', '.join(task_only)}: a stage sets its own value, and a job's parameter would win over a"
            " task's; so each task passes them, and starting a run cannot set them for all tasks."
        )


def _of_profiles(pipeline: Pipeline, target: Target) -> Iterator[str]:
    names = dict.fromkeys(stage.profile for stage in pipeline.stages.values() if stage.profile)
    clusters = {name: target.profiles[name] for name in names}
    if spot_drivers := [name for name, cluster in clusters.items() if cluster.spot and cluster.single_node]:
        yield (
            f"profiles {', '.join(spot_drivers)}: spot is for workers, and a single node is all driver: it is on"
            " demand."
        )
    if names:
        yield "profiles: autotermination_minutes does not apply: a job cluster ends with its last task."
    if pipeline.spark.driver_memory_gb is not None:
        yield "profiles: driver_memory_gb is for this machine; on Databricks the driver's node type decides."
    if any(is_serverless(stage, target.profiles) for stage in pipeline.stages.values()) and pipeline.spark.conf:
        yield "spark.conf: serverless compute does not take settings of Spark."
    elif pipeline.spark.conf:
        yield "spark.conf: it is for the server of this machine; set spark_conf by databricks.job.job_clusters."


def _of_notifications(pipeline: Pipeline) -> Iterator[str]:
    events = set(pipeline.notifications.get("on", ()))
    if events:
        yield (
            "notifications: STAGEBOOK_NOTIFY_URLS is not read on Databricks; databricks.email_notifications and"
            " webhook_notifications are sent instead."
        )
    if local_events := sorted(events & {"gate_refused", "interrupted"}):
        yield f"notifications.on: {', '.join(local_events)} has no event on Databricks; on_failure reports failed runs."


def _of_deployment(pipeline: Pipeline) -> Iterator[str]:
    if sweeps := sorted(pipeline.deployment.sweeps):
        yield (
            f"databricks.sweeps {', '.join(sweeps)}: configurations are compared in MLflow, and none is named the best;"
            " if several stages differ, each configuration starts clusters of its own; tables that such stages write"
            " are the same for all."
        )
    if pipeline.deployment.serving_endpoint is not None:
        yield (
            "databricks.serving_endpoint: an endpoint follows no alias, so a promotion changes what it serves only with"
            " the next deployment (--var champion_version=…)."
        )


def _of_targets(targets: tuple[Target, ...]) -> Iterator[str]:
    for target in targets:
        if target.catalog is None:
            yield f"target {target.name}: no catalog is set, so tables have no three-level names."
        if target.mode == "production" and target.root_path is None and target.run_as is None:
            yield (
                f"target {target.name}: a deployment in mode production asks for root_path or run_as;"
                " set one in databricks.targets."
            )


def _listed(stages: list[str]) -> str:
    return ("stage " if len(stages) == 1 else "stages ") + ", ".join(stages)
