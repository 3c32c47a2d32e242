"""MLflow runs that a notebook starts by itself, by `mlflow.start_run`, `mlflow.log_*` or autologging.

They carry tags of their run, stage and attempt from the start. Here they get the stage's MLflow run as parent, and the
status of their attempt if they did not end before it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.model.record import Attempt, AttemptStatus, RunRecord
from stagebook.tracking.run_views import PARENT, RUN_ID, STAGE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

VARIABLE = "MLFLOW_RUN_CONTEXT"
"""The environment variable with tags, as JSON, of all runs that MLflow's fluent functions start."""

ATTEMPT = "stagebook.attempt"
MOST_EXPERIMENTS = 100
"""A notebook may choose an experiment of its own; it is looked for among the last ones that were changed."""

_OPEN = ("RUNNING", "SCHEDULED")
_STATUS = {
    AttemptStatus.SUCCEEDED: "FINISHED",
    AttemptStatus.INTERRUPTED: "KILLED",
    AttemptStatus.RUNNING: "KILLED",
}


def run_tags(run_id: str, stage: str, attempt: int, inherited: str | None) -> str:
    """The value of `VARIABLE` for an attempt; `inherited` is the value that the runner itself has."""
    return json.dumps({**_tags_of(inherited), RUN_ID: run_id, STAGE: stage, ATTEMPT: str(attempt)})


def _tags_of(value: str | None) -> Mapping[str, Any]:
    try:
        tags = json.loads(value or "{}")
    except ValueError:
        return {}
    return tags if isinstance(tags, dict) else {}


def settle(
    client: "MlflowClient", record: RunRecord, run_dir: Path, experiment_id: str, parents: Mapping[str, str]
) -> None:
    """Put the runs that the notebooks of a run started below their stages' runs, and end those that are left open.

    Args:
        run_dir: the run's folder, with the executed notebooks.
        parents: stage → id of its MLflow run.
    """
    for run in _started_by_notebooks(client, record.run_id, experiment_id):
        tags, run_id = run.data.tags, run.info.run_id
        stage = record.stages.get(tags.get(STAGE, ""))
        attempt = next((item for item in stage.attempts if str(item.n) == tags[ATTEMPT]), None) if stage else None
        if stage is None or attempt is None:
            continue
        if PARENT not in tags and stage.name in parents:
            client.set_tag(run_id, PARENT, parents[stage.name])
        status = status_to_set(run.info.status, run.info.end_time, attempt, last_cell_ended(run_dir / attempt.notebook))
        if status is not None:
            client.set_terminated(run_id, status, run.info.end_time or _millis(attempt.finished_at))


def status_to_set(status: str, ended_ms: int | None, attempt: Attempt, last_cell_ms: int | None) -> str | None:
    """The status that a run should have instead of its own; None if its own is right.

    A run that its notebook ended keeps what the notebook said. One that was still open when the notebook ended is what
    the attempt was: MLflow calls it finished at the kernel's end, or leaves it running where the kernel was killed.

    Args: last_cell_ms: when the last cell ended.
    """
    expected = _STATUS.get(attempt.status, "FAILED")
    if status in _OPEN:
        return expected
    ended_with_kernel = None not in (ended_ms, last_cell_ms) and (ended_ms or 0) >= (last_cell_ms or 0)
    return expected if status == "FINISHED" and expected != "FINISHED" and ended_with_kernel else None


def _started_by_notebooks(client: "MlflowClient", run_id: str, experiment_id: str) -> "Iterator[Run]":
    recent = client.search_experiments(max_results=MOST_EXPERIMENTS, order_by=["last_update_time DESC"])
    experiments = list(dict.fromkeys([experiment_id, *(experiment.experiment_id for experiment in recent)]))
    token: str | None = None
    while token != "":
        page = client.search_runs(experiments, f"tags.`{RUN_ID}` = '{run_id}'", page_token=token)
        yield from (run for run in page if ATTEMPT in run.data.tags)
        token = page.token or ""


def last_cell_ended(notebook: Path) -> int | None:
    """When the last cell of an executed notebook ended, in milliseconds since 1970; None if that is not known."""
    try:
        cells: Sequence[Any] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        times = [cell["metadata"].get("papermill", {}).get("end_time") for cell in cells]
        return max((moment for time in times if (moment := _millis(time)) is not None), default=None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _millis(moment: str | None) -> int | None:
    return None if moment is None else int(datetime.fromisoformat(moment).timestamp() * 1000)
