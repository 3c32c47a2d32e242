"""MLflow's own database: created and migrated by one process before others open it."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from stagebook.errors import TrackingRefused, TrackingUnavailable
from stagebook.model.pipeline import Tracking
from stagebook.storage import atomic
from stagebook.track.connection import connected, public, sqlite_file, translated

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 180.0
"""A fresh database takes seconds to migrate, on a busy machine with six waiting up to a minute."""


class ExperimentDeleted(TrackingRefused):
    """The experiment exists, but somebody has deleted it in MLflow."""


def prepare(tracking: Tracking) -> None:
    """Makes the sqlite database at MLflow's present schema, and the experiment; safe in many processes.

    A database of an older MLflow is migrated after a copy of it is kept beside it. For other URIs only
    the experiment is made.

    Raises:
        TrackingUnavailable: no answer, or another process holds the lock for three minutes.
        TrackingRefused: the database is newer than this MLflow, or the experiment was deleted.
    """
    file = sqlite_file(tracking.uri)
    if file is None:
        with connected(tracking) as client:
            experiment_id(client, tracking)
        return
    if is_prepared(tracking):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{file}.lock", timeout=LOCK_SECONDS):
            if not is_prepared(tracking):
                _prepare(tracking, file)
    except Timeout as fault:
        raise TrackingUnavailable.of(tracking.uri, f"{file}.lock is held by another process") from fault


def ensure(tracking: Tracking) -> None:
    """`prepare` where a sqlite database needs it; asks no server.

    Raises:
        TrackingUnavailable, TrackingRefused: see `prepare`.
    """
    if not is_prepared(tracking):
        prepare(tracking)


def is_prepared(tracking: Tracking) -> bool:
    """Whether `prepare` has nothing left to do, told by a marker beside the database; does not import MLflow.

    True for every URI that is not a sqlite file.
    """
    file = sqlite_file(tracking.uri)
    if file is None:
        return True
    marker = atomic.read_json(_marker(file)) or {}
    current = file.exists() and marker.get("mlflow") == version("mlflow")
    return current and tracking.experiment in marker.get("experiments", [])


def experiment_id(client: "MlflowClient", tracking: Tracking) -> str:
    """The id of the experiment, which is made if it does not exist.

    Raises:
        ExperimentDeleted: with the command that restores it.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(tracking.experiment)
    if found is None:
        try:
            return client.create_experiment(tracking.experiment, artifact_location=_location(tracking))
        except MlflowException as fault:
            if fault.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(tracking.experiment)
    if found is None or found.lifecycle_stage == "deleted":
        which = f" -x {found.experiment_id}" if found else ""
        raise ExperimentDeleted(
            f"tracking server {public(tracking.uri)}: the experiment '{tracking.experiment}' was deleted.\n"
            f"  Restore it with `mlflow experiments restore{which}`, or name another one: tracking.experiment."
        )
    return found.experiment_id


def _prepare(tracking: Tracking, file: Path) -> None:
    marker = atomic.read_json(_marker(file)) or {}
    with translated(tracking.uri):
        _migrate(tracking.uri, file)  # before a client, which would migrate without a copy, or refuse
    with connected(tracking) as client:
        experiment_id(client, tracking)
    known = marker.get("experiments", []) if file.exists() else []
    names = sorted({*known, tracking.experiment})
    atomic.write_json(_marker(file), {"mlflow": version("mlflow"), "experiments": names})


def _migrate(uri: str, file: Path) -> None:
    """Bring an older database to the present schema. A new one is made by the first client."""
    from mlflow.store.db import utils

    if not file.exists() or file.stat().st_size == 0:
        return
    engine = utils.create_sqlalchemy_engine(uri)
    try:
        found = utils._get_schema_version(engine)
        if found is None or found == utils._get_latest_schema_revision():
            return
        shutil.copy2(file, file.with_name(f"{file.name}.before-mlflow-{version('mlflow')}"))
        utils._upgrade_db(engine)
    finally:
        engine.dispose()


def _location(tracking: Tracking) -> str | None:
    """Where artifacts go: a folder as a file URI; None leaves it to the server."""
    if tracking.artifacts is None or "://" in tracking.artifacts:
        return tracking.artifacts
    return Path(tracking.artifacts).resolve().as_uri()


def _marker(file: Path) -> Path:
    return file.with_name(f"{file.name}.prepared.json")
