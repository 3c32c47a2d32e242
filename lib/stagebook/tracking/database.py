"""Create and migrate MLflow's own database in one process, before others open it."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from stagebook import atomic
from stagebook.errors import TrackingRefused, TrackingUnavailable
from stagebook.model.pipeline import Tracking
from stagebook.tracking.connection import connected, public_uri, sqlite_file, translated_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

STALLED_SECONDS = 5.0
"""How long a process waits for another one that creates the database, after the last sign that it goes on."""


class ExperimentDeleted(TrackingRefused):
    """The experiment was deleted in MLflow and can be restored."""


def prepare(tracking: Tracking) -> None:
    """Create the sqlite database with the schema of the installed MLflow, and the experiment.

    Several processes may call it at once. A database of an older MLflow is copied to a file beside it and then
    migrated. For other URIs only the experiment is created.

    Raises:
        TrackingUnavailable: the server does not answer, the file cannot be made, or the process that creates it
            has not gone on for five seconds.
        TrackingRefused: the database is newer than this MLflow, or the experiment was deleted.
    """
    file = sqlite_file(tracking.uri)
    if file is None:
        with connected(tracking) as client:
            experiment_id(client, tracking)
        return
    if is_prepared(tracking):
        return

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{file}.lock").touch()
        with _lock_while_it_goes_on(file):
            if not is_prepared(tracking):
                _prepare(tracking, file)
    except Timeout as fault:
        reason = f"{file}.lock is held by another process, which does not go on"
        raise TrackingUnavailable.of(tracking.uri, reason) from fault
    except OSError as fault:
        raise TrackingUnavailable.of(tracking.uri, f"{file} cannot be made: {fault.strerror or fault}") from fault


@contextmanager
def _lock_while_it_goes_on(file: Path) -> Iterator[None]:
    """Hold the lock of a database; wait for whoever holds it as long as the database changes.

    Raises:
        Timeout: nothing has changed for `STALLED_SECONDS`.
    """
    lock, seen, deadline = FileLock(f"{file}.lock"), _state(file), time.monotonic() + STALLED_SECONDS
    while True:
        with suppress(Timeout):
            lock.acquire(timeout=0.2)
            break
        if (state := _state(file)) != seen:
            seen, deadline = state, time.monotonic() + STALLED_SECONDS
        elif time.monotonic() > deadline:
            raise Timeout(lock.lock_file)
    try:
        yield
    finally:
        lock.release()


def _state(file: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of a database's files."""
    status = ((path.name, path.stat()) for path in sorted(file.parent.glob(f"{file.name}*")) if path.exists())
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in status if not name.endswith(".lock")]


def ensure_prepared(tracking: Tracking) -> None:
    """Call `prepare` if a sqlite database needs it; a server is never asked.

    Raises:
        TrackingUnavailable, TrackingRefused: see `prepare`.
    """
    if not is_prepared(tracking):
        prepare(tracking)


def is_prepared(tracking: Tracking) -> bool:
    """Whether `prepare` has run, by the marker file beside the database; does not import MLflow.

    True for every URI that is not a sqlite file.
    """
    file = sqlite_file(tracking.uri)
    if file is None:
        return True
    marker = _read_marker(file)
    up_to_date = file.exists() and marker.get("mlflow") == version("mlflow")
    return up_to_date and tracking.experiment in marker.get("experiments", [])


def experiment_id(client: "MlflowClient", tracking: Tracking) -> str:
    """The id of the experiment, which is created if it does not exist.

    Raises:
        ExperimentDeleted: names the command that restores it.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(tracking.experiment)
    if experiment is None:
        try:
            return client.create_experiment(tracking.experiment, artifact_location=_location(tracking))
        except MlflowException as fault:
            if fault.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(tracking.experiment)
    if experiment is None or experiment.lifecycle_stage == "deleted":
        id_option = f" -x {experiment.experiment_id}" if experiment else ""
        raise ExperimentDeleted(
            f"tracking server {public_uri(tracking.uri)}: the experiment '{tracking.experiment}' was deleted.\n"
            f"  Restore it with `mlflow experiments restore{id_option}`, or name another one: tracking.experiment."
        )
    return experiment.experiment_id


def _prepare(tracking: Tracking, file: Path) -> None:
    marker = _read_marker(file)
    with translated_errors(tracking.uri):
        _migrate(tracking.uri, file)  # before a client is created: it would migrate without a copy, or refuse
    with connected(tracking) as client:
        experiment_id(client, tracking)
    recorded = marker.get("experiments", []) if file.exists() else []
    names = sorted({*recorded, tracking.experiment})
    atomic.write_json(_marker(file), {"mlflow": version("mlflow"), "experiments": names})


def _migrate(uri: str, file: Path) -> None:
    """Migrate an older database to the schema of the installed MLflow. A new one is created by the first client."""
    from mlflow.store.db import utils

    if not file.exists() or file.stat().st_size == 0:
        return
    engine = utils.create_sqlalchemy_engine(uri)
    try:
        revision = utils._get_schema_version(engine)
        if revision is None or revision == utils._get_latest_schema_revision():
            return
        shutil.copy2(file, file.with_name(f"{file.name}.before-mlflow-{version('mlflow')}"))
        utils._upgrade_db(engine)
    finally:
        engine.dispose()


def _location(tracking: Tracking) -> str | None:
    """The URI of the artifacts' folder; None lets the server choose one."""
    if tracking.artifacts is None or "://" in tracking.artifacts:
        return tracking.artifacts
    return Path(tracking.artifacts).resolve().as_uri()


def _read_marker(file: Path) -> dict[str, Any]:
    """What is noted of the database; empty where nothing is, or the note is damaged."""
    value = atomic.readable_json(_marker(file))
    return value if isinstance(value, dict) else {}


def _marker(file: Path) -> Path:
    return file.with_name(f"{file.name}.prepared.json")
