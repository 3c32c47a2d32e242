"""A client of the tracking server that gives up soon and says clearly what is wrong."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stagebook.errors import TrackingRefused, TrackingUnavailable
from stagebook.model.pipeline import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_SECONDS = 2.0
ANSWER_SECONDS = 4
"""How long one call may wait. MLflow's own patience is 247 s."""

_OUR_FAULT = {
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
    """An MLflow client; whatever fails inside becomes an error of ours.

    Args:
        answer_seconds: how long one call may wait (default: 4); each is tried twice.
    Raises:
        TrackingUnavailable: no answer, after about ten seconds as a rule.
        TrackingRefused: an answer, but a refusal.
    """
    probe(tracking.uri)
    patience = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(answer_seconds or ANSWER_SECONDS),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    with _environment(patience), translated(tracking.uri):
        from mlflow import MlflowClient

        registry = "databricks-uc" if tracking.uri.startswith("databricks") else None
        yield MlflowClient(tracking.uri, registry)


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Errors of MLflow and below as ours."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as fault:
        kind = TrackingRefused if fault.error_code in _OUR_FAULT else TrackingUnavailable
        raise kind.of(public(uri), brief(fault)) from fault
    except (RequestException, SQLAlchemyError, ConnectionError, TimeoutError) as fault:
        raise TrackingUnavailable.of(public(uri), brief(fault)) from fault


@contextmanager
def as_default(uri: str) -> Iterator[None]:
    """This URI as MLflow's own default for a while; its registry asks the default where a model's files are."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with _use_tracking_uri(uri):
            yield
    finally:
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before  # which MLflow's own way of putting things back unsets


def probe(uri: str) -> None:
    """Nothing, if somebody listens at an HTTP address; other kinds of URI are not asked.

    Raises:
        TrackingUnavailable: nobody does, after two seconds at most.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname or _proxied(parts.scheme):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=PROBE_SECONDS).close()
    except OSError as fault:
        raise TrackingUnavailable.of(public(uri), brief(fault)) from fault


def public(uri: str) -> str:
    """The address without user and password."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri


def sqlite_file(uri: str) -> Path | None:
    """The file of a sqlite URI; None for any other kind."""
    if not uri.startswith("sqlite:///"):
        return None
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return None if name in ("", ":memory:") else Path(name)


def brief(fault: BaseException) -> str:
    """The first line of an error, at most 300 characters."""
    lines = str(fault).splitlines()
    return f"{type(fault).__name__}: {lines[0] if lines else ''}"[:300]


def _proxied(scheme: str) -> bool:
    return any(os.environ.get(name) for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy"))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables for a while; those that the user has set stay as they are."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
