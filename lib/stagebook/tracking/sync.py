"""Make MLflow agree with a run's record, during the run or weeks later; repeating it changes nothing.

The record itself is the queue of what to send. MLflow is asked what it has, so nothing is sent twice. The ids of
MLflow's runs are saved in the run's folder; if that file is lost, they are found again by tag.
"""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stagebook.errors import TrackingRefused
from stagebook.model.context import StageContext
from stagebook.model.pipeline import Tracking
from stagebook.model.record import RunRecord
from stagebook.runs.folders import RunFolder
from stagebook.tracking import database, notebook_runs
from stagebook.tracking.connection import connected, public_uri
from stagebook.tracking.links import Links, locked_links
from stagebook.tracking.run_views import PARENT, RUN_ID, STAGE, RunView, TableInput, run_view, stage_views

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

T = TypeVar("T")
REPORT = ("report.html", "run.json")


def sync(record: RunRecord, tracking: Tracking, run_dir: Path, *, final: bool) -> dict[str, Any]:
    """Make MLflow agree with the record; a second call changes nothing.

    One MLflow run for the pipeline run and a nested one for each stage that has attempts, with tags, parameters,
    metrics and table versions. With `final` also the executed notebooks and the report as artifacts, runs that the
    record shows as running are closed as killed, and those that notebooks started by themselves are put below their
    stage's.

    Args:
        run_dir: the run's folder, where `mlflow.json` is saved.
    Returns:
        `tracking_uri`, `experiment_id`, `run_id` and `stages` (stage → MLflow run id).
    Raises:
        TrackingUnavailable: the server does not answer within about ten seconds; call again later.
        TrackingRefused: the server refuses the run, for example because it was deleted in MLflow.
    """
    database.ensure_prepared(tracking)
    with connected(tracking) as client, locked_links(run_dir, tracking) as links:
        view = run_view(record, final=final)
        parent = _ensure_parent(client, tracking, links, run_dir, record.run_id, view)
        for name, stage in stage_views(record, final=final).items():
            _update(client, _ensure_nested(client, links, run_dir, name, stage), stage, links, name, force=final)
        if final:
            notebook_runs.settle(client, record, run_dir, str(links.experiment_id), links.stages)
            _send_artifacts(client, parent, links, run_dir)
        _update(client, parent, view, links, "", force=final)
        links.save(run_dir)
        return links.for_record()


def ensure_stage_run(context: StageContext) -> str:
    """The id of this stage's nested MLflow run, which is created if it does not exist; for notebooks that log to it.

    Raises:
        TrackingUnavailable, TrackingRefused: see `sync`.
    """
    database.ensure_prepared(context.tracking)
    with connected(context.tracking) as client, locked_links(context.run_folder, context.tracking) as links:
        record = RunFolder(context.run_folder).load()
        view = run_view(record, final=False) if record else _new_view(context.run_id, {RUN_ID: context.run_id})
        _ensure_parent(client, context.tracking, links, context.run_folder, context.run_id, view)
        recorded = stage_views(record, final=False).get(context.stage) if record else None
        tags = {RUN_ID: context.run_id, STAGE: context.stage, "stagebook.engine": context.engine}
        stage = recorded or _new_view(context.stage, tags)
        return _ensure_nested(client, links, context.run_folder, context.stage, stage)


def _new_view(name: str, tags: dict[str, str]) -> RunView:
    """The view of a run that has no record yet: it starts now and has only tags."""
    return RunView(name=name, started_ms=int(time.time() * 1000), status="RUNNING", tags=tags)


def _ensure_parent(
    client: "MlflowClient", tracking: Tracking, links: Links, run_dir: Path, run_id: str, view: RunView
) -> str:
    """The id of the pipeline run's MLflow run: from the links, by its tag, or of a new run."""
    if links.run_id is not None and not _exists(client, links.run_id, tracking):
        links.run_id, links.stages, links.sent, links.artifacts = None, {}, {}, {}
    if links.run_id is None:
        links.experiment_id = database.experiment_id(client, tracking)
        tagged = client.search_runs([links.experiment_id], f"tags.`{RUN_ID}` = '{run_id}'", order_by=["start_time"])
        parents = [run.info.run_id for run in tagged if STAGE not in run.data.tags]
        links.run_id = parents[0] if parents else _create(client, links, view, view.tags)
        links.save(run_dir)
    return links.run_id


def _ensure_nested(client: "MlflowClient", links: Links, run_dir: Path, stage: str, view: RunView) -> str:
    """The id of a stage's MLflow run: from the links, by its tags, or of a new run."""
    if stage not in links.stages:
        parent = str(links.run_id)
        condition = f"tags.`{PARENT}` = '{parent}' and tags.`{STAGE}` = '{stage}'"
        tagged = client.search_runs([str(links.experiment_id)], condition, order_by=["start_time"])
        tags = {**view.tags, PARENT: parent}
        links.stages[stage] = tagged[0].info.run_id if tagged else _create(client, links, view, tags)
        links.save(run_dir)
    return links.stages[stage]


def _create(client: "MlflowClient", links: Links, view: RunView, tags: Any) -> str:
    run = client.create_run(str(links.experiment_id), view.started_ms, dict(tags), view.name)
    return run.info.run_id


def _exists(client: "MlflowClient", run_id: str, tracking: Tracking) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as fault:
        if fault.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    if run.info.lifecycle_stage == "deleted":
        reason = f"its run {run_id} was deleted. Restore it with `mlflow runs restore --run-id {run_id}`."
        raise TrackingRefused.of(public_uri(tracking.uri), reason)
    return True


def _update(client: "MlflowClient", run_id: str, view: RunView, links: Links, key: str, *, force: bool) -> None:
    """Send what the MLflow run lacks of its view; skipped if the same view was sent before, unless `force`."""
    fingerprint = view.fingerprint
    if links.sent.get(key) == fingerprint and not force:
        return
    close(client, send(client, run_id, view), view)
    links.sent[key] = fingerprint


def send(client: "MlflowClient", run_id: str, view: RunView) -> "Run":
    """Send what an MLflow run lacks of a view's tags, parameters, metrics and inputs; return the run as it was before.

    A parameter that the run already has keeps its value, since MLflow's parameters cannot change.
    """
    from mlflow.entities import Metric, Param, RunTag

    run = client.get_run(run_id)
    data = run.data
    tags = [RunTag(key, value) for key, value in view.tags.items() if data.tags.get(key) != value]
    params = [Param(key, value) for key, value in view.params.items() if key not in data.params]
    metrics = [
        Metric(key, value, time_ms, 0)
        for key, (value, time_ms) in view.metrics.items()
        if data.metrics.get(key) != value
    ]
    for batch in _batches(params, 100):
        client.log_batch(run_id, params=batch)
    for batch in _batches(metrics, 500):
        client.log_batch(run_id, metrics=batch)
    for batch in _batches(tags, 100):
        client.log_batch(run_id, tags=batch)
    if inputs := _missing_inputs(run, view.inputs):
        client.log_inputs(run_id, datasets=inputs)
    return run


def close(client: "MlflowClient", run: "Run", view: RunView) -> None:
    """Set the MLflow run's status and end to the view's; a closed run that runs again is reopened."""
    if view.status == "RUNNING":
        if run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        return
    end_differs = view.ended_ms is not None and run.info.end_time != view.ended_ms
    if run.info.status != view.status or end_differs:
        client.set_terminated(run.info.run_id, view.status, view.ended_ms)


def _missing_inputs(run: "Run", inputs: Sequence[TableInput]) -> "list[DatasetInput]":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    logged = {(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs} if run.inputs else set()
    return [
        DatasetInput(
            Dataset(
                name=table.name,
                digest=table.digest,
                source_type="delta_table",
                source=json.dumps({"delta_table_name": table.name, "delta_table_version": table.version}),
                profile=json.dumps({"num_rows": table.rows}) if table.rows is not None else None,
            ),
            tags=[InputTag("mlflow.data.context", "input"), InputTag("delta_version", str(table.version))],
        )
        for table in inputs
        if (table.name, table.digest) not in logged
    ]


def _send_artifacts(client: "MlflowClient", run_id: str, links: Links, run_dir: Path) -> None:
    """Send executed notebooks, their pages and the report, under their paths in the run's folder, if they changed."""
    notebooks = [*run_dir.glob("stages/*/attempt-*.ipynb"), *run_dir.glob("stages/*/attempt-*.html")]
    reports = [run_dir / name for name in REPORT if (run_dir / name).is_file()]
    for path in [*sorted(notebooks), *reports]:
        name, stat = path.relative_to(run_dir), path.stat()
        state = [stat.st_size, stat.st_mtime_ns]
        if links.artifacts.get(str(name)) != state:
            folder = str(name.parent)
            client.log_artifact(run_id, str(path), None if folder == "." else folder)
            links.artifacts[str(name)] = state
            links.save(run_dir)


def _batches(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
