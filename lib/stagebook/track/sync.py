"""MLflow is made to agree with a run's record: as often as asked, at once or weeks later.

The record is the spool. Nothing is sent twice, because MLflow is asked what it has; ids are kept in the
run's folder and, if that file is lost, found again by tag.
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
from stagebook.storage.runs import RunFolder
from stagebook.track import database
from stagebook.track.connection import connected, public
from stagebook.track.links import Links, held
from stagebook.track.projection import PARENT, RUN_ID, STAGE, TableInput, View, run_view, stage_views

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

T = TypeVar("T")
REPORT = ("report.html", "run.json")


def sync(record: RunRecord, tracking: Tracking, run_dir: Path, *, final: bool) -> dict[str, Any]:
    """Brings MLflow to what the record says; calling it again changes nothing.

    One run for the pipeline run, a nested one for each stage that has attempts: tags, parameters,
    figures and table versions. With `final`, the executed notebooks and the report as artifacts too,
    and runs that the record left open are closed as killed.

    Args:
        run_dir: the run's folder; keeps `mlflow.json`.
    Returns:
        `tracking_uri`, `experiment_id`, `run_id` and `stages` (name → run id).
    Raises:
        TrackingUnavailable: no answer within about ten seconds; call again later.
        TrackingRefused: the server does not take it, as after a run was deleted in MLflow.
    """
    database.ensure(tracking)
    with connected(tracking) as client, held(run_dir, tracking) as links:
        view = run_view(record, final=final)
        parent = _parent(client, tracking, links, run_dir, record.run_id, view)
        for name, stage in stage_views(record, final=final).items():
            _agree(client, _nested(client, links, run_dir, name, stage), stage, links, name, again=final)
        if final:
            _send_artifacts(client, parent, links, run_dir)
        _agree(client, parent, view, links, "", again=final)
        links.save(run_dir)
        return links.public()


def ensure_stage_run(context: StageContext) -> str:
    """The id of the nested MLflow run of this stage, made if need be; for a notebook that logs to it.

    Raises:
        TrackingUnavailable, TrackingRefused: see `sync`.
    """
    database.ensure(context.tracking)
    with connected(context.tracking) as client, held(context.run_folder, context.tracking) as links:
        record = RunFolder(context.run_folder).load()
        view = run_view(record, final=False) if record else _bare(context.run_id, {RUN_ID: context.run_id})
        _parent(client, context.tracking, links, context.run_folder, context.run_id, view)
        known = stage_views(record, final=False).get(context.stage) if record else None
        tags = {RUN_ID: context.run_id, STAGE: context.stage, "stagebook.engine": context.engine}
        stage = known or _bare(context.stage, tags)
        return _nested(client, links, context.run_folder, context.stage, stage)


def _bare(name: str, tags: dict[str, str]) -> View:
    return View(name=name, started_ms=int(time.time() * 1000), status="RUNNING", tags=tags)


def _parent(client: "MlflowClient", tracking: Tracking, links: Links, run_dir: Path, run_id: str, view: View) -> str:
    """The id of the pipeline run's MLflow run: known, found by tag, or new."""
    if links.run_id is not None and not _exists(client, links.run_id, tracking):
        links.run_id, links.stages, links.sent, links.artifacts = None, {}, {}, {}
    if links.run_id is None:
        links.experiment_id = database.experiment_id(client, tracking)
        tagged = client.search_runs([links.experiment_id], f"tags.`{RUN_ID}` = '{run_id}'", order_by=["start_time"])
        found = [run.info.run_id for run in tagged if STAGE not in run.data.tags]
        links.run_id = found[0] if found else _create(client, links, view, view.tags)
        links.save(run_dir)
    return links.run_id


def _nested(client: "MlflowClient", links: Links, run_dir: Path, stage: str, view: View) -> str:
    """The id of a stage's MLflow run: known, found by tags, or new."""
    if stage not in links.stages:
        parent = str(links.run_id)
        wanted = f"tags.`{PARENT}` = '{parent}' and tags.`{STAGE}` = '{stage}'"
        found = client.search_runs([str(links.experiment_id)], wanted, order_by=["start_time"])
        tags = {**view.tags, PARENT: parent}
        links.stages[stage] = found[0].info.run_id if found else _create(client, links, view, tags)
        links.save(run_dir)
    return links.stages[stage]


def _create(client: "MlflowClient", links: Links, view: View, tags: Any) -> str:
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
        why = f"its run {run_id} was deleted. Restore it with `mlflow runs restore --run-id {run_id}`."
        raise TrackingRefused.of(public(tracking.uri), why)
    return True


def _agree(client: "MlflowClient", run_id: str, view: View, links: Links, key: str, *, again: bool) -> None:
    """Sends what the MLflow run lacks of its view, unless that was sent before and nothing has changed."""
    fingerprint = view.fingerprint
    if links.sent.get(key) == fingerprint and not again:
        return
    close(client, send(client, run_id, view), view)
    links.sent[key] = fingerprint


def send(client: "MlflowClient", run_id: str, view: View) -> "Run":
    """Sends what an MLflow run lacks of a view's tags, parameters, figures and inputs; gives the run as it was.

    A parameter that is there stays as it is.
    """
    from mlflow.entities import Metric, Param, RunTag

    run = client.get_run(run_id)
    data = run.data
    tags = [RunTag(k, v) for k, v in view.tags.items() if data.tags.get(k) != v]
    params = [Param(k, v) for k, v in view.params.items() if k not in data.params]
    metrics = [Metric(k, v, when, 0) for k, (v, when) in view.metrics.items() if data.metrics.get(k) != v]
    for part in _parts(params, 100):
        client.log_batch(run_id, params=part)
    for part in _parts(metrics, 500):
        client.log_batch(run_id, metrics=part)
    for part in _parts(tags, 100):
        client.log_batch(run_id, tags=part)
    if inputs := _missing_inputs(run, view.inputs):
        client.log_inputs(run_id, datasets=inputs)
    return run


def close(client: "MlflowClient", run: "Run", view: View) -> None:
    """Status and end of the view; a run that goes on after it was closed is opened again."""
    if view.status == "RUNNING":
        if run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        return
    other_end = view.ended_ms is not None and run.info.end_time != view.ended_ms
    if run.info.status != view.status or other_end:
        client.set_terminated(run.info.run_id, view.status, view.ended_ms)


def _missing_inputs(run: "Run", inputs: Sequence[TableInput]) -> "list[DatasetInput]":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    there = {(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs} if run.inputs else set()
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
        if (table.name, table.digest) not in there
    ]


def _send_artifacts(client: "MlflowClient", run_id: str, links: Links, run_dir: Path) -> None:
    """Executed notebooks, their pages and the report, under the paths that they have in the run's folder."""
    notebooks = [*run_dir.glob("stages/*/attempt-*.ipynb"), *run_dir.glob("stages/*/attempt-*.html")]
    reports = [run_dir / name for name in REPORT if (run_dir / name).is_file()]
    for path in [*sorted(notebooks), *reports]:
        name, about = path.relative_to(run_dir), path.stat()
        seen = [about.st_size, about.st_mtime_ns]
        if links.artifacts.get(str(name)) != seen:
            folder = str(name.parent)
            client.log_artifact(run_id, str(path), None if folder == "." else folder)
            links.artifacts[str(name)] = seen
            links.save(run_dir)


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
