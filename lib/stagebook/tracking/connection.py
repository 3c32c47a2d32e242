"""Connect to the tracking server with short timeouts and errors that name the problem."""

import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stagebook.errors import TrackingRefused, TrackingUnavailable
from stagebook.model.pipeline import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_SECONDS = 2.0
ANSWER_SECONDS = 4
"""How long one call may wait. MLflow's own default is 247 s."""

_REFUSAL_CODES = {
    "ALREADY_EXISTS",
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
    "UNAUTHENTICATED",
}


@contextmanager
def connected(tracking: Tracking, *, answer_seconds: int | None = None) -> "Iterator[MlflowClient]":
    """An MLflow client; errors of MLflow inside the `with` block are raised as Stagebook's.

    Args:
        answer_seconds: how long one call may wait (default: 4 s); each call is tried twice.
    Raises:
        TrackingUnavailable: the server does not answer, usually within ten seconds.
        TrackingRefused: the server answers with a refusal.
    """
    probe(tracking.uri)
    if (file := sqlite_file(tracking.uri)) is not None:
        probe_database(file, tracking.uri)
    timeouts = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(answer_seconds or ANSWER_SECONDS),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    with _environment(timeouts), translated_errors(tracking.uri):
        from mlflow import MlflowClient

        registry_uri = "databricks-uc" if tracking.uri.startswith("databricks") else None
        yield MlflowClient(tracking.uri, registry_uri)


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """Raise errors of MLflow and of the libraries below it as `TrackingUnavailable` or `TrackingRefused`."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as fault:
        error_class = TrackingRefused if fault.error_code in _REFUSAL_CODES else TrackingUnavailable
        raise error_class.of(public_uri(uri), error_summary(fault)) from fault
    except (RequestException, SQLAlchemyError, ConnectionError, TimeoutError) as fault:
        raise TrackingUnavailable.of(public_uri(uri), error_summary(fault)) from fault


@contextmanager
def default_tracking_uri(uri: str) -> Iterator[None]:
    """Make this URI MLflow's default inside the `with` block; MLflow's registry reads model files from there."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    previous_uri = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with _use_tracking_uri(uri):
            yield
    finally:
        if previous_uri is not None:
            os.environ["MLFLOW_TRACKING_URI"] = previous_uri  # MLflow unsets it when it restores the default


def probe(uri: str) -> None:
    """Check that a server listens at an HTTP address; other kinds of URI pass unchecked.

    Raises:
        TrackingUnavailable: no server accepts the connection within two seconds.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname or _proxied(parts.scheme):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=PROBE_SECONDS).close()
    except OSError as fault:
        raise TrackingUnavailable.of(public_uri(uri), error_summary(fault)) from fault


def probe_database(file: Path, uri: str) -> None:
    """Check that a sqlite file can be written; one that does not exist passes.

    Raises:
        TrackingUnavailable: it is locked for two seconds, or no database.
    """
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(file, timeout=PROBE_SECONDS, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as fault:
        raise TrackingUnavailable.of(uri, error_summary(fault)) from fault


def public_uri(uri: str) -> str:
    """The URI without user and password."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri


def sqlite_file(uri: str) -> Path | None:
    """The file of a sqlite URI; None for any other kind."""
    if not uri.startswith("sqlite:///"):
        return None
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return None if name in ("", ":memory:") else Path(name)


def error_summary(fault: BaseException) -> str:
    """The first line of an error, at most 300 characters."""
    lines = str(fault).splitlines()
    return f"{type(fault).__name__}: {lines[0] if lines else ''}"[:300]


def _proxied(scheme: str) -> bool:
    return any(os.environ.get(name) for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy"))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set these environment variables inside the `with` block; variables that the user has set stay as they are."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
