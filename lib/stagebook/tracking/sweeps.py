"""Send a sweep run to MLflow: one parent run, and below it the runs of its configurations."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stagebook.model.pipeline import Tracking
from stagebook.model.sweep import Comparison
from stagebook.tracking import database
from stagebook.tracking.connection import connected
from stagebook.tracking.run_views import RUN_ID, SWEEP, sweep_member_view, sweep_view
from stagebook.tracking.send import close, send


def sync_sweep(comparison: Comparison, members: Mapping[str, str], files: Sequence[Path], tracking: Tracking) -> str:
    """Make MLflow agree with the comparison of a sweep run; a second call changes nothing.

    Args:
        members: run id → MLflow run id, of the configurations that MLflow has.
        files: tables and pages to store as artifacts.
    Returns:
        The id of the sweep run's MLflow run.
    Raises:
        TrackingUnavailable, TrackingRefused: as `sync.sync`.
    """
    database.prepare(tracking)
    view = sweep_view(comparison)
    with connected(tracking) as client:
        experiment_id = database.experiment_id(client, tracking)
        tagged = client.search_runs(
            [experiment_id], f"tags.`{SWEEP}` = '{comparison.sweep_run.id}'", order_by=["start_time"]
        )
        parents = [run.info.run_id for run in tagged if RUN_ID not in run.data.tags]
        if parents:
            parent_run_id = parents[0]
        else:
            parent_run_id = client.create_run(experiment_id, view.started_ms, dict(view.tags), view.name).info.run_id
        for row in comparison.rows:
            if row.run_id in members:
                send(client, members[row.run_id], sweep_member_view(row, parent_run_id, comparison.sweep_run.id))
        run, _ = send(client, parent_run_id, view)
        close(client, run, view)
        for file in files:
            client.log_artifact(parent_run_id, str(file))
    return parent_run_id
