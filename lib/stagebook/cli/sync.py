"""`stagebook sync`: send to MLflow what it lacks of a run."""

from stagebook.cli.options import ProjectOptions, warn


def sync(run: str | None = None, /, *, options: ProjectOptions = ProjectOptions()) -> int:
    """Send to MLflow what it lacks of a run; nothing is sent twice.

    Parameters
    ----------
    run:
        The run id (default: the last run).
    """
    from stagebook.errors import ConfigError
    from stagebook.model.record import RunStatus
    from stagebook.runs.folders import find
    from stagebook.tracking import database
    from stagebook.tracking.sync import sync as send

    pipeline = options.load()
    folder = find(pipeline.paths.runs, run)
    record = folder.load()
    if record is None:
        raise ConfigError(f"run '{folder.run_id}' was never started.")
    database.prepare(pipeline.tracking)
    links = send(record, pipeline.tracking, folder.path, final=record.status is not RunStatus.RUNNING)
    for note in links.get("notes", ()):
        warn(note)
    print(f"run {record.run_id} is MLflow run {links['run_id']} at {links['tracking_uri']}")
    return 0
