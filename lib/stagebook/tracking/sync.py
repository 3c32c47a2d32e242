"""Make MLflow agree with a run's record, during the run or weeks later; repeating it changes nothing.

The record itself is the queue of what to send. MLflow is asked what it has, so nothing is sent twice. The ids of
MLflow's runs are saved in the run's folder; if that file is lost, they are found again by tag.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.errors import TrackingRefused
from stagebook.model.context import StageContext
from stagebook.model.pipeline import Tracking
from stagebook.model.record import RunRecord
from stagebook.runs.folders import RunFolder
from stagebook.tracking import database, notebook_runs
from stagebook.tracking.connection import connected, error_summary, public_uri
from stagebook.tracking.links import Links, locked_links
from stagebook.tracking.run_views import PARENT, RUN_ID, STAGE, RunView, run_view, stage_views
from stagebook.tracking.send import close, is_about_an_item, refuse_deleted, send, send_artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient

_GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")


def sync(record: RunRecord, tracking: Tracking, run_dir: Path, *, final: bool) -> dict[str, Any]:
    """Make MLflow agree with the record; a second call changes nothing.

    One MLflow run for the pipeline run and a nested one for each stage that has attempts, with tags, parameters,
    metrics and table versions. With `final` also the executed notebooks and the report as artifacts, runs that the
    record shows as running are closed as killed, and those that notebooks started by themselves are put below their
    stage's. An item that MLflow refuses is left out and noted; the others are sent, and every run gets its end, before
    a refusal is raised.

    Args:
        run_dir: the run's folder, where `mlflow.json` is saved.
    Returns:
        `tracking_uri`, `experiment_id`, `run_id` and `stages` (stage → MLflow run id); and `notes`, if MLflow holds
        something under another name, or not at all.
    Raises:
        TrackingUnavailable: the server does not answer within about ten seconds; call again later.
        TrackingRefused: the server refuses a run, for example because it was deleted in MLflow, or files of it.
    """
    from mlflow.exceptions import MlflowException

    database.ensure_prepared(tracking)
    with connected(tracking) as client, locked_links(run_dir, tracking) as links:
        view = run_view(record, final=final)
        parent = _ensure_parent(client, tracking, links, run_dir, record.run_id, view)
        refusals: list[str] = []
        for name, stage in stage_views(record, final=final).items():
            try:
                nested = _ensure_nested(client, links, run_dir, name, stage)
                _update(client, nested, stage, links, name, force=final)
            except MlflowException as fault:
                if not (is_about_an_item(fault) or fault.error_code in _GONE):
                    raise
                refusals.append(f"stage '{name}': {error_summary(fault)}")
        _update(client, parent, view, links, "", force=final)
        links.save(run_dir)
        if final:
            notebook_runs.settle(client, record, run_dir, str(links.experiment_id), links.stages)
            refusals += send_artifacts(client, parent, links, run_dir)
        if refusals:
            raise TrackingRefused.of(public_uri(tracking.uri), "; ".join(refusals))
        return links.for_record()


def ensure_stage_run(context: StageContext) -> str:
    """The id of this stage's nested MLflow run, which is created if it does not exist; for notebooks that log to it.

    Raises:
        TrackingUnavailable, TrackingRefused: see `sync`.
    """
    database.ensure_prepared(context.tracking)
    with connected(context.tracking) as client, locked_links(context.run_folder, context.tracking) as links:
        record = RunFolder(context.run_folder).load_part()
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
    if links.run_id is not None and not _exists(client, links.run_id):
        links.run_id, links.stages, links.sent, links.artifacts = None, {}, {}, {}
    if links.run_id is None:
        links.experiment_id = database.experiment_id(client, tracking)
        tagged = client.search_runs([links.experiment_id], f"tags.`{RUN_ID}` = '{run_id}'", order_by=["start_time"])
        parents = [
            run.info.run_id
            for run in tagged
            if STAGE not in run.data.tags and run.info.start_time == view.started_ms  # else a namesake from elsewhere
        ]
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


def _create(client: "MlflowClient", links: Links, view: RunView, tags: Mapping[str, str]) -> str:
    """The id of a new run; of one with the tags alone that it is found by, if MLflow refuses one of the others."""
    from mlflow.exceptions import MlflowException

    experiment = str(links.experiment_id)
    try:
        return client.create_run(experiment, view.started_ms, dict(tags), view.name).info.run_id
    except MlflowException as fault:
        if not is_about_an_item(fault):
            raise
    found_by = {key: value for key, value in tags.items() if key in (RUN_ID, STAGE, PARENT)}
    return client.create_run(experiment, view.started_ms, found_by, view.name).info.run_id


def _exists(client: "MlflowClient", run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as fault:
        if fault.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    refuse_deleted(run)
    return True


def _update(client: "MlflowClient", run_id: str, view: RunView, links: Links, key: str, *, force: bool) -> None:
    """Send what the MLflow run lacks of its view; skipped if the same view was sent before, unless `force`."""
    fingerprint = view.fingerprint
    if links.sent.get(key) == fingerprint and not force:
        return
    run, refused = send(client, run_id, view)
    close(client, run, view)
    links.sent[key] = fingerprint
    links.notes[key] = [*([] if key else view.notes), *(f"{key}: {line}" if key else line for line in refused)]
