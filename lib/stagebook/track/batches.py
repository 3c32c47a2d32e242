"""A batch in MLflow: one run for it, and below that the runs of its configurations."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stagebook.model.batch import Comparison
from stagebook.model.pipeline import Tracking
from stagebook.track import database
from stagebook.track.connection import connected
from stagebook.track.projection import BATCH, RUN_ID, batch_view, member_view
from stagebook.track.sync import close, send


def tell(found: Comparison, members: Mapping[str, str], files: Sequence[Path], tracking: Tracking) -> str:
    """Brings MLflow to what a comparison says; calling it again changes nothing.

    Args:
        members: run id → MLflow run id, of the configurations that MLflow has.
        files: tables and pages to keep as artifacts.
    Returns:
        The id of the batch's MLflow run.
    Raises:
        TrackingUnavailable, TrackingRefused: as `sync.sync`.
    """
    database.prepare(tracking)
    view = batch_view(found)
    with connected(tracking) as client:
        experiment_id = database.experiment_id(client, tracking)
        tagged = client.search_runs([experiment_id], f"tags.`{BATCH}` = '{found.batch.id}'", order_by=["start_time"])
        own = [run.info.run_id for run in tagged if RUN_ID not in run.data.tags]
        if own:
            batch_run_id = own[0]
        else:
            batch_run_id = client.create_run(experiment_id, view.started_ms, dict(view.tags), view.name).info.run_id
        for row in found.rows:
            if row.run_id in members:
                send(client, members[row.run_id], member_view(row, batch_run_id, found.batch.id))
        close(client, send(client, batch_run_id, view), view)
        for file in files:
            client.log_artifact(batch_run_id, str(file))
    return batch_run_id
