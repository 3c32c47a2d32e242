"""From a stage and its inputs to the job of one attempt: paths, parameters, environment, and context file."""

import os

from stagebook import atomic
from stagebook.cache.observed import ACCESS
from stagebook.config import dbutils_inputs
from stagebook.executor.job import Job, UpcomingAttempt
from stagebook.executor.spark_server import SparkEndpoint
from stagebook.executor.stage_inputs import StageInputs
from stagebook.model.context import VARIABLE, StageContext
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.runs.folders import RunFolder
from stagebook.tracking.notebook_runs import VARIABLE as MLFLOW_TAGS
from stagebook.tracking.notebook_runs import run_tags

_CONTEXT = ".context.json"


def attempt_job(
    pipeline: Pipeline,
    stage: Stage,
    inputs: StageInputs,
    engine: str,
    n: int,
    folder: RunFolder,
    endpoint: SparkEndpoint | None,
) -> Job:
    """The job of attempt `n`. Writes the context file, from which the notebook knows its run."""
    paths = pipeline.paths
    context = StageContext(
        run_id=folder.run_id,
        stage=stage.name,
        attempt=n,
        run_folder=folder.path,
        warehouse=paths.warehouse,
        tables=paths.tables,
        engine=engine,
        tracking=pipeline.tracking,
        spark=endpoint.settings if endpoint else pipeline.spark,
        reads=stage.reads,
        writes=stage.writes,
        inputs=inputs.versions,
        external=paths.external,
        widgets=dbutils_inputs.widgets(stage, inputs.parameters),
        task_values=inputs.task_values,
    )
    atomic.write_json(folder.attempt(stage.name, n, _CONTEXT), context.to_json())
    upcoming = upcoming_attempt(pipeline, stage, n, folder)
    return Job(
        notebook=upcoming.notebook,
        output=str(folder.attempt(stage.name, n)),
        folder=upcoming.folder,
        parameters=dbutils_inputs.injected(stage, inputs.parameters),
        environment={**upcoming.environment, **(endpoint.environment if endpoint else {})},
        label={"run_id": folder.run_id, "stage": stage.name, "attempt": n, "notebook": str(stage.notebook)},
        timeout_seconds=stage.retry.timeout.total_seconds() if stage.retry.timeout else None,
        is_databricks=stage.dbutils_inputs is not None,
        access_report={
            "file": str(folder.attempt(stage.name, n, ACCESS)),
            "root": str(paths.root),
            "ignored": [str(paths.runs), str(paths.warehouse), str(paths.tables)],
        },
        may_exit=stage.may_exit,
        kernel_name=stage.kernel_name,
    )


def upcoming_attempt(pipeline: Pipeline, stage: Stage, n: int, folder: RunFolder) -> UpcomingAttempt:
    """What is known of attempt `n` before its turn comes: notebook, folder and environment variables."""
    environment = {
        VARIABLE: str(folder.attempt(stage.name, n, _CONTEXT)),
        "MLFLOW_TRACKING_URI": pipeline.tracking.uri,
        "MLFLOW_EXPERIMENT_NAME": pipeline.tracking.experiment,
        MLFLOW_TAGS: run_tags(folder.run_id, stage.name, n, os.environ.get(MLFLOW_TAGS)),
    }
    return UpcomingAttempt(str(stage.notebook), str(stage.notebook.parent), environment, stage.kernel_name)
