"""What a pipeline says that a Databricks job has no field for, and what becomes of it."""

from collections.abc import Iterator

from stagebook.jobs.job import job_parameters
from stagebook.jobs.tasks import serverless
from stagebook.model.deployment import Target
from stagebook.model.pipeline import Pipeline


def not_carried(pipeline: Pipeline) -> list[str]:
    """One line for each local setting that the job does not have, with what happens there instead."""
    targets = tuple(pipeline.deployment.targets.values())
    return [*_stages(pipeline), *_parameters(pipeline), *_profiles(pipeline, targets[0]), *_rest(pipeline, targets)]


def _stages(pipeline: Pipeline) -> Iterator[str]:
    stages = pipeline.stages.values()
    if retried := [stage.name for stage in stages if stage.retry.max_retries and stage.retry.min_interval]:
        yield (
            f"{_named(retried)}: the wait before a retry doubles, with jitter, here; there it is always"
            " min_retry_interval_millis, counted from the start of the attempt that failed."
        )
    if parts := [stage.name for stage in stages if stage.retry.timeout and stage.retry.timeout.total_seconds() % 1]:
        yield f"{_named(parts)}: timeout_seconds is rounded up to whole seconds."
    if conditional := [stage.name for stage in stages if stage.only_if is not None]:
        yield f"{_named(conditional)}: the condition_task that stands for only_if has no retries and no notifications."
    if sharing := [stage.name for stage in stages if stage.pools]:
        yield f"{_named(sharing)}: pools are of this machine; there each run has clusters of its own."
    if own := [stage.name for stage in stages if stage.engine is not None]:
        yield f"{_named(own)}: engine is not a setting of a task; the stage chooses on the cluster as it does here."


def _parameters(pipeline: Pipeline) -> Iterator[str]:
    if own := sorted(set(pipeline.parameters) - set(job_parameters(pipeline))):
        yield (
            f"parameters {', '.join(own)}: a stage sets its own value, and a job's parameter would win over a task's;"
            " so each task passes them, and they cannot be set for all tasks when a run is started."
        )


def _profiles(pipeline: Pipeline, target: Target) -> Iterator[str]:
    used = dict.fromkeys(stage.profile for stage in pipeline.stages.values() if stage.profile)
    clusters = {name: target.profiles[name] for name in used}
    if alone := [name for name, cluster in clusters.items() if cluster.spot and cluster.single_node]:
        yield f"profiles {', '.join(alone)}: spot is for workers, and a single node is all driver: it is on demand."
    if used:
        yield "profiles: autotermination_minutes does not apply: a job cluster ends with its last task."
    if pipeline.spark.driver_memory_gb is not None:
        yield "profiles: driver_memory_gb is for this machine; there the driver's node type decides."
    if any(serverless(stage, target.profiles) for stage in pipeline.stages.values()) and pipeline.spark.conf:
        yield "spark.conf: serverless compute does not take settings of Spark."
    elif pipeline.spark.conf:
        yield "spark.conf: it is for the server of this machine; set spark_conf by databricks.job.job_clusters."


def _rest(pipeline: Pipeline, targets: tuple[Target, ...]) -> Iterator[str]:
    told = set(pipeline.notifications.get("on", ()))
    if told:
        yield (
            "notifications: STAGEBOOK_NOTIFY_URLS is not read there; databricks.email_notifications and"
            " webhook_notifications are sent instead."
        )
    if only_here := sorted(told & {"gate_refused", "interrupted"}):
        yield f"notifications.on: {', '.join(only_here)} has no event there; on_failure tells of a run that failed."
    if pipeline.deployment.serving_endpoint is not None:
        yield (
            "databricks.serving_endpoint: an endpoint follows no alias, so a promotion changes what it serves with the"
            " next deployment only (--var champion_version=…)."
        )
    for target in targets:
        if target.catalog is None:
            yield f"target {target.name}: no catalog is set, so tables have no three-level names there."
        if target.mode == "production" and target.root_path is None and target.run_as is None:
            yield (
                f"target {target.name}: a deployment in mode production asks for root_path or run_as;"
                " set one in databricks.targets."
            )


def _named(stages: list[str]) -> str:
    return ("stage " if len(stages) == 1 else "stages ") + ", ".join(stages)
