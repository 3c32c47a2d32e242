"""Send one MLflow run what it lacks; an item that MLflow refuses is left out, and never holds up the others."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stagebook.tracking.connection import error_summary
from stagebook.tracking.links import Links
from stagebook.tracking.names import accepted_text
from stagebook.tracking.run_views import MAX_TAG, RunView, TableInput

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run
    from mlflow.exceptions import MlflowException

T = TypeVar("T")
REPORT = ("report.html", "run.json")
NOTES = "stagebook.notes"
"""Tag of an MLflow run: the names that differ from the record's, and what is left out."""

_ITEM_CODES = ("BAD_REQUEST", "INTERNAL_ERROR", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS")
_MOST_REFUSALS = 10
"""A server that has refused so many items and accepted none is not asked on."""


def is_about_an_item(fault: "MlflowException") -> bool:
    """Whether the fault may be about one of the items that were sent, and not about the server or the run."""
    return fault.error_code in _ITEM_CODES


def send(client: "MlflowClient", run_id: str, view: RunView) -> "tuple[Run, list[str]]":
    """Send what an MLflow run lacks of a view's tags, parameters, metrics and inputs.

    A parameter that the run already has keeps its value, since MLflow's parameters cannot change.

    Returns:
        The run as it was before, and a line for each item that MLflow refused.
    """
    from mlflow.entities import Metric, Param, RunTag

    run = client.get_run(run_id)
    refuse_deleted(run)
    data, sender = run.data, _Sender()
    params = [Param(key, value) for key, value in view.params.items() if key not in data.params]
    metrics = [
        Metric(key, value, time_ms, 0)
        for key, (value, time_ms) in view.metrics.items()
        if data.metrics.get(key) != value
    ]
    for batch in _batches(params, 100):
        sender.send("parameter", batch, lambda items: client.log_batch(run_id, params=items))
    for batch in _batches(metrics, 500):
        sender.send("metric", batch, lambda items: client.log_batch(run_id, metrics=items))
    inputs = _missing_inputs(run, view.inputs)
    sender.send("table", inputs, lambda items: client.log_inputs(run_id, datasets=items))
    notes = {NOTES: accepted_text("\n".join(lines), MAX_TAG)} if (lines := [*view.notes, *sender.refused]) else {}
    changed = {key: value for key, value in {**view.tags, **notes}.items() if data.tags.get(key) != value}
    for batch in _batches([RunTag(key, value) for key, value in changed.items()], 100):
        sender.send("tag", batch, lambda items: client.log_batch(run_id, tags=items))
    return run, sender.refused


def refuse_deleted(run: "Run") -> None:
    """Refuse a run that was deleted in MLflow, with the command that restores it."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_STATE

    if run.info.lifecycle_stage == "deleted":
        run_id = run.info.run_id
        message = f"its run {run_id} was deleted. Restore it with `mlflow runs restore --run-id {run_id}`."
        raise MlflowException(message, INVALID_STATE)


class _Sender:
    """Sends items together, and those that are refused in halves, down to the item that MLflow refuses."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._accepted = 0

    def send(self, kind: str, items: Sequence[Any], call: Callable[[Sequence[Any]], object]) -> None:
        """Send the items by a call; gives up if nothing is accepted.

        Args:
            kind: what the items are, in messages.
        """
        from mlflow.exceptions import MlflowException

        if not items:
            return
        try:
            call(items)
            self._accepted += len(items)
        except (MlflowException, ValueError, TypeError, OverflowError) as fault:
            if isinstance(fault, MlflowException) and not is_about_an_item(fault):
                raise
            if len(items) > 1:
                middle = len(items) // 2
                self.send(kind, items[:middle], call)
                self.send(kind, items[middle:], call)
                return
            self.refused.append(f"{kind} {_name_of(items[0])!r} is refused: {error_summary(fault)}")
            if not self._accepted and len(self.refused) >= _MOST_REFUSALS:
                raise


def _name_of(item: Any) -> str:
    return item.key if hasattr(item, "key") else item.dataset.name


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


def send_artifacts(client: "MlflowClient", run_id: str, links: Links, run_dir: Path) -> list[str]:
    """Send executed notebooks, their pages and the report, under their paths in the run's folder, if they changed.

    Returns:
        A line for each file that could not be sent.
    """
    from mlflow.exceptions import MlflowException

    notebooks = [*run_dir.glob("stages/*/attempt-*.ipynb"), *run_dir.glob("stages/*/attempt-*.html")]
    reports = [run_dir / name for name in REPORT if (run_dir / name).is_file()]
    refused = []
    for path in [*sorted(notebooks), *reports]:
        name = path.relative_to(run_dir)
        folder = None if name.parent == Path() else str(name.parent)
        try:
            stat = path.stat()
            state = [stat.st_size, stat.st_mtime_ns]
            if links.artifacts.get(str(name)) != state:
                client.log_artifact(run_id, str(path), folder)
                links.artifacts[str(name)] = state
                links.save(run_dir)
        except (MlflowException, OSError) as fault:
            if _is_about_the_server(fault):
                raise
            refused.append(f"{name}: {error_summary(fault)}")
    return refused


def _is_about_the_server(fault: BaseException) -> bool:
    """Whether no other file could be sent either."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    if isinstance(fault, MlflowException):
        return not is_about_an_item(fault)
    return isinstance(fault, ConnectionError | TimeoutError | RequestException)


def _batches(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
