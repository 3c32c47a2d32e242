"""`stagebook runs` and `stagebook track`: what has run, and what MLflow has not been told yet."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Files = Annotated[tuple[str, ...], Parameter(negative=())]


def runs(*, params: Files = (), runs_dir: Path | None = None, last: int = 20) -> int:
    """List the runs: id, status, seconds, stages done, report.

    Parameters
    ----------
    params:
        Parameter file that says where runs are (default: dev.yaml).
    runs_dir:
        Folder of the run records.
    last:
        How many, counted from the newest.
    """
    from rich.console import Console
    from rich.table import Table

    from stagebook.cli.places import pipeline
    from stagebook.storage.runs import existing

    places = pipeline(params, None, runs_dir).places
    table = Table("run", "pipeline", "status", "exit", "stages", "report", box=None)
    for folder in existing(places.runs)[-last:]:
        record = folder.load()
        if record is None:
            continue
        done = sum(stage.status.done for stage in record.stages.values())
        status = "died" if record.status.value == "running" and not folder.is_held else record.status.value
        code = "" if record.exit_code is None else str(record.exit_code)
        report = str(folder.report) if folder.report.exists() else ""
        table.add_row(record.run_id, record.pipeline, status, code, f"{done}/{len(record.stages)}", report)
    Console().print(table)
    return 0


def track(
    run: str | None = None,
    /,
    *,
    params: Files = (),
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
) -> int:
    """Tell MLflow what it has not been told yet about a run; nothing is told twice.

    Parameters
    ----------
    run:
        The run id (default: the last run).
    params:
        Parameter file that names the tracking server (default: dev.yaml).
    runs_dir:
        Folder of the run records.
    warehouse:
        Folder of tables, files and tracking data.
    """
    from stagebook.cli.places import pipeline
    from stagebook.errors import ConfigError
    from stagebook.model.record import RunStatus
    from stagebook.storage.runs import find
    from stagebook.track import database, sync

    found = pipeline(params, warehouse, runs_dir)
    folder = find(found.places.runs, run)
    record = folder.load()
    if record is None:
        raise ConfigError(f"run '{folder.run_id}' was never started.")
    database.prepare(found.tracking)
    linked = sync.sync(record, found.tracking, folder.path, final=record.status is not RunStatus.RUNNING)
    print(f"run {record.run_id} is MLflow run {linked['run_id']} at {linked['tracking_uri']}")
    return 0
